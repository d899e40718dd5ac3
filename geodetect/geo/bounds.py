"""Bounding boxes of geometries in another CRS or in pixels, with long edges projected in steps."""

from __future__ import annotations

import numpy as np
import shapely
from pyproj import CRS
from pyproj.exceptions import ProjError

from geodetect.errors import GeoreferenceError
from geodetect.geo.crs import horizontal_crs, same_crs, transformer_between
from geodetect.geo.grid import Grid
from geodetect.geo.reproject import densify
from geodetect.types import FloatArray, IntArray, ObjectArray


def projected_bounds(geometries: ObjectArray, source: CRS | None, target: CRS | None) -> FloatArray:
    """Return the bounding boxes of geometries in another CRS.

    Args:
        geometries: ``object[N]`` shapely geometries.
        source: Their CRS.
        target: CRS of the boxes. If either is None, coordinates are not projected.

    Returns:
        ``float64[N, 4]`` x1, y1, x2, y2 (lowest, then highest map coordinates); NaN where there
        is no geometry or the target CRS does not reach.
    """
    if source is None or target is None or same_crs(source, target):
        return np.asarray(shapely.bounds(geometries), dtype=np.float64).reshape(-1, 4)
    points, rows = _project_vertices(geometries, source, target)
    return _bounds_of_rows(points, rows, len(geometries))


def bounds_px(geometries: ObjectArray, source: CRS, grid: Grid) -> FloatArray:
    """Return the bounding boxes of geometries in the pixels of a grid that has a CRS.

    Args:
        geometries: ``object[N]`` shapely geometries.
        source: Their CRS.
        grid: Grid of the raster.

    Returns:
        ``float64[N, 4]`` x1, y1, x2, y2 in pixel edges, not clipped to the grid; NaN where there
        is no geometry or the grid's CRS does not reach.

    Raises:
        GeoreferenceError: PROJ knows no operation between the two CRS.
    """
    points, rows = _project_vertices(geometries, source, grid.crs or source)
    return _bounds_of_rows(grid.to_px(points), rows, len(geometries))


def _project_vertices(
    geometries: ObjectArray, source: CRS, target: CRS
) -> tuple[FloatArray, IntArray]:
    """Return vertices ``[P, 2]`` in the target CRS (NaN beyond its reach) and their rows."""
    if same_crs(source, target):
        points, rows = shapely.get_coordinates(geometries, return_index=True)
        return points, rows
    points, rows = shapely.get_coordinates(densify(geometries, source), return_index=True)
    transformer = transformer_between(horizontal_crs(source), horizontal_crs(target))
    try:
        points = np.column_stack(transformer.transform(points[:, 0], points[:, 1]))
    except ProjError as error:
        raise GeoreferenceError(
            f"{source.name} cannot be projected to {target.name}: {error}"
        ) from error
    points[~np.isfinite(points).all(axis=1)] = np.nan
    return points, rows


def _bounds_of_rows(points: FloatArray, rows: IntArray, count: int) -> FloatArray:
    """Return lowest and highest coordinates of each row; NaN for rows without points."""
    boxes = np.full((count, 4), np.nan)
    if len(rows) == 0:
        return boxes
    present, starts = np.unique(rows, return_index=True)
    boxes[present, :2] = np.minimum.reduceat(points, starts, axis=0)
    boxes[present, 2:] = np.maximum.reduceat(points, starts, axis=0)
    return boxes
