"""What of the detections of a tile lies on imagery, and what is cut by its edge."""

from __future__ import annotations

import numpy as np

from geodetect.detection.detections import Detections
from geodetect.detection.plan import RasterPlan
from geodetect.geo import boxes as box_ops
from geodetect.geo.summed_area import SummedAreaTable
from geodetect.geo.tiles import Tile
from geodetect.io.raster.reader import Pixels
from geodetect.types import BoolArray, FloatArray

EDGE_PX = 1.5  # a box this close to the edge of the imagery is cut by it


def clip_to_imagery(found: Detections, tile: Tile, pixels: Pixels, plan: RasterPlan) -> Detections:
    """Detections of a tile in pixels of the whole raster, without those outside the imagery.

    Boxes are clipped to the tile; ``truncated`` is set where the imagery ends beside a box.
    """
    frame = np.array([0, 0, tile.width, tile.height], np.float64)
    boxes = box_ops.clip(found.boxes, frame)
    seen = box_ops.area(boxes) > 0
    valid = None if pixels.valid.all() else SummedAreaTable(pixels.valid)
    if valid is not None:
        seen &= valid.fractions(boxes) > 0
    clipped = Detections(boxes, found.scores, found.labels, found.truncated)[seen]
    truncated = clipped.truncated | _at_raster_edge(clipped.boxes, tile, plan)
    if valid is not None:
        truncated |= _beside_nodata(clipped.boxes, frame, valid)
    return Detections(clipped.boxes, clipped.scores, clipped.labels, truncated).shifted(
        tile.x, tile.y
    )


def _at_raster_edge(boxes: FloatArray, tile: Tile, plan: RasterPlan) -> BoolArray:
    """Which boxes of a tile end where the raster ends."""
    size = plan.grid.box
    offset = np.array([tile.x, tile.y] * 2)
    return np.asarray((np.abs(boxes + offset - size) < EDGE_PX).any(axis=1))


def _beside_nodata(boxes: FloatArray, frame: FloatArray, valid: SummedAreaTable) -> BoolArray:
    """Which boxes of a tile have a side along which there is mostly no imagery."""
    x1, y1, x2, y2 = boxes.T
    strips = [
        (x1 - 2, y1, x1 - 1, y2),
        (x2 + 1, y1, x2 + 2, y2),
        (x1, y1 - 2, x2, y1 - 1),
        (x1, y2 + 1, x2, y2 + 2),
    ]
    cut = np.zeros(len(boxes), bool)
    for strip in strips:
        outside = np.stack(strip, axis=1)
        inside_tile = box_ops.area(box_ops.clip(outside, frame)) > 0
        cut |= inside_tile & (valid.fractions(outside) < 0.5)
    return cut
