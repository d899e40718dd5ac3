"""Areas of the objects of zones, with the 95 % intervals that follow from those of the objects."""

from __future__ import annotations

import math
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import shapely

from geodetect.geo.geodesic import ground_areas_m2
from geodetect.io.vector.features import read_area_limits
from geodetect.types import FloatArray, IntArray

Z95 = 1.96  # of a normal distribution
# Fraction of the variance that all objects have in common, as those of one imagery, shadow or model
# have: intervals of large sums do not shrink to nothing. Chosen, not measured.
COMMON_FRACTION = 0.1
DECIMALS = 1


@dataclass(frozen=True)
class AreaSum:
    """Area of several detections together.

    Args:
        m2: The area; NaN for points.
        low_m2: Lower end of its 95 % interval; NaN without one.
        high_m2: Upper end.
    """

    m2: float
    low_m2: float
    high_m2: float

    def __str__(self) -> str:
        if math.isnan(self.low_m2):
            return f"{self.m2:,.0f} m²"
        return f"{self.m2:,.0f} m² (95 %: {self.low_m2:,.0f} to {self.high_m2:,.0f} m²)"


@dataclass(frozen=True)
class ObjectAreas:
    """Areas of detections.

    Args:
        areas_m2: ``float64[N]`` true areas; NaN throughout for points.
        limits_m2: ``float64[N, 2]`` ends of their 95 % intervals, NaN where there is none; None:
            the layer has no such columns.
    """

    areas_m2: FloatArray
    limits_m2: FloatArray | None

    @classmethod
    def from_table(cls, table: gpd.GeoDataFrame) -> ObjectAreas:
        """Measure the areas of detections, and read their intervals."""
        geometry = table.geometry.to_numpy()
        if len(geometry) and not (shapely.get_dimensions(geometry) == 2).any():
            return cls(np.full(len(table), np.nan), None)
        return cls(ground_areas_m2(geometry, table.crs), read_area_limits(table))

    def total(self, rows: IntArray) -> AreaSum:
        """Return the area of some detections together, with its interval."""
        zone = np.zeros(len(rows), dtype=np.int64)
        limits = self.sum_limits(rows, zone, n_zones=1)
        low, high = (np.nan, np.nan) if limits is None else limits[0].tolist()
        return AreaSum(float(self.sums(rows, zone, n_zones=1)[0]), low, high)

    def sums(self, rows: IntArray, zone: IntArray, *, n_zones: int) -> FloatArray:
        """Return the area of the objects of each zone, ``float64[Z]``; NaN for points.

        Args:
            rows: ``int64[P]`` detections.
            zone: ``int64[P]`` the zone of each.
            n_zones: Number of zones.
        """
        if len(self.areas_m2) and np.isnan(self.areas_m2).all():
            return np.full(n_zones, np.nan)
        return np.round(np.bincount(zone, self.areas_m2[rows], minlength=n_zones), DECIMALS)

    def sum_limits(self, rows: IntArray, zone: IntArray, *, n_zones: int) -> FloatArray | None:
        """Return the ends of the 95 % intervals of the sums, ``float64[Z, 2]``; None without any.

        The error of an object is log-normal with its interval, and a sum of such is log-normal with
        the same mean and variance (Fenton 1960, "The sum of log-normal probability distributions in
        scatter transmission systems"). ``COMMON_FRACTION`` of the variance is common to all
        objects, the rest independent. The interval of one object is its own.

        Args:
            rows: ``int64[P]`` detections.
            zone: ``int64[P]`` the zone of each.
            n_zones: Number of zones.

        Returns:
            NaN for zones with an object that has no interval, 0 for zones without objects.
        """
        if self.limits_m2 is None:
            return None
        limits = np.where(self.limits_m2 > 0, self.limits_m2, np.nan)[rows]
        spread = np.log(limits[:, 1] / limits[:, 0]) / (2 * Z95)
        mean = np.sqrt(limits.prod(axis=1)) * np.exp(spread**2 / 2)
        deviation = mean * np.sqrt(np.expm1(spread**2))

        def total(values: FloatArray) -> FloatArray:
            return np.asarray(np.bincount(zone, values, minlength=n_zones), dtype=np.float64)

        variance = (1 - COMMON_FRACTION) * total(deviation**2)
        variance += COMMON_FRACTION * total(deviation) ** 2
        sums = total(mean)
        ratio = np.divide(variance, sums**2, out=np.zeros(n_zones), where=sums != 0)  # NaN stays
        log_variance = np.log1p(ratio)
        middle = sums * np.exp(-log_variance / 2)
        reach = np.exp(Z95 * np.sqrt(log_variance))
        ends = np.stack([middle / reach, middle * reach], axis=1)
        return np.asarray(np.round(ends, DECIMALS), dtype=np.float64)
