"""Detections as views: what one tile saw of an object, and how far it can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geodetect.detection.detections import Detections
from geodetect.geo import boxes as box_ops
from geodetect.geo.tiles import TileScheme
from geodetect.types import BoolArray, FloatArray, IntArray

SIDES_OUTWARDS = np.array([-1.0, -1.0, 1.0, 1.0])  # x1, y1, x2, y2: which way is out of the box
CUT_PX = 1.5  # a box this near to an inner tile edge may be cut by it, ...
CUT_SHARE = 0.12  # ... or this near in shares of its own extent: detectors are that exact
TOUCH_PX = 0.5  # a box this near to an edge touches it


@dataclass(frozen=True)
class Views:
    """Detections with the tile that made each, sorted from left to right.

    Args:
        found: Detections, boxes in pixels of the whole raster and inside their tiles.
        tile: ``int64[N]`` index of the tile.
        frame: ``float64[N, 4]`` the tile's rectangle.
        cut: ``bool[N, 4]`` that side may be cut by an edge between tiles.
        touching: ``bool[N, 4]`` that side lies on an edge between tiles.
    """

    found: Detections
    tile: IntArray
    frame: FloatArray
    cut: BoolArray
    touching: BoolArray

    @classmethod
    def of(cls, found: Detections, tile: IntArray, frame: FloatArray, scheme: TileScheme) -> Views:
        """Views of any tiles, boxes clipped to theirs."""
        boxes = box_ops.clip(found.boxes, frame)
        found = Detections(boxes, found.scores, found.labels, found.truncated)
        distance = np.abs(boxes - frame)
        inner = frame != np.array([0, 0, scheme.width, scheme.height])
        reach = np.maximum(CUT_PX, CUT_SHARE * extents(boxes))
        cut, touching = inner & (distance <= reach), inner & (distance <= TOUCH_PX)
        return cls(found, tile, frame, cut, touching)

    @classmethod
    def none(cls) -> Views:
        """No views."""
        sides = np.empty((0, 4))
        no_sides = np.empty((0, 4), bool)
        return cls(Detections.empty(), np.empty(0, np.int64), sides, no_sides, no_sides)

    @classmethod
    def concatenate(cls, parts: Sequence[Views]) -> Views:
        """All views of all parts, in order."""
        found = Detections.concatenate([p.found for p in parts])
        names = ("tile", "frame", "cut", "touching")
        return cls(found, *(np.concatenate([getattr(p, name) for p in parts]) for name in names))

    def __len__(self) -> int:
        return len(self.tile)

    def __getitem__(self, rows: IntArray | BoolArray) -> Views:
        """The views picked by a mask or row numbers."""
        return Views(
            self.found[rows],
            self.tile[rows],
            self.frame[rows],
            self.cut[rows],
            self.touching[rows],
        )

    @property
    def snapped(self) -> FloatArray:
        """Boxes whose sides reach the tile edge wherever they may be cut by it."""
        return np.where(self.cut, self.frame, self.found.boxes)

    @property
    def reach(self) -> FloatArray:
        """The largest box that each object can have inside its tile, ``float64[N, 4]``."""
        return box_ops.clip(self.snapped + self.slack * SIDES_OUTWARDS, self.frame)

    @property
    def slack(self) -> FloatArray:
        """How wrong each side may be, ``float64[N, 4]`` in pixels."""
        slack: FloatArray = np.maximum(1.0, CUT_SHARE * extents(self.found.boxes))
        return slack

    @property
    def trusted(self) -> FloatArray:
        """Where each view speaks: everywhere, but not beyond edges that may cut it."""
        return np.where(self.cut, self.frame, SIDES_OUTWARDS * np.inf)


def left_to_right(found: Detections, tile: IntArray | None = None) -> IntArray:
    """Row numbers sorted by coordinates, label, score, truncated and tile."""
    x1, y1, x2, y2 = found.boxes.T
    keys = [found.truncated, found.scores, found.labels, y2, x2, y1, x1]
    keys = keys if tile is None else [tile, *keys]
    order = np.argsort(x1, kind="stable")
    equal = np.diff(x1[order]) == 0  # only these need the other keys
    tied = np.zeros(len(order), bool)
    tied[1:] |= equal
    tied[:-1] |= equal
    rows = order[tied]
    order[tied] = rows[np.lexsort([key[rows] for key in keys])]
    return order


def extents(boxes: FloatArray) -> FloatArray:
    """Width and height of each box, once for each of its sides: ``float64[N, 4]``."""
    return np.tile(boxes[:, 2:] - boxes[:, :2], (1, 2))
