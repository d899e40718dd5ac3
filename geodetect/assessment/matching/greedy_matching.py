"""Greedy one-to-one matching of predictions to truth, by score, as in the COCO evaluation.

Predictions of one score compete by their closeness to the truth, then by their coordinates: the
order of rows changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geodetect.arrays.ordering import order_rows
from geodetect.assessment.matching.near_pairs import near_pairs
from geodetect.errors import InputError
from geodetect.geo import boxes as box_ops
from geodetect.geo.polygons import polygon_iou
from geodetect.types import BoolArray, Float32Array, FloatArray, IntArray, ObjectArray

Scores = Float32Array | FloatArray

MAX_PAIRS = 10_000_000  # within the distance of a match: about 0.7 GB
PAIRS_AT_ONCE = 100_000
HIGHEST_IOU = 1 - 1e-10  # threshold that identical boxes reach in spite of rounding, as in COCO
SCENE_OFFSET_PX = 1e8  # wider than any raster; a thousand scenes are exact to 1e-5 px


@dataclass(frozen=True)
class Matches:
    """Matches of predictions and true objects.

    Args:
        truth_of: ``int64[N]`` row of the matched truth; -1 for a false positive.
        iou: ``float64[N]`` IoU with it; 0 for a false positive, NaN where distance decided.
        scores: ``float64[N]`` score of each prediction.
        n_truth: Number of objects.
        threshold: Least IoU of a match, or its greatest distance.
    """

    truth_of: IntArray
    iou: FloatArray
    scores: FloatArray
    n_truth: int
    threshold: float

    @property
    def is_tp(self) -> BoolArray:
        """True positives among the predictions, ``bool[N]``."""
        return self.truth_of >= 0

    @property
    def prediction_of(self) -> IntArray:
        """Row of the prediction that matches each object, ``int64[M]``; -1 for a false negative."""
        prediction_of = np.full(self.n_truth, -1, dtype=np.int64)
        rows = np.flatnonzero(self.is_tp)
        prediction_of[self.truth_of[rows]] = rows
        return prediction_of

    @property
    def scores_of_truth(self) -> FloatArray:
        """Score of the prediction that matches each object, ``float64[M]``; NaN without one."""
        return np.append(self.scores, np.nan)[self.prediction_of]  # row -1 is the last


def match_boxes(
    predicted: FloatArray, scores: Scores, truth: FloatArray, *, iou: float = 0.5
) -> Matches:
    """Match predicted boxes to true boxes, the highest score first.

    In descending score order each prediction takes the free true box with the highest IoU of at
    least ``iou``, as in the COCO evaluation (Lin et al. 2014, ``pycocotools``) with one image, no
    crowds and no limit on detections. Among predictions of one score the pairs with the highest
    IoU come first, and of equal pairs those with the lowest coordinates of the prediction, then
    the highest of the truth; ``pycocotools`` takes the first and the last row. Because of the
    order, the matches of predictions above a score are those that the predictions above it alone
    would get. ``pycocotools`` itself holds all pairs of an image, which are too many in a whole
    scene.

    Args:
        predicted: ``float64[N, 4]`` x1, y1, x2, y2 in the same grid as ``truth``.
        scores: ``float[N]``.
        truth: ``float64[M, 4]``.
        iou: Least intersection over union, above 0 and at most 1.

    Raises:
        InputError: The IoU is out of range, or there are not as many scores as boxes.
    """
    return match_boxes_at(predicted, scores, truth, ious=[iou])[0]


def match_boxes_at(
    predicted: FloatArray,
    scores: Scores,
    truth: FloatArray,
    *,
    ious: Sequence[float],
    outlines: tuple[ObjectArray, ObjectArray] | None = None,
) -> tuple[Matches, ...]:
    """Match boxes like ``match_boxes`` at several IoU thresholds, with one search for overlaps.

    Args:
        predicted: ``float64[N, 4]`` x1, y1, x2, y2 in the same grid as ``truth``.
        scores: ``float[N]``.
        truth: ``float64[M, 4]``.
        ious: Least IoUs, above 0 and at most 1.
        outlines: ``object[N]`` and ``object[M]`` valid polygons within the boxes, whose IoU decides
            in place of that of the boxes, as for the masks of COCO.

    Raises:
        InputError: An IoU is out of range, or there are not as many scores as boxes.
    """
    if not ious or not all(0 < threshold <= 1 for threshold in ious):
        raise InputError(f"IoU thresholds must be above 0 and at most 1, found {list(ious)}")
    values = _check_scores(scores, len(predicted))
    pairs = box_ops.overlap_pairs(predicted, truth)
    if outlines is None:
        overlap = box_ops.iou(predicted[pairs[:, 0]], truth[pairs[:, 1]])
    else:
        overlap = polygon_iou(outlines[0][pairs[:, 0]], outlines[1][pairs[:, 1]])
    is_candidate = overlap >= min(*ious, HIGHEST_IOU)
    pairs, overlap = pairs[is_candidate], overlap[is_candidate]
    order = _rank_pairs(pairs, overlap, values, predicted=predicted, truth=truth)
    pairs, overlap = pairs[order], overlap[order]
    matches = []
    for threshold in ious:
        is_candidate = overlap >= min(threshold, HIGHEST_IOU)
        truth_of = _accept_pairs(pairs[is_candidate], n_predicted=len(values), n_truth=len(truth))
        is_match = truth_of[pairs[:, 0]] == pairs[:, 1]
        iou = np.zeros(len(values))
        iou[pairs[is_match, 0]] = overlap[is_match]
        matches.append(Matches(truth_of, iou, values, len(truth), threshold))
    return tuple(matches)


def offset_boxes(boxes: FloatArray, labels: NDArray[np.integer[Any]], *, scene: int) -> FloatArray:
    """Offset boxes so that those of different scenes or classes never overlap.

    So the predictions of several rasters or tiles are matched in one call, as batched NMS does it.

    Args:
        boxes: ``float64[N, 4]`` x1, y1, x2, y2 in pixels of their scene.
        labels: ``int[N]`` their classes.
        scene: Number of the scene.

    Returns:
        ``float64[N, 4]``.
    """
    offset = np.stack([labels, np.full(len(labels), scene)], axis=1)
    return boxes + np.tile(offset, 2) * SCENE_OFFSET_PX


def match_points(
    predicted: FloatArray, scores: Scores, truth: FloatArray, *, distance: float
) -> Matches:
    """Match predictions to truth by the distance of their centres, the highest score first.

    In descending score order each prediction takes the nearest free object that is at most
    ``distance`` away. Among predictions of one score the nearest pairs come first, and of equal
    pairs those with the lowest coordinates of the prediction, then the highest of the truth.

    Args:
        predicted: ``float64[N, D]`` points in coordinates where straight lines are distances.
        scores: ``float[N]``.
        truth: ``float64[M, D]``.
        distance: Greatest distance of a match, above 0, in the unit of the coordinates.

    Raises:
        InputError: The distance is not above 0, so large that nearly everything would be a
            candidate for everything, or there are not as many scores as points.
    """
    if not 0 < distance < np.inf:
        raise InputError(f"the distance of a match must be above 0, found {distance}")
    values = _check_scores(scores, len(predicted))
    pairs, distances = near_pairs(
        predicted, truth, distance, parameter="distance", max_pairs=MAX_PAIRS
    )
    order = _rank_pairs(pairs, -distances, values, predicted=predicted, truth=truth)
    truth_of = _accept_pairs(pairs[order], n_predicted=len(values), n_truth=len(truth))
    iou = np.where(truth_of >= 0, np.nan, 0.0)
    return Matches(truth_of, iou, values, len(truth), distance)


def _rank_pairs(
    pairs: IntArray,
    closeness: FloatArray,
    scores: FloatArray,
    *,
    predicted: FloatArray,
    truth: FloatArray,
) -> IntArray:
    """Return the order in which pairs compete: by score, closeness, then coordinates."""

    def coordinates(rows: IntArray) -> list[FloatArray]:
        first, second = pairs[rows].T
        return [-second, *-truth[second].T[::-1], *predicted[first].T[::-1]]

    return order_rows([-closeness, -scores[pairs[:, 0]]], coordinates)


def _accept_pairs(pairs: IntArray, *, n_predicted: int, n_truth: int) -> IntArray:
    """Accept each pair whose prediction and object are both still free."""
    truth_of, taken = [-1] * n_predicted, [False] * n_truth
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        # lists: a loop over arrays is many times slower, but all pairs as lists would be large
        for row, target in pairs[start : start + PAIRS_AT_ONCE].tolist():
            if truth_of[row] < 0 and not taken[target]:
                truth_of[row] = target
                taken[target] = True
    return np.array(truth_of, dtype=np.int64)


def _check_scores(scores: Scores, count: int) -> FloatArray:
    if len(scores) != count:
        raise InputError(f"found {len(scores)} scores for {count} predictions")
    return np.asarray(scores, dtype=np.float64)
