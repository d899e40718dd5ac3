"""Areas of zones and of their searched parts, and zones that overlap."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import shapely
from pyproj import CRS

from geodetect.assessment.searched_area import read_searched_area
from geodetect.geo.geodesic import ground_areas_m2
from geodetect.geo.reproject import densify, reproject
from geodetect.io.vector.read import LayerSource
from geodetect.progress import phase
from geodetect.types import FloatArray, ObjectArray

ALL, PART, NONE, ASSUMED = "all", "part", "none", "assumed"
NEARLY_ALL = 0.995  # fraction of a zone; cells of the coverage are a 28th of a tile
MIN_OVERLAP = 1e-6  # fraction of the smaller zone from which on two zones overlap
M2_PER_KM2 = 1e6


@phase("Measuring the zones")
def compute_zone_areas(
    polygons: ObjectArray, crs: CRS, coverage: LayerSource | None
) -> dict[str, Any]:
    """Return the columns of areas of zones and of their searched parts.

    Args:
        polygons: ``object[Z]`` zones.
        crs: Their CRS.
        coverage: Area that was searched; None: everything.
    """
    area = ground_areas_m2(polygons, crs) / M2_PER_KM2
    covered, searched = area, np.full(len(polygons), ASSUMED, dtype=object)
    fraction = np.ones(len(polygons))
    if coverage is not None:
        covered = _measure_searched_m2(polygons, crs, coverage) / M2_PER_KM2
        fraction = np.clip(np.divide(covered, area, out=np.zeros_like(area), where=area > 0), 0, 1)
        searched = np.where(fraction >= NEARLY_ALL, ALL, np.where(covered > 0, PART, NONE))
    return {
        "area_km2": np.round(area, 9),
        "covered_km2": np.round(covered, 9),
        "covered_fraction": np.round(fraction, 4),
        "searched": pd.Series(searched, dtype=str),
    }


def _measure_searched_m2(polygons: ObjectArray, crs: CRS, coverage: LayerSource) -> FloatArray:
    """Return the true area of the searched part of each zone, ``float64[N]``."""
    area = read_searched_area(coverage)
    searched = reproject(densify(area.to_numpy(), area.crs), area.crs, crs)
    tree = shapely.STRtree(polygons)
    covered = np.zeros(len(polygons))
    whole = np.unique(tree.query(searched, predicate="covers")[1])
    covered[whole] = ground_areas_m2(polygons[whole], crs)
    part, zone = tree.query(searched, predicate="intersects")
    is_partial = ~np.isin(zone, whole)
    part, zone = part[is_partial], zone[is_partial]
    shared = ground_areas_m2(shapely.intersection(searched[part], polygons[zone]), crs)
    return np.asarray(covered + np.bincount(zone, shared, minlength=len(polygons)))


def count_overlapping_pairs(polygons: ObjectArray) -> int:
    """Return the number of pairs of zones that share more than slivers along their borders."""
    a, b = shapely.STRtree(polygons).query(polygons, predicate="intersects")
    a, b = a[a < b], b[a < b]
    shared = shapely.area(shapely.intersection(polygons[a], polygons[b]))
    smaller = np.minimum(shapely.area(polygons[a]), shapely.area(polygons[b]))
    return int((shared > MIN_OVERLAP * smaller).sum())
