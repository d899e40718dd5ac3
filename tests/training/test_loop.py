"""The training loop."""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from geodetect.errors import DivergenceError, InputError, OutputError
from geodetect.model.file import Weights
from geodetect.progress import Progress, no_progress
from geodetect.training import loop as loop_module
from geodetect.training.loop import TrainingLoop
from geodetect.training.run.checkpoint import read_state
from geodetect.training.run.folder import RunFolder
from geodetect.training.validation.metrics import ValidationResult
from tests.helpers.manual_clock import ManualClock
from tests.helpers.training_loops import (
    CHIP_PX,
    ScriptedMiner,
    ScriptedValidator,
    loop_weights,
    new_learner,
    new_loop,
)

Rows = list[dict[str, float]]


def equal_weights(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def drop_times(rows: Rows) -> Rows:
    """Rows without what the clock decides, and without NaN, which differs from itself."""
    return [
        {k: v for k, v in row.items() if k not in ("seconds", "chips_per_s") and not math.isnan(v)}
        for row in rows
    ]


class KilledError(Exception):
    """End of a process that leaves nothing but its files."""


def cut_off(loop: TrainingLoop, step: int) -> None:
    """Run a loop and end it in a step, after its row is written and before its checkpoint."""

    def stop(completed: int, total: int, /, **figures: float) -> None:
        if completed == step:
            raise KilledError

    with pytest.raises(KilledError):
        loop.run(stop)


def run_until_interrupt(loop: TrainingLoop, progress: Progress) -> None:
    """Run a loop that is interrupted by SIGTERM, as the program takes it."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt):
        loop.run(progress)
    signal.signal(signal.SIGTERM, before)


def interrupt_in_step(loop: TrainingLoop, step: int) -> None:
    """Run a loop that gets SIGTERM while the network computes a step."""

    def send(*_: object) -> None:
        if loop.step == step - 1:
            signal.raise_signal(signal.SIGTERM)

    loop.learner.network.register_forward_hook(send)
    run_until_interrupt(loop, no_progress)


def interrupt_in_validation(loop: TrainingLoop, step: int) -> None:
    """Run a loop that gets SIGTERM at the end of the validation of a step."""
    assert loop.validator is not None
    validate = loop.validator.validate

    def send(weights: Weights) -> ValidationResult | None:
        result = validate(weights)
        if loop.step == step:
            signal.raise_signal(signal.SIGTERM)
        return result

    loop.validator.validate = send  # type: ignore[method-assign]
    run_until_interrupt(loop, no_progress)


def interrupt_after_row(loop: TrainingLoop, step: int) -> None:
    """Run a loop that gets SIGTERM when the row of a step is written."""

    def send(completed: int, total: int, /, **figures: float) -> None:
        if completed == step:
            signal.raise_signal(signal.SIGTERM)

    run_until_interrupt(loop, send)


@pytest.mark.parametrize(("has_units", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_steps_are_made_in_bf16_where_the_processor_has_units_for_it(
    has_units: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("PyTorch knows no bf16 on this processor")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: has_units)
    loop, dtypes = new_loop(), set()
    loop.learner.network.register_forward_hook(lambda _, __, out: dtypes.add(out[0].dtype))
    loop.learner.train_step([loop.sampler[0]], 1.0)
    assert dtypes == {dtype}
    assert {p.dtype for p in loop.learner.network.parameters()} == {torch.float32}


def test_the_loss_falls_on_an_easy_problem() -> None:
    losses: list[float] = []

    def note(completed: int, total: int, /, **figures: float) -> None:
        losses.append(figures["loss"])

    new_loop(steps=30, batch_size=4, lr=2e-3).run(note)
    last = 50 * losses[-1] - 49 * losses[-2]  # the figure is a running mean: 0.98 and 0.02
    assert len(losses) == 30
    assert last < 0.7 * losses[0]


def test_two_runs_of_the_same_seed_are_equal_to_the_bit() -> None:
    first, second = new_loop(), new_loop()
    first.run(no_progress)
    second.run(no_progress)
    assert equal_weights(loop_weights(first), loop_weights(second))
    assert first.step == 6


def test_a_resumed_run_equals_an_uninterrupted_one_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"val_every": 2, "steps": 7}
    figures = (0.5, 0.3, 0.4, 0.2)
    whole = new_loop(tmp_path / "whole", ScriptedValidator(*figures), **options)
    whole.run(no_progress)
    monkeypatch.setattr(loop_module, "CHECKPOINT_SECONDS", 0.0)
    for step in (2, 4, 5):
        folder = tmp_path / f"cut{step}"
        cut_off(new_loop(folder, ScriptedValidator(*figures), **options), step)
        measured_before = (step - 1) // 2
        resumed = new_loop(folder, ScriptedValidator(*figures[measured_before:]), **options)
        resumed.resume()
        assert resumed.step == step - 1
        resumed.run(no_progress)
        assert equal_weights(loop_weights(resumed), loop_weights(whole))
        assert (resumed.selection.best_step, resumed.selection.without_gain) == (2, 3)
        rows = [RunFolder(tmp_path / name).metrics.rows() for name in ("whole", folder.name)]
        assert drop_times(rows[0]) == drop_times(rows[1])
        assert [row["step"] for row in rows[1]] == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    "interrupt", [interrupt_in_step, interrupt_in_validation, interrupt_after_row]
)
def test_an_interrupt_writes_a_checkpoint_of_the_last_step_from_which_all_goes_on_to_the_bit(
    interrupt: Callable[[TrainingLoop, int], None], tmp_path: Path
) -> None:
    options = {"val_every": 2, "steps": 5}
    figures, step = (0.5, 0.3, 0.4), 4
    whole = new_loop(tmp_path / "whole", ScriptedValidator(*figures), ScriptedMiner(), **options)
    whole.run(no_progress)
    folder = tmp_path / "cut"
    interrupt(new_loop(folder, ScriptedValidator(*figures), ScriptedMiner(), **options), step)
    measured_before = 2 if interrupt is interrupt_after_row else 1
    resumed = new_loop(
        folder, ScriptedValidator(*figures[measured_before:]), ScriptedMiner(), **options
    )
    resumed.resume()
    assert resumed.step == step
    resumed.run(no_progress)
    assert equal_weights(loop_weights(resumed), loop_weights(whole))
    assert resumed.sampler.hard_negatives == whole.sampler.hard_negatives
    assert (resumed.selection.best_step, resumed.selection.validations) == (2, 3)
    rows = [RunFolder(tmp_path / name).metrics.rows() for name in ("whole", "cut")]
    assert drop_times(rows[0]) == drop_times(rows[1])


def test_a_resumed_run_draws_the_same_chips_of_mined_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"val_every": 2, "steps": 7}
    whole, without = new_loop(None, None, ScriptedMiner(), **options), new_loop(**options)
    whole.run(no_progress)
    without.run(no_progress)
    assert [place.x for place in whole.sampler.hard_negatives] == [22, 11, 0], "not after the last"
    assert not equal_weights(loop_weights(whole), loop_weights(without))
    monkeypatch.setattr(loop_module, "CHECKPOINT_SECONDS", 0.0)
    for step in (3, 6):
        folder = tmp_path / f"cut{step}"
        cut_off(new_loop(folder, None, ScriptedMiner(), **options), step)
        resumed = new_loop(folder, None, ScriptedMiner(), **options)
        resumed.resume()
        resumed.run(no_progress)
        assert equal_weights(loop_weights(resumed), loop_weights(whole))
        assert resumed.sampler.hard_negatives == whole.sampler.hard_negatives


def test_patience_ends_a_training_also_one_that_was_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_module, "CHECKPOINT_SECONDS", 0.0)
    options = {"val_every": 1, "steps": 40, "patience": 2}
    loop = new_loop(tmp_path / "run", ScriptedValidator(0.2, 0.5, 0.5, 0.1), **options)
    cut_off(loop, 3)
    resumed = new_loop(tmp_path / "run", ScriptedValidator(0.5, 0.1), **options)
    resumed.resume()
    resumed.run(no_progress)
    assert resumed.is_stalled
    assert resumed.step == 4
    assert resumed.selection.best_step == 3, "of equal ones the later"
    again = new_loop(tmp_path / "run", ScriptedValidator(0.9), **options)
    again.resume()
    again.run(no_progress)
    assert again.step == 4, "it has ended"
    unlimited = new_loop(None, ScriptedValidator(0.5), val_every=1, patience=0)
    unlimited.run(no_progress)
    assert unlimited.step == 6


def test_the_last_state_is_measured_and_a_row_tells(tmp_path: Path) -> None:
    rows: list[dict[str, float]] = []
    validator = ScriptedValidator(0.25, pixels=1e9)  # too many to look at more than once
    loop = new_loop(tmp_path / "run", validator)
    loop.run(lambda completed, total, /, **figures: rows.append(figures))
    assert validator.count == 1
    last = RunFolder(tmp_path / "run").metrics.rows()[-1]
    assert (last["step"], last["val_ap50"], last["val_recall"]) == (6, 0.25, 0.5)
    assert math.isnan(last["val_f1"])
    assert last["loss"] == pytest.approx(last["class_loss"] + last["box_loss"], rel=1e-4)
    assert last["chips_per_s"] > 0
    assert "val_ap50" not in rows[-2]
    assert rows[-1]["val_ap50"] == rows[-1]["best_ap50"] == 0.25


def test_validations_take_about_a_tenth_of_the_time_of_steps() -> None:
    step_px = 3 * 2 * CHIP_PX**2  # a pass forward, and one backward that costs twice as much
    for cost_steps, expected in ((0.0, 20), (1.0, 4), (2.0, 2), (100.0, 1)):
        validator = ScriptedValidator(0.1, pixels=cost_steps * step_px)
        new_loop(None, validator, steps=40, batch_size=2).run(no_progress)
        assert validator.count == expected


def test_validations_of_a_training_by_the_clock_take_a_tenth_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = ManualClock(monkeypatch)
    validator = ScriptedValidator(0.5)
    validate = validator.validate
    validator.validate = lambda weights: (clock.wait(5.0), validate(weights))[1]  # type: ignore[method-assign]
    loop = new_loop(None, validator, minutes=5)
    learn = loop.learner.train_step
    loop.learner.train_step = lambda *args: (clock.wait(1.0), learn(*args))[1]  # type: ignore[method-assign]
    loop.run(no_progress)
    count = loop.selection.validations
    assert 5 <= count <= 7
    assert loop.step == 300 - 5 * (count - 1), "the clock counts all but the last of them"


def test_rows_of_a_long_training_are_at_most_50_steps_or_20_seconds_apart() -> None:
    def due(loop: TrainingLoop, step: int, seconds: float) -> bool:
        loop.learner.steps, loop.seconds = step, seconds
        return loop._is_row_due

    short, long, timed = new_loop(steps=2000), new_loop(steps=10**6), new_loop(minutes=600)
    assert [due(short, step, 1.0) for step in (9, 10, 11, 20)] == [False, True, False, True]
    assert [due(long, step, 1.0) for step in (10, 50, 99, 100)] == [False, True, False, True]
    assert [due(timed, 7, seconds) for seconds in (1.0, 19.9, 20.0)] == [False, False, True]


def test_the_stem_stays_as_it_was_and_the_rest_learns() -> None:
    loop = new_loop(steps=2)
    before = loop_weights(loop)
    loop.run(no_progress)
    after = loop_weights(loop)
    assert torch.equal(before["net.trunk.conv1.weight"], after["net.trunk.conv1.weight"])
    for key in ("net.trunk.layer2.0.conv1.weight", "net.classification.output.weight"):
        assert not torch.equal(before[key], after[key])


def test_progress_counts_steps() -> None:
    calls: list[tuple[int, int]] = []
    new_loop(steps=3).run(lambda completed, total, /, **_: calls.append((completed, total)))
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_minutes_end_a_training() -> None:
    loop = new_loop(steps=10**6, minutes=0.01)
    loop.run(no_progress)
    assert 0 < loop.step < 1000


def test_a_loss_that_is_no_number_stops_with_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_module, "CHECKPOINT_SECONDS", 0.0)
    loop = new_loop(tmp_path / "run")

    def spoil(completed: int, total: int, /, **figures: float) -> None:
        if completed == 2:
            loop.learner.network.classification.output.weight.data.mul_(float("inf"))

    with pytest.raises(DivergenceError, match=r"no longer a number at step 2; .*`lr`"):
        loop.run(spoil)
    assert loop.step == 2
    assert loop.learner.averaged.classification.output.weight.isfinite().all()


def test_a_gradient_that_is_no_number_stops_before_it_spoils_the_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = new_loop()
    clip = torch.nn.utils.clip_grad_norm_

    def explode(parameters: object, limit: float) -> torch.Tensor:
        return clip(parameters, limit) * float("inf")  # type: ignore[arg-type]

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", explode)
    before = loop_weights(loop)
    with pytest.raises(DivergenceError, match="no longer a number at step 0"):
        loop.run(no_progress)
    assert equal_weights(before, loop_weights(loop))


def test_a_checkpoint_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    loop = new_loop(tmp_path / "run")
    loop.folder = RunFolder(tmp_path / "missing")
    with pytest.raises(OutputError, match="`resume`"):
        loop.save_checkpoint()


def test_a_checkpoint_leaves_no_temporary_file(tmp_path: Path) -> None:
    loop = new_loop(tmp_path / "run")
    loop.save_checkpoint()
    names = sorted(file.name for file in (tmp_path / "run").iterdir())
    assert names == ["checkpoint.pt", "metrics.csv"]


def test_resuming_without_a_checkpoint_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no checkpoint"):
        new_loop(tmp_path / "run").resume()
    with pytest.raises(InputError, match="there is no checkpoint"):
        new_loop().resume()


def test_resuming_with_other_settings_is_an_error(tmp_path: Path) -> None:
    new_loop(tmp_path / "run").save_checkpoint()
    with pytest.raises(InputError, match="other settings"):
        new_loop(tmp_path / "run", lr=5e-4).resume()


def test_resuming_with_another_network_is_an_error(tmp_path: Path) -> None:
    loop = new_loop(tmp_path / "run")
    loop.save_checkpoint()
    other = new_learner(loop.settings, classes=3)
    with pytest.raises(InputError, match="of another network"):
        TrainingLoop(other, loop.sampler, loop.settings, None, loop.folder).resume()


def test_a_checkpoint_of_another_version_is_one_line(tmp_path: Path) -> None:
    loop = new_loop(tmp_path / "run")
    torch.save({"settings": loop.settings.model_dump_json()}, tmp_path / "run/checkpoint.pt")
    with pytest.raises(InputError, match="another version"):
        loop.resume()


def test_settings_in_a_checkpoint_are_text(tmp_path: Path) -> None:
    loop = new_loop(tmp_path / "run")
    loop.save_checkpoint()
    state = read_state(tmp_path / "run/checkpoint.pt")
    assert json.loads(state["settings"])["steps"] == 6
