"""Greedy non-maximum suppression (NMS).

``torchvision.ops.nms`` would make the OpenVINO and ONNX runtimes depend on torch, and its time on
CPUs grows with the square of the number of boxes; here a spatial index finds the overlapping ones.
"""

from __future__ import annotations

import numpy as np

from geodetect.arrays.ordering import group_rows, order_rows
from geodetect.geo import boxes as box_ops
from geodetect.geo.polygons import polygon_iou
from geodetect.model.card import VOTE_SHARE
from geodetect.types import BoolArray, Float32Array, FloatArray, IntArray, ObjectArray

FIRST_BLOCK = 256  # small: boxes that the best ones remove are not compared with each other
LARGEST_BLOCK = 4096  # limits the memory for pairs of overlapping boxes


def nms(
    boxes: FloatArray,
    scores: Float32Array,
    labels: IntArray,
    *,
    iou: float,
    outlines: ObjectArray | None = None,
) -> IntArray:
    """Remove boxes that a better one of their class overlaps, best first.

    Args:
        boxes: ``float64[N, 4]``.
        scores: ``float32[N]``; of equal ones the box with the lowest coordinates is the better.
        labels: ``int64[N]`` classes.
        iou: A box is removed if it overlaps a better one by more than this (IoU).
        outlines: ``object[N]`` polygons within the boxes, whose overlaps count instead.

    Returns:
        ``int64[K]``: rows that remain, best first.
    """
    order = order_rows([-scores], lambda rows: [*boxes[rows].T[::-1], labels[rows]])
    # by class: the time grows with the square of the number of boxes
    selected = [
        positions[
            _select_apart(
                boxes[order[positions]],
                None if outlines is None else outlines[order[positions]],
                iou=iou,
            )
        ]
        for positions in group_rows(labels[order])
    ]
    return order[np.sort(np.concatenate([np.empty(0, np.int64), *selected]))]


def vote_boxes(
    boxes: FloatArray, scores: Float32Array, labels: IntArray, *, selected: IntArray, iou: float
) -> FloatArray:
    """Return boxes as means of those that nearly agree with them, weighted by scores.

    Box voting of Gidaris and Komodakis 2015, "Object detection via a multi-region & semantic
    segmentation-aware CNN model", section 5: what several anchors state is more accurate than what
    the best one states. Boxes of less than ``VOTE_SHARE`` of the score do not vote, so that the
    result does not depend on a threshold below that.

    Args:
        boxes: ``float64[N, 4]`` before non-maximum suppression.
        scores: ``float32[N]``.
        labels: ``int64[N]`` classes.
        selected: ``int64[K]`` rows that remain after it.
        iou: Smallest IoU of a box with one that it votes for.

    Returns:
        ``float64[K, 4]`` in place of the selected boxes.
    """
    i, voter = box_ops.overlap_pairs(boxes[selected], boxes).T
    row = selected[i]
    votes = (labels[voter] == labels[row]) & (scores[voter] >= VOTE_SHARE * scores[row])
    votes &= box_ops.iou(boxes[row], boxes[voter]) >= iou
    i, voter = i[votes], voter[votes]
    weights = scores[voter].astype(np.float64)
    total = np.bincount(i, weights, len(selected))
    sums = [np.bincount(i, weights * boxes[voter, side], len(selected)) for side in range(4)]
    return np.stack(sums, axis=1) / total[:, None]


def _select_apart(boxes: FloatArray, outlines: ObjectArray | None, *, iou: float) -> IntArray:
    """Return the rows of boxes, sorted best first, that no better one of them removes."""

    def find_overlaps(a: IntArray, b: IntArray) -> tuple[IntArray, IntArray]:
        """Return positions in the rows ``a`` and ``b`` of boxes that overlap by more than iou."""
        i, j = box_ops.overlap_pairs(boxes[a], boxes[b]).T
        if outlines is None:
            overlaps = box_ops.iou(boxes[a][i], boxes[b][j])
        else:
            overlaps = polygon_iou(outlines[a][i], outlines[b][j])
        return i[overlaps > iou], j[overlaps > iou]

    undecided = np.arange(len(boxes))
    selected = [np.empty(0, np.int64)]
    block_size = FIRST_BLOCK
    while len(undecided):
        block, undecided = undecided[:block_size], undecided[block_size:]
        block_size = min(2 * block_size, LARGEST_BLOCK)
        better, worse = find_overlaps(block, block)
        is_ordered = better < worse
        block = block[_select_best(len(block), better[is_ordered], worse[is_ordered])]
        _, worse = find_overlaps(block, undecided)
        undecided = np.delete(undecided, worse)
        selected.append(block)
    return np.concatenate(selected)


def _select_best(count: int, better: IntArray, worse: IntArray) -> BoolArray:
    """Return True for the boxes that remain if each of them removes the worse ones, best first.

    In rounds: a box with no better one among the undecided remains, and removes its worse ones.
    """
    remains, is_undecided = np.zeros(count, bool), np.ones(count, bool)
    while is_undecided.any():
        is_contested = np.zeros(count, bool)
        is_contested[worse[is_undecided[better] & is_undecided[worse]]] = True
        is_best = is_undecided & ~is_contested
        remains |= is_best
        is_undecided &= ~is_best
        is_undecided[worse[is_best[better]]] = False
    return remains
