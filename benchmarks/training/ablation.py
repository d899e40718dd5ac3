"""``geodetect train`` with one thing changed at a time: what each choice is worth.

    python -m benchmarks.training.ablation  # 5 minutes each: two hours
    python -m benchmarks.training.ablation --rows geodetect no-average --minutes 15 --seeds 2

A change is a setting, a field of the network, or a constant that is no option. All trainings start
from the same ImageNet trunk unless the row says so, learn from Cannes for the same time on this
machine, and are measured as in ``benchmarks.training.torchvision``, so rows of both compare; and in
California, which none of them saw.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import torch
import torch.nn.functional as F

from benchmarks.accuracy.detection import measure
from benchmarks.harness.datasets import CALIFORNIA, dataset_named, write_holdout_area
from benchmarks.harness.tables import machine, save_table
from benchmarks.training.torchvision import OURS, SHARED, figures, settings_of, train_ours
from geodetect.model.file import load_card
from geodetect.model.network import presets
from geodetect.model.network.presets import network_config

FINER_ANCHORS_PX = network_config(OURS).anchor_sizes_px[:2]
L1_BETA = 1 / 9  # below it the loss is quadratic; torchvision's and Detectron's value


@dataclass(frozen=True)
class Change:
    """What a row does in another way.

    Args:
        settings: Fields of ``TrainSettings``.
        network: Fields of the network's configuration.
        constants: Attributes of modules in ``geodetect.training``, by name.
    """

    settings: dict[str, object] = field(default_factory=dict)
    network: dict[str, object] = field(default_factory=dict)
    constants: dict[str, object] = field(default_factory=dict)

    @contextmanager
    def made(self) -> Iterator[None]:
        """Change network and constants for a while."""
        config = network_config(OURS).model_copy(update=self.network)
        networks = {**presets.NETWORKS, OURS: config}
        with ExitStack() as stack:
            stack.enter_context(patch.object(presets, "NETWORKS", networks))
            for name, value in self.constants.items():
                stack.enter_context(patch(f"geodetect.training.{name}", value))
            yield


def l1_loss(found: torch.Tensor, wanted: torch.Tensor, reduction: str) -> torch.Tensor:
    """Smooth L1 loss of the sides of boxes ``float32[N, 4]``, in sizes of the wanted ones."""
    size = (wanted[:, 2:] - wanted[:, :2]).repeat(1, 2)
    return F.smooth_l1_loss(found / size, wanted / size, beta=L1_BETA, reduction=reduction)


CHANGES = {
    OURS: Change(),
    "fitted-anchors": Change({"anchors": "fitted"}),
    "two-levels": Change(network={"strides": (8, 16), "anchor_sizes_px": FINER_ANCHORS_PX}),
    "plain-heads": Change(network={"head_norm_groups": 0}),
    "long-heads": Change(network={"head_convs": 3}),
    "wide-pyramid": Change(network={"fpn_channels": 256}),
    "random-trunk": Change({"init": "none"}),
    "whole-trunk": Change(constants={"learner.FROZEN": (), "learner.TRUNK_LR_SHARE": 1.0}),
    "by-overlap": Change({"assignment": "overlap"}),
    "looser-overlap": Change(
        {"assignment": "overlap"},
        constants={
            "anchors.assignment.POSITIVE_IOU": 0.4,
            "anchors.assignment.BACKGROUND_IOU": 0.3,
        },
    ),
    "l1-boxes": Change(constants={"losses.generalized_box_iou_loss": l1_loss}),
    "no-average": Change(constants={"learner.AVERAGE_DECAY": 0.0}),
    "constant-rate": Change(constants={"lr_schedule.FINAL_LR_SHARE": 1.0}),
    "no-recolouring": Change({"augment": 0.0}),
    "full-recolouring": Change({"augment": 1.0}),
    "no-turns": Change({"turn": False}),
    "one-scale": Change(constants={"data.chip_sampler.SCALE_RANGE": (1.0, 1.0)}),
    "only-objects": Change({"object_share": 1.0}),
    "large-chips": Change({"chip_px": 768, "batch_size": 2}),
}


def elsewhere(model: Path) -> dict[str, str]:
    """How good a model is in a country that it never saw."""
    dataset = dataset_named(CALIFORNIA, SHARED / "data/pools")
    row = measure(dataset, str(model), conf=load_card(model).conf)
    return {f"{CALIFORNIA} {name}": row[name] for name in ("AP@0.3", "best F1@0.3")}


def main() -> None:
    """Train and measure in turn, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--gsd", type=float, default=0.5)
    parser.add_argument("--rows", nargs="+", choices=CHANGES, default=list(CHANGES))
    options = parser.parse_args()
    title = f"{options.minutes:g} minutes each on Cannes at {options.gsd:g} m, {machine()}"
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        area = write_holdout_area(folder / "held_out.gpkg")
        for name in options.rows:
            change = CHANGES[name]
            for seed in range(options.seeds):
                settings = settings_of(area, options.gsd, options.minutes, seed)
                with change.made():
                    trained = train_ours(settings.model_copy(update=change.settings), folder)
                row = {"change": name, "seed": f"{seed}", **figures(trained, options.gsd)}
                rows.append(row | elsewhere(trained.model))
                save_table("training/ablation", title, rows)  # after each: a row takes long


if __name__ == "__main__":
    main()
