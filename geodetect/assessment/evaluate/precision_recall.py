"""Precision, recall, F1 and average precision of matched predictions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from geodetect.assessment.matching.greedy_matching import Matches
from geodetect.types import FloatArray, IntArray

COCO_RECALLS = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True)
class OperatingPoint:
    """Counts and rates of the predictions with at least a certain score.

    Args:
        score_threshold: Least score of a prediction that counts.
        tp: True positives, predictions that match an object.
        fp: False positives, predictions that match none.
        fn: False negatives, objects without a prediction.
    """

    score_threshold: float
    tp: int
    fp: int
    fn: int

    @property
    def precision(self) -> float:
        """Fraction of predictions that match an object; NaN without predictions."""
        return _divide(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """Fraction of objects that are detected; NaN without objects."""
        return _divide(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; NaN without predictions and objects."""
        return _divide(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def count_error(self) -> float:
        """Predictions over objects, less 1: 0.1 is a tenth too many; NaN without objects."""
        return _divide(self.fp - self.fn, self.tp + self.fn)


@dataclass(frozen=True)
class PrecisionRecallCurve:
    """Precision and recall at each distinct score as threshold, in descending order.

    Predictions of one score enter together: no threshold separates them, so their order must not
    count. ``pycocotools`` takes them one by one, in the order of rows.

    Args:
        scores: ``float64[T]`` distinct scores, descending.
        counts: ``int64[T]`` number of predictions with at least this score.
        tp: ``int64[T]`` true positives among them.
        n_truth: Number of objects.
    """

    scores: FloatArray
    counts: IntArray
    tp: IntArray
    n_truth: int

    @property
    def precision(self) -> FloatArray:
        """Precision at each threshold, ``float64[T]``."""
        return self.tp / self.counts

    @property
    def recall(self) -> FloatArray:
        """Recall at each threshold, ``float64[T]``; NaN without objects."""
        return self.tp / (self.n_truth or np.nan)

    @cached_property
    def f1(self) -> FloatArray:
        """F1 at each threshold, ``float64[T]``."""
        return 2 * self.tp / (self.counts + self.n_truth)

    def at(self, score_threshold: float) -> OperatingPoint:
        """Return the counts of the predictions with at least this score."""
        end = int(np.searchsorted(-self.scores, -score_threshold, side="right"))
        count, tp = (int(self.counts[end - 1]), int(self.tp[end - 1])) if end else (0, 0)
        return OperatingPoint(float(score_threshold), tp, count - tp, self.n_truth - tp)

    def best_f1(self) -> OperatingPoint:
        """Return the counts at the score threshold with the highest F1.

        Of several equal thresholds it is the highest, without any true positive it is 1.
        """
        if self.f1.max(initial=0) <= 0:
            return self.at(1.0)
        return self.at(float(self.scores[np.argmax(self.f1)]))


def precision_recall_curve(matches: Matches) -> PrecisionRecallCurve:
    """Return the precision-recall curve of matches; the order of their rows changes nothing."""
    order = np.argsort(-matches.scores)
    scores = matches.scores[order]
    last_of_ties = np.flatnonzero(np.append(scores[1:] != scores[:-1], True)[: len(scores)])
    tp = np.cumsum(matches.is_tp[order], dtype=np.int64)
    return PrecisionRecallCurve(
        scores[last_of_ties], last_of_ties + 1, tp[last_of_ties], matches.n_truth
    )


def average_precision(matches: Matches) -> float:
    """Return the average precision by the 101-point interpolation of COCO (Lin et al. 2014).

    It is the mean, over the recalls 0.00, 0.01, ... 1.00, of the best precision at that recall or
    a higher one; 0 for recalls that are not reached. Predictions of one score enter together, so
    with ties it is that of ``pycocotools`` in the worst order of these, and else the same.

    Returns:
        0..1, or NaN without objects.
    """
    curve = precision_recall_curve(matches)
    if curve.n_truth == 0:
        return float("nan")
    envelope = np.maximum.accumulate(curve.precision[::-1])[::-1]
    position = np.searchsorted(curve.recall, COCO_RECALLS, side="left")
    return float(np.append(envelope, 0.0)[position].mean())


def _divide(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
