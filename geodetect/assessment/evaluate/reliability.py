"""Calibration of scores: reliability diagrams, expected calibration error and Platt scaling.

A calibrated score is the fraction of true positives among predictions with that score.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geodetect.model.calibration import calibrated_scores
from geodetect.model.card import Calibration
from geodetect.types import BoolArray, FloatArray, IntArray

BINS = 10
# ten of the rarer kind for each of two parameters: Peduzzi et al. (1996), "A simulation study of
# the number of events per variable in logistic regression analysis"
MIN_EVENTS = 20
LEAST_SLOPE = 0.01
SCORE_LIMITS = (1e-7, 1 - 1e-7)  # scores in single precision may be 0 or 1
DECIMALS = 6
FEW = 10  # of the highest scores, which do not count as known


@dataclass(frozen=True)
class Reliability:
    """Scores and fractions of true positives in bins of equal width from 0 to 1.

    Args:
        counts: ``int64[B]`` predictions in each bin.
        scores: ``float64[B]`` mean of their scores; NaN in empty bins.
        precision: ``float64[B]`` fraction of true positives among them; NaN in empty bins.
    """

    counts: IntArray
    scores: FloatArray
    precision: FloatArray

    @property
    def expected_calibration_error(self) -> float:
        """Mean difference of score and precision, weighted by predictions; NaN without any.

        Guo et al. (2017), "On calibration of modern neural networks".
        """
        if not self.counts.sum():
            return float("nan")
        difference = np.nan_to_num(np.abs(self.scores - self.precision))
        return float((difference * self.counts).sum() / self.counts.sum())


def reliability(
    scores: FloatArray, correct: BoolArray, *, least: float = 0.0, bins: int = BINS
) -> Reliability:
    """Compare scores with fractions of true positives.

    Args:
        scores: ``float64[N]`` in 0..1.
        correct: ``bool[N]`` true positives.
        least: Predictions with lower scores do not count.
        bins: Number of bins.
    """
    is_counted = scores >= least
    scores, correct = scores[is_counted], correct[is_counted]
    number = np.minimum((scores * bins).astype(np.int64), bins - 1)
    counts = np.bincount(number, minlength=bins)
    divisor = np.where(counts, counts, np.nan)
    return Reliability(
        counts,
        np.bincount(number, scores, minlength=bins) / divisor,
        np.bincount(number, correct, minlength=bins) / divisor,
    )


def fit_calibration(
    scores: FloatArray, labels: NDArray[np.integer], correct: BoolArray, *, classes: int
) -> Calibration | None:
    """Fit the calibration of scores by Platt scaling, class by class.

    Classes with fewer than ``MIN_EVENTS`` true or false positives get the calibration of
    all classes together.

    Args:
        scores: ``float64[N]`` in 0..1, as the network gives them.
        labels: ``int[N]`` index of the class.
        correct: ``bool[N]`` true positives.
        classes: Number of classes.

    Returns:
        None if all classes together have too few true or false positives.
    """
    if not _has_enough_events(correct):
        return None
    logits = _to_logits(scores)
    pooled = _fit_platt(logits, correct)
    fits = []
    for label in range(classes):
        mask = labels == label
        is_enough = _has_enough_events(correct[mask])
        fits.append(_fit_platt(logits[mask], correct[mask]) if is_enough else pooled)
    calibration = Calibration(slope=tuple(a for a, _ in fits), intercept=tuple(b for _, b in fits))
    calibrated = np.sort(calibrated_scores(logits, labels, calibration)).round(DECIMALS)
    score_range = float(calibrated[0]), float(calibrated[-FEW])
    return calibration.model_copy(update={"score_range": score_range})


def apply_calibration(
    scores: FloatArray, labels: NDArray[np.integer], calibration: Calibration | None
) -> FloatArray:
    """Return calibrated scores, ``float64[N]``.

    Args:
        scores: ``float64[N]`` in 0..1, as the network gives them.
        labels: ``int[N]`` index of the class.
        calibration: None: scores stay as they are.
    """
    if calibration is None:
        return scores
    return calibrated_scores(_to_logits(scores), labels, calibration)


def _to_logits(scores: FloatArray) -> FloatArray:
    clipped = np.clip(scores, *SCORE_LIMITS)
    return np.asarray(np.log(clipped / (1 - clipped)))


def _has_enough_events(correct: BoolArray) -> bool:
    return bool(min(correct.sum(), (~correct).sum()) >= MIN_EVENTS)


def _fit_platt(logits: FloatArray, correct: BoolArray) -> tuple[float, float]:
    """Return the slope and intercept with the highest likelihood.

    Platt (1999), "Probabilistic outputs for support vector machines", with his targets a little
    below 1 and above 0, and the loss in the form of Lin, Lin and Weng (2007), "A note on Platt's
    probabilistic outputs", which does not overflow. Written here as scikit-learn, which has it
    too, is no dependency.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    tp, fp = int(correct.sum()), int((~correct).sum())
    target = np.where(correct, (tp + 1) / (tp + 2), 1 / (fp + 2))

    def loss(line: FloatArray) -> tuple[float, FloatArray]:
        values = line[0] * logits + line[1]
        surplus = expit(values) - target
        likelihood = np.logaddexp(0, values) - target * values
        return float(likelihood.mean()), np.array([(surplus * logits).mean(), surplus.mean()])

    bounds = ((LEAST_SLOPE, None), (None, None))
    fit = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=bounds)
    slope, intercept = np.round(fit.x, DECIMALS).tolist()
    return slope, intercept
