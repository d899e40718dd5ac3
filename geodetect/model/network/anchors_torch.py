"""Anchors: the boxes that the network shifts and scales onto objects."""

from __future__ import annotations

import torch
from torch import Tensor

from geodetect.model.card import NetworkConfig
from geodetect.model.network import anchors as anchor_grid
from geodetect.model.network.anchors import MAX_LOG_SCALE


def anchors_of_image(config: NetworkConfig, height: int, width: int) -> Tensor:
    """All anchors for an input of ``height`` x ``width`` pixels, level after level.

    Returns:
        ``float32[N, 4]`` boxes in pixels.
    """
    return torch.from_numpy(anchor_grid.anchors_of_image(config, height, width))


def anchors_of_levels(config: NetworkConfig, height: int, width: int) -> list[Tensor]:
    """The same, apart for each pyramid level.

    Returns:
        ``float32[cells, A, 4]`` boxes in pixels for each level.
    """
    return [torch.from_numpy(x) for x in anchor_grid.anchors_of_levels(config, height, width)]


def encode(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Boxes as offsets from anchors (Girshick et al. 2014, appendix C).

    Args:
        boxes: ``float32[N, 4]`` in pixels.
        anchors: ``float32[N, 4]`` in pixels.

    Returns:
        ``float32[N, 4]``: dx, dy in anchor sizes; log of the scale in x and y.
    """
    size, centre = _size_and_centre(anchors)
    box_size, box_centre = _size_and_centre(boxes)
    return torch.cat([(box_centre - centre) / size, (box_size / size).log()], dim=-1)


def decode(deltas: Tensor, anchors: Tensor) -> Tensor:
    """Offsets from anchors to boxes ``float32[..., 4]`` in pixels: the inverse of ``encode``."""
    size, centre = _size_and_centre(anchors)
    box_centre = centre + deltas[..., :2] * size
    half = size * deltas[..., 2:].clamp(max=MAX_LOG_SCALE).exp() / 2
    return torch.cat([box_centre - half, box_centre + half], dim=-1)


def _size_and_centre(boxes: Tensor) -> tuple[Tensor, Tensor]:
    return boxes[..., 2:] - boxes[..., :2], (boxes[..., 2:] + boxes[..., :2]) / 2
