"""Bounding boxes of geometries on another map or grid, with long edges projected in steps."""

from __future__ import annotations

import numpy as np
import shapely
from pyproj import CRS
from pyproj.exceptions import ProjError

from geodetect.errors import GeoreferenceError
from geodetect.geo.crs import horizontal_crs, metres_per_unit, same_crs, transformer_between
from geodetect.geo.grid import Grid
from geodetect.types import FloatArray, IntArray, ObjectArray

_EDGE_M = 100.0  # an edge this long bends by 0.2 mm between projections: L^2 / (8 R)
_MOST_STEPS = 1000


def projected_bounds(geometries: ObjectArray, source: CRS | None, target: CRS | None) -> FloatArray:
    """Bounding boxes of geometries on another map.

    Args:
        geometries: ``object[N]`` of shapely geometries.
        source: Their CRS.
        target: CRS of the map. Unless both are given the coordinates are taken as they are.

    Returns:
        ``float64[N, 4]`` x1, y1, x2, y2 (lowest, then highest map coordinates); NaN where there
        is no geometry or the target CRS does not reach.
    """
    if source is None or target is None or same_crs(source, target):
        return np.asarray(shapely.bounds(geometries), dtype=np.float64).reshape(-1, 4)
    points, rows = _projected_points(geometries, source, target)
    return _extremes(points, rows, len(geometries))


def bounds_px(geometries: ObjectArray, source: CRS, grid: Grid) -> FloatArray:
    """Bounding boxes of geometries in the pixels of a grid that has a CRS.

    Returns:
        ``float64[N, 4]`` x1, y1, x2, y2 in pixel edges, not cut at the border of the grid; NaN
        where there is no geometry or the grid's CRS does not reach.
    """
    points, rows = _projected_points(geometries, source, grid.crs or source)
    return _extremes(grid.to_px(points), rows, len(geometries))


def densified(geometries: ObjectArray, source: CRS) -> ObjectArray:
    """Geometries with vertices along their long edges, which other projections bend.

    Args:
        geometries: ``object[N]`` of shapely geometries.
        source: Their CRS.
    """
    bounds = np.asarray(shapely.bounds(geometries), dtype=np.float64).reshape(-1, 4)
    extent = (bounds[:, 2:] - bounds[:, :2]).max(axis=1, initial=0)
    longest = _EDGE_M / metres_per_unit(horizontal_crs(source))
    long = extent > longest  # NaN of an empty geometry compares false
    dense = geometries.copy()
    dense[long] = shapely.segmentize(
        geometries[long], np.maximum(longest, extent[long] / _MOST_STEPS)
    )
    return dense


def _projected_points(
    geometries: ObjectArray, source: CRS, target: CRS
) -> tuple[FloatArray, IntArray]:
    """Vertices ``[P, 2]`` on the target map (NaN beyond its reach) and the rows they belong to."""
    same = same_crs(source, target)
    ready = geometries if same else densified(geometries, source)
    points, rows = shapely.get_coordinates(ready, return_index=True)
    if not same:
        points = _project(points, source, target)
        points[~np.isfinite(points).all(axis=1)] = np.nan
    return points, rows


def _extremes(points: FloatArray, rows: IntArray, count: int) -> FloatArray:
    """Lowest and highest coordinates by row; NaN for rows that have no points."""
    boxes = np.full((count, 4), np.nan)
    if len(rows) == 0:
        return boxes
    present, starts = np.unique(rows, return_index=True)
    boxes[present, :2] = np.minimum.reduceat(points, starts, axis=0)
    boxes[present, 2:] = np.maximum.reduceat(points, starts, axis=0)
    return boxes


def _project(points: FloatArray, source: CRS, target: CRS) -> FloatArray:
    """Points ``[P, 2]`` on another map; infinite beyond its reach."""
    transformer = transformer_between(horizontal_crs(source), horizontal_crs(target))
    try:
        return np.column_stack(transformer.transform(points[:, 0], points[:, 1]))
    except ProjError as error:
        raise GeoreferenceError(
            f"{source.name} cannot be projected to {target.name}: {error}"
        ) from error
