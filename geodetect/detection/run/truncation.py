"""What of the detections of a tile lies on imagery, and what is cut by its edge."""

from __future__ import annotations

import numpy as np

from geodetect.detection.detections import Detections
from geodetect.detection.plan import RasterPlan
from geodetect.geo import boxes as box_ops
from geodetect.geo.tiles import Tile
from geodetect.io.raster.reader import Pixels
from geodetect.types import BoolArray, FloatArray, IntArray

EDGE_PX = 1.5  # a box this close to the edge of the imagery is cut by it


def on_imagery(found: Detections, tile: Tile, pixels: Pixels, plan: RasterPlan) -> Detections:
    """Detections of a tile in pixels of the whole raster, without those outside the imagery.

    Boxes are clipped to the tile; ``truncated`` is set where the imagery ends beside a box.
    """
    frame = np.array([0, 0, tile.width, tile.height], np.float64)
    boxes = box_ops.clip(found.boxes, frame)
    seen = box_ops.area(boxes) > 0
    sums = None if pixels.valid.all() else _summed_area(pixels.valid)
    if sums is not None:
        seen &= _valid_share(sums, boxes) > 0
    clipped = Detections(boxes, found.scores, found.labels, found.truncated)[seen]
    truncated = clipped.truncated | _at_raster_edge(clipped.boxes, tile, plan)
    if sums is not None:
        truncated |= _beside_nodata(clipped.boxes, frame, sums)
    return Detections(clipped.boxes, clipped.scores, clipped.labels, truncated).shifted(
        tile.x0, tile.y0
    )


def _at_raster_edge(boxes: FloatArray, tile: Tile, plan: RasterPlan) -> BoolArray:
    """Which boxes of a tile end where the raster ends."""
    size = np.array([plan.grid.width, plan.grid.height] * 2) * [0, 0, 1, 1]
    offset = np.array([tile.x0, tile.y0] * 2)
    return np.asarray((np.abs(boxes + offset - size) < EDGE_PX).any(axis=1))


def _beside_nodata(boxes: FloatArray, frame: FloatArray, sums: IntArray) -> BoolArray:
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
        cut |= inside_tile & (_valid_share(sums, outside) < 0.5)
    return cut


def _summed_area(valid: BoolArray) -> IntArray:
    """Valid pixels above and left of each corner of a pixel, ``int64[H + 1, W + 1]``."""
    return np.pad(valid.cumsum(0, np.int64).cumsum(1), ((1, 0), (1, 0)))


def _valid_share(sums: IntArray, boxes: FloatArray) -> FloatArray:
    """Share of valid pixels among those that each box touches, from a summed-area table."""
    height, width = (n - 1 for n in sums.shape)
    x1, y1 = (
        np.clip(np.floor(boxes[:, i]), 0, n).astype(int) for i, n in ((0, width), (1, height))
    )
    x2, y2 = (np.clip(np.ceil(boxes[:, i]), 0, n).astype(int) for i, n in ((2, width), (3, height)))
    count = sums[y2, x2] - sums[y1, x2] - sums[y2, x1] + sums[y1, x1]
    return np.asarray(count / np.maximum((x2 - x1) * (y2 - y1), 1))
