"""Operations on boxes ``float64[N, 4]``: x1, y1, x2, y2 in pixel edges, x right and y down.

Not ``torchvision.ops``: it needs torch, which is not imported when OpenVINO runs the network.
"""

from __future__ import annotations

import numpy as np
import shapely

from geodetect.types import FloatArray, IntArray


def area(boxes: FloatArray) -> FloatArray:
    """Return areas ``float64[N]`` in square pixels; 0 for reversed boxes."""
    return np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)


def centres(boxes: FloatArray) -> FloatArray:
    """Return the centres of boxes: ``[..., 2]`` of ``[..., 4]``."""
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def clip(boxes: FloatArray, frame: FloatArray) -> FloatArray:
    """Clip boxes to ``frame``: one box ``[4]``, or one for each box ``[N, 4]``.

    A box outside the frame gets an area of 0.
    """
    frame = np.broadcast_to(frame, boxes.shape)
    upper_left = np.minimum(np.maximum(boxes[:, :2], frame[:, :2]), frame[:, 2:])
    lower_right = np.maximum(np.minimum(boxes[:, 2:], frame[:, 2:]), frame[:, :2])
    return np.concatenate([upper_left, lower_right], axis=1)


def widen(boxes: FloatArray, fraction: float) -> FloatArray:
    """Return boxes whose sides are moved outwards by a fraction of their extents."""
    extents = np.tile(boxes[:, 2:] - boxes[:, :2], (1, 2))
    return np.asarray(boxes + fraction * extents * np.array([-1.0, -1.0, 1.0, 1.0]))


def fraction_inside(boxes: FloatArray, frame: FloatArray) -> FloatArray:
    """Return the fraction ``float64[N]`` of each box's area inside ``frame``; 0 without an area."""
    return np.asarray(area(clip(boxes, frame)) / np.maximum(area(boxes), 1e-12))


def intersection(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the areas ``float64[N]`` of the intersections of corresponding boxes."""
    upper_left = np.maximum(a[:, :2], b[:, :2])
    lower_right = np.minimum(a[:, 2:], b[:, 2:])
    return np.prod(np.maximum(lower_right - upper_left, 0), axis=1)


def iou(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the intersection over union of corresponding boxes, ``float64[N]`` in 0..1."""
    shared = intersection(a, b)
    union = area(a) + area(b) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def overlap_pairs(a: FloatArray, b: FloatArray) -> IntArray:
    """Find all pairs of boxes that overlap or touch, with a Sort-Tile-Recursive tree.

    Args:
        a: ``float64[N, 4]``.
        b: ``float64[M, 4]``.

    Returns:
        ``int64[P, 2]`` rows of ``a`` and of ``b``, in ascending order.
    """
    if len(a) == 0 or len(b) == 0:
        return np.empty((0, 2), dtype=np.int64)
    tree = shapely.STRtree(shapely.box(*b.T))
    pairs = tree.query(shapely.box(*a.T)).T.astype(np.int64)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
