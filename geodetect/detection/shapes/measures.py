"""Measures of objects on the ground: area and its interval, perimeter, sides, direction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely

from geodetect.detection.detections import Detections
from geodetect.detection.shapes.outlines import pixel_size
from geodetect.detection.shapes.rectangles import rotated_rectangles
from geodetect.geo.geodesic import (
    ground_areas_m2,
    ground_orientations_deg,
    ground_perimeters_m,
    ground_sizes,
)
from geodetect.geo.grid import Grid
from geodetect.model.card import AreaError
from geodetect.types import FloatArray

METRE_DECIMALS = 2  # a centimetre: finer than any pixel the boxes come from
DEGREE_DECIMALS = 1
SIZES = ("area_m2", "width_m", "length_m")
INTERVALS = ("area_low_m2", "area_high_m2")
OF_SHAPE = ("perimeter_m", "orientation_deg")
OF_OUTLINES = (*INTERVALS, *OF_SHAPE)

Measures = dict[str, FloatArray]  # by the name of the column: float64[N]


def measure_names(*, with_outlines: bool, area_error: AreaError | None) -> list[str]:
    """Return the names of the measures of objects with or without outlines."""
    intervals = () if area_error is None else INTERVALS
    return [*SIZES, *intervals, *OF_SHAPE] if with_outlines else list(SIZES)


def measure_objects(
    detections: Detections, grid: Grid, names: Sequence[str], area_error: AreaError | None
) -> Measures:
    """Measure objects by their outlines, and by their boxes where there is none.

    Args:
        detections: Boxes and outlines in pixels of the grid.
        grid: The grid.
        names: Measures to return, see ``measure_names``.
        area_error: Error of the areas of outlines; None: not known.

    Returns:
        Columns of the detection table (see ``GroundDetections.table``), rounded; NaN where not
        known, all without a CRS.
    """
    crs = grid.crs
    width, length, area = ground_sizes(grid.boxes_to_map(detections.boxes), crs)
    measures = {name: np.full(len(detections), np.nan) for name in names}
    measures |= {"area_m2": area, "width_m": width, "length_m": length}
    rows = np.flatnonzero(~shapely.is_missing(detections.outlines))
    if len(rows) and crs is not None:
        objects = detections[rows]
        on_map = shapely.transform(objects.outlines, grid.to_map)
        rectangles = rotated_rectangles(objects.outlines, objects.boxes, pixel_size(grid))
        rings = grid.to_map(rectangles)
        of_rows = {"area_m2": ground_areas_m2(on_map, crs)}
        of_rows["width_m"], of_rows["length_m"], _ = ground_sizes(rings, crs)
        of_rows["perimeter_m"] = ground_perimeters_m(on_map, crs)
        of_rows["orientation_deg"] = ground_orientations_deg(rings, crs)
        if area_error is not None:
            low, high = area_interval(of_rows["area_m2"], area_error)
            of_rows |= {"area_low_m2": low, "area_high_m2": high}
        for name in names:
            measures[name][rows] = of_rows[name]
    for name, values in measures.items():
        is_angle = name == "orientation_deg"
        rounded = np.round(values, DEGREE_DECIMALS if is_angle else METRE_DECIMALS)
        measures[name] = rounded % 180 if is_angle else rounded  # 179.96 is rounded to 180
    return measures


def area_interval(area_m2: FloatArray, error: AreaError) -> tuple[FloatArray, FloatArray]:
    """Return the lower and the upper end of the 95 % interval of true areas, from validation.

    Args:
        area_m2: ``float64[N]`` areas of outlines.
        error: Ratios of true to detected areas by size class.

    Returns:
        ``float64[N]`` each.
    """
    size_class = np.searchsorted(np.array(error.up_to_m2), area_m2)
    return area_m2 * np.array(error.low)[size_class], area_m2 * np.array(error.high)[size_class]
