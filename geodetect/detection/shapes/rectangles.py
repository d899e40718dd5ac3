"""Smallest rotated rectangles around outlines."""

from __future__ import annotations

import numpy as np
import shapely

from geodetect.geo import boxes as box_ops
from geodetect.types import FloatArray, ObjectArray

CORNERS = 5  # of a closed ring


def rotated_rectangles(outlines: ObjectArray, boxes: FloatArray, pixel_m: FloatArray) -> FloatArray:
    """Return the rectangles of the smallest area around outlines, right-angled on the ground.

    Args:
        outlines: ``object[N]`` polygons and multipolygons in pixels; None for rows without one.
        boxes: ``float64[N, 4]`` boxes, which are the rectangles of these rows.
        pixel_m: ``float64[2]`` width and height of a pixel on the ground.

    Returns:
        ``float64[N, 5, 2]`` closed rings in pixels.
    """
    x1, y1, x2, y2 = boxes.T
    rings = np.stack([x1, y1, x2, y1, x2, y2, x1, y2, x1, y1], axis=-1).reshape(-1, CORNERS, 2)
    has_outline = ~shapely.is_missing(outlines)
    on_ground = shapely.transform(outlines[has_outline], lambda points: points * pixel_m)
    corners = shapely.get_coordinates(shapely.oriented_envelope(on_ground))
    rings[has_outline] = corners.reshape(-1, CORNERS, 2) / pixel_m
    return rings


def centres(outlines: ObjectArray, boxes: FloatArray) -> FloatArray:
    """Return the centroids of outlines, and the centres of boxes without one, ``float64[N, 2]``."""
    points = box_ops.centres(boxes)
    has_outline = ~shapely.is_missing(outlines)
    points[has_outline] = shapely.get_coordinates(shapely.centroid(outlines[has_outline]))
    return points
