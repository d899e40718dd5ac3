"""Counts corrected for the errors that a detector is known to make.

On ground where the truth is known, a detector found ``right`` objects, gave ``false`` alarms and
``missed`` others: its precision is P = right / (right + false), its recall
R = right / (right + missed). Where it then finds n objects, n P / R is the number to expect: n P
detections are right, and they are the share R of all objects. It is the ratio estimator of survey
sampling (Cochran, W. G. (1977), Sampling Techniques, 3rd ed., chapter 6), as P / R is the number of
true objects over that of detections; it holds where the detector errs as it did there.

The 95 % interval is that of the true number given n, found by simulation:

- P and R are drawn from their posteriors under Jeffreys priors, Beta(right + 1/2, false + 1/2) and
  Beta(right + 1/2, missed + 1/2) (Brown, Cai and DasGupta (2001), Interval estimation for a
  binomial proportion, Statistical Science 16): what is not known of the detector.
- The right ones among n are drawn from Binomial(n, P); what is missed from a negative binomial
  distribution with right ones + 1/2 successes of probability R (the number of failures before them;
  Johnson, Kemp and Kotz (2005), Univariate Discrete Distributions, 3rd ed., chapter 5): chance in
  the zone.
- Deviations from their mean are multiplied by the square root of the dispersion, the ratio of the
  variance that is observed to that of independent errors (Wedderburn, R. W. M. (1974),
  Quasi-likelihood functions, Biometrika 61; McCullagh and Nelder (1989), Generalized Linear Models,
  2nd ed., section 4.5). Errors that cluster (a street of pools under trees) make it larger than 1;
  false alarms that come with a miss (boxes that are off) make it smaller.

The dispersion comes from the interval of the count error in an evaluation, which is found by
drawing blocks of ground: with N true objects and n detections, the logarithm of N / n has the
variance right (1/N - 1/n)^2 + missed / N^2 + false / n^2 if errors are independent (the delta
method on Poisson counts). Without an evaluation it is taken to be 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from geodetect.errors import InputError
from geodetect.types import FloatArray, IntArray

DRAWS = 20_000
PERCENTILES = (2.5, 97.5)
LEAST_DISPERSION = 0.5  # below, the interval comes from too few blocks to be believed
NORMAL_95 = 1.959964  # 97.5th percentile of the normal distribution


@dataclass(frozen=True)
class ErrorRates:
    """How a detector erred on ground where the truth is known.

    Args:
        right: Detections that show an object; above 0.
        false: Detections that show none.
        missed: Objects that no detection shows.
        dispersion: Variance of the count over that of independent errors.
        score_threshold: Least score of these detections; None: not known.
        source: What this is known from, for people.

    Raises:
        InputError: Numbers that cannot be.
    """

    right: float
    false: float
    missed: float
    dispersion: float = 1.0
    score_threshold: float | None = None
    source: str = ""

    def __post_init__(self) -> None:
        numbers = (self.right, self.false, self.missed, self.dispersion)
        if not (all(map(math.isfinite, numbers)) and min(numbers) >= 0 and self.right > 0):
            raise InputError(
                f"{self.source or 'the error rates'}: found {self.right:g} right, {self.false:g} "
                f"false and {self.missed:g} missed; counts can only be corrected by a detector "
                f"that finds something, with numbers from 0 on"
            )

    @property
    def precision(self) -> float:
        """Share of detections that are right."""
        return self.right / (self.right + self.false)

    @property
    def recall(self) -> float:
        """Share of objects that are found."""
        return self.right / (self.right + self.missed)

    @classmethod
    def of_rates(
        cls,
        precision: float,
        recall: float,
        support: float,
        *,
        score_threshold: float | None = None,
        source: str = "",
    ) -> ErrorRates:
        """From precision and recall.

        Args:
            precision: Above 0, at most 1.
            recall: Above 0, at most 1.
            support: Number of true objects they were measured on.
            score_threshold: Least score of the detections.
            source: What this is known from, for people.

        Raises:
            InputError: Numbers that cannot be.
        """
        if not (0 < precision <= 1 and 0 < recall <= 1 and support > 0):
            raise InputError(
                f"{source or 'error rates'}: found precision {precision:g}, recall {recall:g} and "
                f"{support:g} objects; expected rates above 0 and up to 1, measured on some objects"
            )
        right = recall * support
        false = right * (1 / precision - 1)
        missed = support - right
        return cls(right, false, missed, score_threshold=score_threshold, source=source)

    def with_count_interval(self, low: float, high: float) -> ErrorRates:
        """The same with the dispersion that an interval of the count error shows.

        Args:
            low: Lower end of the 95 % interval of detections / objects - 1.
            high: Upper end.

        Returns:
            As it is where the interval or the errors say nothing.
        """
        found, true = self.right + self.false, self.right + self.missed
        independent = (
            self.right * (1 / true - 1 / found) ** 2 + self.missed / true**2 + self.false / found**2
        )
        if not (-1 < low <= high and math.isfinite(high)) or independent == 0:
            return self
        observed = ((math.log1p(high) - math.log1p(low)) / (2 * NORMAL_95)) ** 2
        return replace(self, dispersion=max(LEAST_DISPERSION, observed / independent))


@dataclass(frozen=True)
class CorrectedCounts:
    """How many objects there are where so many were found.

    Args:
        estimate: ``float64[N]``.
        low: ``float64[N]`` lower end of the 95 % interval, a whole number.
        high: ``float64[N]`` upper end.
    """

    estimate: FloatArray
    low: FloatArray
    high: FloatArray


def corrected_counts(counts: IntArray, rates: ErrorRates, *, seed: int = 0) -> CorrectedCounts:
    """Correct counts of detections; see the module for the formulas.

    Args:
        counts: ``int64[N]`` detections, not negative.
        rates: How the detector errs.
        seed: Start of all randomness. Equal counts have equal intervals whatever the others.
    """
    distinct, place = np.unique(counts, return_inverse=True)
    ends = np.array([_interval(int(n), rates, seed) for n in distinct]).reshape(-1, 2)[place]
    estimate = np.asarray(counts * rates.precision / rates.recall, dtype=np.float64)
    low, high = ends.T.reshape(2, -1)
    return CorrectedCounts(
        estimate, np.minimum(low, np.floor(estimate)), np.maximum(high, np.ceil(estimate))
    )


def _interval(n: int, rates: ErrorRates, seed: int) -> tuple[float, float]:
    """The ends of the interval where ``n`` objects were found."""
    rng = np.random.default_rng([seed, n])
    precision = rng.beta(rates.right + 0.5, rates.false + 0.5, DRAWS)
    recall = rng.beta(rates.right + 0.5, rates.missed + 0.5, DRAWS)
    right = rng.binomial(n, precision)
    missed = rng.poisson(rng.gamma(right + 0.5, (1 - recall) / recall))
    true = (right + missed).astype(np.float64)
    spread = true.mean() + math.sqrt(rates.dispersion) * (true - true.mean())
    low, high = np.percentile(spread, PERCENTILES)
    return float(max(0.0, np.round(low))), float(np.round(high))
