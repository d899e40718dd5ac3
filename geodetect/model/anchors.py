"""Anchors: the boxes that the network shifts and scales onto objects."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from geodetect.model.card import NetworkConfig

MAX_LOG_SCALE = math.log(1000 / 16)  # bound of exp(), as in Detectron


def anchors_of_level(
    sizes_px: tuple[float, ...], ratios: tuple[float, ...], *, stride: int, shape: tuple[int, int]
) -> Tensor:
    """Anchors of one pyramid level, centred on its cells.

    Args:
        sizes_px: Square roots of the anchors' areas.
        ratios: Height over width.
        stride: Pixels per cell.
        shape: Cells (rows, columns).

    Returns:
        ``float32[rows * columns * A, 4]`` boxes in pixels, A varying fastest, sizes before ratios.
    """
    size = torch.tensor(sizes_px)[:, None]
    root = torch.tensor(ratios).sqrt()[None]
    half = torch.stack([size / root, size * root], dim=-1).reshape(-1, 2) / 2
    y, x = (torch.arange(n) * float(stride) + stride / 2 for n in shape)
    centre = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).reshape(-1, 1, 2)
    return torch.cat([centre - half, centre + half], dim=-1).reshape(-1, 4)


def anchors_of_image(config: NetworkConfig, height: int, width: int) -> Tensor:
    """All anchors for an input of ``height`` x ``width`` pixels, level after level.

    Returns:
        ``float32[N, 4]`` boxes in pixels.
    """
    levels = zip(config.anchor_sizes_px, config.strides, strict=True)
    return torch.cat(
        [
            anchors_of_level(
                sizes,
                config.anchor_ratios,
                stride=stride,
                shape=(math.ceil(height / stride), math.ceil(width / stride)),
            )
            for sizes, stride in levels
        ]
    )


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
