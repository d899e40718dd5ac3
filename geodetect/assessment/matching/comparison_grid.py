"""The frame in which the boxes of two layers are compared.

A detector draws boxes along the pixels of its raster. In a CRS that is turned against the raster
the bounding boxes of detections and objects are all too large, and agree better than they should:
the 2.9 degrees between Lambert-93 and longitude and latitude at Cannes raise the AP50:95 of the
built-in model there from 0.493 to 0.508. So boxes are compared along the sides of the predictions.
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

SAMPLE = 500  # predictions that are looked at
UPRIGHT = 0.995  # share of its bounding box that a box fills; a square turned by 0.15 degrees


def comparison_grid(predicted: ObjectArray, predicted_crs: CRS, truth_crs: CRS) -> Grid:
    """The frame along whose axes the predictions lie.

    It is the CRS of the predictions or, if they are not upright there, that of the truth. If they
    are upright in neither, but are rectangles turned alike, as in GeoJSON of a raster in metres or
    of a turned raster, it is a local map turned as they are. Else it is the CRS of the predictions.

    Args:
        predicted: ``object[N]`` outlines of the predictions.
        predicted_crs: Their CRS.
        truth_crs: CRS of the truth.

    Returns:
        A grid whose "pixels" are the units of the frame.
    """
    plain = plain_grid(predicted_crs)
    sample = predicted[:: len(predicted) // SAMPLE + 1]
    sample = sample[shapely.area(sample) > 0]
    if len(sample) == 0:
        return plain
    for grid in (plain, plain_grid(truth_crs)):
        if _fills(sample, predicted_crs, grid):
            return grid
    turned = _turned(sample, predicted_crs)
    return turned if turned is not None and _fills(sample, predicted_crs, turned) else plain


def plain_grid(crs: CRS | None) -> Grid:
    """The coordinates of a CRS as they are."""
    return Grid(crs and horizontal_crs(crs), Affine.identity(), 1, 1)


def frame_name(grid: Grid) -> str:
    """What people call a frame."""
    if grid.crs is None:
        return "plain coordinates"
    if grid.transform == Affine.identity():
        return grid.crs.name
    turn_deg = float(np.degrees(np.arctan2(grid.transform.d, grid.transform.a)))
    return f"the sides of the predictions, {abs(turn_deg):.1f}° off north"


def _fills(outlines: ObjectArray, crs: CRS, grid: Grid) -> bool:
    """Whether outlines, as a rule, fill their bounding boxes in a frame."""
    try:
        moved = shapely.transform(reproject(outlines, crs, grid.crs or crs), grid.to_px)
    except GeoreferenceError:  # the frame does not reach there
        return False
    bounds = shapely.bounds(moved)
    return bool(np.median(shapely.area(moved) / shapely.area(shapely.box(*bounds.T))) >= UPRIGHT)


def _turned(outlines: ObjectArray, crs: CRS) -> Grid | None:
    """A local map turned as the smallest rectangles around outlines are."""
    local = _local_crs(outlines, crs)
    if local is None:
        return None
    rectangles = shapely.oriented_envelope(reproject(outlines, crs, local))
    sides = np.diff(shapely.get_coordinates(rectangles).reshape(-1, 5, 2)[:, :2], axis=1)[:, 0]
    quarter = 4 * np.arctan2(sides[:, 1], sides[:, 0])  # sides a right angle apart are the same
    turn = np.arctan2(np.sin(quarter).mean(), np.cos(quarter).mean()) / 4
    return Grid(local, Affine.rotation(float(np.degrees(turn))), 1, 1)


def _local_crs(outlines: ObjectArray, crs: CRS) -> CRS | None:
    """A conformal map in metres around outlines; None for a CRS not tied to the Earth.

    Conformal as nearly all CRS of rasters are: rectangles stay rectangles.
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
