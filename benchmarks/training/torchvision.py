"""Ours against torchvision's RetinaNet as it comes, trained alike.

    python -m benchmarks.training.torchvision  # 15 minutes each, two seeds: 70 minutes
    python -m benchmarks.training.torchvision --gsd 0.2 --minutes 30

Both start from the same ImageNet weights of a ResNet-18, learn from the same chips of Cannes for
the same time on this machine, in bf16 where the processor has units for it, and are measured on the
same held-out ground, by the same ``predict``. torchvision's has its own anchors, losses, heads and
levels, and enlarges every chip to 800 px; it is trained as its reference scripts do, with SGD. Its
fourth stage starts from random weights, as the file of weights ends with the third.

Work is done at 0.5 m, where pools are 8 to 30 px large: what both are made for. The average
precision of objects below a size leaves larger objects, and detections of these, out of account;
of detections of no object, those count that could be of such an object, at an overlap of 0.5 up to
the square root of two times as large. (COCO leaves out what is larger than the size itself, which
favours networks whose smallest boxes are.)
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
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
    CANNES_HOLDOUT_BOUNDS,
    ROOT,
    dataset_named,
    write_holdout_area,
)
from benchmarks.harness.tables import machine, save_table
from geodetect.assessment.evaluate.precision_recall import average_precision
from geodetect.assessment.matching.greedy_matching import Matches, match_boxes
from geodetect.label_check.check import default_anchors
from geodetect.model.runtimes.torch import has_bf16_units
from geodetect.progress import TqdmProgress
from geodetect.training.data.chip_sampler import Chip, ChipSampler
from geodetect.training.data.prefetch import prefetch
from geodetect.training.data.training_data import read_training_data
from geodetect.training.distributed import SINGLE_PROCESS

SHARED = ROOT.parent / "shared"
TRUNK = SHARED / "weights/resnet18_imagenet_to_layer3.safetensors"
CANNES = SHARED / "data/pools/cannes_north.tif"
INPUT_PX, CHANNELS, TRAINED_STAGES = 800, 256, 3  # of torchvision's retinanet_resnet50_fpn
LR_PER_IMAGE, MOMENTUM, WEIGHT_DECAY = 0.01 / 16, 0.9, 1e-4  # its references/detection
WARM_UP_STEPS, FALLS = (
    20,
    (2 / 3, 11 / 12),
)  # the rate falls to a tenth after epochs 16 and 22 of 24
CONF, STOCK_IOU = 0.05, 0.5
SMALL_PX = (12, 16, 32)
CPU = torch.device("cpu")
STOCK, OURS = "torchvision", "geodetect"


@dataclass(frozen=True)
class Trained:
    """What a training gave.

    Args:
        model: Model file.
        chips_per_s: Training chips per second, on average.
        steps: Optimiser steps.
        iou: Overlap of duplicates; None: the model's own.
    """

    model: Path
    chips_per_s: float
    steps: int
    iou: float | None = None


def settings_of(area: Path, gsd_m: float, minutes: float, seed: int) -> geodetect.TrainSettings:
    """What both trainings have in common."""
    return geodetect.TrainSettings(
        gsd=gsd_m, minutes=minutes, seed=seed, init=str(TRUNK), val_area=area, keep="last"
    )


def train_ours(settings: geodetect.TrainSettings, folder: Path) -> Trained:
    """``geodetect train``, without validations on the way."""
    settings = settings.model_copy(update={"val_every": 10**9})
    target = folder / "ours.safetensors"
    with TqdmProgress("ours", unit="s") as progress:
        summary = geodetect.train(
            [CANNES],
            [CANNES.with_suffix(".geojson")],
            target,
            settings=settings,
            overwrite=True,
            progress=progress,
        )
    return Trained(target, summary.steps * settings.batch_size / summary.seconds, summary.steps)


def stock_network() -> RetinaNet:
    """Torchvision's ``retinanet_resnet50_fpn`` with a ResNet-18, one class, ImageNet's weights."""
    body = resnet18(weights=None, norm_layer=FrozenBatchNorm2d)
    body.load_state_dict(load_file(TRUNK), strict=False)
    backbone = _resnet_fpn_extractor(
        body,
        TRAINED_STAGES,
        returned_layers=[2, 3, 4],
        extra_blocks=LastLevelP6P7(CHANNELS, CHANNELS),
    )
    return RetinaNet(backbone, num_classes=1, min_size=INPUT_PX)


@contextmanager
def chips_of(settings: geodetect.TrainSettings) -> Iterator[Iterator[list[Chip]]]:
    """The batches that ``geodetect train`` draws."""
    labels = [CANNES.with_suffix(".geojson")]
    with ExitStack() as stack:
        anchors = default_anchors()  # only looked at
        data = read_training_data([CANNES], labels, settings, anchors=anchors, stack=stack)
        gsd_m = float(settings.gsd or 1.0)
        sampler = ChipSampler.from_settings(data.train, settings, gsd_m=gsd_m)
        batches = prefetch(sampler, 0, batch_size=settings.batch_size, processes=SINGLE_PROCESS)
        yield stack.enter_context(closing(batches))


def train_stock(settings: geodetect.TrainSettings, folder: Path) -> Trained:
    """Torchvision's network and losses for as many minutes."""
    torch.manual_seed(settings.seed)
    network = stock_network().to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    parameters = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(parameters, lr=1.0, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    peak = LR_PER_IMAGE * settings.batch_size
    seconds, steps = 60 * float(settings.minutes or 1), 0
    with chips_of(settings) as batches, TqdmProgress("torchvision", unit="s") as progress:
        began = time.monotonic()
        while (passed := time.monotonic() - began) < seconds:
            falls = sum(passed / seconds > share for share in FALLS)
            rate = peak * min(1.0, (steps + 1) / WARM_UP_STEPS) * 0.1**falls
            optimiser.param_groups[0]["lr"] = rate
            loss = _step(network, next(batches), optimiser)
            steps += 1
            progress(int(passed), int(seconds), loss=loss, step=steps)
        passed = time.monotonic() - began
    weights, target = folder / "stock.pt", folder / "stock.safetensors"
    torch.save(network.state_dict(), weights)
    geodetect.convert(
        weights,
        target,
        gsd=settings.gsd,
        tile_size=settings.chip_px,
        resize=INPUT_PX,
        overwrite=True,
    )
    return Trained(target, steps * settings.batch_size / passed, steps, STOCK_IOU)


def _step(network: RetinaNet, chips: list[Chip], optimiser: torch.optim.Optimizer) -> float:
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


TRAININGS = {STOCK: train_stock, OURS: train_ours}


def figures(trained: Trained, gsd_m: float) -> dict[str, str]:
    """One row of the table."""
    dataset = dataset_named(CANNES_HOLDOUT, SHARED / "data/pools")
    settings = geodetect.PredictSettings(conf=CONF, iou=trained.iou, bbox=dataset.bbox)
    found = geodetect.predict(dataset.raster, trained.model, settings=settings)
    truth = gpd.read_file(dataset.truth).to_crs(found.crs)
    truth = truth[truth.centroid.within(shapely.box(*CANNES_HOLDOUT_BOUNDS))]
    boxes, scores = found.bounds.to_numpy(), found["score"].to_numpy(np.float32)
    objects = truth.bounds.to_numpy()
    at_50, at_75 = (match_boxes(boxes, scores, objects, iou=iou) for iou in (0.5, 0.75))
    row = {"AP50": f"{average_precision(at_50):.3f}", "AP75": f"{average_precision(at_75):.3f}"}
    for limit in SMALL_PX:
        small = below(at_50, sides(boxes) / gsd_m, sides(objects) / gsd_m, limit)
        row[f"AP50 < {limit} px ({small.n_truth})"] = f"{average_precision(small):.3f}"
    return row | {"chips/s": f"{trained.chips_per_s:.1f}", "steps": f"{trained.steps}"}


def sides(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Square roots of the areas of boxes."""
    return np.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))


def below(
    matches: Matches,
    found_px: NDArray[np.float64],
    truth_px: NDArray[np.float64],
    limit_px: float,
) -> Matches:
    """The matches that count for objects below a size."""
    is_small = np.append(truth_px < limit_px, False)  # -1, no object, picks the last
    hit = matches.truth_of >= 0
    could_be_px = limit_px / np.sqrt(matches.threshold)
    counts = np.where(hit, is_small[matches.truth_of], found_px < could_be_px)
    return Matches(
        matches.truth_of[counts],
        matches.iou[counts],
        matches.scores[counts],
        int(is_small.sum()),
        matches.threshold,
    )


def main() -> None:
    """Train and measure in turn, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
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
        area = write_holdout_area(folder / "held_out.gpkg")
        for seed in range(options.seeds):
            settings = settings_of(area, options.gsd, options.minutes, seed)
            for name in options.rows:
                trained = TRAININGS[name](settings, folder)
                row = {"training": name, "seed": f"{seed}", **figures(trained, options.gsd)}
                trained.model.rename(folder / f"{name}-{seed}.safetensors")
                rows.append(row)
                save_table("training/torchvision", title, rows)  # after each: a row takes long


if __name__ == "__main__":
    main()
