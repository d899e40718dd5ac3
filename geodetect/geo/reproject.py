"""Geometries from one coordinate reference system to another."""

from __future__ import annotations

import numpy as np
import shapely
from pyproj import CRS
from pyproj.exceptions import ProjError

from geodetect.errors import GeoreferenceError
from geodetect.geo.crs import horizontal_crs, same_crs, transformer_between
from geodetect.types import AnyArray, FloatArray


def reproject(geometries: AnyArray, source: CRS, target: CRS) -> AnyArray:
    """Geometries in another CRS, vertex by vertex, x before y whatever the axes say.

    Args:
        geometries: ``object[N]`` shapely geometries in ``source``.
        source: Their CRS; of a compound or 3D one the horizontal part.
        target: Likewise.

    Returns:
        ``object[N]`` geometries in ``target``; the same ones when both are the same CRS.

    Raises:
        GeoreferenceError: A vertex lies where ``target`` is not defined.
    """
    if same_crs(source, target) or len(geometries) == 0:
        return geometries
    moved = _moved(geometries, source, target)
    if not np.isfinite(shapely.get_coordinates(moved)).all():
        names = horizontal_crs(source).name, horizontal_crs(target).name
        raise GeoreferenceError(
            f"some coordinates in {names[0]} cannot be expressed in {names[1]}; "
            f"name the raster's right CRS with --src-crs or another output CRS with --crs"
        )
    return moved


def reproject_each(geometries: AnyArray, source: CRS, target: CRS) -> AnyArray:
    """Like ``reproject``, with None for the geometries that have no place in ``target``.

    Args:
        geometries: ``object[N]`` shapely geometries in ``source``.
        source: Their CRS; of a compound or 3D one the horizontal part.
        target: Likewise.

    Returns:
        ``object[N]`` geometries in ``target``; the same ones when both are the same CRS.
    """
    if same_crs(source, target) or len(geometries) == 0:
        return geometries
    try:
        moved = _moved(geometries, source, target)
    except ProjError:  # nothing is known of how the two are related
        return np.full(len(geometries), None, dtype=object)
    points, rows = shapely.get_coordinates(moved, return_index=True)
    moved[rows[~np.isfinite(points).all(axis=1)]] = None
    broken = ~shapely.is_valid(moved) & ~shapely.is_missing(moved)
    moved[broken] = shapely.make_valid(moved[broken])
    return moved


def _moved(geometries: AnyArray, source: CRS, target: CRS) -> AnyArray:
    """Geometries in another CRS; infinite coordinates where it is not defined."""
    transformer = transformer_between(horizontal_crs(source), horizontal_crs(target))

    def to_target(points: FloatArray) -> FloatArray:
        return np.stack(transformer.transform(points[:, 0], points[:, 1]), axis=1)

    return np.asarray(shapely.transform(geometries, to_target))
