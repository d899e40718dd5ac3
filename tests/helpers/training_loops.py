"""Training loops on squares, with a scripted validator and a miner of fixed places."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from geodetect.assessment.matching.greedy_matching import match_boxes
from geodetect.model.card import NetworkConfig
from geodetect.model.file import Weights
from geodetect.model.network.retinanet import RetinaNet
from geodetect.settings import TrainSettings
from geodetect.training.data.chip_sampler import Chip, HardNegative, crop_target
from geodetect.training.distributed import Processes
from geodetect.training.learner import Learner
from geodetect.training.loop import TrainingLoop
from geodetect.training.run.folder import RunFolder
from geodetect.training.validation.metrics import ValidationResult
from tests.helpers.square_scenes import SQUARE_PX, squares_image
from tests.helpers.tiny_model import tiny_card

CHIP_PX = 64
CPU = Processes(device="cpu")
NETWORK = NetworkConfig(
    trunk_stages=2,
    fpn_channels=16,
    strides=(8,),
    head_convs=1,
    anchor_sizes_px=((16.0,),),
    anchor_ratios=(1.0,),
)
CARD = tiny_card(mean=(0.3, 0.3, 0.3), std=(0.2, 0.2, 0.2), network=NETWORK)


class SquareChips:
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
        return ValidationResult(0.5, metrics, None, (), (), nothing, nothing)


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


def new_loop(
    folder: Path | None = None,
    validator: ScriptedValidator | None = None,
    miner: ScriptedMiner | None = None,
    *,
    processes: Processes = CPU,
    **changes: object,
) -> TrainingLoop:
    values = {"steps": 6, "batch_size": 2, "tile_size": CHIP_PX, "device": "cpu"} | changes
    settings = TrainSettings.model_validate(values)
    run = None if folder is None else RunFolder(folder)
    if folder is not None and run is not None and not folder.exists():
        with run.create() as path:
            RunFolder(path).metrics.create()
    learner, sampler = new_learner(settings, processes=processes), SquareChips()
    return TrainingLoop(learner, sampler, settings, validator, run, miner)  # type: ignore[arg-type]


def loop_weights(loop: TrainingLoop) -> dict[str, torch.Tensor]:
    """Copies of all weights: of the network, of its average and of the best step."""
    both = {"net": loop.learner.network, "average": loop.learner.averaged}
    tensors = {
        f"{name}.{key}": value.clone()
        for name, network in both.items()
        for key, value in network.state_dict().items()
    }
    best = loop.selection.best_weights or {}
    return tensors | {f"best.{key}": torch.tensor(np.asarray(v)) for key, v in best.items()}
