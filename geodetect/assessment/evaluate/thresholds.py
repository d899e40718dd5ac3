"""Choice of a score threshold from a precision-recall curve."""

from __future__ import annotations

import math

import numpy as np

from geodetect.assessment.evaluate.precision_recall import OperatingPoint, PrecisionRecallCurve
from geodetect.errors import InputError
from geodetect.types import FloatArray

MOST_DECIMALS = 12
RESAMPLES = 100


def pick_threshold(curve: PrecisionRecallCurve, rule: str) -> OperatingPoint:
    """Return the counts at the score threshold that a rule asks for.

    Args:
        curve: Precision-recall curve of all predictions.
        rule: ``f1``: the highest F1. ``precision=P``: the highest recall among the thresholds with
            at least this precision. ``recall=R``: the highest precision among those with at least
            this recall. ``count``: the number of predictions nearest to that of objects.
            Of several equal thresholds the highest.

    Returns:
        The counts, at the threshold with the fewest decimals of all that give these counts.

    Raises:
        InputError: No threshold fulfils the rule, or the rule is unknown.
    """
    name, _, value = rule.partition("=")
    counts = curve.counts
    if len(counts) == 0 or curve.n_truth == 0:
        raise InputError(
            f"`pick_threshold` needs predictions and objects; found {counts.max(initial=0):,} and "
            f"{curve.n_truth:,}"
        )
    tp = curve.tp.astype(np.float64)
    if name == "f1":
        best = int(np.argmax(curve.f1))
    elif name == "count":
        best = int(np.argmin(np.abs(counts - curve.n_truth)))
    elif name == "precision":
        best = _find_best(tp / counts, float(value), maximized=tp, name=name)
    elif name == "recall":
        best = _find_best(tp / curve.n_truth, float(value), maximized=tp / counts, name=name)
    else:
        raise InputError(f"unknown rule {rule!r}; expected f1, precision=P, recall=R or count")
    return curve.at(_shorten_threshold(curve.scores, best))


def bagged_f1_threshold(curve: PrecisionRecallCurve, *, least: float) -> float:
    """Return the score threshold that should have the highest F1 on other imagery.

    With a few dozen objects the highest F1 is where chance puts it. So the threshold is bagged: the
    mean of the thresholds with the highest F1 in many resamples of the predictions and of the false
    negatives, each midway between the last prediction above it and the next one. Breiman (1996),
    "Bagging predictors", with weights as in Oza and Russell (2001), "Online bagging and boosting".
    With many objects it converges to the threshold with the highest F1.

    Args:
        curve: Precision-recall curve of all predictions.
        least: Score down to which predictions were made.

    Returns:
        A score; the same for the same curve. NaN without true positives.
    """
    if not curve.tp.any():
        return math.nan
    rng = np.random.default_rng(0)
    scores = np.append(curve.scores, min(least, curve.scores[-1]))
    tp_of_score = np.diff(curve.tp, prepend=0)
    fp_of_score = np.diff(curve.counts, prepend=0) - tp_of_score
    fn = curve.n_truth - curve.tp[-1]
    thresholds = []
    for _ in range(RESAMPLES):
        # the weight of each prediction is a Poisson(1) number; a sum of n of them is Poisson(n)
        tp, fp = rng.poisson(np.stack([tp_of_score, fp_of_score], axis=1)).T
        objects = tp.sum() + rng.poisson(fn)
        drawn = np.flatnonzero(tp + fp)
        if tp.any():
            f1 = 2 * np.cumsum(tp)[drawn] / (np.cumsum(tp + fp)[drawn] + objects)
            last, after = np.append(drawn, len(scores) - 1)[np.argmax(f1) + np.arange(2)]
            thresholds.append((scores[last] + scores[after]) / 2)
    if not thresholds:
        return curve.best_f1().score_threshold
    # clipped, as the mean of equal numbers may be rounded away from them
    return float(np.clip(np.mean(thresholds), min(thresholds), max(thresholds)))


def _find_best(rate: FloatArray, least: float, *, maximized: FloatArray, name: str) -> int:
    """Return the index of the highest ``maximized`` where the rate is at least ``least``."""
    is_enough = rate >= least
    if not is_enough.any():
        raise InputError(
            f"no threshold has a {name} of {least:g}; the highest is {rate.max():.4f}: ask for "
            f"less, such as {name}={math.floor(rate.max() * 100) / 100:g}, as `pick_threshold`"
        )
    return int(np.argmax(np.where(is_enough, maximized, -np.inf)))


def _shorten_threshold(scores: FloatArray, index: int) -> float:
    """Return the number with the fewest decimals that the scores up to an index reach.

    It lies above the next score, and if possible below the last one: scores in files are rounded,
    but those of a network that is run again are not.
    """
    last = float(scores[index])
    below = float(scores[index + 1]) if index + 1 < len(scores) else -math.inf
    for decimals in range(1, MOST_DECIMALS):
        scale = 10.0**decimals
        short = (math.ceil(last * scale) - 1) / scale  # next below the score
        if below < short <= last:
            return short
    return last
