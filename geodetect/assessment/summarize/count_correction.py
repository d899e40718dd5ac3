"""Correction of counts by the known error rates of a detector.

On ground where the truth is known, a detector has ``tp`` true positives, ``fp`` false positives and
``fn`` false negatives: its precision is P = tp / (tp + fp), its recall R = tp / (tp + fn). Where it
then detects n objects, n P / R is the number to expect: n P detections are true positives, and they
are the fraction R of all objects. It is the ratio estimator of survey sampling (Cochran, W. G.
(1977), Sampling Techniques, 3rd ed., chapter 6), as P / R is the number of true objects over that
of detections; it holds where the detector errs as it did there.

The 95 % interval is that of the true number given n, found by simulation:

- P and R are drawn from their posteriors under Jeffreys priors, Beta(tp + 1/2, fp + 1/2) and
  Beta(tp + 1/2, fn + 1/2) (Brown, Cai and DasGupta (2001), Interval estimation for a binomial
  proportion, Statistical Science 16): the uncertainty of the detector.
- The true positives among n are drawn from Binomial(n, P); the false negatives from a negative
  binomial distribution with true positives + 1/2 successes of probability R (the number of failures
  before them; Johnson, Kemp and Kotz (2005), Univariate Discrete Distributions, 3rd ed., chapter
  5): chance in the zone.
- Deviations from their mean are multiplied by the square root of the dispersion, the ratio of the
  observed variance to that of independent errors (Wedderburn, R. W. M. (1974),
  Quasi-likelihood functions, Biometrika 61; McCullagh and Nelder (1989), Generalized Linear Models,
  2nd ed., section 4.5). Errors that cluster (a street of pools under trees) make it larger than 1;
  false alarms that come with a miss (boxes that are off) make it smaller.

The dispersion comes from the interval of the count error in an evaluation, a bootstrap over blocks
of ground: with N true objects and n detections, the logarithm of N / n has the variance
tp (1/N - 1/n)^2 + fn / N^2 + fp / n^2 if errors are independent (the delta method on Poisson
counts). Without an evaluation it is taken to be 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from geodetect.errors import InputError
from geodetect.types import FloatArray, IntArray

DRAWS = 20_000
PERCENTILES = (2.5, 97.5)
LEAST_DISPERSION = 0.5  # less comes from intervals of too few blocks
NORMAL_95 = 1.959964  # 97.5th percentile of the normal distribution


@dataclass(frozen=True)
class ErrorRates:
    """Errors of a detector on ground where the truth is known.

    Args:
        tp: True positives, detections of an object; above 0.
        fp: False positives, detections of nothing.
        fn: False negatives, objects without a detection.
        dispersion: Variance of the count over that of independent errors.
        score_threshold: Least score of these detections; None: unknown.
        source: Origin of the numbers, for messages.

    Raises:
        InputError: Impossible numbers.
    """

    tp: float
    fp: float
    fn: float
    dispersion: float = 1.0
    score_threshold: float | None = None
    source: str = ""

    def __post_init__(self) -> None:
        numbers = (self.tp, self.fp, self.fn, self.dispersion)
        if not (all(map(math.isfinite, numbers)) and min(numbers) >= 0 and self.tp > 0):
            raise InputError(
                f"{self.source or 'the error rates'}: found {self.tp:g} true positives, "
                f"{self.fp:g} false positives and {self.fn:g} false negatives; counts can only be "
                f"corrected by a detector that finds something, with numbers from 0 on"
            )

    @property
    def precision(self) -> float:
        """Fraction of detections that are true positives."""
        return self.tp / (self.tp + self.fp)

    @property
    def recall(self) -> float:
        """Fraction of objects that are detected."""
        return self.tp / (self.tp + self.fn)

    @classmethod
    def from_rates(
        cls,
        precision: float,
        recall: float,
        support: float,
        *,
        score_threshold: float | None = None,
        source: str = "",
    ) -> ErrorRates:
        """Return the counts behind precision and recall.

        Args:
            precision: Above 0, at most 1.
            recall: Above 0, at most 1.
            support: Number of true objects they were measured on.
            score_threshold: Least score of the detections.
            source: Origin of the numbers, for messages.

        Raises:
            InputError: Impossible numbers.
        """
        if not (0 < precision <= 1 and 0 < recall <= 1 and support > 0):
            raise InputError(
                f"{source or 'error rates'}: found precision {precision:g}, recall {recall:g} and "
                f"{support:g} objects; expected rates above 0 and up to 1, measured on some objects"
            )
        tp = recall * support
        fp, fn = tp * (1 / precision - 1), support - tp
        return cls(tp, fp, fn, score_threshold=score_threshold, source=source)

    def with_count_interval(self, low: float, high: float) -> ErrorRates:
        """Return the same counts with the dispersion behind an interval of the count error.

        Args:
            low: Lower end of the 95 % interval of detections / objects - 1.
            high: Upper end.

        Returns:
            Unchanged where the interval or the errors do not determine a dispersion.
        """
        detections, objects = self.tp + self.fp, self.tp + self.fn
        independent = (
            self.tp * (1 / objects - 1 / detections) ** 2
            + self.fn / objects**2
            + self.fp / detections**2
        )
        if not (-1 < low <= high and math.isfinite(high)) or independent == 0:
            return self
        observed = ((math.log1p(high) - math.log1p(low)) / (2 * NORMAL_95)) ** 2
        return replace(self, dispersion=max(LEAST_DISPERSION, observed / independent))


@dataclass(frozen=True)
class CorrectedCounts:
    """Numbers of objects to expect from numbers of detections.

    Args:
        estimate: ``float64[N]``.
        low: ``float64[N]`` lower end of the 95 % interval, a whole number.
        high: ``float64[N]`` upper end.
    """

    estimate: FloatArray
    low: FloatArray
    high: FloatArray


def corrected_counts(counts: IntArray, rates: ErrorRates, *, seed: int = 0) -> CorrectedCounts:
    """Correct counts of detections by the formulas of this module.

    Args:
        counts: ``int64[N]`` detections, not negative.
        rates: Error rates of the detector.
        seed: Random seed. Equal counts have equal intervals, whatever other counts there are.
    """
    distinct, position = np.unique(counts, return_inverse=True)
    ends = np.array([_simulate_interval(int(n), rates, seed) for n in distinct]).reshape(-1, 2)[
        position
    ]
    estimate = np.asarray(counts * rates.precision / rates.recall, dtype=np.float64)
    low, high = ends.T.reshape(2, -1)
    return CorrectedCounts(
        estimate, np.minimum(low, np.floor(estimate)), np.maximum(high, np.ceil(estimate))
    )


def _simulate_interval(n: int, rates: ErrorRates, seed: int) -> tuple[float, float]:
    """Return the ends of the interval for ``n`` detections."""
    rng = np.random.default_rng([seed, n])
    precision = rng.beta(rates.tp + 0.5, rates.fp + 0.5, DRAWS)
    recall = rng.beta(rates.tp + 0.5, rates.fn + 0.5, DRAWS)
    tp = rng.binomial(n, precision)
    fn = rng.poisson(rng.gamma(tp + 0.5, (1 - recall) / recall))
    objects = (tp + fn).astype(np.float64)
    spread = objects.mean() + math.sqrt(rates.dispersion) * (objects - objects.mean())
    low, high = np.percentile(spread, PERCENTILES)
    return float(max(0.0, np.round(low))), float(np.round(high))
