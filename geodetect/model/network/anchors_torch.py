"""Encoding of boxes as offsets from anchors, and decoding, in PyTorch: training needs gradients.

Detection decodes with ``anchors``, in numpy.
"""

from __future__ import annotations

import torch
from torch import Tensor

from geodetect.model.network.anchors import MAX_LOG_SCALE


def encode(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Encode boxes as offsets from anchors (Girshick et al. 2014, appendix C).

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
    """Decode offsets from anchors to boxes ``float32[..., 4]`` in pixels: inverse of ``encode``."""
    size, centre = _size_and_centre(anchors)
    box_centre = centre + deltas[..., :2] * size
    half = size * deltas[..., 2:].clamp(max=MAX_LOG_SCALE).exp() / 2
    return torch.cat([box_centre - half, box_centre + half], dim=-1)


def _size_and_centre(boxes: Tensor) -> tuple[Tensor, Tensor]:
    return boxes[..., 2:] - boxes[..., :2], (boxes[..., 2:] + boxes[..., :2]) / 2
