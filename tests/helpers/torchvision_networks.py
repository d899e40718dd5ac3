"""RetinaNets as torchvision builds them, with random weights that find many things."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from rasterio.windows import Window
from torch import Tensor, nn
from torchvision.models import get_model
from torchvision.models.detection import (
    RetinaNet,
    retinanet_resnet50_fpn,
    retinanet_resnet50_fpn_v2,
)
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.ops.feature_pyramid_network import LastLevelP6P7
from torchvision.ops.misc import FrozenBatchNorm2d

from tests.helpers.program import ROOT

SCENE = ROOT / "sample_data" / "neighbourhood.tif"
CONF = 0.6
CLASS_SPREAD = {1: 4.0, 2: 2.0}  # of the logits, by version
BOX_SPREAD = 1.0
UNCAPPED = {"score_thresh": CONF, "topk_candidates": 10**6, "detections_per_img": 10**6}
SMALL_CHANNELS = 32


def stock_network(version: int, *, classes: int, min_size: int = 1) -> RetinaNet:
    """``retinanet_resnet50_fpn`` (1) or ``..._v2`` (2), which cuts no list of boxes short.

    Args:
        version: 1 or 2.
        classes: Outputs of its head.
        min_size: Short side that it resizes images to.
    """
    torch.manual_seed(version)
    build = retinanet_resnet50_fpn if version == 1 else retinanet_resnet50_fpn_v2
    network = build(
        weights=None, weights_backbone=None, num_classes=classes, min_size=min_size, **UNCAPPED
    )
    return enliven(network, version)


def small_network(
    version: int = 1, *, classes: int = 1, backbone: str = "resnet18", norm_eps: float = 1e-5
) -> RetinaNet:
    """The same kind with a smaller trunk with frozen norms and a narrow pyramid."""
    torch.manual_seed(version)
    norm = partial(FrozenBatchNorm2d, eps=norm_eps)
    trunk = get_model(backbone, weights=None, norm_layer=norm)
    channels = [trunk.fc.in_features // 4, trunk.fc.in_features // 2, trunk.fc.in_features]
    p6_channels = SMALL_CHANNELS if version == 1 else channels[-1]
    pyramid = BackboneWithFPN(
        trunk,
        {"layer2": "0", "layer3": "1", "layer4": "2"},
        channels,
        SMALL_CHANNELS,
        extra_blocks=LastLevelP6P7(p6_channels, SMALL_CHANNELS),
    )
    norm = None if version == 1 else partial(nn.GroupNorm, 32)
    head = RetinaNetHead(SMALL_CHANNELS, 9, classes, norm_layer=norm)
    return enliven(RetinaNet(pyramid, classes, min_size=1, head=head, **UNCAPPED), version)


@torch.no_grad()
def enliven(network: RetinaNet, version: int) -> RetinaNet:
    """Give it weights with which scores and boxes vary from place to place."""
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d | FrozenBatchNorm2d):
            last = name.endswith(("bn3", "layer1.0.bn2", "layer2.0.bn2"))
            module.weight.uniform_(0.1, 0.3) if last else module.weight.uniform_(0.6, 1.2)
            module.bias.normal_(std=0.1)
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
        elif isinstance(module, nn.Conv2d) and name.startswith("head."):
            fan_in = module.weight[0].numel()
            module.weight.normal_(std=math.sqrt(2 / fan_in))
    logits, boxes = (
        network.head.classification_head.cls_logits,
        network.head.regression_head.bbox_reg,
    )
    logits.weight.mul_(CLASS_SPREAD[version])
    logits.bias.fill_(-2)
    boxes.weight.mul_(BOX_SPREAD)
    return network.eval()


def scene_tile(
    side: int, *, height: int | None = None, x: int = 300, y: int = 200
) -> NDArray[np.uint8]:
    """``uint8[3, H, W]`` of the sample scene."""
    with rasterio.open(SCENE) as scene:
        return scene.read([1, 2, 3], window=Window(x, y, side, height or side))


@torch.inference_mode()
def found_by_torchvision(
    network: RetinaNet, pixels: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Boxes, scores and labels, best first, without boxes that have no extent in the image."""
    outputs: dict[str, Tensor] = network([torch.from_numpy(pixels).float() / 255])[0]
    boxes = outputs["boxes"]
    has_extent = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
    return (
        boxes[has_extent].numpy(),
        outputs["scores"][has_extent].numpy(),
        outputs["labels"][has_extent].numpy(),
    )


def save_checkpoint(path: Path, content: object, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path
