"""Reprojection of geometries from one coordinate reference system to another."""

from __future__ import annotations

import numpy as np
import shapely
from pyproj import CRS

from geodetect.errors import GeoreferenceError
from geodetect.geo.crs import horizontal_crs, metres_per_unit, same_crs, transformer_between
from geodetect.types import AnyArray, ObjectArray

_EDGE_M = 100.0  # an edge this long bends by 0.2 mm between projections: L^2 / (8 R)
_MOST_STEPS = 1000


def reproject(geometries: AnyArray, source: CRS, target: CRS) -> AnyArray:
    """Reproject geometries vertex by vertex, x before y whatever the axes say.

    Not ``GeoSeries.to_crs``, which returns infinite coordinates where ``target`` is not defined.

    Args:
        geometries: ``object[N]`` shapely geometries in ``source``.
        source: Their CRS; of a compound or 3D one the horizontal part.
        target: Likewise.

    Returns:
        ``object[N]`` geometries in ``target``; the same ones when both are the same CRS.

    Raises:
        GeoreferenceError: A vertex lies where ``target`` is not defined, or there is no conversion.
    """
    if same_crs(source, target) or len(geometries) == 0:
        return geometries
    reprojected = _reproject_vertices(geometries, source, target)
    if not np.isfinite(shapely.get_coordinates(reprojected)).all():
        raise GeoreferenceError(
            f"some coordinates in {horizontal_crs(source).name} cannot be expressed in "
            f"{horizontal_crs(target).name}; set the raster's right CRS as `src_crs` or another "
            f"output CRS as `crs`"
        )
    return reprojected


def reproject_or_none(geometries: AnyArray, source: CRS, target: CRS) -> AnyArray:
    """Reproject geometries like ``reproject``, with None for those outside ``target``.

    Args:
        geometries: ``object[N]`` shapely geometries in ``source``.
        source: Their CRS; of a compound or 3D one the horizontal part.
        target: Likewise.

    Returns:
        ``object[N]`` valid geometries in ``target``; the same ones when both are the same CRS.
    """
    if same_crs(source, target) or len(geometries) == 0:
        return geometries
    try:
        reprojected = _reproject_vertices(geometries, source, target)
    except GeoreferenceError:  # PROJ knows no operation between the two
        return np.full(len(geometries), None, dtype=object)
    points, rows = shapely.get_coordinates(reprojected, return_index=True)
    reprojected[rows[~np.isfinite(points).all(axis=1)]] = None
    is_invalid = ~shapely.is_valid(reprojected) & ~shapely.is_missing(reprojected)
    reprojected[is_invalid] = shapely.make_valid(reprojected[is_invalid])
    return reprojected


def densify(geometries: ObjectArray, crs: CRS) -> ObjectArray:
    """Add vertices along long edges, which are curves in other projections.

    Args:
        geometries: ``object[N]`` shapely geometries.
        crs: Their CRS.

    Returns:
        ``object[N]`` with edges of at most 100 m, or a thousandth of the geometry's extent.
    """
    bounds = np.asarray(shapely.bounds(geometries), dtype=np.float64).reshape(-1, 4)
    extent = (bounds[:, 2:] - bounds[:, :2]).max(axis=1, initial=0)
    max_edge = _EDGE_M / metres_per_unit(horizontal_crs(crs))
    is_long = extent > max_edge  # NaN of an empty geometry compares false
    dense = geometries.copy()
    dense[is_long] = shapely.segmentize(
        geometries[is_long], np.maximum(max_edge, extent[is_long] / _MOST_STEPS)
    )
    return dense


def _reproject_vertices(geometries: AnyArray, source: CRS, target: CRS) -> AnyArray:
    """Reproject geometries; coordinates outside the target CRS become infinite."""
    transformer = transformer_between(horizontal_crs(source), horizontal_crs(target))
    return np.asarray(
        shapely.transform(
            geometries, lambda xy: np.stack(transformer.transform(xy[:, 0], xy[:, 1]), axis=1)
        )
    )
