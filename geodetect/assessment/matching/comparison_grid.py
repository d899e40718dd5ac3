"""Grid in which the boxes of two layers are compared.

A detector draws boxes along the pixels of its raster. In a CRS that is rotated against the raster
the bounding boxes of detections and objects are all too large, and agree better than they should:
the 2.9 degrees between Lambert-93 and longitude and latitude at Cannes raise the AP50:95 of the
built-in model there from 0.493 to 0.508. So boxes are drawn along the sides of the predictions.
"""

from __future__ import annotations

import numpy as np
import shapely
from affine import Affine
from pyproj.crs import CRS, ProjectedCRS
from pyproj.crs.coordinate_operation import TransverseMercatorConversion

from geodetect.errors import GeoreferenceError
from geodetect.geo.crs import horizontal_crs, transformer_between, unit_factor
from geodetect.geo.grid import Grid
from geodetect.geo.reproject import reproject
from geodetect.types import ObjectArray

MAX_SAMPLE = 500  # of predictions, by which the grid is chosen
LEAST_FILL = 0.995  # fraction of its bounding box that a square fills when rotated by 0.15 degrees


def comparison_grid(predicted: ObjectArray, predicted_crs: CRS, truth_crs: CRS) -> Grid:
    """Return the grid along whose axes the predictions lie.

    It is the CRS of the predictions or, if they are not axis-aligned there, that of the truth. If
    they are axis-aligned in neither, but are rectangles rotated alike, as in GeoJSON of a raster in
    metres or of a rotated raster, it is a local map rotated as they are. Else it is the CRS of the
    predictions.

    Args:
        predicted: ``object[N]`` outlines of the predictions.
        predicted_crs: CRS of the predictions.
        truth_crs: CRS of the truth.

    Returns:
        A grid whose "pixels" are the units of its CRS.
    """
    unrotated = crs_grid(predicted_crs)
    from_west = np.lexsort(shapely.bounds(predicted).T)  # not by row: their order may be any
    sample = predicted[from_west[:: len(predicted) // MAX_SAMPLE + 1]]
    sample = sample[shapely.area(sample) > 0]
    if len(sample) == 0:
        return unrotated
    for grid in (unrotated, crs_grid(truth_crs)):
        if _is_axis_aligned(sample, predicted_crs, grid):
            return grid
    rotated = _fit_rotated_grid(sample, predicted_crs)
    if rotated is not None and _is_axis_aligned(sample, predicted_crs, rotated):
        return rotated
    return unrotated


def crs_grid(crs: CRS | None) -> Grid:
    """Return a grid whose pixels are the coordinates of a CRS."""
    return Grid(crs and horizontal_crs(crs), Affine.identity(), 1, 1)


def grid_name(grid: Grid) -> str:
    """Return the name of a comparison grid for tables."""
    if grid.crs is None:
        return "plain coordinates"
    if grid.transform == Affine.identity():
        return grid.crs.name
    angle_deg = float(np.degrees(np.arctan2(grid.transform.d, grid.transform.a)))
    return f"the sides of the predictions, {abs(angle_deg):.1f}° off north"


def _is_axis_aligned(outlines: ObjectArray, crs: CRS, grid: Grid) -> bool:
    """Return True if the median outline fills its bounding box in the grid."""
    try:
        moved = shapely.transform(reproject(outlines, crs, grid.crs or crs), grid.to_px)
    except GeoreferenceError:  # outside the area where the CRS is defined
        return False
    bounds = shapely.bounds(moved)
    return bool(np.median(shapely.area(moved) / shapely.area(shapely.box(*bounds.T))) >= LEAST_FILL)


def _fit_rotated_grid(outlines: ObjectArray, crs: CRS) -> Grid | None:
    """Return a local map along the smallest rectangles around outlines."""
    local = _make_local_crs(outlines, crs)
    if local is None:
        return None
    rectangles = shapely.oriented_envelope(reproject(outlines, crs, local))
    edges = np.diff(shapely.get_coordinates(rectangles).reshape(-1, 5, 2)[:, :2], axis=1)[:, 0]
    # circular mean of angles, of which those a right angle apart are the same
    quadruple = 4 * np.arctan2(edges[:, 1], edges[:, 0])
    angle = np.arctan2(np.sin(quadruple).mean(), np.cos(quadruple).mean()) / 4
    return Grid(local, Affine.rotation(float(np.degrees(angle))), 1, 1)


def _make_local_crs(outlines: ObjectArray, crs: CRS) -> CRS | None:
    """Return a map projection in metres around outlines.

    It is conformal, as nearly all CRS of rasters are: rectangles stay rectangles. None for a CRS
    that is not tied to the Earth.
    """
    horizontal = horizontal_crs(crs)
    geodetic = horizontal.geodetic_crs
    if geodetic is None:
        return None
    geodetic = geodetic.to_2d()
    to_geodetic = transformer_between(horizontal, geodetic)
    lon, lat = to_geodetic.transform(*np.median(shapely.get_coordinates(outlines), axis=0))
    degrees = float(np.degrees(unit_factor(geodetic)))
    conversion = TransverseMercatorConversion(float(lat) * degrees, float(lon) * degrees)
    return ProjectedCRS(conversion, geodetic_crs=geodetic)
