"""Discs of true size around points on a map."""

from __future__ import annotations

import numpy as np
import shapely
from pyproj import CRS

from geodetect.errors import GeoreferenceError
from geodetect.geo.crs import horizontal_crs, metres_per_unit
from geodetect.geo.geodesic import ground_distances_m
from geodetect.types import FloatArray, ObjectArray

_CORNERS = 48  # the polygon's width is at most 0.2 % below the disc's, whatever the direction
_STEP_M = 1.0


def ground_discs(points: FloatArray, diameter_m: float, crs: CRS) -> ObjectArray:
    """Return discs on the ground around points, as polygons in map coordinates.

    The bounding box of a disc is as wide and high as the disc in every pixel grid, rotated or
    not; that of a square would not be. The ground is measured by the metric tensor of the map at
    each point, so degrees, feet, Mercator's scale and maps that distort angles all come out right.

    Args:
        points: ``float64[N, 2]`` map coordinates.
        diameter_m: On the ground, in metres.
        crs: CRS of the points.

    Returns:
        ``object[N]`` polygons of 48 corners.

    Raises:
        GeoreferenceError: A point lies where the CRS is not defined.
    """
    horizontal = horizontal_crs(crs)
    step = _STEP_M / metres_per_unit(horizontal)
    along_x, along_y, diagonal = (
        (ground_distances_m(points, points + step * np.array(direction), crs) / step) ** 2
        for direction in ([1.0, 0.0], [0.0, 1.0], [1.0, 1.0])
    )
    mixed = (diagonal - along_x - along_y) / 2
    if not np.isfinite(mixed).all():
        raise GeoreferenceError(
            f"some points lie outside the area where their CRS ({horizontal.name}) is defined"
        )
    # metric tensor G from the lengths of three short steps, |u|^2 = u^T G u; its inverse square
    # root converts metres on the ground to map units
    metric = np.stack([along_x, mixed, mixed, along_y], axis=1).reshape(-1, 2, 2)
    values, vectors = np.linalg.eigh(metric)
    map_units_per_metre = (vectors / np.sqrt(values)[:, None]) @ vectors.transpose(0, 2, 1)
    angles = np.arange(_CORNERS) * (2 * np.pi / _CORNERS)
    circle = diameter_m / 2 * np.stack([np.cos(angles), np.sin(angles)])
    offsets = np.einsum("nij,jk->nki", map_units_per_metre, circle)
    return np.asarray(shapely.polygons(points[:, None] + offsets), dtype=object)
