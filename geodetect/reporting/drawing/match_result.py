"""Which detections are right and which objects are missed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geodetect.assessment.evaluate.metrics import DetectionMetrics, evaluate_tables
from geodetect.geo import boxes as box_ops
from geodetect.reporting.drawing.layers import Objects
from geodetect.types import FloatArray, IntArray


@dataclass(frozen=True)
class Judgement:
    """Detections matched with the truth.

    Args:
        truth: The objects.
        truth_of: ``int64[N]`` for each detection the object it found; -1 for a false alarm.
        found_by: ``int64[M]`` for each object the detection that found it; -1 if none did.
        metrics: The figures.
    """

    truth: Objects
    truth_of: IntArray
    found_by: IntArray
    metrics: DetectionMetrics

    @property
    def by_class(self) -> bool:
        """Whether a detection must have the class of the object."""
        return len(self.metrics.classes) > 1

    def worst_false_alarms(self, sure: int, count: int) -> IntArray:
        """Rows of false alarms, the surest first.

        Args:
            sure: How many detections, from the first on, count as such.
            count: How many rows are wanted.
        """
        return np.flatnonzero(self.truth_of[:sure] < 0)[:count]

    def worst_misses(self, sure: int, count: int) -> IntArray:
        """Rows of objects that none of the first ``sure`` detections found.

        See `rank_misses` for their order.
        """
        surest_first = np.where(self.found_by < 0, np.nan, -self.found_by)
        return rank_misses(surest_first, self.truth.boxes, least=1 - sure)[:count]


def rank_misses(scores: FloatArray, boxes: FloatArray, *, least: float) -> IntArray:
    """Rows of objects that no detection of at least some score found, the worst first.

    First those that no detection at all found, the largest first; then those found by the least
    sure ones.

    Args:
        scores: ``float64[M]`` of the detection that found each object, higher where it is surer;
            NaN: none did.
        boxes: ``float64[M, 4]`` of the objects.
        least: Score from which detections count.
    """
    missed = np.flatnonzero(~(scores >= least))
    found = ~np.isnan(scores[missed])
    area = box_ops.area(boxes[missed])
    return missed[np.lexsort((-area, np.where(found, scores[missed], 0), found))]


def judge(found: Objects, truth: Objects, *, iou: float, by_class: bool | None = None) -> Judgement:
    """Match detections, the surest first, with the truth.

    Args:
        found: Detections in descending order of their scores.
        truth: Objects on the same frame.
        iou: Least intersection over union of a match.
        by_class: Whether classes must agree; None: if the layers share some.

    Raises:
        LabelError: A geometry has no extent, or the layers share none of their classes.
    """
    metrics = evaluate_tables(found.table, truth.table, iou=iou, by_class=by_class)
    found_by = np.full(len(truth), -1, dtype=np.int64)
    rows = np.flatnonzero(metrics.truth_of >= 0)
    found_by[metrics.truth_of[rows]] = rows
    return Judgement(truth, metrics.truth_of, found_by, metrics)
