"""Precision, recall, F1 and average precision of matched detections."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from geodetect.assessment.matching.greedy_matching import Matches
from geodetect.types import FloatArray, IntArray

COCO_RECALLS = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True)
class OperatingPoint:
    """Counts and rates of the detections with at least a certain score.

    Args:
        score_threshold: Least score of a detection that counts.
        true_positives: Detections that match an object.
        false_positives: Detections that match none.
        false_negatives: Objects without a detection.
    """

    score_threshold: float
    true_positives: int
    false_positives: int
    false_negatives: int

    @property
    def precision(self) -> float:
        """Share of detections that are right; NaN without detections."""
        return _ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        """Share of objects that are found; NaN without objects."""
        return _ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; NaN without detections and objects."""
        wrong = self.false_positives + self.false_negatives
        return _ratio(2 * self.true_positives, 2 * self.true_positives + wrong)

    @property
    def count_error(self) -> float:
        """Detections over objects, less 1: 0.1 is a tenth too many; NaN without objects."""
        surplus = self.false_positives - self.false_negatives
        return _ratio(surplus, self.true_positives + self.false_negatives)


@dataclass(frozen=True)
class PrecisionRecallCurve:
    """Precision and recall after each detection, the surest first.

    Args:
        scores: ``float64[N]`` descending.
        true_positives: ``int64[N]`` detections up to here that match an object.
        n_truth: Number of objects.
    """

    scores: FloatArray
    true_positives: IntArray
    n_truth: int

    @property
    def precision(self) -> FloatArray:
        """``float64[N]`` share of detections up to here that are right."""
        return self.true_positives / np.arange(1, len(self.scores) + 1)

    @property
    def recall(self) -> FloatArray:
        """``float64[N]`` share of objects found up to here; NaN without objects."""
        return (
            self.true_positives / self.n_truth
            if self.n_truth
            else np.full(len(self.scores), np.nan)
        )

    def at(self, score_threshold: float) -> OperatingPoint:
        """The detections with at least this score."""
        count = int(np.searchsorted(-self.scores, -score_threshold, side="right"))
        right = int(self.true_positives[count - 1]) if count else 0
        return OperatingPoint(float(score_threshold), right, count - right, self.n_truth - right)

    @cached_property
    def counts(self) -> IntArray:
        """How many detections each distinct score lets through, ``int64[T]`` ascending."""
        last_of_ties = np.append(self.scores[1:] != self.scores[:-1], True)[: len(self.scores)]
        return np.flatnonzero(last_of_ties) + 1

    def best_f1(self) -> OperatingPoint:
        """The score threshold with the highest F1; of several the highest threshold.

        Without any correct detection every threshold is as good: it is then 1.
        """
        f1 = 2 * self.true_positives[self.counts - 1] / (self.counts + self.n_truth)
        if len(f1) == 0 or f1.max() <= 0:
            return self.at(1.0)
        return self.at(float(self.scores[self.counts[np.argmax(f1)] - 1]))


def precision_recall_curve(matches: Matches) -> PrecisionRecallCurve:
    """The precision-recall curve of matched detections, in descending score (then row) order."""
    order = np.argsort(-matches.scores, kind="stable")
    found = np.cumsum(matches.correct[order], dtype=np.int64)
    return PrecisionRecallCurve(matches.scores[order], found, matches.n_truth)


def average_precision(matches: Matches) -> float:
    """Average precision by the 101-point interpolation of COCO (Lin et al. 2014).

    The mean, over the recalls 0.00, 0.01, ... 1.00, of the best precision at that recall or a
    higher one; 0 for recalls that are not reached.

    Returns:
        0..1, or NaN without objects.
    """
    curve = precision_recall_curve(matches)
    if curve.n_truth == 0:
        return float("nan")
    envelope = np.maximum.accumulate(curve.precision[::-1])[::-1]
    position = np.searchsorted(curve.recall, COCO_RECALLS, side="left")
    return float(np.append(envelope, 0.0)[position].mean())


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
