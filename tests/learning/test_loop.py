"""The training loop."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from geodetect.errors import InputError, OutputError
from geodetect.learning import loop as loop_module
from geodetect.learning.chips import Chip, visible_objects
from geodetect.learning.loop import Loop, _schedule
from geodetect.model.card import NetworkConfig
from geodetect.model.retinanet import RetinaNet
from geodetect.progress import silent
from geodetect.settings import TrainSettings
from tests.tiny import SQUARE_PX, squares_image, tiny_card

CHIP_PX = 64
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


class Squares:
    """Chips of one square each; the n-th depends on n only."""

    def __getitem__(self, number: int) -> Chip:
        rng = np.random.default_rng(number)
        x, y = (int(v) for v in rng.integers(0, CHIP_PX - SQUARE_PX, 2))
        box = np.array([[x, y, x + SQUARE_PX, y + SQUARE_PX]], np.float64)
        target = visible_objects(box, np.zeros(1, np.int64), CHIP_PX)
        return Chip(squares_image(CHIP_PX, [(x, y)]), np.ones((CHIP_PX, CHIP_PX), bool), target)


def make(checkpoint: Path | None = None, **changes: object) -> Loop:
    values = {"steps": 6, "batch_size": 2, "chip_px": CHIP_PX, "device": "cpu"} | changes
    assert CARD.network is not None
    torch.manual_seed(0)
    network = RetinaNet(CARD.network, 1)
    settings = TrainSettings.model_validate(values)
    return Loop(network, CARD, Squares(), settings, checkpoint)  # type: ignore[arg-type]


def weights(loop: Loop) -> dict[str, torch.Tensor]:
    both = {"net": loop.network, "average": loop.averaged}
    return {
        f"{name}.{key}": value.clone()
        for name, network in both.items()
        for key, value in network.state_dict().items()
    }


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_the_loss_falls_on_an_easy_problem() -> None:
    losses: list[float] = []

    def note(done: int, total: int, /, **figures: float) -> None:
        losses.append(figures["loss"])

    loop = make(steps=30, batch_size=4, lr=2e-3)
    loop.run(note)
    last = 50 * losses[-1] - 49 * losses[-2]  # the figure is a running mean: 0.98 and 0.02
    assert len(losses) == 30
    assert last < 0.7 * losses[0]


def test_two_runs_of_the_same_seed_are_equal_to_the_bit() -> None:
    first, second = make(), make()
    first.run(silent)
    second.run(silent)
    assert same(weights(first), weights(second))
    assert first.step == 6


def test_a_resumed_run_equals_an_uninterrupted_one_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make()
    whole.run(silent)
    monkeypatch.setattr(loop_module, "CHECKPOINT_SECONDS", 0.0)
    cut = make(tmp_path / "m.checkpoint")

    def stop(done: int, total: int, /, **figures: float) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut.run(stop)
    resumed = make(tmp_path / "m.checkpoint")
    resumed.resume()
    assert resumed.step == 3
    resumed.run(silent)
    assert same(weights(resumed), weights(whole))


def test_the_stem_stays_as_it_was_and_the_rest_learns() -> None:
    loop = make(steps=2)
    before = weights(loop)
    loop.run(silent)
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
    loop.run(silent)
    assert 0 < loop.step < 1000


def test_a_loss_that_is_no_number_stops_with_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_module, "CHECKPOINT_SECONDS", 0.0)
    loop = make(tmp_path / "m.checkpoint")

    def spoil(done: int, total: int, /, **figures: float) -> None:
        if done == 2:
            loop.network.classification.output.weight.data.mul_(float("inf"))

    with pytest.raises(InputError, match=r"no longer a number at step 2; .*--lr"):
        loop.run(spoil)
    assert loop.step == 2
    assert loop.averaged.classification.output.weight.isfinite().all()


def test_a_gradient_that_is_no_number_stops_before_it_spoils_the_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = make()
    clip = torch.nn.utils.clip_grad_norm_

    def explode(parameters: object, limit: float) -> torch.Tensor:
        return clip(parameters, limit) * float("inf")  # type: ignore[arg-type]

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", explode)
    before = weights(loop)
    with pytest.raises(InputError, match="no longer a number at step 0"):
        loop.run(silent)
    assert same(before, weights(loop))


def test_a_checkpoint_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    loop = make(tmp_path / "missing" / "m.checkpoint")
    with pytest.raises(OutputError, match="--resume"):
        loop.save()


def test_a_checkpoint_leaves_no_temporary_file_and_can_be_discarded(tmp_path: Path) -> None:
    loop = make(tmp_path / "m.checkpoint")
    loop.save()
    assert [file.name for file in tmp_path.iterdir()] == ["m.checkpoint"]
    loop.discard()
    assert list(tmp_path.iterdir()) == []


def test_resuming_without_a_checkpoint_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no checkpoint"):
        make(tmp_path / "m.checkpoint").resume()
    with pytest.raises(InputError, match="there is no checkpoint"):
        make().resume()


def test_resuming_with_other_settings_is_an_error(tmp_path: Path) -> None:
    make(tmp_path / "m.checkpoint").save()
    with pytest.raises(InputError, match="other settings"):
        make(tmp_path / "m.checkpoint", lr=5e-4).resume()


def test_resuming_with_another_network_is_an_error(tmp_path: Path) -> None:
    loop = make(tmp_path / "m.checkpoint")
    loop.save()
    assert CARD.network is not None
    other = RetinaNet(CARD.network, 3)
    with pytest.raises(InputError, match="of another network"):
        Loop(other, CARD, loop.sampler, loop.settings, loop.checkpoint).resume()


@pytest.mark.parametrize("content", [b"", b"half a file", b"PK\x03\x04 half"])
def test_a_damaged_checkpoint_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.checkpoint").write_bytes(content)
    with pytest.raises(InputError, match="cannot be read") as caught:
        make(tmp_path / "m.checkpoint").resume()
    assert "\n" not in str(caught.value)


def test_a_truncated_or_foreign_checkpoint_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "m.checkpoint"
    loop = make(path)
    loop.save()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot be read") as caught:
        loop.resume()
    assert "\n" not in str(caught.value)
    torch.save({"model": 1}, path)
    with pytest.raises(InputError, match="cannot be read"):
        loop.resume()


def test_a_checkpoint_cannot_run_code(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return Path.touch, (tmp_path / "sprung",)

    torch.save({"settings": Trap()}, tmp_path / "m.checkpoint")
    with pytest.raises(InputError, match="cannot be read"):
        make(tmp_path / "m.checkpoint").resume()
    assert not (tmp_path / "sprung").exists()


def test_the_learning_rate_warms_up_and_falls_to_a_hundredth() -> None:
    rates = [_schedule(share) for share in np.linspace(0, 1, 201)]
    assert rates[0] == pytest.approx(0.05)
    assert max(rates) == pytest.approx(1, abs=1e-3)
    assert rates.index(max(rates)) == 6
    assert rates[-1] == pytest.approx(0.01)
    assert all(a > b for a, b in pairwise(rates[6:]))


def test_settings_in_a_checkpoint_are_text(tmp_path: Path) -> None:
    loop = make(tmp_path / "m.checkpoint")
    loop.save()
    state = torch.load(tmp_path / "m.checkpoint", weights_only=True)
    assert json.loads(state["settings"])["steps"] == 6
