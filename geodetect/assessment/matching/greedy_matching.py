"""One-to-one matching of detections to truth over a whole scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geodetect.errors import InputError
from geodetect.geo import boxes as box_ops
from geodetect.types import BoolArray, Float32Array, FloatArray, IntArray

Scores = Float32Array | FloatArray

MOST_PAIRS = 10_000_000  # of a detection and an object nearby: about 0.7 GB
PAIRS_AT_ONCE = 100_000
FAR_APART_PX = 1e8  # wider than any raster; places of a thousand scenes are exact to 1e-5 px


@dataclass(frozen=True)
class Matches:
    """Which detection found which object.

    Args:
        truth_of: ``int64[N]`` row of the matched truth; -1 for a false alarm.
        iou: ``float64[N]`` IoU with it; 0 for a false alarm, NaN where distance decided.
        scores: ``float64[N]`` score of each detection.
        n_truth: Number of objects.
        threshold: Least IoU of a match, or its greatest distance.
    """

    truth_of: IntArray
    iou: FloatArray
    scores: FloatArray
    n_truth: int
    threshold: float

    @property
    def correct(self) -> BoolArray:
        """``bool[N]`` whether a detection is a true positive."""
        return self.truth_of >= 0

    @property
    def prediction_of(self) -> IntArray:
        """``int64[M]`` row of the detection that found each truth box; -1 for a missed one."""
        found = np.full(self.n_truth, -1, dtype=np.int64)
        rows = np.flatnonzero(self.correct)
        found[self.truth_of[rows]] = rows
        return found


def match_boxes(
    predicted: FloatArray, scores: Scores, truth: FloatArray, *, iou: float = 0.5
) -> Matches:
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
    predicted: FloatArray, scores: Scores, truth: FloatArray, *, ious: Sequence[float]
) -> tuple[Matches, ...]:
    """``match_boxes`` at several IoU thresholds, finding the overlaps once."""
    if not ious or not all(0 < threshold <= 1 for threshold in ious):
        raise InputError(f"IoU thresholds must be above 0 and at most 1, found {list(ious)}")
    values = _checked_scores(scores, len(predicted))
    pairs, overlap = _ranked_pairs(predicted, values, truth, least=min(ious))
    return tuple(
        _matches_at(pairs, overlap, values, n_truth=len(truth), threshold=threshold)
        for threshold in ious
    )


def boxes_apart(boxes: FloatArray, labels: NDArray[np.integer[Any]], *, scene: int) -> FloatArray:
    """Boxes moved so that those of different scenes or classes never overlap.

    So the detections of several rasters or tiles are matched at once, each with its own truth.

    Args:
        boxes: ``float64[N, 4]`` x1, y1, x2, y2 in pixels of their scene.
        labels: ``int[N]`` their classes.
        scene: Number of the scene.

    Returns:
        ``float64[N, 4]``.
    """
    place = np.stack([labels, np.full(len(labels), scene)], axis=1)
    return boxes + np.tile(place, 2) * FAR_APART_PX


def match_points(
    predicted: FloatArray, scores: Scores, truth: FloatArray, *, distance: float
) -> Matches:
    """Match detections to truth by the distance of their centres, the surest first.

    In descending score (then row) order each detection takes the nearest free object that is at
    most ``distance`` away; of equally near ones the last row.

    Args:
        predicted: ``float64[N, D]`` points in a frame where straight lines are distances.
        scores: ``float[N]``.
        truth: ``float64[M, D]``.
        distance: Greatest distance of a match, above 0, in the unit of the frame.

    Raises:
        InputError: The distance is not above 0, so large that nearly everything would be a
            candidate for everything, or there are not as many scores as points.
    """
    from scipy.spatial import KDTree

    if not 0 < distance < np.inf:
        raise InputError(f"the distance of a match must be above 0, found {distance}")
    values = _checked_scores(scores, len(predicted))
    if len(predicted) == 0 or len(truth) == 0:
        pairs, far = np.empty((0, 2), dtype=np.int64), np.empty(0)
    else:
        trees = KDTree(predicted), KDTree(truth)
        count = int(trees[0].count_neighbors(trees[1], distance))
        if count > MOST_PAIRS:
            raise InputError(
                f"a detection has {count / len(predicted):,.0f} objects within {distance:g} on "
                f"average; expected a distance about the size of an object: lower --distance"
            )
        near = trees[0].sparse_distance_matrix(trees[1], distance, output_type="ndarray")
        pairs, far = np.stack([near["i"], near["j"]], axis=1).astype(np.int64), near["v"]
    order = _order(pairs, -far, values)
    truth_of = _greedy(pairs[order], n_predicted=len(values), n_truth=len(truth))
    iou = np.where(truth_of >= 0, np.nan, 0.0)
    return Matches(truth_of, iou, values, len(truth), distance)


def _ranked_pairs(
    predicted: FloatArray, scores: FloatArray, truth: FloatArray, *, least: float
) -> tuple[IntArray, FloatArray]:
    """Pairs that overlap enough, in the order in which they are considered, and their IoU."""
    pairs = box_ops.overlap_pairs(predicted, truth)
    overlap = box_ops.iou(predicted[pairs[:, 0]], truth[pairs[:, 1]])
    near = overlap >= _attainable(least)
    pairs, overlap = pairs[near], overlap[near]
    order = _order(pairs, overlap, scores)
    return pairs[order], overlap[order]


def _order(pairs: IntArray, closeness: FloatArray, scores: FloatArray) -> IntArray:
    """The order in which pairs are considered: by score, then by closeness, then last row first."""
    rank = np.empty(len(scores), dtype=np.int64)
    rank[np.argsort(-scores, kind="stable")] = np.arange(len(scores))
    return np.lexsort((-pairs[:, 1], -closeness, rank[pairs[:, 0]]))


def _matches_at(
    pairs: IntArray, overlap: FloatArray, scores: FloatArray, *, n_truth: int, threshold: float
) -> Matches:
    """The matches among ranked pairs with at least this IoU."""
    near = overlap >= _attainable(threshold)
    truth_of = _greedy(pairs[near], n_predicted=len(scores), n_truth=n_truth)
    chosen = truth_of[pairs[:, 0]] == pairs[:, 1]
    iou = np.zeros(len(scores))
    iou[pairs[chosen, 0]] = overlap[chosen]
    return Matches(truth_of, iou, scores, n_truth, threshold)


def _greedy(pairs: IntArray, *, n_predicted: int, n_truth: int) -> IntArray:
    """Accept each pair whose detection and truth are both still free."""
    truth_of, taken = [-1] * n_predicted, [False] * n_truth
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        # lists: a loop over arrays is many times slower, but all pairs as lists would be large
        for row, target in pairs[start : start + PAIRS_AT_ONCE].tolist():
            if truth_of[row] < 0 and not taken[target]:
                truth_of[row] = target
                taken[target] = True
    return np.array(truth_of, dtype=np.int64)


def _checked_scores(scores: Scores, count: int) -> FloatArray:
    if len(scores) != count:
        raise InputError(f"found {len(scores)} scores for {count} detections")
    return np.asarray(scores, dtype=np.float64)


def _attainable(threshold: float) -> float:
    """Rounding must not keep identical boxes from matching at an IoU of 1 (as in pycocotools)."""
    return min(threshold, 1 - 1e-10)
