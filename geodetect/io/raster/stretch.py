"""Linear stretch of 16-bit and float values to bytes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geodetect.errors import InputError
from geodetect.types import UInt8Array

STRETCH_PERCENTILES = (0.5, 99.5)


@dataclass(frozen=True)
class Stretch:
    """Linear mapping of a raster's values to bytes: ``low`` becomes 0 and ``high`` becomes 255.

    Args:
        low: Value that becomes 0.
        high: Value that becomes 255.
        estimated: True if it was estimated from a sample of the raster.
    """

    low: float
    high: float
    estimated: bool = False

    def __post_init__(self) -> None:
        if not (np.isfinite(self.low) and np.isfinite(self.high) and self.low < self.high):
            raise InputError(
                f"`value_range` needs two finite numbers, the lower one first; found "
                f"{self.low:g},{self.high:g}"
            )

    def __call__(self, values: NDArray[np.generic]) -> UInt8Array:
        """Convert values of any real dtype to bytes, rounded and clipped; NaN becomes 0."""
        clipped = np.clip(values.astype(np.float64), self.low, self.high)
        scaled = np.rint((clipped - self.low) * (255 / (self.high - self.low)))
        return np.nan_to_num(scaled, nan=0).astype(np.uint8)

    @classmethod
    def from_sample(cls, values: NDArray[np.generic]) -> Stretch:
        """Estimate the stretch of a raster from a sample of its valid values in all bands.

        All bands share one stretch, so colours keep their balance. A raster of one value gets a
        stretch that maps it to 0.
        """
        sample = values[np.isfinite(values)].astype(np.float64)
        if sample.size == 0:
            return cls(0.0, 1.0, estimated=True)
        low, high = np.percentile(sample, STRETCH_PERCENTILES)
        if high <= low:
            low, high = sample.min(), sample.max()
        if high <= low:
            high = low + max(1.0, abs(low) * 1e-6)
        return cls(float(low), float(high), estimated=True)
