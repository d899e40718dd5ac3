"""Spatial join of points with polygons, and repair of these polygons."""

from __future__ import annotations

import warnings

import geopandas as gpd
import numpy as np
import shapely

from geodetect.errors import GeodetectWarning
from geodetect.geo.polygons import repair_polygons
from geodetect.types import FloatArray, IntArray, ObjectArray


def repair_table(table: gpd.GeoDataFrame, name: str) -> gpd.GeoDataFrame:
    """Repair the polygons of a table that cross themselves, and warn of their number.

    Args:
        table: Polygons.
        name: Noun phrase for the layer in messages.
    """
    repaired, is_invalid = repair_polygons(table.geometry.to_numpy(), name)
    if not is_invalid.any():
        return table
    warnings.warn(
        f"{name}: {is_invalid.sum():,} of {len(is_invalid):,} polygons cross themselves; repaired",
        GeodetectWarning,
        stacklevel=2,
    )
    return table.set_geometry(gpd.array.from_shapely(repaired, crs=table.crs))


def join_points(points: FloatArray, polygons: ObjectArray) -> IntArray:
    """Return the pairs of points and the polygons that they lie in or on.

    ``geopandas.sjoin`` builds its tree of the polygons; a tree of the points prepares each polygon
    only once, which matters where polygons have many vertices.

    Args:
        points: ``float64[N, 2]``; NaN lies nowhere.
        polygons: ``object[M]`` in the same CRS.

    Returns:
        ``int64[P, 2]`` rows of points and polygons, in ascending order.
    """
    rows = np.flatnonzero(np.isfinite(points).all(axis=1))
    if len(rows) == 0 or len(polygons) == 0:
        return np.empty((0, 2), np.int64)
    tree = shapely.STRtree(shapely.points(points[rows]))
    polygon, point = tree.query(polygons, predicate="intersects")
    pairs = np.stack([rows[point], polygon], axis=1).astype(np.int64)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
