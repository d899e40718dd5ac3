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

    Returns:
        ``float32[cells, A, 4]`` boxes in pixels for each level.
    """
    levels, ratios = [], config.anchor_ratios
    for sizes, stride in zip(config.anchor_sizes_px, config.strides, strict=True):
        shape = math.ceil(height / stride), math.ceil(width / stride)
        if config.anchor_grid == "torchvision":
            level = corner_anchors(sizes, ratios, image=(height, width), shape=shape)
        else:
            level = centred_anchors(sizes, ratios, stride=stride, shape=shape)
        levels.append(level.reshape(-1, len(sizes) * len(ratios), 4))
    return levels


def centred_anchors(
    sizes_px: tuple[float, ...], ratios: tuple[float, ...], *, stride: int, shape: tuple[int, int]
) -> Float32Array:
    """Return the anchors of one pyramid level, centred on its cells.

    Args:
        sizes_px: Square roots of the anchors' areas.
        ratios: Height over width.
        stride: Pixels per cell.
        shape: Cells (rows, columns).

    Returns:
        ``float32[rows * columns * A, 4]`` boxes in pixels, A varying fastest, sizes before ratios.
    """
    y, x = (np.arange(n, dtype=np.float32) * stride + stride / 2 for n in shape)
    return _boxes_around(x, y, half_sizes=_half_sizes(sizes_px, ratios))


def corner_anchors(
    sizes_px: tuple[float, ...],
    ratios: tuple[float, ...],
    *,
    image: tuple[int, int],
    shape: tuple[int, int],
) -> Float32Array:
    """Return the anchors of one pyramid level as torchvision's ``AnchorGenerator`` lays them.

    They have whole pixels and lie around the upper left corners of cells. The cells are taken to
    be image size // cells pixels apart, which is less than the stride where they do not divide.

    Args:
        sizes_px: Square roots of the anchors' areas.
        ratios: Height over width.
        image: Size of the padded input (height, width), in pixels.
        shape: Cells (rows, columns).

    Returns:
        ``float32[rows * columns * A, 4]``, in the order of ``centred_anchors``.
    """
    y, x = (
        np.arange(cells, dtype=np.float32) * (side // cells)
        for side, cells in zip(image, shape, strict=True)
    )
    return _boxes_around(x, y, half_sizes=_half_sizes(sizes_px, ratios).round())


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


def _half_sizes(sizes_px: tuple[float, ...], ratios: tuple[float, ...]) -> Float32Array:
    """Return half width and height of each anchor of a cell, ``float32[A, 2]``."""
    size = np.array(sizes_px, np.float32)[:, None]
    root = np.sqrt(np.array(ratios, np.float32))[None]
    return np.stack([size / root, size * root], axis=-1).reshape(-1, 2) * np.float32(0.5)


def _boxes_around(x: Float32Array, y: Float32Array, *, half_sizes: Float32Array) -> Float32Array:
    centre = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 1, 2)
    return np.concatenate([centre - half_sizes, centre + half_sizes], axis=-1).reshape(-1, 4)
