"""Detections of single tiles, with the sides that tile edges may cut."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import shapely

from geodetect.arrays.ordering import order_rows
from geodetect.detection.detections import Columns, Detections
from geodetect.geo import boxes as box_ops
from geodetect.geo.polygons import clip_polygons
from geodetect.geo.tiles import TileScheme
from geodetect.types import BoolArray, FloatArray, IntArray

OUTWARD = np.array([-1.0, -1.0, 1.0, 1.0])  # x1, y1, x2, y2: direction out of the box
# a side may be cut by an inner tile edge that is nearer than the larger of
CUT_PX = 1.5
CUT_FRACTION = 0.15  # of the extent of the box, which is the accuracy of detectors
TOUCH_PX = 0.5  # largest distance of a side to an edge that it touches


@dataclass(frozen=True)
class TileDetections(Columns):
    """Detections with the tile of each, sorted from left to right.

    Args:
        detections: Boxes in pixels of the whole raster, each inside its tile.
        tile_index: ``int64[N]`` index of the tile.
        tile_box: ``float64[N, 4]`` box of the tile.
        may_be_cut: ``bool[N, 4]`` sides that an edge between tiles may cut.
        touches_edge: ``bool[N, 4]`` sides on an edge between tiles.
    """

    detections: Detections
    tile_index: IntArray
    tile_box: FloatArray
    may_be_cut: BoolArray
    touches_edge: BoolArray

    @classmethod
    def from_detections(
        cls, detections: Detections, tile_index: IntArray, tile_box: FloatArray, scheme: TileScheme
    ) -> TileDetections:
        """Clip detections to their tiles and find the sides at edges between tiles."""
        boxes = box_ops.clip(detections.boxes, tile_box)
        outlines = detections.outlines
        if detections.has_outlines:
            outlines = clip_polygons(outlines, tile_box)
        clipped = replace(detections, boxes=boxes, outlines=outlines)
        distance = np.abs(boxes - tile_box)
        is_inner = tile_box != np.array([0, 0, scheme.width, scheme.height])
        cut_px = np.maximum(CUT_PX, CUT_FRACTION * extents(boxes))
        may_be_cut, touches = is_inner & (distance <= cut_px), is_inner & (distance <= TOUCH_PX)
        return cls(clipped, tile_index, tile_box, may_be_cut, touches)

    @property
    def boxes(self) -> FloatArray:
        """Boxes, ``float64[N, 4]``."""
        return self.detections.boxes

    @property
    def tolerance(self) -> FloatArray:
        """Largest error of each side in pixels, ``float64[N, 4]``."""
        return np.asarray(np.maximum(1.0, CUT_FRACTION * extents(self.boxes)))

    @property
    def snapped_boxes(self) -> FloatArray:
        """Boxes whose sides that may be cut are moved onto the tile edge."""
        return np.where(self.may_be_cut, self.tile_box, self.boxes)

    @property
    def largest_boxes(self) -> FloatArray:
        """Largest box inside the tile that each object can have, ``float64[N, 4]``."""
        return box_ops.clip(self.snapped_boxes + self.tolerance * OUTWARD, self.tile_box)

    @property
    def visible_area(self) -> FloatArray:
        """Area around each box in which it is complete: limited only by edges that may cut it."""
        return np.where(self.may_be_cut, self.tile_box, OUTWARD * np.inf)


def left_to_right(detections: Detections, tile_index: IntArray | None = None) -> IntArray:
    """Return the row numbers sorted by coordinates, label, score, truncated and tile."""
    x1, y1, x2, y2 = detections.boxes.T
    keys = [
        shapely.area(detections.outlines),
        detections.truncated,
        detections.scores,
        detections.labels,
        y2,
        x2,
        y1,
    ]
    keys = keys if tile_index is None else [tile_index, *keys]
    return order_rows([x1], lambda rows: [key[rows] for key in keys])


def extents(boxes: FloatArray) -> FloatArray:
    """Return width and height of each box for each of its sides, ``float64[N, 4]``."""
    return np.tile(boxes[:, 2:] - boxes[:, :2], (1, 2))
