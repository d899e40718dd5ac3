"""Geometry of objects on the map: outlines, boxes, rotated rectangles or points."""

from __future__ import annotations

import numpy as np
import shapely

from geodetect.detection.detections import Detections
from geodetect.detection.shapes.outlines import pixel_size
from geodetect.detection.shapes.rectangles import centres, rotated_rectangles
from geodetect.geo.grid import Grid
from geodetect.types import ObjectArray


def geometry_on_map(detections: Detections, grid: Grid, geometry: str) -> ObjectArray:
    """Return the geometry of objects in map coordinates.

    Args:
        detections: Boxes and outlines in pixels of the grid.
        grid: The grid.
        geometry: ``auto``, ``outline``, ``box``, ``oriented`` or ``centre``, see
            ``ShapeSettings``. A box stands in for an outline that is not known.

    Returns:
        ``object[N]`` points, or polygons with counter-clockwise outer rings.
    """
    outlines, boxes = detections.outlines, detections.boxes
    if geometry == "centre":
        return np.asarray(shapely.points(grid.to_map(centres(outlines, boxes))))
    if geometry == "oriented":
        rings = grid.to_map(rotated_rectangles(outlines, boxes, pixel_size(grid)))
        return np.asarray(shapely.orient_polygons(shapely.polygons(rings)))
    polygons: ObjectArray = shapely.polygons(grid.boxes_to_map(boxes))
    if geometry != "box" and detections.has_outlines:
        is_known = ~shapely.is_missing(outlines)
        on_map = shapely.transform(outlines[is_known], grid.to_map)
        polygons[is_known] = shapely.orient_polygons(on_map)
    return polygons
