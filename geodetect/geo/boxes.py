"""Arithmetic on boxes ``float64[N, 4]``: x1, y1, x2, y2 in pixel edges, x right and y down."""

from __future__ import annotations

import numpy as np
import shapely

from geodetect.types import FloatArray, IntArray


def area(boxes: FloatArray) -> FloatArray:
    """Areas ``float64[N]`` in square pixels; empty boxes have none."""
    return np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)


def centres(boxes: FloatArray) -> FloatArray:
    """Return the centres of boxes: ``[..., 2]`` of ``[..., 4]``."""
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def clip(boxes: FloatArray, frame: FloatArray) -> FloatArray:
    """The part of each box inside ``frame`` (one box ``[4]``, or one per box ``[N, 4]``).

    A box that lies outside comes back with no area.
    """
    frame = np.broadcast_to(frame, boxes.shape)
    upper_left = np.minimum(np.maximum(boxes[:, :2], frame[:, :2]), frame[:, 2:])
    lower_right = np.maximum(np.minimum(boxes[:, 2:], frame[:, 2:]), frame[:, :2])
    return np.concatenate([upper_left, lower_right], axis=1)


def fraction_inside(boxes: FloatArray, frame: FloatArray) -> FloatArray:
    """Share of each box's area that lies in a frame, ``float64[N]`` in 0..1; 0 without an area."""
    return np.asarray(area(clip(boxes, frame)) / np.maximum(area(boxes), 1e-12))


def intersection(a: FloatArray, b: FloatArray) -> FloatArray:
    """Shared areas of corresponding boxes, ``float64[N]``."""
    upper_left = np.maximum(a[:, :2], b[:, :2])
    lower_right = np.minimum(a[:, 2:], b[:, 2:])
    return np.prod(np.maximum(lower_right - upper_left, 0), axis=1)


def iou(a: FloatArray, b: FloatArray) -> FloatArray:
    """Intersection over union of corresponding boxes, ``float64[N]`` in 0..1."""
    shared = intersection(a, b)
    union = area(a) + area(b) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def overlap_pairs(a: FloatArray, b: FloatArray) -> IntArray:
    """All pairs of boxes that touch or overlap.

    Args:
        a: ``float64[N, 4]``.
        b: ``float64[M, 4]``.

    Returns:
        ``int64[P, 2]``: row numbers in ``a`` and in ``b``, in ascending order. Found with a
        Sort-Tile-Recursive tree over ``b``, so it takes about N log M.
    """
    if len(a) == 0 or len(b) == 0:
        return np.empty((0, 2), dtype=np.int64)
    tree = shapely.STRtree(shapely.box(*b.T))
    pairs = tree.query(shapely.box(*a.T)).T.astype(np.int64)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
