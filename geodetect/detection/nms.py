"""Suppression of duplicates within a tile."""

from __future__ import annotations

import numpy as np

from geodetect.geo import boxes as box_ops
from geodetect.types import BoolArray, Float32Array, FloatArray, IntArray

FIRST_BLOCK = 256  # the best boxes first: what they remove need not be compared with each other
LARGEST_BLOCK = 4096  # boxes decided at once, so that pairs of overlapping boxes fit into memory


def suppress(
    boxes: FloatArray,
    scores: Float32Array,
    labels: IntArray,
    *,
    iou: float,
) -> IntArray:
    """Greedy non-maximum suppression: a box goes if a better one of its class overlaps it.

    Args:
        boxes: ``float64[N, 4]``.
        scores: ``float32[N]``; of equal ones the first is the better.
        labels: ``int64[N]`` classes.
        iou: A box that overlaps a better one by more than this (IoU) goes.

    Returns:
        ``int64[K]``: rows that stay, best first.
    """
    apart = boxes + (labels * _extent(boxes))[:, None]  # boxes of two classes never meet
    left = np.argsort(-scores, kind="stable")
    kept = [np.empty(0, np.int64)]
    block = FIRST_BLOCK
    while len(left):
        head, left = left[:block], left[block:]
        block = min(2 * block, LARGEST_BLOCK)
        better, worse = _overlaps(apart[head], apart[head], iou=iou)
        first = better < worse
        head = head[_undominated(len(head), better[first], worse[first])]
        _, worse = _overlaps(apart[head], apart[left], iou=iou)
        left = np.delete(left, worse)
        kept.append(head)
    return np.concatenate(kept)


def _extent(boxes: FloatArray) -> float:
    return float(np.ptp(boxes)) + 1 if len(boxes) else 0.0


def _overlaps(a: FloatArray, b: FloatArray, *, iou: float) -> tuple[IntArray, IntArray]:
    """Rows of ``a`` and of ``b`` that overlap by more than ``iou``."""
    i, j = box_ops.overlap_pairs(a, b).T
    much = box_ops.iou(a[i], b[j]) > iou
    return i[much], j[much]


def _undominated(count: int, better: IntArray, worse: IntArray) -> BoolArray:
    """Those that stay when each that stays removes those it is better than, best first."""
    stays, open_ = np.zeros(count, bool), np.ones(count, bool)
    while open_.any():
        contested = np.zeros(count, bool)
        contested[worse[open_[better] & open_[worse]]] = True
        sure = open_ & ~contested
        stays |= sure
        open_ &= ~sure
        open_[worse[sure[better]]] = False
    return stays
