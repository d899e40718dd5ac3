"""The training loop."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from geodetect.assessment.matching.greedy_matching import match_boxes
from geodetect.errors import DivergenceError, InputError, OutputError
from geodetect.model.card import NetworkConfig
from geodetect.model.file import Weights
from geodetect.model.network.retinanet import RetinaNet
from geodetect.progress import no_progress
from geodetect.settings import TrainSettings
from geodetect.training import loop as loop_module
from geodetect.training.data.chip_sampler import Chip, HardNegative, crop_target
from geodetect.training.distributed import Processes
from geodetect.training.learner import Learner
from geodetect.training.loop import TrainingLoop
from geodetect.training.run.checkpoint import read_state
from geodetect.training.run.folder import RunFolder
from geodetect.training.validation.metrics import ValidationResult
from tests.helpers.square_scenes import SQUARE_PX, squares_image
from tests.helpers.tiny_model import tiny_card

CHIP_PX = 64
CPU = Processes(device="cpu")
CARD = tiny_card(
    mean=(0.3, 0.3, 0.3),
    std=(0.2, 0.2, 0.2),
    network=NetworkConfig(
        trunk_stages=2,
        fpn_channels=16,
        strides=(8,),
        head_convs=1,
        anchor_sizes_px=((16.0,),),
        anchor_ratios=(1.0,),
    ),
)
Rows = list[dict[str, float]]


class Squares:
    """Chips of one square each; the n-th depends on n and the negatives only."""

    def __init__(self) -> None:
        self.hard_negatives: tuple[HardNegative, ...] = ()

    def __getitem__(self, number: int) -> Chip:
        rng = np.random.default_rng([number, *(int(place.x) for place in self.hard_negatives)])
        x, y = (int(v) for v in rng.integers(0, CHIP_PX - SQUARE_PX, 2))
        box = np.array([[x, y, x + SQUARE_PX, y + SQUARE_PX]], np.float64)
        shown = np.array([0.0, 0, CHIP_PX, CHIP_PX])
        target = crop_target(box, np.zeros(1, np.int64), shown)
        return Chip(squares_image(CHIP_PX, [(x, y)]), np.ones((CHIP_PX, CHIP_PX), bool), target)


class ScriptedValidator:
    """A validator whose figures are given by the step they are measured at."""

    def __init__(self, *figures: float, pixels: float = 0.0) -> None:
        self.figures = list(figures)
        self.pixels = pixels
        self.count = 0

    def validate(self, weights: Weights) -> ValidationResult:
        metrics = {"ap50": self.figures[self.count % len(self.figures)], "recall": 0.5}
        self.count += 1
        nothing = match_boxes(np.empty((0, 4)), np.empty(0), np.empty((0, 4)))
        return ValidationResult(0.5, metrics, None, (), (), nothing)


class ScriptedMiner:
    """A miner whose place depends on how often it was asked, and on what was known."""

    pixels = 0.0

    def mine(
        self, weights: Weights, earlier: Sequence[HardNegative], *, call: int
    ) -> tuple[HardNegative, ...]:
        return (HardNegative(0, 10.0 * call + len(earlier), 5.0, 0.5), *earlier)


def new_learner(
    settings: TrainSettings,
    classes: int = 1,
    *,
    processes: Processes = CPU,
    in_bf16: bool | None = None,
) -> Learner:
    assert CARD.network is not None
    torch.manual_seed(0)
    network = RetinaNet(CARD.network, classes)
    lr = settings.lr if isinstance(settings.lr, float) else 1e-3
    return Learner(network, CARD, settings, lr=lr, processes=processes, in_bf16=in_bf16)


def make(
    folder: Path | None = None,
    validator: ScriptedValidator | None = None,
    miner: ScriptedMiner | None = None,
    *,
    processes: Processes = CPU,
    **changes: object,
) -> TrainingLoop:
    values = {"steps": 6, "batch_size": 2, "chip_px": CHIP_PX, "device": "cpu"} | changes
    settings = TrainSettings.model_validate(values)
    run = None if folder is None else RunFolder(folder)
    if folder is not None and run is not None and not folder.exists():
        with run.create() as path:
            RunFolder(path).metrics.create()
    learner, sampler = new_learner(settings, processes=processes), Squares()
    return TrainingLoop(learner, sampler, settings, validator, run, miner)  # type: ignore[arg-type]


def weights(loop: TrainingLoop) -> dict[str, torch.Tensor]:
    both = {"net": loop.learner.network, "average": loop.learner.averaged}
    found = {
        f"{name}.{key}": value.clone()
        for name, network in both.items()
        for key, value in network.state_dict().items()
    }
    best = loop.selection.best_weights or {}
    return found | {f"best.{key}": torch.tensor(np.asarray(v)) for key, v in best.items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def timeless(rows: Rows) -> Rows:
    """Rows without what the clock decides, and without NaN, which differs from itself."""
    return [
        {k: v for k, v in row.items() if k not in ("seconds", "chips_per_s") and not math.isnan(v)}
        for row in rows
    ]


def cut_off(loop: TrainingLoop, step: int) -> None:
    """Run a loop and stop it in a step, after its row is written."""

    def stop(done: int, total: int, /, **figures: float) -> None:
        if done == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop.run(stop)


@pytest.mark.parametrize(("has_units", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_steps_are_made_in_bf16_where_the_processor_has_units_for_it(
    has_units: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("PyTorch knows no bf16 on this processor")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: has_units)
    loop, found = make(), set()
    loop.learner.network.register_forward_hook(lambda _, __, out: found.add(out[0].dtype))
    loop.learner.train_step([loop.sampler[0]], 1.0)
    assert found == {dtype}
    assert {p.dtype for p in loop.learner.network.parameters()} == {torch.float32}


def test_the_loss_falls_on_an_easy_problem() -> None:
    losses: list[float] = []

    def note(done: int, total: int, /, **figures: float) -> None:
        losses.append(figures["loss"])

    make(steps=30, batch_size=4, lr=2e-3).run(note)
    last = 50 * losses[-1] - 49 * losses[-2]  # the figure is a running mean: 0.98 and 0.02
    assert len(losses) == 30
    assert last < 0.7 * losses[0]


def test_two_runs_of_the_same_seed_are_equal_to_the_bit() -> None:
    first, second = make(), make()
    first.run(no_progress)
    second.run(no_progress)
    assert same(weights(first), weights(second))
    assert first.step == 6


def test_a_resumed_run_equals_an_uninterrupted_one_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"val_every": 2, "steps": 7}
    figures = (0.5, 0.3, 0.4, 0.2)
    whole = make(tmp_path / "whole", ScriptedValidator(*figures), **options)
    whole.run(no_progress)
    monkeypatch.setattr(loop_module, "CHECKPOINT_SECONDS", 0.0)
    for step in (2, 4, 5):
        folder = tmp_path / f"cut{step}"
        cut_off(make(folder, ScriptedValidator(*figures), **options), step)
        measured_before = (step - 1) // 2
        resumed = make(folder, ScriptedValidator(*figures[measured_before:]), **options)
        resumed.resume()
        assert resumed.step == step - 1
        resumed.run(no_progress)
        assert same(weights(resumed), weights(whole))
        assert (resumed.selection.best_step, resumed.selection.without_gain) == (2, 3)
        rows = [RunFolder(tmp_path / name).metrics.rows() for name in ("whole", folder.name)]
        assert timeless(rows[0]) == timeless(rows[1])
        assert [row["step"] for row in rows[1]] == [1, 2, 3, 4, 5, 6, 7]


def test_a_resumed_run_draws_the_same_chips_of_mined_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"val_every": 2, "steps": 7}
    whole, without = make(None, None, ScriptedMiner(), **options), make(**options)
    whole.run(no_progress)
    without.run(no_progress)
    assert [place.x for place in whole.sampler.hard_negatives] == [22, 11, 0], "not after the last"
    assert not same(weights(whole), weights(without))
    monkeypatch.setattr(loop_module, "CHECKPOINT_SECONDS", 0.0)
    for step in (3, 6):
        folder = tmp_path / f"cut{step}"
        cut_off(make(folder, None, ScriptedMiner(), **options), step)
        resumed = make(folder, None, ScriptedMiner(), **options)
        resumed.resume()
        resumed.run(no_progress)
        assert same(weights(resumed), weights(whole))
        assert resumed.sampler.hard_negatives == whole.sampler.hard_negatives


def test_patience_ends_a_training_also_one_that_was_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_module, "CHECKPOINT_SECONDS", 0.0)
    options = {"val_every": 1, "steps": 40, "patience": 2}
    loop = make(tmp_path / "run", ScriptedValidator(0.2, 0.5, 0.5, 0.1), **options)
    cut_off(loop, 3)
    resumed = make(tmp_path / "run", ScriptedValidator(0.5, 0.1), **options)
    resumed.resume()
    resumed.run(no_progress)
    assert resumed.is_stalled
    assert resumed.step == 4
    assert resumed.selection.best_step == 3, "of equal ones the later"
    again = make(tmp_path / "run", ScriptedValidator(0.9), **options)
    again.resume()
    again.run(no_progress)
    assert again.step == 4, "it has ended"
    unlimited = make(None, ScriptedValidator(0.5), val_every=1, patience=0)
    unlimited.run(no_progress)
    assert unlimited.step == 6


def test_the_last_state_is_measured_and_a_row_tells(tmp_path: Path) -> None:
    seen: list[dict[str, float]] = []
    validator = ScriptedValidator(0.25, pixels=1e9)  # too many to look at more than once
    loop = make(tmp_path / "run", validator)
    loop.run(lambda done, total, /, **figures: seen.append(figures))
    assert validator.count == 1
    last = RunFolder(tmp_path / "run").metrics.rows()[-1]
    assert (last["step"], last["val_ap50"], last["val_recall"]) == (6, 0.25, 0.5)
    assert math.isnan(last["val_f1"])
    assert last["loss"] == pytest.approx(last["class_loss"] + last["box_loss"], rel=1e-4)
    assert last["chips_per_s"] > 0
    assert "val_ap50" not in seen[-2]
    assert seen[-1]["val_ap50"] == seen[-1]["best_ap50"] == 0.25


def test_validations_take_about_a_tenth_of_the_time_of_steps() -> None:
    step_px = 3 * 2 * CHIP_PX**2  # a pass forward, and one backward that costs twice as much
    for cost_steps, expected in ((0.0, 20), (1.0, 4), (2.0, 2), (100.0, 1)):
        validator = ScriptedValidator(0.1, pixels=cost_steps * step_px)
        make(None, validator, steps=40, batch_size=2).run(no_progress)
        assert validator.count == expected


def test_validations_of_a_training_by_the_clock_take_a_tenth_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    loop = make(None, clock.slow(ScriptedValidator(0.5), seconds=5.0), minutes=5)
    learn = loop.learner.train_step
    loop.learner.train_step = lambda *args: (clock.wait(1.0), learn(*args))[1]  # type: ignore[method-assign]
    loop.run(no_progress)
    count = loop.selection.validations
    assert 5 <= count <= 7
    assert loop.step == 300 - 5 * (count - 1), "the clock counts all but the last of them"


class Clock:
    """A clock that only moves when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(loop_module.time, "monotonic", lambda: self.now)

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def slow(self, validator: ScriptedValidator, *, seconds: float) -> ScriptedValidator:
        validate = validator.validate
        validator.validate = lambda w: (self.wait(seconds), validate(w))[1]  # type: ignore[method-assign]
        return validator


