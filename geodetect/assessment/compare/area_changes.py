"""Areas of objects that are in both of the compared layers, where both have outlines."""

from __future__ import annotations

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from geodetect.assessment.matching.outlines import POLYGON_TYPES, box_mask
from geodetect.geo.geodesic import ground_areas_m2
from geodetect.io.vector.features import read_area_limits
from geodetect.types import BoolArray, IntArray

RATIO, DIFFERS = "area_ratio", "area_differs"
RATIO_DECIMALS = 4


@dataclass(frozen=True)
class AreaAgreement:
    """Agreement of the areas of pairs of outlines.

    Args:
        pairs: Number of pairs of outlines.
        median_ratio: Median of the area of the prediction over that of the other feature.
        differing: Number of pairs where the other area lies outside the 95 % interval of the
            prediction; None without intervals.
    """

    pairs: int
    median_ratio: float
    differing: int | None

    @classmethod
    def from_changes(cls, changes: gpd.GeoDataFrame) -> AreaAgreement | None:
        """Return the agreement in a layer of changes; None without pairs of outlines."""
        if RATIO not in changes:
            return None
        ratio = changes[RATIO].dropna()
        differing = int(changes[DIFFERS].sum()) if DIFFERS in changes else None
        return cls(len(ratio), round(float(ratio.median()), RATIO_DECIMALS), differing)

    def __str__(self) -> str:
        text = f"median {self.median_ratio:.3f} of {self.pairs:,} pairs of outlines"
        if self.differing is None:
            return text
        return f"{text}; {self.differing:,} differ by more than the 95 % interval"


def compare_areas(
    table: gpd.GeoDataFrame, other: gpd.GeoDataFrame, pairs: IntArray, *, n_rows: int
) -> dict[str, pd.Series]:
    """Return columns that compare the areas of pairs of outlines.

    Args:
        table: Predictions.
        other: Register, or earlier predictions.
        pairs: ``int64[P, 2]`` rows of both that are the same object.
        n_rows: Number of rows of the changes, which begin with the predictions.

    Returns:
        ``area_ratio`` (float64), the area of the prediction over that of the other feature, and if
        predictions have intervals ``area_differs`` (boolean): the other area lies outside. Both are
        missing where a feature is alone, or is no outline; without pairs of outlines there are no
        columns.
    """
    is_pair = _outline_mask(table, pairs[:, 0]) & _outline_mask(other, pairs[:, 1])
    rows, other_rows = pairs[is_pair].T
    if not len(rows):
        return {}
    area = ground_areas_m2(table.geometry.to_numpy()[rows], table.crs)
    other_area = ground_areas_m2(other.geometry.to_numpy()[other_rows], other.crs)
    ratio = np.full(n_rows, np.nan)
    ratio[rows] = np.round(area / other_area, RATIO_DECIMALS)
    columns = {RATIO: pd.Series(ratio)}
    limits = read_area_limits(table)
    if limits is not None:
        low, high = limits[rows].T
        differs = pd.Series(pd.NA, index=range(n_rows), dtype="boolean")
        is_known = np.isfinite(limits[rows]).all(axis=1)
        differs.iloc[rows[is_known]] = ((other_area < low) | (other_area > high))[is_known]
        columns[DIFFERS] = differs
    return columns


def _outline_mask(table: gpd.GeoDataFrame, rows: IntArray) -> BoolArray:
    """Return True for rows that are outlines with an area, not boxes, ``bool[P]``."""
    geometries = table.geometry.to_numpy()[rows]
    is_outline = np.isin(shapely.get_type_id(geometries), POLYGON_TYPES)
    is_outline &= shapely.area(geometries) > 0
    is_outline[is_outline] = ~box_mask(geometries[is_outline], table.crs)
    return np.asarray(is_outline, dtype=bool)
