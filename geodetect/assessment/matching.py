"""One-to-one matching of detections to truth over a whole scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geodetect.errors import InputError
from geodetect.geo import boxes as box_math

Float = NDArray[np.float64]
Scores = NDArray[np.float32] | NDArray[np.float64]
Int = NDArray[np.int64]
Bool = NDArray[np.bool_]


@dataclass(frozen=True)
class Matches:
    """Which detection found which object.

    Args:
        truth_of: ``int64[N]`` row of the matched truth box; -1 for a false alarm.
        iou: ``float64[N]`` IoU with it; 0 for a false alarm.
        scores: ``float64[N]`` score of each detection.
        n_truth: Number of truth boxes.
        threshold: Least IoU of a match.
    """

    truth_of: Int
    iou: Float
    scores: Float
    n_truth: int
    threshold: float

    @property
    def correct(self) -> Bool:
        """``bool[N]`` whether a detection is a true positive."""
        return self.truth_of >= 0

    @property
    def prediction_of(self) -> Int:
        """``int64[M]`` row of the detection that found each truth box; -1 for a missed one."""
        found = np.full(self.n_truth, -1, dtype=np.int64)
        rows = np.flatnonzero(self.correct)
        found[self.truth_of[rows]] = rows
        return found


def match_boxes(predicted: Float, scores: Scores, truth: Float, *, iou: float = 0.5) -> Matches:
    """Match detections to truth, the surest first.

    In descending score (then row) order each detection takes the free truth box with the highest
    IoU of at least ``iou``; of equal IoU the last row, as in the COCO evaluation (Lin et al. 2014,
    ``pycocotools``) with one image, no crowds and no limit on detections. Because of the order,
    the matches of detections above a score are those that the detections above it alone would get.

    Args:
        predicted: ``float64[N, 4]`` x1, y1, x2, y2 in the same frame as ``truth``.
        scores: ``float[N]``.
        truth: ``float64[M, 4]``.
        iou: Least intersection over union, above 0 and at most 1.

    Raises:
        InputError: The IoU is out of range, or there are not as many scores as boxes.
    """
    return match_boxes_at(predicted, scores, truth, ious=[iou])[0]


def match_boxes_at(
    predicted: Float, scores: Scores, truth: Float, *, ious: Sequence[float]
) -> tuple[Matches, ...]:
    """``match_boxes`` at several IoU thresholds, finding the overlaps once."""
    if not ious or not all(0 < threshold <= 1 for threshold in ious):
        raise InputError(f"IoU thresholds must be above 0 and at most 1, found {list(ious)}")
    if len(scores) != len(predicted):
        raise InputError(f"found {len(scores)} scores for {len(predicted)} detections")
    values = np.asarray(scores, dtype=np.float64)
    pairs, overlap = _ranked_pairs(predicted, values, truth, least=min(ious))
    return tuple(
        _greedy(pairs, overlap, values, n_truth=len(truth), threshold=threshold)
        for threshold in ious
    )


def _ranked_pairs(
    predicted: Float, scores: Float, truth: Float, *, least: float
) -> tuple[Int, Float]:
    """Pairs that overlap enough, in the order in which they are considered, and their IoU."""
    pairs = box_math.overlap_pairs(predicted, truth)
    overlap = box_math.iou(predicted[pairs[:, 0]], truth[pairs[:, 1]])
    near = overlap >= _attainable(least)
    pairs, overlap = pairs[near], overlap[near]
    rank = np.empty(len(scores), dtype=np.int64)
    rank[np.argsort(-scores, kind="stable")] = np.arange(len(scores))
    order = np.lexsort((-pairs[:, 1], -overlap, rank[pairs[:, 0]]))
    return pairs[order], overlap[order]


def _greedy(
    pairs: Int, overlap: Float, scores: Float, *, n_truth: int, threshold: float
) -> Matches:
    """Accept each pair whose detection and truth are both still free."""
    near = overlap >= _attainable(threshold)
    truth_of, iou = [-1] * len(scores), np.zeros(len(scores))
    taken = [False] * n_truth
    for row, target in pairs[near].tolist():  # lists: a loop over arrays is many times slower
        if truth_of[row] < 0 and not taken[target]:
            truth_of[row] = target
            taken[target] = True
    matched = np.array(truth_of, dtype=np.int64)
    chosen = matched[pairs[:, 0]] == pairs[:, 1]
    iou[pairs[chosen, 0]] = overlap[chosen]
    return Matches(matched, iou, scores, n_truth, threshold)


def _attainable(threshold: float) -> float:
    """Rounding must not keep identical boxes from matching at an IoU of 1 (as in pycocotools)."""
    return min(threshold, 1 - 1e-10)