def test_rows_of_a_long_training_are_at_most_50_steps_or_20_seconds_apart() -> None:
    def due(loop: TrainingLoop, step: int, seconds: float) -> bool:
        loop.learner.steps, loop.seconds = step, seconds
        return loop._is_row_due

    short, long, timed = make(steps=2000), make(steps=10**6), make(minutes=600)
    assert [due(short, step, 1.0) for step in (9, 10, 11, 20)] == [False, True, False, True]
    assert [due(long, step, 1.0) for step in (10, 50, 99, 100)] == [False, True, False, True]
    assert [due(timed, 7, seconds) for seconds in (1.0, 19.9, 20.0)] == [False, False, True]


def test_the_stem_stays_as_it_was_and_the_rest_learns() -> None:
    loop = make(steps=2)
    before = weights(loop)
    loop.run(no_progress)
    after = weights(loop)
    assert torch.equal(before["net.trunk.conv1.weight"], after["net.trunk.conv1.weight"])
    for key in ("net.trunk.layer2.0.conv1.weight", "net.classification.output.weight"):
        assert not torch.equal(before[key], after[key])


def test_progress_counts_steps() -> None:
    seen: list[tuple[int, int]] = []
    make(steps=3).run(lambda done, total, /, **_: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_minutes_end_a_training() -> None:
    loop = make(steps=10**6, minutes=0.01)
    loop.run(no_progress)
    assert 0 < loop.step < 1000


def test_a_loss_that_is_no_number_stops_with_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_module, "CHECKPOINT_SECONDS", 0.0)
    loop = make(tmp_path / "run")

    def spoil(done: int, total: int, /, **figures: float) -> None:
        if done == 2:
            loop.learner.network.classification.output.weight.data.mul_(float("inf"))

    with pytest.raises(DivergenceError, match=r"no longer a number at step 2; .*`lr`"):
        loop.run(spoil)
    assert loop.step == 2
    assert loop.learner.averaged.classification.output.weight.isfinite().all()


