"""Calibrated scores from the logits of a network."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from geodetect.model.card import Calibration, ModelCard
from geodetect.types import Float32Array, FloatArray

ROUNDING = 1e-6  # above the rounding error of a score in single precision
LOWEST_FACTOR = 0.9  # the lowest score lies a little above the threshold of the validation
MAX_EXPONENT = 700.0  # exp() of more overflows


def calibrated_scores(
    logits: Float32Array | FloatArray,
    labels: NDArray[np.integer],
    calibration: Calibration | None,
) -> FloatArray:
    """Return the scores of detections, ``float64[N]`` in 0..1.

    Args:
        logits: ``float[N]`` logits of the network.
        labels: ``int[N]`` classes.
        calibration: Calibration of the card; None: scores are the sigmoid of the logits.
    """
    values = logits.astype(np.float64)
    if calibration is not None:
        slope, intercept = np.array(calibration.slope), np.array(calibration.intercept)
        values = slope[labels] * values + intercept[labels]
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -MAX_EXPONENT, MAX_EXPONENT))))


def calibrated_score(score: float, calibration: Calibration | None) -> float:
    """Return an uncalibrated score after calibration, the lowest over all classes.

    Args:
        score: Uncalibrated score, above 0 and below 1.
        calibration: Calibration of the card; None: the score is returned unchanged.
    """
    if calibration is None:
        return score
    labels = np.arange(len(calibration.slope))
    logits = np.full(len(labels), math.log(score / (1 - score)))
    return float(calibrated_scores(logits, labels, calibration).min())


def logit_thresholds(conf: float, calibration: Calibration | None) -> Float32Array:
    """Return logits slightly below a score threshold, to discard most detections early.

    Args:
        conf: Score threshold after calibration, 0..1.
        calibration: Calibration of the card.

    Returns:
        ``float32[classes]``, or ``float32[1]`` for all classes if there is no calibration.
    """
    score = min(conf, 1 - ROUNDING) - ROUNDING
    logits = np.array([math.log(score / (1 - score)) if score > 0 else -math.inf])
    if calibration is not None:
        logits = (logits - np.array(calibration.intercept)) / np.array(calibration.slope)
    return np.nextafter(logits.astype(np.float32), np.float32(-np.inf))


def find_threshold_doubt(conf: float, card: ModelCard) -> str | None:
    """Return a message about a score threshold at which the calibration was not fitted.

    Args:
        conf: Score threshold after calibration.
        card: Card of the model.

    Returns:
        None if scores on both sides of the threshold are known, or it is the card's own.
    """
    calibration = card.calibration
    if calibration is None or calibration.score_range is None or conf == card.conf:
        return None
    lowest, highest = calibration.score_range
    if LOWEST_FACTOR * lowest <= conf <= highest:
        return None
    return (
        f"`conf` {conf:g} lies outside the scores of {lowest:.2g} to {highest:.4g} that the "
        f"calibration of model {card.name} was fitted on, so its precision and recall there are "
        f"not known; choose one between, such as its own {card.conf:.2g}"
    )
