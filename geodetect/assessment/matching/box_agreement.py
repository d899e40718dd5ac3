"""Systematic differences between the boxes of predictions and truth: offset and size."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from geodetect.assessment.matching.alignment import AlignedLayers
from geodetect.assessment.matching.greedy_matching import match_boxes
from geodetect.assessment.matching.layer_offset import (
    MAD_TO_DEVIATION,
    MEDIAN_ERROR,
    LayerOffset,
    estimate_offset,
    project,
)
from geodetect.geo import boxes as box_ops
from geodetect.geo.geodesic import cartesian_points_m, ground_sizes
from geodetect.types import FloatArray

LEAST_IOU = 0.1  # of boxes that are taken for the same object, whatever their sizes
LEAST_PAIRS = 10
LEAST_SHIFT_FRACTION = 0.1  # of the short side: an IoU of about 0.8
LEAST_RATIO = 1.2  # an IoU of 0.7 at best
LEAST_SIGNIFICANCE = 5.0  # standard errors


@dataclass(frozen=True)
class BoxAgreement:
    """Systematic differences between the boxes of two layers.

    Args:
        offset: Offset of the truth from the predictions; None: none that matters for objects of
            this size is certain.
        matches: Number of objects that are matched.
        matches_without_offset: The same with the offset taken out.
        ratio: Sides of true boxes over those of predictions, median of ``pairs``; None: about 1, or
            not certain.
        pairs: Number of pairs of boxes behind the ratio.
    """

    offset: LayerOffset | None
    matches: int
    matches_without_offset: int
    ratio: float | None
    pairs: int


def compare_boxes(layers: AlignedLayers, *, iou: float) -> BoxAgreement:
    """Compare the boxes of the most confident predictions, as many as there are objects.

    Args:
        layers: Predictions and truth, with a CRS.
        iou: Least IoU of a match.
    """
    best = np.argsort(-layers.predictions.scores, kind="stable")[: len(layers.truth)]
    predicted, truth = layers.predictions[np.sort(best)], layers.truth
    matches = matches_without = int(_count_matches(predicted.boxes, truth.boxes, iou))
    centres = AlignedLayers(layers.grid, predicted, truth).geocentric_centres()
    offset, boxes = estimate_offset(*centres), truth.boxes
    if offset is not None:
        boxes = boxes - np.tile(_offset_px(offset, layers), 2)
        matches_without = _count_matches(predicted.boxes, boxes, iou)
        if offset.distance_m < LEAST_SHIFT_FRACTION * _median_side_m(layers):
            offset = None
    ratio, pairs = _size_ratio(predicted.boxes, boxes)
    return BoxAgreement(offset, matches, matches_without, ratio, pairs)


def _count_matches(predicted: FloatArray, truth: FloatArray, iou: float) -> int:
    scores = np.ones(len(predicted))
    return int(match_boxes(predicted, scores, truth, iou=iou).is_tp.sum())


def _size_ratio(predicted: FloatArray, truth: FloatArray) -> tuple[float | None, int]:
    """Return the median ratio of the sides of overlapping boxes, and the number of pairs."""
    matches = match_boxes(predicted, np.ones(len(predicted)), truth, iou=LEAST_IOU)
    rows = np.flatnonzero(matches.is_tp)
    if len(rows) < LEAST_PAIRS:
        return None, len(rows)
    areas = box_ops.area(truth[matches.truth_of[rows]]), box_ops.area(predicted[rows])
    logs = np.log(areas[0] / areas[1]) / 2
    median = float(np.median(logs))
    deviation = MAD_TO_DEVIATION * float(np.median(np.abs(logs - median)))
    error = MEDIAN_ERROR * deviation / math.sqrt(len(rows))
    is_certain = abs(median) > max(math.log(LEAST_RATIO), LEAST_SIGNIFICANCE * error)
    return (math.exp(median) if is_certain else None), len(rows)


def _offset_px(offset: LayerOffset, layers: AlignedLayers) -> FloatArray:
    """Return an offset at each true box in pixels of the comparison grid, ``float64[M, 2]``."""
    crs = layers.grid.crs
    assert crs is not None
    centres = layers.truth.centres
    step = float(np.median(layers.truth.boxes[:, 2:] - layers.truth.boxes[:, :2]))

    def points(centres_px: FloatArray) -> FloatArray:
        return cartesian_points_m(layers.grid.to_map(centres_px), crs)

    start = points(centres)
    ends = points(centres + np.array([step, 0])), points(centres + np.array([0, step]))
    per_px = np.stack([project(end - start, start) / step for end in ends], axis=2)
    target = np.tile(np.array([[offset.east_m], [offset.north_m]]), (len(centres), 1, 1))
    return np.asarray(np.linalg.solve(per_px, target)[:, :, 0])


def _median_side_m(layers: AlignedLayers) -> float:
    """Return the short side on the ground of the median true box."""
    rings = layers.grid.boxes_to_map(layers.truth.boxes)
    return float(np.median(ground_sizes(rings, layers.grid.crs)[0]))