def test_a_gradient_that_is_no_number_stops_before_it_spoils_the_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = make()
    clip = torch.nn.utils.clip_grad_norm_

    def explode(parameters: object, limit: float) -> torch.Tensor:
        return clip(parameters, limit) * float("inf")  # type: ignore[arg-type]

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", explode)
    before = weights(loop)
    with pytest.raises(DivergenceError, match="no longer a number at step 0"):
        loop.run(no_progress)
    assert same(before, weights(loop))


def test_a_checkpoint_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    loop = make(tmp_path / "run")
    loop.folder = RunFolder(tmp_path / "missing")
    with pytest.raises(OutputError, match="`resume`"):
        loop.save_checkpoint()


def test_a_checkpoint_leaves_no_temporary_file(tmp_path: Path) -> None:
    loop = make(tmp_path / "run")
    loop.save_checkpoint()
    names = sorted(file.name for file in (tmp_path / "run").iterdir())
    assert names == ["checkpoint.pt", "metrics.csv"]


def test_resuming_without_a_checkpoint_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no checkpoint"):
        make(tmp_path / "run").resume()
    with pytest.raises(InputError, match="there is no checkpoint"):
        make().resume()


def test_resuming_with_other_settings_is_an_error(tmp_path: Path) -> None:
    make(tmp_path / "run").save_checkpoint()
    with pytest.raises(InputError, match="other settings"):
        make(tmp_path / "run", lr=5e-4).resume()


def test_resuming_with_another_network_is_an_error(tmp_path: Path) -> None:
    loop = make(tmp_path / "run")
    loop.save_checkpoint()
    other = new_learner(loop.settings, classes=3)
    with pytest.raises(InputError, match="of another network"):
        TrainingLoop(other, loop.sampler, loop.settings, None, loop.folder).resume()


def test_a_checkpoint_of_another_version_is_one_line(tmp_path: Path) -> None:
    loop = make(tmp_path / "run")
    torch.save({"settings": loop.settings.model_dump_json()}, tmp_path / "run/checkpoint.pt")
    with pytest.raises(InputError, match="another version"):
        loop.resume()


def test_settings_in_a_checkpoint_are_text(tmp_path: Path) -> None:
    loop = make(tmp_path / "run")
    loop.save_checkpoint()
    state = read_state(tmp_path / "run/checkpoint.pt")
    assert json.loads(state["settings"])["steps"] == 6
