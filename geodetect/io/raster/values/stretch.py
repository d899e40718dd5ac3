"""Linear stretch of 16-bit and float values to bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geodetect.errors import InputError
from geodetect.types import FloatArray, UInt8Array

STRETCH_PERCENTILES = (0.5, 99.5)
MIDDLE_PERCENTILES = (5, 95)
MIN_MIDDLE = 1 / 16  # of the range; imagery in a smaller part of it keeps under 16 grey levels
MAX_GAP = 0.75  # of the range without any value

# values that software writes where there is no imagery, beside the ends of integer dtypes
FILL_VALUES = (-99999, -32768, -9999, -999, 999, 9999, 32767, 65535, 99999)
FILL_MAGNITUDE = 1e30  # beyond any measurement
FILL_GAP = 0.5  # gap between a likely fill value and the imagery, in spans of the imagery
EXTREME_GAP = 100  # the same for any other value; bright objects on dark water are nearer
MIN_DISTINCT = 16  # values of imagery; fills are fewer
MAX_EXAMINED = 250_000  # values of a sample


@dataclass(frozen=True)
class Stretch:
    """Linear mapping of a raster's values to bytes: ``low`` becomes 0 and ``high`` becomes 255.

    Args:
        low: Value that becomes 0.
        high: Value that becomes 255.
        estimated: True if it was estimated from a sample of the raster.
        fill_values: Values far from all others that the estimate leaves out, the most frequent
            first.
        fill_fraction: Fraction of the sample that they take.
        narrow_middle: 5th and 95th percentile, if they take so small a part of the range that the
            imagery loses its contrast.
    """

    low: float
    high: float
    estimated: bool = False
    fill_values: tuple[float, ...] = ()
    fill_fraction: float = 0.0
    narrow_middle: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not (np.isfinite(self.low) and np.isfinite(self.high) and self.low < self.high):
            raise InputError(
                f"`value_range` needs two finite numbers, the lower one first; found "
                f"{self.low:g},{self.high:g}"
            )

    @property
    def range(self) -> tuple[float, float]:
        """Values that become 0 and 255."""
        return self.low, self.high

    def __call__(self, values: NDArray[np.generic]) -> UInt8Array:
        """Convert values of any real dtype to bytes, rounded and clipped; NaN becomes 0."""
        clipped = np.clip(values.astype(np.float64), self.low, self.high)
        scaled = np.rint((clipped - self.low) * (255 / (self.high - self.low)))
        return np.nan_to_num(scaled, nan=0).astype(np.uint8)

    @classmethod
    def from_sample(cls, values: NDArray[np.generic]) -> Stretch:
        """Estimate the stretch of a raster from a sample of its valid values in all bands.

        All bands share one stretch, so colours keep their balance. Values far from all others, such
        as -9999 beside reflectances, are left out where they would decide the range. A raster of
        one value gets a stretch that maps it to 0.
        """
        sample = values[np.isfinite(values)].astype(np.float64)
        if sample.size == 0:
            return cls(0.0, 1.0, estimated=True)
        distinct = np.unique(sample[:: 1 + len(sample) // MAX_EXAMINED])
        low, high = _percentiles(sample, STRETCH_PERCENTILES)
        fills: FloatArray = np.empty(0)
        first, last = _find_imagery(distinct, values.dtype)
        if low < first or high > last:
            is_imagery = (sample > first) & (sample < last)
            fills, sample = sample[~is_imagery], sample[is_imagery]
            low, high = _percentiles(sample, STRETCH_PERCENTILES)
        if high <= low:
            low, high = float(sample.min()), float(sample.max())
        if high <= low:
            high = low + max(1.0, abs(low) * 1e-6)
        fill_values, counts = np.unique(fills, return_counts=True)
        return cls(
            low,
            high,
            estimated=True,
            fill_values=tuple(fill_values[np.argsort(-counts, kind="stable")].tolist()),
            fill_fraction=len(fills) / (len(fills) + len(sample)),
            narrow_middle=_find_narrow_middle(
                sample, distinct[(distinct >= low) & (distinct <= high)]
            ),
        )


def _percentiles(sample: FloatArray, percentiles: tuple[float, float]) -> tuple[float, float]:
    low, high = np.percentile(sample, percentiles).tolist()
    return low, high


def _find_narrow_middle(sample: FloatArray, distinct: FloatArray) -> tuple[float, float] | None:
    """Return the range of most values if it is a small part of the range of ``distinct``.

    Args:
        sample: ``float64[N]`` all values.
        distinct: Distinct values in the estimated range, ascending.
    """
    if len(distinct) < MIN_DISTINCT:
        return None
    gaps, span = np.diff(distinct), distinct[-1] - distinct[0]
    widest = int(gaps.argmax())
    if gaps[widest] >= MAX_GAP * span:
        is_below = 2 * widest >= len(distinct) - 1  # the side with more values
        sample = sample[(sample <= distinct[widest]) == is_below]
        return _percentiles(sample, MIDDLE_PERCENTILES)
    low, high = _percentiles(sample, MIDDLE_PERCENTILES)
    return (low, high) if 0 < high - low < MIN_MIDDLE * span else None


def _find_imagery(distinct: FloatArray, dtype: np.dtype[Any]) -> tuple[float, float]:
    """Return bounds between which all imagery lies; infinite without values to leave out.

    At both ends, a few values that a wide gap separates from all others are no imagery. Bright
    roofs and dark shadows have many values, and mixed pixels fill the gap. Gaps are measured in
    spans of the distinct values, whose quartiles no fill shifts, however many pixels it has.

    Args:
        distinct: Distinct values of a sample, ascending.
        dtype: Data type of the raster.
    """
    low, high = -np.inf, np.inf
    is_fill = np.isin(distinct, FILL_VALUES) | (np.abs(distinct) >= FILL_MAGNITUDE)
    if dtype.kind in "iu":
        is_fill |= np.isin(distinct, [np.iinfo(dtype).min, np.iinfo(dtype).max])
    core = distinct[~is_fill]
    if len(core) < 2:
        return low, high
    lower, upper = _percentiles(core, (25, 75))
    span = 2 * (upper - lower)
    has_many = len(core) >= MIN_DISTINCT  # of fewer, 0 may be a class
    is_fill |= (distinct < 0) | ((distinct == 0) & has_many)
    with np.errstate(over="ignore"):
        gaps = np.diff(distinct)
    ends = np.flatnonzero(gaps >= FILL_GAP * span).tolist()  # last value before each wide gap

    def is_left_out(start: int, stop: int, gap: float) -> bool:
        values = distinct[start:stop]
        if (np.abs(values) >= FILL_MAGNITUDE).all():
            return True
        is_extreme = gap >= EXTREME_GAP * span
        if not has_many:
            return is_extreme and bool(is_fill[start:stop].all())
        if (values < 0).all():
            return True  # measured negative values leave no gap
        return len(values) < MIN_DISTINCT and (is_extreme or bool(is_fill[start:stop].any()))

    start, stop = 0, len(distinct)
    for end in ends:  # from below
        if distinct[end] >= lower or not is_left_out(start, end + 1, gaps[end]):
            break
        start, low = end + 1, distinct[end] / 2 + distinct[end + 1] / 2
    for end in reversed(ends):  # from above
        if distinct[end + 1] <= upper or not is_left_out(end + 1, stop, gaps[end]):
            break
        stop, high = end + 1, distinct[end] / 2 + distinct[end + 1] / 2
    return float(low), float(high)
