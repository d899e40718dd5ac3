"""True positives, false positives and false negatives of the predictions on a canvas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geodetect.assessment.evaluate.metrics import DetectionMetrics, evaluate_tables
from geodetect.geo import boxes as box_ops
from geodetect.io.vector.qgis_style import FALSE_NEGATIVE, FALSE_POSITIVE, TRUE_POSITIVE, Colour
from geodetect.reporting.drawing.layers import CanvasLayer
from geodetect.types import FloatArray, IntArray


@dataclass(frozen=True)
class MatchResult:
    """Predictions matched with the ground truth.

    Args:
        predictions: Predictions in descending order of their scores.
        truth: Objects of the ground truth.
        truth_rows: ``int64[N]`` row of the object that each prediction matches; -1: a false
            positive.
        prediction_rows: ``int64[M]`` row of the prediction that matches each object; -1: none.
        metrics: The metrics of all predictions.
    """

    predictions: CanvasLayer
    truth: CanvasLayer
    truth_rows: IntArray
    prediction_rows: IntArray
    metrics: DetectionMetrics

    @property
    def by_class(self) -> bool:
        """True if predictions match objects of their own class only."""
        return len(self.metrics.classes) > 1

    def false_positives(self, count: int) -> IntArray:
        """Return rows of the false positives among the first ``count`` predictions."""
        return np.flatnonzero(self.truth_rows[:count] < 0)

    def false_negatives(self, count: int) -> IntArray:
        """Return rows of the objects that none of the first ``count`` predictions matches.

        See `rank_false_negatives` for their order.
        """
        ranks = np.where(self.prediction_rows < 0, np.nan, -self.prediction_rows)
        return rank_false_negatives(ranks, self.truth.boxes, threshold=1 - count)

    def outline_layers(self, count: int) -> list[tuple[FloatArray, Colour]]:
        """Return boxes and colour of false negatives, true positives and false positives.

        Args:
            count: Number of predictions, from the first on, that reach the score threshold.
        """
        boxes, is_correct = self.predictions.boxes[:count], self.truth_rows[:count] >= 0
        return [
            (self.truth.boxes[np.sort(self.false_negatives(count))], FALSE_NEGATIVE),
            (boxes[is_correct], TRUE_POSITIVE),
            (boxes[~is_correct], FALSE_POSITIVE),
        ]


def rank_false_negatives(scores: FloatArray, boxes: FloatArray, *, threshold: float) -> IntArray:
    """Return rows of the objects without a prediction at a score threshold, the worst first.

    Objects without any prediction come first, the largest of them before the others; then those
    with a prediction of a lower score, the lowest first.

    Args:
        scores: ``float64[M]`` score of the prediction that matches each object; NaN: none does.
        boxes: ``float64[M, 4]`` of the objects.
        threshold: The score threshold.
    """
    rows = np.flatnonzero(~(scores >= threshold))
    has_prediction = ~np.isnan(scores[rows])
    area = box_ops.area(boxes[rows])
    return rows[np.lexsort((-area, np.where(has_prediction, scores[rows], 0), has_prediction))]


def match_layers(
    predictions: CanvasLayer, truth: CanvasLayer, *, iou: float, by_class: bool | None = None
) -> MatchResult:
    """Match predictions, those of higher scores first, with the ground truth.

    Args:
        predictions: Predictions in descending order of their scores.
        truth: Objects on the same canvas.
        iou: Least intersection over union of a match.
        by_class: Match within classes only; None: if the layers share some.

    Raises:
        LabelError: A geometry has no extent, or the layers share none of their classes.
    """
    metrics = evaluate_tables(predictions.table, truth.table, iou=iou, by_class=by_class)
    prediction_rows = np.full(len(truth), -1, dtype=np.int64)
    matched = np.flatnonzero(metrics.truth_of >= 0)
    prediction_rows[metrics.truth_of[matched]] = matched
    return MatchResult(predictions, truth, metrics.truth_of, prediction_rows, metrics)
