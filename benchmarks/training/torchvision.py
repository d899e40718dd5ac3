"""The RetinaNet of geodetect against torchvision's, trained alike.

    python -m benchmarks.training.torchvision  # 15 minutes each, two seeds: 70 minutes
    python -m benchmarks.training.torchvision --gsd 0.2 --minutes 30

Both start from the same ImageNet weights of a ResNet-18, learn from the same chips of Cannes for
the same time on this machine, in bf16 where the processor has units for it, and are measured on the
same holdout, by the same ``predict``. torchvision's has other anchors, losses, heads and levels,
and enlarges every chip to 800 px; it is trained as its reference scripts do, with SGD. Its fourth
stage starts from random weights, as the file of weights ends with the third.

Both work at 0.5 m, where pools are 8 to 30 px large, the sizes that both are made for. The average
precision of objects below a size ignores larger objects and their detections; of false positives,
it counts those that could be of such an object, at an IoU of 0.5: up to the square root of two
times as large. (COCO ignores false positives that are larger than the size itself, which favours
networks with small boxes.)
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torchvision.models import resnet18
from torchvision.models.detection import RetinaNet
from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
from torchvision.ops.feature_pyramid_network import LastLevelP6P7
from torchvision.ops.misc import FrozenBatchNorm2d

import geodetect
from benchmarks.harness.datasets import (
    CANNES_HOLDOUT,
    find_dataset,
    match_layers,
    predict_with_truth,
    write_holdout_area,
)
from benchmarks.harness.options import new_parser
from benchmarks.harness.paths import BACKBONE_WEIGHTS, DATA
from benchmarks.harness.tables import machine, save_table
from geodetect.assessment.evaluate.precision_recall import average_precision
from geodetect.assessment.matching.greedy_matching import Matches
from geodetect.label_check.check import default_anchors
from geodetect.model.runtimes.torch import has_bf16_units
from geodetect.progress import TqdmProgress
from geodetect.training.data.chip_sampler import Chip, ChipSampler
from geodetect.training.data.prefetch import prefetch
from geodetect.training.data.training_data import read_training_data
from geodetect.training.distributed import SINGLE_PROCESS

CANNES = DATA / "cannes_north.tif"
LABELS = DATA / "cannes_north_outlines.geojson"
INPUT_PX, CHANNELS, TRAINED_STAGES = 800, 256, 3  # of torchvision's retinanet_resnet50_fpn
LR_PER_IMAGE, MOMENTUM, WEIGHT_DECAY = 0.01 / 16, 0.9, 1e-4  # its references/detection
WARM_UP_STEPS = 20
LR_DROPS = (2 / 3, 11 / 12)  # to a tenth, after epochs 16 and 22 of 24
CONF, TORCHVISION_NMS_IOU = 0.05, 0.5
SIZES_PX = (12, 16, 32)
CPU = torch.device("cpu")
TORCHVISION, GEODETECT = "torchvision", "geodetect"


@dataclass(frozen=True)
class TrainedModel:
    """Result of a training.

    Args:
        file: Model file.
        chips_per_s: Training chips per second, on average.
        steps: Optimiser steps.
        nms_iou: Threshold of non-maximum suppression; None: that of the model.
    """

    file: Path
    chips_per_s: float
    steps: int
    nms_iou: float | None = None


def new_settings(area: Path, gsd_m: float, minutes: float, seed: int) -> geodetect.TrainSettings:
    """Return the settings of both trainings.

    Args:
        area: Holdout.
        gsd_m: Ground size of a pixel.
        minutes: Duration.
        seed: Random seed.
    """
    init = str(BACKBONE_WEIGHTS)
    return geodetect.TrainSettings(
        gsd=gsd_m, minutes=minutes, seed=seed, init=init, val_aoi=area, keep="last"
    )


def train_geodetect(settings: geodetect.TrainSettings, folder: Path) -> TrainedModel:
    """Run ``geodetect.train`` without intermediate validations."""
    settings = settings.model_copy(update={"val_every": 10**9})
    file = folder / "geodetect.safetensors"
    with TqdmProgress(GEODETECT, unit="s") as progress:
        summary = geodetect.train(
            [CANNES], [LABELS], file, settings=settings, overwrite=True, progress=progress
        )
    chips_per_s = summary.steps * settings.batch_size / summary.seconds
    return TrainedModel(file, chips_per_s, summary.steps)


def new_torchvision_network() -> RetinaNet:
    """Return ``retinanet_resnet50_fpn`` with one class and a ResNet-18 with ImageNet weights."""
    body = resnet18(weights=None, norm_layer=FrozenBatchNorm2d)
    body.load_state_dict(load_file(BACKBONE_WEIGHTS), strict=False)
    backbone = _resnet_fpn_extractor(
        body,
        TRAINED_STAGES,
        returned_layers=[2, 3, 4],
        extra_blocks=LastLevelP6P7(CHANNELS, CHANNELS),
    )
    return RetinaNet(backbone, num_classes=1, min_size=INPUT_PX)


@contextmanager
def chip_batches(settings: geodetect.TrainSettings) -> Iterator[Iterator[list[Chip]]]:
    """Open the batches of chips that ``geodetect.train`` draws."""
    with ExitStack() as stack:
        anchors = default_anchors()  # for the label check alone
        data = read_training_data([CANNES], [LABELS], settings, anchors=anchors, stack=stack)
        gsd_m = float(settings.gsd or 1.0)
        sampler = ChipSampler(data.train, settings, gsd_m=gsd_m)
        batches = prefetch(sampler, 0, batch_size=settings.batch_size, processes=SINGLE_PROCESS)
        yield stack.enter_context(closing(batches))


def train_torchvision(settings: geodetect.TrainSettings, folder: Path) -> TrainedModel:
    """Train torchvision's network with its own losses for the same time."""
    torch.manual_seed(settings.seed)
    network = new_torchvision_network().to(memory_format=torch.channels_last).train()
    parameters = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(parameters, lr=1.0, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    peak_lr = LR_PER_IMAGE * settings.batch_size
    duration, steps = 60 * float(settings.minutes or 1), 0
    with chip_batches(settings) as batches, TqdmProgress(TORCHVISION, unit="s") as progress:
        start = time.monotonic()
        while (elapsed := time.monotonic() - start) < duration:
            drops = sum(elapsed / duration > fraction for fraction in LR_DROPS)
            warm_up = min(1.0, (steps + 1) / WARM_UP_STEPS)
            optimiser.param_groups[0]["lr"] = peak_lr * warm_up * 0.1**drops
            loss = _train_step(network, next(batches), optimiser)
            steps += 1
            progress(int(elapsed), int(duration), loss=loss, step=steps)
        elapsed = time.monotonic() - start
    weights, file = folder / "torchvision.pt", folder / "torchvision.safetensors"
    torch.save(network.state_dict(), weights)
    convert_settings = geodetect.ConvertSettings(
        gsd=settings.gsd, tile_size=settings.tile_size, resize=INPUT_PX
    )
    geodetect.convert(weights, file, settings=convert_settings, overwrite=True)
    return TrainedModel(file, steps * settings.batch_size / elapsed, steps, TORCHVISION_NMS_IOU)


def _train_step(network: RetinaNet, chips: list[Chip], optimiser: torch.optim.Optimizer) -> float:
    images = [torch.from_numpy(chip.image).float() / 255 for chip in chips]
    targets = [{"boxes": c.target.boxes, "labels": c.target.labels} for c in chips]
    with torch.autocast(CPU.type, dtype=torch.bfloat16, enabled=has_bf16_units(CPU)):
        losses = network(images, targets)
    loss = sum(losses.values())
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
    optimiser.step()
    return float(loss.detach())


TRAININGS = {TORCHVISION: train_torchvision, GEODETECT: train_geodetect}


def measure(model: TrainedModel, gsd_m: float) -> dict[str, str]:
    """Return the accuracy of a model on the holdout and the speed of its training."""
    settings = geodetect.PredictSettings(nms_iou=model.nms_iou)
    holdout = find_dataset(CANNES_HOLDOUT)
    predictions, truth = predict_with_truth(holdout, model.file, settings, conf=CONF)
    at_50, at_75 = (match_layers(predictions, truth, iou=iou) for iou in (0.5, 0.75))
    row = {"AP50": f"{average_precision(at_50):.3f}", "AP75": f"{average_precision(at_75):.3f}"}
    prediction_px, truth_px = (
        box_sides(layer.bounds.to_numpy()) / gsd_m for layer in (predictions, truth)
    )
    for limit_px in SIZES_PX:
        small = select_sizes(at_50, prediction_px, truth_px, 0, limit_px)
        row[f"AP50 < {limit_px} px ({small.n_truth})"] = f"{average_precision(small):.3f}"
    return row | {"chips/s": f"{model.chips_per_s:.1f}", "steps": f"{model.steps}"}


def box_sides(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the square roots of the areas of boxes."""
    return np.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))


def select_sizes(
    matches: Matches,
    prediction_sizes: NDArray[np.float64],
    truth_sizes: NDArray[np.float64],
    low: float,
    high: float,
) -> Matches:
    """Return the matches that count for objects of some sizes.

    Args:
        matches: Of all predictions.
        prediction_sizes: Sides of the predictions.
        truth_sizes: Sides of the objects.
        low: Objects below this side are ignored.
        high: Objects of this side or more are ignored.
    """
    is_sized = (truth_sizes >= low) & (truth_sizes < high)
    factor = np.sqrt(matches.threshold)
    could_be = (prediction_sizes >= low * factor) & (prediction_sizes < high / factor)
    is_of_sized = np.append(is_sized, False)[matches.truth_of]  # -1, unmatched, selects the last
    is_counted = np.where(matches.is_tp, is_of_sized, could_be)
    return Matches(
        matches.truth_of[is_counted],
        matches.iou[is_counted],
        matches.scores[is_counted],
        int(is_sized.sum()),
        matches.threshold,
    )


def main() -> None:
    """Train and measure in turn, and print the table after each training."""
    parser = new_parser(__doc__)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--gsd", type=float, default=0.5)
    parser.add_argument("--rows", nargs="+", choices=TRAININGS, default=list(TRAININGS))
    parser.add_argument("--models", type=Path, help="folder to keep the models in")
    options = parser.parse_args()
    title = f"{options.minutes:g} minutes each on Cannes at {options.gsd:g} m, {machine()}"
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.models or Path(temporary)
        folder.mkdir(exist_ok=True)
        area = write_holdout_area(folder / "holdout.gpkg")
        for seed in range(options.seeds):
            settings = new_settings(area, options.gsd, options.minutes, seed)
            for name in options.rows:
                model = TRAININGS[name](settings, folder)
                rows.append({"training": name, "seed": f"{seed}"} | measure(model, options.gsd))
                model.file.rename(folder / f"{name}-{seed}.safetensors")
                save_table("training/torchvision", title, rows)


if __name__ == "__main__":
    main()
