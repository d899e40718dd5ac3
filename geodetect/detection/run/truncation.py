"""Truncation of detections at the edge of the imagery."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from geodetect.arrays.summed_area import SummedAreaTable
from geodetect.detection.detections import Detections
from geodetect.detection.plan import GroundPlan
from geodetect.geo import boxes as box_ops
from geodetect.geo.polygons import clip_polygons, repair_polygons
from geodetect.geo.tiles import Tile
from geodetect.io.raster.reader import Pixels
from geodetect.types import BoolArray, FloatArray

EDGE_PX = 1.5  # largest distance of a truncated box to the edge of the imagery
MIN_VALID = 0.5  # smallest valid fraction of the pixels beside a box that is not truncated there


def clip_to_imagery(
    detections: Detections, tile: Tile, pixels: Pixels, plan: GroundPlan
) -> Detections:
    """Return the detections of a tile that lie on imagery, in pixels of the whole raster.

    Boxes and outlines are clipped to the tile; ``truncated`` is set where the imagery ends beside
    a box.
    """
    tile_box = np.array([0, 0, tile.width, tile.height], np.float64)
    boxes = box_ops.clip(detections.boxes, tile_box)
    on_imagery = box_ops.area(boxes) > 0
    valid = None if pixels.valid.all() else SummedAreaTable(pixels.valid)
    if valid is not None:
        on_imagery &= valid.fractions(boxes) > 0
    boxes, detections = boxes[on_imagery], detections[on_imagery]
    offset = np.array([tile.x, tile.y] * 2)
    at_raster_edge = (np.abs(boxes + offset - plan.grid.box) < EDGE_PX).any(axis=1)
    truncated = detections.truncated | at_raster_edge
    if valid is not None:
        truncated |= _are_beside_nodata(boxes, tile_box, valid)
    raster = _central_rasters(boxes, pixels)
    outlines = detections.outlines
    if detections.has_outlines:
        outlines, _ = repair_polygons(outlines, "an outline of the detector")
        outlines = clip_polygons(outlines, tile_box)
    clipped = replace(
        detections, boxes=boxes, truncated=truncated, raster=raster, outlines=outlines
    )
    return clipped.shifted(tile.x, tile.y)


def _central_rasters(boxes: FloatArray, pixels: Pixels) -> NDArray[np.int32]:
    """Return the raster at the centre of each box; off the imagery, the most common one in it."""
    if pixels.raster is None:
        return np.zeros(len(boxes), np.int32)
    x, y = np.floor(box_ops.centres(boxes)).astype(np.int64).T
    rasters = pixels.raster[y, x].astype(np.int32)
    for row in np.flatnonzero(~pixels.valid[y, x]).tolist():
        (x1, y1), (x2, y2) = np.floor(boxes[row, :2]), np.ceil(boxes[row, 2:])
        part = np.s_[int(y1) : int(y2), int(x1) : int(x2)]
        rasters[row] = np.bincount(pixels.raster[part][pixels.valid[part]]).argmax()
    return rasters


def _are_beside_nodata(
    boxes: FloatArray, tile_box: FloatArray, valid: SummedAreaTable
) -> BoolArray:
    """Return True for boxes with a side along which most pixels are nodata."""
    x1, y1, x2, y2 = boxes.T
    strips = [
        (x1 - 2, y1, x1 - 1, y2),
        (x2 + 1, y1, x2 + 2, y2),
        (x1, y1 - 2, x2, y1 - 1),
        (x1, y2 + 1, x2, y2 + 2),
    ]
    is_cut = np.zeros(len(boxes), bool)
    for strip in strips:
        outside = np.stack(strip, axis=1)
        in_tile = box_ops.area(box_ops.clip(outside, tile_box)) > 0
        is_cut |= in_tile & (valid.fractions(outside) < MIN_VALID)
    return is_cut
