"""Scatter of the positions of a layer about those of another, from pairs up to a distance limit.

Where errors to the east and to the north are normal with the same deviation, the squared distance
of the two positions of an object has an exponential distribution (Rayleigh 1880, of the distance
itself). Pairs are formed up to a limit only, so the distribution is truncated there: its parameter
follows from the mean of the squared distances (Deemer and Votaw 1955, "Estimation of parameters of
truncated or censored exponential distributions"), and with it the fraction that the limit cuts off.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from geodetect.assessment.matching.near_pairs import nearest_spacing
from geodetect.types import FloatArray

LEAST_PAIRS = 20
LEAST_RATIO, MOST_RATIO = 0.01, 0.45  # mean squared distance to squared limit; 0.5: no scale
LEAST_CUT_OFF = 0.1  # fraction of the common objects
ERRORS = 2.0  # standard errors by which the mean is lowered, so that few pairs are no evidence
CHANCE = 3.0  # factor by which there are more pairs than by chance
PARAMETERS = (1e-3, 1e3)  # least and greatest
MAX_EXPONENT = 700.0  # of a float64


@dataclass(frozen=True)
class Scatter:
    """Scatter of positions in each direction.

    Args:
        deviation_m: Standard deviation to the east, and to the north, in metres.
        least_m: Value below which the deviation hardly lies.
    """

    deviation_m: float
    least_m: float

    def cuts_much_off(self, limit_m: float) -> bool:
        """Return True if a limit surely cuts off a tenth of the common objects or more."""
        return _fraction_beyond(limit_m, self.least_m) >= LEAST_CUT_OFF

    def cut_off(self, limit_m: float) -> float:
        """Return the fraction of the common objects whose positions lie farther apart."""
        return _fraction_beyond(limit_m, self.deviation_m)

    def radius_m(self, fraction: float) -> float:
        """Return the distance in metres within which a fraction of the common objects lies."""
        return self.deviation_m * math.sqrt(-2 * math.log(1 - fraction))


def estimate_scatter(distances_m: FloatArray, limit_m: float, points: FloatArray) -> Scatter | None:
    """Estimate the scatter of positions from pairs up to a limit.

    Args:
        distances_m: ``float64[N]`` distances of pairs, at most ``limit_m``.
        limit_m: Largest distance of a pair.
        points: ``float64[M, D]`` Cartesian coordinates of the features of the first layer, in
            metres. Their spacing tells how many pairs there are by chance.

    Returns:
        The scatter; None if there are few pairs, or if they may be those of chance.
    """
    if len(distances_m) < LEAST_PAIRS:
        return None
    spacing_m = nearest_spacing(points)
    if spacing_m == 0:  # doubles: the spacing of objects is not known
        return None
    chance = 1 - 0.5 ** ((limit_m / spacing_m) ** 2)  # points without order: half have a neighbour
    if len(distances_m) < CHANCE * chance * len(points):
        return None
    squares = (distances_m / limit_m) ** 2
    ratio, error = float(squares.mean()), float(squares.std() / math.sqrt(len(squares)))
    deviation_m, least_m = (
        limit_m * math.sqrt(_parameter(min(max(value, LEAST_RATIO), MOST_RATIO)) / 2)
        for value in (ratio, ratio - ERRORS * error)
    )
    return Scatter(deviation_m, least_m)


def _fraction_beyond(limit_m: float, deviation_m: float) -> float:
    return math.exp(-0.5 * (limit_m / deviation_m) ** 2)


def _parameter(mean: float) -> float:
    """Return the mean of an exponential distribution whose part below 1 has a mean."""
    from scipy.optimize import brentq

    return float(brentq(lambda x: x - 1 / math.expm1(min(1 / x, MAX_EXPONENT)) - mean, *PARAMETERS))
