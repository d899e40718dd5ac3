"""Outlines of masks as polygons, by marching squares."""

from __future__ import annotations

import contourpy
import numpy as np
import shapely

from geodetect.geo.polygons import connected_parts
from geodetect.types import Float32Array, FloatArray, ObjectArray

MIN_PART = 0.1  # area of a part or hole over that of the largest part: below, it is noise


def outline_masks(masks: Float32Array, boxes: FloatArray) -> ObjectArray:
    """Return the outline of each mask: its contour at 0.5, to a fraction of a cell.

    Marching squares (Lorensen and Cline 1987, in two dimensions) interpolate between the centres of
    cells. Beyond its box a mask is 0. Parts and holes below a tenth of the largest part's area are
    left out.

    Args:
        masks: ``float32[N, M, M]`` in 0..1.
        boxes: ``float64[N, 4]`` the boxes that the masks cover.

    Returns:
        ``object[N]`` valid polygons and multipolygons in the frame of the boxes; None for masks
        below 0.5 everywhere.
    """
    outlines = np.full(len(masks), None, dtype=object)
    padded = np.pad(masks.astype(np.float64), [(0, 0), (1, 1), (1, 1)])
    centres = (np.arange(padded.shape[-1]) - 0.5) / masks.shape[-1]  # in sides of the box
    for row in np.flatnonzero(masks.max(axis=(1, 2), initial=0) >= 0.5):
        contours = contourpy.contour_generator(
            centres, centres, padded[row], fill_type=contourpy.FillType.OuterOffset
        )
        vertices, offsets, *_ = contours.filled(0.5, np.inf)
        parts = []
        for polygon, starts in zip(vertices, offsets, strict=True):
            rings = np.split(np.asarray(polygon), np.asarray(starts, np.int64)[1:-1])
            parts.append(shapely.Polygon(rings[0], rings[1:]))  # the first ring is the outer one
        outlines[row] = parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)
    needs_care = ~shapely.is_valid(outlines) | (shapely.get_num_geometries(outlines) > 1)
    needs_care |= shapely.get_num_interior_rings(outlines) > 0
    for row in np.flatnonzero(needs_care & ~shapely.is_missing(outlines)):
        outlines[row] = _drop_specks(outlines[row])
    origin, sides = boxes[:, :2], boxes[:, 2:] - boxes[:, :2]
    points, rows = shapely.get_coordinates(outlines, return_index=True)
    return np.asarray(shapely.set_coordinates(outlines, origin[rows] + sides[rows] * points))


def _drop_specks(outline: shapely.Geometry) -> shapely.Geometry | None:
    """Return the large parts of an outline, without small holes."""
    parts, _ = connected_parts(np.array([shapely.make_valid(outline)], dtype=object))
    if not len(parts):
        return None
    least = MIN_PART * shapely.area(parts).max()
    polygons = [
        shapely.Polygon(
            polygon.exterior, [r for r in polygon.interiors if shapely.Polygon(r).area >= least]
        )
        for polygon in shapely.get_parts(parts)
        if polygon.area >= least
    ]
    return polygons[0] if len(polygons) == 1 else shapely.MultiPolygon(polygons)
