"""Which places lie in which polygons."""

from __future__ import annotations

import warnings

import geopandas as gpd
import numpy as np
import shapely

from geodetect.errors import GeodetectWarning
from geodetect.types import FloatArray, IntArray, ObjectArray


def with_valid_polygons(table: gpd.GeoDataFrame, name: str) -> gpd.GeoDataFrame:
    """Polygons that cross themselves repaired, by the rule of GEOS that keeps their structure.

    A ``GeodetectWarning`` tells how many there were.

    Args:
        table: Polygons.
        name: What messages call them.
    """
    geometry = np.asarray(table.geometry.array, dtype=object)
    invalid = ~shapely.is_valid(geometry)
    if not invalid.any():
        return table
    warnings.warn(
        f"{name}: {invalid.sum():,} of {len(invalid):,} polygons cross themselves; repaired",
        GeodetectWarning,
        stacklevel=2,
    )
    repaired = geometry.copy()
    repaired[invalid] = shapely.make_valid(
        geometry[invalid], method="structure", keep_collapsed=False
    )
    return table.set_geometry(gpd.array.from_shapely(repaired, crs=table.crs))


def places_in(points: FloatArray, polygons: ObjectArray) -> IntArray:
    """Which points lie in or on which polygons.

    Args:
        points: ``float64[N, 2]``; NaN lies nowhere.
        polygons: ``object[M]`` on the same map.

    Returns:
        ``int64[P, 2]`` rows of points and polygons, in ascending order. Found with a tree of the
        points, so polygons with many vertices are prepared once each.
    """
    known = np.flatnonzero(np.isfinite(points).all(axis=1))
    if len(known) == 0 or len(polygons) == 0:
        return np.empty((0, 2), np.int64)
    tree = shapely.STRtree(shapely.points(points[known]))
    polygon, point = tree.query(polygons, predicate="intersects")
    pairs = np.stack([known[point], polygon], axis=1).astype(np.int64)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
