"""Detections as views: what one tile saw of an object, and how far it can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geodetect.detection.detections import Detections
from geodetect.geo import boxes as bx
from geodetect.geo.tiles import Tile, TileScheme

Float = NDArray[np.float64]
Int = NDArray[np.int64]
Bool = NDArray[np.bool_]

SIDES_OUTWARDS = np.array([-1.0, -1.0, 1.0, 1.0])  # x1, y1, x2, y2: which way is out of the box
CUT_PX = 1.5  # a box this near to an inner tile edge may be cut by it, ...
CUT_SHARE = 0.12  # ... or this near in shares of its own extent: detectors are that exact
TOUCH_PX = 0.5  # a box this near to an edge touches it


@dataclass(frozen=True)
class Views:
    """Detections with the tile that made each, in canonical order.

    Args:
        found: Detections, boxes in pixels of the whole raster and inside their tiles.
        tile: ``int64[N]`` index of the tile.
        frame: ``float64[N, 4]`` the tile's rectangle.
        cut: ``bool[N, 4]`` that side may be cut by an edge between tiles.
        touching: ``bool[N, 4]`` that side lies on an edge between tiles.
    """

    found: Detections
    tile: Int
    frame: Float
    cut: Bool
    touching: Bool

    @classmethod
    def of(cls, tile: Tile, found: Detections, scheme: TileScheme) -> Views:
        """Views of one tile; boxes are clipped to it and dropped where nothing is left."""
        boxes = bx.clip(found.boxes, tile.box)
        seen = bx.area(boxes) > 0
        found = Detections(boxes, found.scores, found.labels, found.truncated)[seen]
        frame = np.broadcast_to(tile.box, found.boxes.shape)
        inner = np.array([tile.box[:2] > 0, tile.box[2:] < (scheme.width, scheme.height)]).ravel()
        distance = np.abs(found.boxes - frame)
        reach = np.maximum(CUT_PX, CUT_SHARE * extents(found.boxes))
        return cls(
            found,
            np.full(len(found), tile.index, np.int64),
            frame,
            inner & (distance <= reach),
            inner & (distance <= TOUCH_PX),
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Views]) -> Views:
        """All views of all parts, in canonical order whatever the order of the parts."""
        found = Detections.concatenate([p.found for p in parts])
        tile = np.concatenate([p.tile for p in parts])
        frame, cut, touching = (
            np.concatenate([getattr(p, name) for p in parts])
            for name in ("frame", "cut", "touching")
        )
        return cls(found, tile, frame, cut, touching)[canonical_order(found, tile)]

    def __len__(self) -> int:
        return len(self.tile)

    def __getitem__(self, rows: Int | Bool) -> Views:
        """The views picked by a mask or row numbers."""
        return Views(
            self.found[rows],
            self.tile[rows],
            self.frame[rows],
            self.cut[rows],
            self.touching[rows],
        )

    @property
    def snapped(self) -> Float:
        """Boxes whose sides reach the tile edge wherever they may be cut by it."""
        return np.where(self.cut, self.frame, self.found.boxes)

    @property
    def reach(self) -> Float:
        """The largest box that each object can have inside its tile, ``float64[N, 4]``."""
        return bx.clip(self.snapped + self.slack * SIDES_OUTWARDS, self.frame)

    @property
    def slack(self) -> Float:
        """How wrong each side may be, ``float64[N, 4]`` in pixels."""
        slack: Float = np.maximum(1.0, CUT_SHARE * extents(self.found.boxes))
        return slack

    @property
    def trusted(self) -> Float:
        """Where each view speaks: everywhere, but not beyond edges that may cut it."""
        return np.where(self.cut, self.frame, SIDES_OUTWARDS * np.inf)


def canonical_order(found: Detections, tile: Int | None = None) -> Int:
    """Row numbers sorted by coordinates, label, score, truncated and tile."""
    x1, y1, x2, y2 = found.boxes.T
    keys = (found.truncated, found.scores, found.labels, y2, x2, y1, x1)
    return np.lexsort(keys if tile is None else (tile, *keys))


def extents(boxes: Float) -> Float:
    """Width and height of each box, once for each of its sides: ``float64[N, 4]``."""
    return np.tile(boxes[:, 2:] - boxes[:, :2], (1, 2))
