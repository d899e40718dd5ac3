"""``geodetect train`` with one setting changed at a time, and the accuracy of each change.

    python -m benchmarks.training.ablation  # 5 minutes each: two hours
    python -m benchmarks.training.ablation --rows geodetect no-average --minutes 15 --seeds 2

A change is a setting, a field of the network, or a constant of the library. All trainings start
from the same ImageNet backbone unless the row says otherwise, learn from Cannes for the same time
on this machine, and are measured as in ``benchmarks.training.torchvision``, so that the rows of
both can be compared; and in California, which none of them has used.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import torch
import torch.nn.functional as F

from benchmarks.accuracy import detection
from benchmarks.harness.datasets import CALIFORNIA, find_dataset, write_holdout_area
from benchmarks.harness.options import new_parser
from benchmarks.harness.tables import machine, save_table
from benchmarks.training.torchvision import GEODETECT, measure, new_settings, train_geodetect
from geodetect.model.file import load_card
from geodetect.model.network import presets
from geodetect.model.network.presets import network_config

FINER_ANCHORS_PX = network_config(GEODETECT).anchor_sizes_px[:2]
L1_BETA = 1 / 9  # below it the loss is quadratic; torchvision's and Detectron's value


@dataclass(frozen=True)
class Change:
    """Difference of a row from the default training.

    Args:
        settings: Fields of ``TrainSettings``.
        network: Fields of the network's configuration.
        constants: Attributes of modules of ``geodetect``, by name.
    """

    settings: dict[str, object] = field(default_factory=dict)
    network: dict[str, object] = field(default_factory=dict)
    constants: dict[str, object] = field(default_factory=dict)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Replace the network and the constants until the block ends."""
        config = network_config(GEODETECT).model_copy(update=self.network)
        networks = {**presets.NETWORKS, GEODETECT: config}
        with ExitStack() as stack:
            stack.enter_context(patch.object(presets, "NETWORKS", networks))
            for name, value in self.constants.items():
                stack.enter_context(patch(f"geodetect.{name}", value))
            yield


def l1_loss(boxes: torch.Tensor, truth: torch.Tensor, reduction: str) -> torch.Tensor:
    """Return the smooth L1 loss of boxes ``float32[N, 4]``, relative to the size of the truth."""
    size = (truth[:, 2:] - truth[:, :2]).repeat(1, 2)
    return F.smooth_l1_loss(boxes / size, truth / size, beta=L1_BETA, reduction=reduction)


CHANGES = {
    GEODETECT: Change(),
    "fitted-anchors": Change({"anchors": "fitted"}),
    "two-levels": Change(network={"strides": (8, 16), "anchor_sizes_px": FINER_ANCHORS_PX}),
    "no-group-norm": Change(network={"head_norm_groups": 0}),
    "long-heads": Change(network={"head_convs": 3}),
    "wide-pyramid": Change(network={"fpn_channels": 256}),
    "random-backbone": Change({"init": "none"}),
    "whole-backbone": Change(
        constants={"training.learner.FROZEN": (), "training.learner.BACKBONE_LR_FACTOR": 1.0}
    ),
    "by-overlap": Change({"assignment": "overlap"}),
    "looser-overlap": Change(
        {"assignment": "overlap"},
        constants={
            "training.anchors.assignment.POSITIVE_IOU": 0.4,
            "training.anchors.assignment.BACKGROUND_IOU": 0.3,
        },
    ),
    "l1-boxes": Change(constants={"training.losses.generalized_box_iou_loss": l1_loss}),
    "no-average": Change(constants={"training.learner.AVERAGE_DECAY": 0.0}),
    "constant-rate": Change(constants={"training.lr_schedule.FINAL_FACTOR": 1.0}),
    "no-recolouring": Change({"augment": 0.0}),
    "little-recolouring": Change({"augment": 0.1}),
    "full-recolouring": Change({"augment": 1.0}),
    "no-turns": Change({"turn": False}),
    "one-scale": Change(constants={"training.data.chip_sampler.SCALE_RANGE": (1.0, 1.0)}),
    "narrow-scales": Change(constants={"training.data.chip_sampler.SCALE_RANGE": (0.8, 1.25)}),
    "large-batches": Change({"batch_size": 8}),
    "only-objects": Change({"object_share": 1.0}),
    "large-chips": Change({"tile_size": 768, "batch_size": 1}),
}


def measure_in_california(model: Path) -> dict[str, str]:
    """Return the accuracy of a model in another country."""
    conf = load_card(model).conf
    row = detection.measure(find_dataset(CALIFORNIA), str(model), conf=conf)
    return {f"{CALIFORNIA} {name}": row[name] for name in ("AP@0.3", "best F1@0.3")}


def main() -> None:
    """Train and measure in turn, and print the table after each training."""
    parser = new_parser(__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--gsd", type=float, default=0.5)
    parser.add_argument("--rows", nargs="+", choices=CHANGES, default=list(CHANGES))
    options = parser.parse_args()
    title = f"{options.minutes:g} minutes each on Cannes at {options.gsd:g} m, {machine()}"
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        area = write_holdout_area(folder / "holdout.gpkg")
        for name in options.rows:
            change = CHANGES[name]
            for seed in range(options.seeds):
                settings = new_settings(area, options.gsd, options.minutes, seed)
                with change.applied():
                    model = train_geodetect(settings.model_copy(update=change.settings), folder)
                row = {"change": name, "seed": f"{seed}"} | measure(model, options.gsd)
                rows.append(row | measure_in_california(model.file))
                save_table("training/ablation", title, rows)


if __name__ == "__main__":
    main()
