"""Scores that are shares of right detections: how far they are, and what makes them so."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geodetect.model.calibration import calibrated_scores
from geodetect.model.card import Calibration
from geodetect.types import BoolArray, FloatArray, IntArray

BINS = 10
# ten of the rarer kind per parameter: Peduzzi et al. (1996), "A simulation study of the number of
# events per variable in logistic regression analysis"
LEAST_OF_EACH_KIND = 20
LEAST_SLOPE = 0.01
SCORE_LIMITS = (1e-7, 1 - 1e-7)  # scores in single precision may be 0 or 1
DECIMALS = 6


@dataclass(frozen=True)
class Reliability:
    """Scores and shares of right detections, in bins of equal width from 0 to 1.

    Args:
        counts: ``int64[B]`` detections in each bin.
        scores: ``float64[B]`` mean of their scores; NaN in empty bins.
        right: ``float64[B]`` share of them that are right; NaN in empty bins.
    """

    counts: IntArray
    scores: FloatArray
    right: FloatArray

    @property
    def expected_error(self) -> float:
        """Expected calibration error: the mean difference of score and share, by detections.

        Guo et al. (2017), "On calibration of modern neural networks". NaN without detections.
        """
        if not self.counts.sum():
            return float("nan")
        difference = np.nan_to_num(np.abs(self.scores - self.right))
        return float((difference * self.counts).sum() / self.counts.sum())


def reliability(
    scores: FloatArray, correct: BoolArray, *, least: float = 0.0, bins: int = BINS
) -> Reliability:
    """Compare scores with shares of right detections.

    Args:
        scores: ``float64[N]`` in 0..1.
        correct: ``bool[N]`` whether each detection is right.
        least: Detections with lower scores do not count.
        bins: Number of bins.
    """
    sure = scores >= least
    scores, correct = scores[sure], correct[sure]
    number = np.minimum((scores * bins).astype(np.int64), bins - 1)
    counts = np.bincount(number, minlength=bins)
    filled = np.where(counts, counts, np.nan)
    return Reliability(
        counts,
        np.bincount(number, scores, minlength=bins) / filled,
        np.bincount(number, correct, minlength=bins) / filled,
    )


def fit_calibration(
    scores: FloatArray, labels: NDArray[np.integer], correct: BoolArray, *, classes: int
) -> Calibration | None:
    """What makes scores shares of right detections.

    Classes with fewer than ``LEAST_OF_EACH_KIND`` right or wrong detections get the calibration of
    all classes together.

    Args:
        scores: ``float64[N]`` in 0..1, as the network gives them.
        labels: ``int[N]`` index of the class.
        correct: ``bool[N]`` whether each detection is right.
        classes: Number of classes.

    Returns:
        None where all classes together have too few right or wrong detections.
    """
    if not _is_enough(correct):
        return None
    logits = _logits(scores)
    together = _platt(logits, correct)
    lines = []
    for label in range(classes):
        own = labels == label
        lines.append(_platt(logits[own], correct[own]) if _is_enough(correct[own]) else together)
    return Calibration(slope=tuple(a for a, _ in lines), intercept=tuple(b for _, b in lines))


def apply_calibration(
    scores: FloatArray, labels: NDArray[np.integer], calibration: Calibration | None
) -> FloatArray:
    """Calibrated scores, ``float64[N]``, from those that a network gives.

    Args:
        scores: ``float64[N]`` in 0..1.
        labels: ``int[N]`` index of the class.
        calibration: None: scores stay as they are.
    """
    return (
        scores if calibration is None else calibrated_scores(_logits(scores), labels, calibration)
    )


def _logits(scores: FloatArray) -> FloatArray:
    inner = np.clip(scores, *SCORE_LIMITS)
    return np.asarray(np.log(inner / (1 - inner)))


def _is_enough(correct: BoolArray) -> bool:
    return bool(min(correct.sum(), (~correct).sum()) >= LEAST_OF_EACH_KIND)


def _platt(logits: FloatArray, correct: BoolArray) -> tuple[float, float]:
    """Slope and intercept with the highest likelihood.

    Platt (1999), with his targets, which are a little less than 1 and more than 0, and the loss in
    the form of Lin, Lin and Weng (2007), "A note on Platt's probabilistic outputs", which does not
    overflow.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    right, wrong = int(correct.sum()), int((~correct).sum())
    target = np.where(correct, (right + 1) / (right + 2), 1 / (wrong + 2))

    def loss(line: FloatArray) -> tuple[float, FloatArray]:
        values = line[0] * logits + line[1]
        surplus = expit(values) - target
        likelihood = np.logaddexp(0, values) - target * values
        return float(likelihood.mean()), np.array([(surplus * logits).mean(), surplus.mean()])

    bounds = ((LEAST_SLOPE, None), (None, None))
    found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=bounds)
    slope, intercept = np.round(found.x, DECIMALS).tolist()
    return slope, intercept
