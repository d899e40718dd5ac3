"""From the logits of a network to calibrated scores."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from geodetect.model.card import Calibration
from geodetect.types import Float32Array, FloatArray

Logits = Float32Array | FloatArray

ROUNDING = 1e-6  # more than that of a score in single precision
LARGEST = 700.0  # exponentials of more overflow


def calibrated_scores(
    logits: Logits, labels: NDArray[np.integer], calibration: Calibration | None
) -> FloatArray:
    """Scores of single detections, ``float64[N]`` in 0..1.

    Args:
        logits: ``float[N]`` of the network.
        labels: ``int[N]`` their classes.
        calibration: Of the card; None: the sigmoid of the logits.
    """
    values = logits.astype(np.float64)
    if calibration is not None:
        slope, intercept = np.array(calibration.slope), np.array(calibration.intercept)
        values = slope[labels] * values + intercept[labels]
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -LARGEST, LARGEST))))


def calibrated_score(score: float, calibration: Calibration | None) -> float:
    """What calibration makes of a score of the network; the least of all classes.

    Args:
        score: Above 0 and below 1.
        calibration: Of the card; None: the score itself.
    """
    if calibration is None:
        return score
    labels = np.arange(len(calibration.slope))
    logits = np.full(len(labels), math.log(score / (1 - score)))
    return float(calibrated_scores(logits, labels, calibration).min())


def least_logits(conf: float, calibration: Calibration | None) -> Float32Array:
    """Logits that no score of at least ``conf`` is below, to sort out most of the others early.

    Args:
        conf: Least score, after calibration, 0..1.
        calibration: Of the card.

    Returns:
        ``float32[classes]``; without a calibration ``float32[1]``, for all classes.
    """
    safe = min(conf, 1 - ROUNDING) - ROUNDING
    least = np.array([math.log(safe / (1 - safe)) if safe > 0 else -math.inf])
    if calibration is not None:
        least = (least - np.array(calibration.intercept)) / np.array(calibration.slope)
    return np.nextafter(least.astype(np.float32), np.float32(-np.inf))
