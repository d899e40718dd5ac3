"""Measurement of the error of areas, from which predictions get the 95 % interval of theirs."""

from __future__ import annotations

import math

import numpy as np

from geodetect.model.card import AreaError
from geodetect.types import FloatArray

LEAST_PAIRS = 40  # of a size class: one of them lies beyond each of the two quantiles
PAIRS_PER_CLASS = 120  # so that three of them do
MOST_CLASSES = 6
LEVELS = (0.025, 0.975)
RATIO_LIMITS = (1e-3, 1e3)  # of a model card
DIGITS = 4


def measure_area_error(detected_m2: FloatArray, true_m2: FloatArray) -> AreaError | None:
    """Measure the error of areas from true positives.

    Size classes hold about as many pairs each. The ends are conformal quantiles (Vovk et al. 2005,
    "Algorithmic learning in a random world"; Romano et al. 2019, "Conformalized quantile
    regression"): ranks among one pair more than there are, so that intervals of new objects hold
    the true area in at least 95 % of cases, not only those of the objects that were measured.

    Args:
        detected_m2: ``float64[P]`` areas of predicted outlines.
        true_m2: ``float64[P]`` areas of the objects that they match.

    Returns:
        The error for a model card; None with fewer than ``LEAST_PAIRS`` pairs.
    """
    is_usable = (detected_m2 > 0) & (true_m2 > 0)
    detected, true = detected_m2[is_usable], true_m2[is_usable]
    if len(detected) < LEAST_PAIRS:
        return None
    ratio = np.clip(true / detected, *RATIO_LIMITS)
    classes = min(max(1, len(ratio) // PAIRS_PER_CLASS), MOST_CLASSES)
    limits = np.quantile(detected, np.arange(1, classes) / classes)
    limits = np.unique([_round_digits(limit, 2) for limit in limits])
    number = np.searchsorted(limits, detected, side="left")
    used, number = np.unique(number, return_inverse=True)
    members = [ratio[number == k] for k in range(len(used))]
    ends = [[_conformal_quantile(values, level) for level in LEVELS] for values in members]
    return AreaError(
        up_to_m2=tuple(float(limit) for limit in limits[used[:-1]]),
        low=tuple(low for low, _ in ends),
        high=tuple(high for _, high in ends),
        bias=_round_digits(float(np.median(ratio)), DIGITS),
    )


def _conformal_quantile(values: FloatArray, level: float) -> float:
    """Return the value of rank ``level (n + 1)``, away from the median; the extreme beyond it."""
    ranked = np.sort(values)
    if level < 0.5:
        rank = math.floor(level * (len(ranked) + 1))
    else:
        rank = math.ceil(level * (len(ranked) + 1))
    return _round_digits(float(ranked[min(max(rank, 1), len(ranked)) - 1]), DIGITS)


def _round_digits(value: float, digits: int) -> float:
    """Round to significant digits."""
    return float(f"{value:.{digits}g}")
