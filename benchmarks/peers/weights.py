"""Weights of torchvision's RetinaNet for all programs, without a trained model.

The network is torchvision's ``retinanet_resnet50_fpn`` with one class. Its weights are random, the
same ones on every machine, except the last layer of the scores: it is fitted to the labelled
objects of the drawn sample by least squares. So scores are high in some places and low in most, as
those of a trained network are; with a random last layer, tens of thousands of boxes would have the
same score.

Such scores lie close together, and rounding to bf16 moves many of them over a threshold. Where the
agreement of precisions matters, pyramid and heads are trained on the drawn sample, on top of the
random backbone, with torchvision's own losses:

    python -m benchmarks.peers.weights -o stock.pt
    python -m benchmarks.speed.predict --weights stock.pt
"""

from __future__ import annotations

import json
import math
import time
import warnings
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models.detection import RetinaNet
from torchvision.ops import box_iou

from benchmarks.harness.options import new_parser
from geodetect.model.runtimes.torch import has_bf16_units
from tests.helpers.torchvision_networks import SCENE, scene_tile, stock_network

TILE_PX, INPUT_PX, STEP_PX = 512, 800, 900
ANCHORS_PER_CELL = 9
KERNEL_PX = 3
POSITIVE_IOU = 0.5  # of an anchor and an object
OBJECT_WEIGHT = 100.0  # of a cell with an object; nearly all others are empty
RIDGE = 1e-3  # of the mean square of a feature
MEDIUM_QUANTILE, HIGH_QUANTILE = 0.999, 0.9999  # of all scores: the logits 0 and HIGH_LOGIT
HIGH_LOGIT = 3.0
SMALL_OFFSETS = 0.3  # boxes stay near their anchors
OPSET = 17
CROP_PX, BATCH, LR = 256, 4, 5e-4  # of the training
MIN_SIDE_PX = 3.0  # of an object cut by the edge of a crop


def write_fitted_weights(file: Path) -> None:
    """Write the state dict of the random network with its last layer fitted to the sample."""
    network = stock_network(1, classes=1, min_size=INPUT_PX)
    _fit_scores(network)
    torch.save(network.state_dict(), file)


def write_trained_weights(file: Path, *, minutes: float) -> None:
    """Write the state dict of the network with pyramid and heads trained on the sample."""
    torch.manual_seed(0)
    network = stock_network(1, classes=1, min_size=round(CROP_PX * INPUT_PX / TILE_PX))
    for module in network.head.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.01)
            nn.init.zeros_(torch.as_tensor(module.bias))
    nn.init.constant_(network.head.classification_head.cls_logits.bias, -math.log(99))
    network.backbone.body.requires_grad_(False)
    network.to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=LR)
    in_bf16 = has_bf16_units(torch.device("cpu"))
    start, steps = time.monotonic(), 0
    crops = _random_crops(np.random.default_rng(0))
    while (fraction := (time.monotonic() - start) / (60 * minutes)) < 1:
        optimiser.param_groups[0]["lr"] = LR * min(1, (steps + 1) / 20) * (1 - fraction)
        images, targets = zip(*(next(crops) for _ in range(BATCH)), strict=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=in_bf16):
            losses = network(list(images), list(targets))
        loss = sum(losses.values())
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        steps += 1
        if steps % 20 == 0:
            print(f"step {steps}: loss {float(loss.detach()):.3f}", flush=True)
    torch.save(network.state_dict(), file)


def _random_crops(rng: np.random.Generator) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
    """Yield crops of the sample with their objects, three of four with an object in them."""
    scene, objects = _read_sample()
    height, width = scene.shape[1:]
    max_corner = np.array([width, height]) - CROP_PX
    while True:
        corner = rng.uniform(0, 1, 2) * max_corner
        if rng.random() < 0.75:
            centre = objects[rng.integers(len(objects))].reshape(2, 2).mean(axis=0)
            corner = np.clip(centre - rng.uniform(0, CROP_PX, 2), 0, max_corner)
        x, y = corner.astype(int)
        boxes = np.clip(objects - [x, y, x, y], 0, CROP_PX)
        sides = boxes[:, 2:] - boxes[:, :2]
        boxes = boxes[(sides > MIN_SIDE_PX).all(axis=1)]
        image = torch.from_numpy(scene[:, y : y + CROP_PX, x : x + CROP_PX]).float() / 255
        target = {
            "boxes": torch.from_numpy(boxes).float(),
            "labels": torch.zeros(len(boxes), dtype=torch.int64),
        }
        yield image, target


