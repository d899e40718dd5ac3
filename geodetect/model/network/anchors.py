"""Anchor boxes, and decoding of box offsets, in numpy: detection with OpenVINO never imports torch.

``anchors_torch`` encodes and decodes offsets for training, where gradients are needed.
"""

from __future__ import annotations

import math

import numpy as np

from geodetect.model.card import NetworkConfig
from geodetect.types import Float32Array

MAX_LOG_SCALE = math.log(1000 / 16)  # bound of exp(), as in Detectron


def anchors_of_image(config: NetworkConfig, height: int, width: int) -> Float32Array:
    """Return all anchors for an input of ``height`` x ``width`` pixels, level after level.

    Returns:
        ``float32[N, 4]`` boxes in pixels.
    """
    levels = anchors_of_levels(config, height, width)
    return np.concatenate([level.reshape(-1, 4) for level in levels])


def anchors_of_levels(config: NetworkConfig, height: int, width: int) -> list[Float32Array]:
    """Return the anchors of each pyramid level for an input of ``height`` x ``width`` pixels.

    They are centred on the cells of the level. With ``anchor_grid="torchvision"`` they are those of
    torchvision's ``AnchorGenerator``: in whole pixels, around the upper left corners of the cells,
    which are taken to be image size // cells pixels apart: less than the stride if that does not
    divide the size.

    Returns:
        ``float32[cells, A, 4]`` boxes in pixels for each level: row after row of its cells, and of
        the anchors of a cell sizes before ratios.
    """
    levels, roots = [], np.sqrt(np.array(config.anchor_ratios, np.float32))[None]
    for sizes_px, stride in zip(config.anchor_sizes_px, config.strides, strict=True):
        sizes = np.array(sizes_px, np.float32)[:, None]
        half = np.stack([sizes / roots, sizes * roots], axis=-1).reshape(-1, 2) * np.float32(0.5)
        rows, columns = math.ceil(height / stride), math.ceil(width / stride)
        if config.anchor_grid == "torchvision":
            half = half.round()
            y = np.arange(rows, dtype=np.float32) * (height // rows)
            x = np.arange(columns, dtype=np.float32) * (width // columns)
        else:
            y, x = (np.arange(n, dtype=np.float32) * stride + stride / 2 for n in (rows, columns))
        centres = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 1, 2)
        levels.append(np.concatenate([centres - half, centres + half], axis=-1))
    return levels


def decode(deltas: Float32Array, anchors: Float32Array) -> Float32Array:
    """Decode offsets from anchors to boxes (Girshick et al. 2014, appendix C).

    Args:
        deltas: ``float32[N, 4]`` dx, dy in anchor sizes; log of the scale in x and y.
        anchors: ``float32[N, 4]`` in pixels.

    Returns:
        ``float32[N, 4]`` in pixels.
    """
    size = anchors[:, 2:] - anchors[:, :2]
    centre = (anchors[:, 2:] + anchors[:, :2]) / 2 + deltas[:, :2] * size
    half = size * np.exp(np.minimum(deltas[:, 2:], MAX_LOG_SCALE)) / 2
    return np.concatenate([centre - half, centre + half], axis=1)
