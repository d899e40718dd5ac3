"""Which score threshold to use, and what it costs."""

from __future__ import annotations

import math

import numpy as np

from geodetect.assessment.evaluate.precision_recall import OperatingPoint, PrecisionRecallCurve
from geodetect.errors import InputError
from geodetect.types import FloatArray

MOST_DECIMALS = 12
RESAMPLES = 100


def pick_threshold(curve: PrecisionRecallCurve, rule: str) -> OperatingPoint:
    """The score threshold that a rule asks for, and the counts there.

    Args:
        curve: Of all detections.
        rule: ``f1``: the highest F1. ``precision=P``: the highest recall among the thresholds with
            at least this precision. ``recall=R``: the highest precision among those with at least
            this recall. ``count``: as many detections as objects, or as near to it as can be.
            Of several equal thresholds the highest.

    Returns:
        The counts at the threshold; it has the fewest decimals of all numbers that give them.

    Raises:
        InputError: No threshold fulfils the rule, or it is not known.
    """
    name, _, value = rule.partition("=")
    counts = curve.counts
    if len(counts) == 0 or curve.n_truth == 0:
        raise InputError(
            f"--pick-threshold needs detections and objects; found {len(curve.scores)} and "
            f"{curve.n_truth}"
        )
    right = curve.true_positives[counts - 1].astype(np.float64)
    if name == "f1":
        chosen = int(np.argmax(2 * right / (counts + curve.n_truth)))
    elif name == "count":
        chosen = int(np.argmin(np.abs(counts - curve.n_truth)))
    elif name == "precision":
        chosen = _best(right / counts, float(value), by=right, name=name)
    elif name == "recall":
        chosen = _best(right / curve.n_truth, float(value), by=right / counts, name=name)
    else:
        raise InputError(f"unknown rule {rule!r}; expected f1, precision=P, recall=R or count")
    return curve.at(_short_threshold(curve, int(counts[chosen])))


def steady_threshold(curve: PrecisionRecallCurve, *, least: float) -> float:
    """The score threshold that should have the highest F1 on other ground.

    With a few dozen objects the highest F1 is where chance puts it. So it is looked for in many
    resamples of the detections and of the objects that none found, midway between the last
    detection that it lets through and the next one, and the mean of these thresholds is taken:
    Breiman (1996), "Bagging predictors", with weights as in Oza and Russell (2001), "Online
    bagging and boosting". With many objects it comes to where F1 is highest.

    Args:
        curve: Of all detections.
        least: The score that detections were looked for down to.

    Returns:
        A score; the same for the same curve. NaN where no detection is right.
    """
    hits = np.diff(curve.true_positives, prepend=0)
    if not hits.any():
        return math.nan
    rng = np.random.default_rng(0)
    starts = np.append(0, curve.counts[:-1])
    scores = np.append(curve.scores[starts], min(least, curve.scores[-1]))
    missed = curve.n_truth - hits.sum()
    found = []
    for _ in range(RESAMPLES):
        weights = rng.poisson(1.0, len(hits))
        drawn = np.add.reduceat(weights, starts)
        right = np.add.reduceat(weights * hits, starts)
        objects = right.sum() + rng.poisson(missed)
        there = np.flatnonzero(drawn)
        if right.any():
            f1 = 2 * np.cumsum(right)[there] / (np.cumsum(drawn)[there] + objects)
            last, after = np.append(there, len(starts))[np.argmax(f1) + np.arange(2)]
            found.append((scores[last] + scores[after]) / 2)
    if not found:
        return curve.best_f1().score_threshold
    return float(np.clip(np.mean(found), min(found), max(found)))  # a mean of equals may be rounded


def _best(rate: FloatArray, least: float, *, by: FloatArray, name: str) -> int:
    """The threshold with the highest ``by`` among those with enough of a rate."""
    enough = rate >= least
    if not enough.any():
        raise InputError(
            f"no threshold has a {name} of {least:g}; the highest is {rate.max():.4f}: ask for "
            f"less with --pick-threshold {name}={math.floor(rate.max() * 100) / 100:g}"
        )
    return int(np.argmax(np.where(enough, by, -np.inf)))


def _short_threshold(curve: PrecisionRecallCurve, count: int) -> float:
    """The number with the fewest decimals that lets exactly these detections through.

    It lies above the score of the next detection, and below that of the last one where it can:
    scores in files are rounded, and a network that is run again gives the numbers before that.
    """
    last = float(curve.scores[count - 1])
    below = float(curve.scores[count]) if count < len(curve.scores) else -math.inf
    for decimals in range(1, MOST_DECIMALS):
        scale = 10.0**decimals
        short = (math.ceil(last * scale) - 1) / scale  # the next one below the score
        if below < short <= last:
            return short
    return last