@torch.no_grad()
def _fit_scores(network: RetinaNet) -> None:
    """Set the last layer of the scores to a least-squares fit to the sample's objects."""
    offsets = network.head.regression_head.bbox_reg
    offsets.weight.mul_(SMALL_OFFSETS)
    offsets.bias.mul_(SMALL_OFFSETS)
    last = network.head.classification_head.cls_logits
    count = last.weight[0].numel() + 1
    gram, moments = torch.zeros(count, count), torch.zeros(count, ANCHORS_PER_CELL)
    all_features = []
    for image, boxes in _sample_tiles():
        features, anchors = _extract_features(network, image)
        is_positive = (box_iou(anchors, boxes) >= POSITIVE_IOU).any(dim=1)
        is_positive = is_positive.reshape(-1, ANCHORS_PER_CELL)
        weighted = features * (1 + OBJECT_WEIGHT * is_positive.any(dim=1, keepdim=True))
        gram += weighted.T @ features
        moments += weighted.T @ is_positive.float()
        all_features.append(features)
    ridge = RIDGE * gram.diagonal().mean() * torch.eye(count)
    fitted = torch.linalg.solve((gram + ridge).double(), moments.double()).float()
    scores = torch.cat([(features @ fitted).flatten() for features in all_features]).sort().values
    medium, high = (scores[int(q * len(scores))] for q in (MEDIUM_QUANTILE, HIGH_QUANTILE))
    fitted *= HIGH_LOGIT / (high - medium)
    last.weight.copy_(fitted[:-1].T.reshape(last.weight.shape))
    last.bias.copy_(fitted[-1] - medium * HIGH_LOGIT / (high - medium))


def _read_sample() -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return the sample ``uint8[3, H, W]`` and its objects in pixels, ``float64[N, 4]``."""
    with rasterio.open(SCENE) as scene:
        pixels, to_px = scene.read(), ~scene.transform
    x1, y1, x2, y2 = gpd.read_file(SCENE.with_suffix(".geojson")).to_crs(scene.crs).bounds.T.values
    return pixels, np.stack((*(to_px * (x1, y2)), *(to_px * (x2, y1))), axis=1)


def _sample_tiles() -> Iterator[tuple[Tensor, Tensor]]:
    """Yield tiles of the sample ``float[3, H, W]`` and boxes of all objects in tile pixels."""
    pixels, objects = _read_sample()
    side, boxes = min(pixels.shape[1:]), torch.from_numpy(objects).float()
    starts = range(0, side - TILE_PX + 1, STEP_PX)
    for x, y in product(starts, starts):
        image = torch.from_numpy(scene_tile(TILE_PX, x=x, y=y)).float() / 255
        yield image, boxes - torch.tensor([x, y, x, y])


def _extract_features(network: RetinaNet, image: Tensor) -> tuple[Tensor, Tensor]:
    """Return the input of the last layer, with a 1 for the bias, and anchors in tile pixels."""
    images, _ = network.transform([image])
    levels = list(network.backbone(images.tensors).values())
    tower = network.head.classification_head.conv
    cells = [F.unfold(tower(level), KERNEL_PX, padding=1)[0].T for level in levels]
    features = F.pad(torch.cat(cells), (0, 1), value=1.0)
    (anchors,) = network.anchor_generator(images, levels)
    return features, anchors * (TILE_PX / INPUT_PX)


class _BatchOfOne(nn.Module):
    """Network of torchvision that takes a batch of one image, as GeoDeep passes it."""

    def __init__(self, network: RetinaNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (predictions,) = self.network([images[0]])
        return predictions["boxes"], predictions["scores"], predictions["labels"]


def export_for_geodeep(
    weights: Path, file: Path, *, conf: float, iou: float, overlap: float
) -> None:
    """Write the network as an ONNX model with the metadata that GeoDeep reads.

    Args:
        weights: State dict.
        file: To write.
        conf: Score threshold.
        iou: Threshold of non-maximum suppression.
        overlap: Of tiles, as a fraction.
    """
    network = stock_network(1, classes=1, min_size=INPUT_PX)
    network.score_thresh, network.nms_thresh = conf, iou
    network.topk_candidates, network.detections_per_img = 1000, 300  # of torchvision
    network.load_state_dict(torch.load(weights, weights_only=True))
    example = torch.rand(1, 3, TILE_PX, TILE_PX)
    with warnings.catch_warnings(action="ignore"), torch.inference_mode():
        torch.onnx.export(
            _BatchOfOne(network).eval(),
            (example,),
            file,
            input_names=["images"],
            output_names=["boxes", "scores", "labels"],
            opset_version=OPSET,
            dynamo=False,
        )
    # a resolution finer than any raster: it is not resampled
    add_geodeep_metadata(
        file, det_type="retinanet", conf=conf, iou=iou, overlap=overlap, resolution_cm=1
    )


def add_geodeep_metadata(
    file: Path, *, det_type: str, conf: float, iou: float, overlap: float, resolution_cm: float
) -> None:
    """Add the metadata that GeoDeep reads to an ONNX file of a network with one class.

    Args:
        file: To change.
        det_type: Layout of the outputs, as GeoDeep names it.
        conf: Score threshold.
        iou: Threshold of non-maximum suppression.
        overlap: Of tiles, as a fraction.
        resolution_cm: Ground resolution that rasters are read at, if theirs is finer.
    """
    import onnx

    model = onnx.load(file)
    properties = {
        "model_type": json.dumps("Detector"),
        "det_type": json.dumps(det_type),
        "class_names": json.dumps({"0": "object"}),
        "det_conf": str(conf),
        "det_iou_thresh": str(iou),
        "resolution": f"{resolution_cm:g}",
        "tiles_overlap": str(100 * overlap),
    }
    for key, value in properties.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.save(model, file)


def main() -> None:
    """Train and write the weights."""
    parser = new_parser(__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True, help="state dict to write")
    parser.add_argument("--minutes", type=float, default=5)
    options = parser.parse_args()
    write_trained_weights(options.output, minutes=options.minutes)


if __name__ == "__main__":
    main()
