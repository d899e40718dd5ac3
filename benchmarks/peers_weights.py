"""Weights of a stock RetinaNet that every program takes, where no trained ones can be had.

The network is torchvision's ``retinanet_resnet50_fpn`` with one class. Its weights are random, the
same ones on every machine, but for the last layer of the scores: that is fitted to the labelled
objects of the drawn sample by least squares. So scores are high in some places and low in most, as
those of a trained network are; a random last layer would make tens of thousands of boxes that all
score alike.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection import RetinaNet
from torchvision.ops import box_iou

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.stock_networks import SCENE, scene_tile, stock_network

TILE_PX, INPUT_PX, STEP_PX = 512, 800, 900
ANCHORS_PER_CELL = 9
KERNEL_PX = 3
LEAST_IOU = 0.5  # of an anchor with an object, to be one of its own
OBJECT_WEIGHT = 100.0  # of a cell with an object; nearly all others are empty
RIDGE = 1e-3  # of the mean square of a feature
COMMON, RARE = 0.999, 0.9999  # shares of anchors that score below one half, and below SURE
SURE = 3.0  # as a logit
SMALL_OFFSETS = 0.3  # boxes stay near their anchors
OPSET = 17


def stock_weights(file: Path) -> None:
    """Write the state dict."""
    network = stock_network(1, classes=1, min_size=INPUT_PX)
    _fit(network)
    torch.save(network.state_dict(), file)


@torch.no_grad()
def _fit(network: RetinaNet) -> None:
    """Make the scores those of a least-squares fit to the sample's objects."""
    offsets = network.head.regression_head.bbox_reg
    offsets.weight.mul_(SMALL_OFFSETS)
    offsets.bias.mul_(SMALL_OFFSETS)
    last = network.head.classification_head.cls_logits
    count = last.weight[0].numel() + 1
    gram, moments = torch.zeros(count, count), torch.zeros(count, ANCHORS_PER_CELL)
    kept = []
    for image, boxes in _tiles():
        features, anchors = _features(network, image)
        own = _objects_own(anchors, boxes).reshape(-1, ANCHORS_PER_CELL)
        weighted = features * (1 + OBJECT_WEIGHT * own.any(dim=1, keepdim=True))
        gram += weighted.T @ features
        moments += weighted.T @ own.float()
        kept.append(features)
    ridge = RIDGE * gram.diagonal().mean() * torch.eye(count)
    fitted = torch.linalg.solve((gram + ridge).double(), moments.double()).float()
    ranked = torch.cat([(features @ fitted).flatten() for features in kept]).sort().values
    common, rare = (ranked[int(share * len(ranked))] for share in (COMMON, RARE))
    fitted *= SURE / (rare - common)
    last.weight.copy_(fitted[:-1].T.reshape(last.weight.shape))
    last.bias.copy_(fitted[-1] - common * SURE / (rare - common))


def _tiles() -> Iterator[tuple[Tensor, Tensor]]:
    """Tiles of the sample, ``float[3, H, W]``, and the boxes of objects in them, in pixels."""
    with rasterio.open(SCENE) as scene:
        side, to_px = min(scene.shape), ~scene.transform
    x1, y1, x2, y2 = gpd.read_file(SCENE.with_suffix(".geojson")).to_crs(scene.crs).bounds.T.values
    corners = (*(to_px * (x1, y2)), *(to_px * (x2, y1)))
    boxes = torch.from_numpy(np.stack(corners, axis=1)).float()
    starts = range(0, side - TILE_PX + 1, STEP_PX)
    for x, y in product(starts, starts):
        image = torch.from_numpy(scene_tile(TILE_PX, x=x, y=y)).float() / 255
        yield image, boxes - torch.tensor([x, y, x, y])


def _features(network: RetinaNet, image: Tensor) -> tuple[Tensor, Tensor]:
    """What the last layer takes of each cell, with a 1, and the anchors in pixels of the tile."""
    images, _ = network.transform([image])
    levels = list(network.backbone(images.tensors).values())
    tower = network.head.classification_head.conv
    cells = [F.unfold(tower(level), KERNEL_PX, padding=1)[0].T for level in levels]
    features = F.pad(torch.cat(cells), (0, 1), value=1.0)
    (anchors,) = network.anchor_generator(images, levels)
    return features, anchors * (TILE_PX / INPUT_PX)


def _objects_own(anchors: Tensor, boxes: Tensor) -> Tensor:
    """``bool[anchors]`` which anchors lie on an object."""
    return (box_iou(anchors, boxes) >= LEAST_IOU).any(dim=1)


class _OneImage(nn.Module):
    """A network of torchvision that takes a batch of one, as GeoDeep hands it over."""

    def __init__(self, network: RetinaNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (found,) = self.network([images[0]])
        return found["boxes"], found["scores"], found["labels"]


def geodeep_model(weights: Path, file: Path, *, conf: float, iou: float, overlap: float) -> None:
    """Write the network as an ONNX model with the properties that GeoDeep reads.

    Args:
        weights: State dict.
        file: To write.
        conf: Least score.
        iou: Overlap from which two boxes are the same object.
        overlap: Of tiles, as a share.
    """
    import onnx

    network = stock_network(1, classes=1, min_size=INPUT_PX)
    network.score_thresh, network.nms_thresh = conf, iou
    network.topk_candidates, network.detections_per_img = 1000, 300  # torchvision's own
    network.load_state_dict(torch.load(weights, weights_only=True))
    example = torch.rand(1, 3, TILE_PX, TILE_PX)
    with warnings.catch_warnings(action="ignore"), torch.inference_mode():
        torch.onnx.export(
            _OneImage(network).eval(),
            (example,),
            file,
            input_names=["images"],
            output_names=["boxes", "scores", "labels"],
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load(file)
    properties = {
        "model_type": json.dumps("Detector"),
        "det_type": json.dumps("retinanet"),
        "class_names": json.dumps({"0": "object"}),
        "det_conf": str(conf),
        "det_iou_thresh": str(iou),
        "resolution": "1",  # finer than any raster: read as it is
        "tiles_overlap": str(100 * overlap),
    }
    for key, value in properties.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.save(model, file)
