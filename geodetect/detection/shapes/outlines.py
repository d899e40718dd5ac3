"""Outlines of objects as they come out: simplified, with right angles if that is set."""

from __future__ import annotations

import math

import numpy as np
import shapely

from geodetect.detection.shapes.right_angles import square_outlines
from geodetect.detection.shapes.simplification import simplify_outlines
from geodetect.errors import InputError
from geodetect.geo.grid import Grid
from geodetect.settings.prediction import ShapeSettings
from geodetect.types import FloatArray, ObjectArray

SIMPLIFY_PX = 0.25
DETAIL_PX = 2.0  # size of the details that right angles leave out
OF_OUTLINES = ("outline", "oriented")  # geometries that need outlines
IN_METRES = ("simplify", "min_area", "max_area")


def shape_outlines(outlines: ObjectArray, grid: Grid, settings: ShapeSettings) -> ObjectArray:
    """Simplify outlines, and give them right angles, in metres on the ground.

    Args:
        outlines: ``object[N]`` valid polygons and multipolygons in pixels; None for rows without.
        grid: The pixels.
        settings: What is done.

    Returns:
        ``object[N]`` valid polygons and multipolygons in pixels.
    """
    pixel = pixel_size(grid)
    side = math.sqrt(math.prod(pixel))
    shaped = shapely.transform(outlines, lambda points: points * pixel)
    tolerance = SIMPLIFY_PX * side if settings.simplify is None else settings.simplify
    if tolerance > 0:
        shaped = simplify_outlines(shaped, tolerance)
    if settings.regularize:
        shaped = square_outlines(shaped, max(tolerance, DETAIL_PX * side))
    shaped = shapely.transform(shaped, lambda points: points / pixel)
    return np.where(shapely.is_empty(shaped), outlines, shaped)


def pixel_size(grid: Grid) -> FloatArray:
    """Return width and height of a pixel in metres, ``float64[2]``; 1 each where not known."""
    return np.array([1.0, 1.0] if grid.gsd_xy_m is None else grid.gsd_xy_m)


def check_outlines(has_outlines: bool | None, settings: ShapeSettings, *, model: str) -> None:
    """Check that a detector has the outlines that settings need.

    Args:
        has_outlines: It has; None: not known.
        settings: The settings.
        model: Name of the detector, for the message.

    Raises:
        InputError: It has none.
    """
    needs = {
        f"`geometry` {settings.geometry}": settings.geometry in OF_OUTLINES,
        "`regularize`": settings.regularize,
        "`simplify`": settings.simplify is not None,
    }
    name = next((name for name, is_set in needs.items() if is_set), None)
    if has_outlines is False and name is not None:
        raise InputError(
            f"{name} needs outlines, but model {model} finds boxes only; omit it, or choose a "
            f"`model` with outlines (`geodetect info MODEL` tells)"
        )


def check_metres(grid: Grid, settings: ShapeSettings, *, raster: str) -> None:
    """Check that settings in metres can be used on a raster.

    Raises:
        InputError: The raster has no CRS, so that the size of its pixels is not known.
    """
    name = next((name for name in IN_METRES if getattr(settings, name) is not None), None)
    if name is not None and grid.crs is None:
        raise InputError(
            f"`{name}` is a size on the ground, but {raster} has no CRS, so that the size of its "
            f"pixels is not known; set its CRS as `src_crs`, or omit `{name}`"
        )
