"""One detection per object from the overlapping tiles of a raster.

Every detection is the *view* that one tile has of an object. Views of different tiles are joined
to groups, at most one view per tile in each, so neither neighbours seen by one tile nor chains of
neighbours ever melt together. A view is believed only as far as its tile sees: two views are
compared inside the edges that may cut them (`relations`). Then, strongest relations first
(`grouping`):

1. views that lie on each other are joined;
2. a piece whose ground another tile sees in full, where the closest view goes on beyond the edge
   that cuts the piece, is dropped: that tile knows more about the same object;
3. groups that are still cut are joined with what goes on beyond the cutting edge;
4. groups that are still cut and lie in larger views of other tiles are dropped.

A group with a view that no tile edge can have cut takes that view's box; any other the union of
its views. Scores decide nothing but which of several whole views is taken.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from geodetect.detection.detections import Detections
from geodetect.detection.seam_merge.clustering import group
from geodetect.detection.seam_merge.pair_relations import relate
from geodetect.detection.seam_merge.tile_detections import SIDES_OUTWARDS, Views, left_to_right
from geodetect.errors import InputError
from geodetect.geo import boxes as box_ops
from geodetect.geo.components import connected_components
from geodetect.geo.tiles import Tile, TileScheme
from geodetect.types import IntArray

WHOLE_SHARE = 0.75  # a view that covers less of its group's union is no whole one, only inexact


class SeamMerger:
    """Merges detections of tiles as they arrive, row by row of tiles.

    What comes out, all calls taken together, is the same as from `merge`, whatever the order of
    the tiles and however often `take_final` is called.

    Args:
        scheme: The tiles of the raster.
        iou: Least intersection over union, where both tiles can see, of two views of one object.

    Raises:
        InputError: ``iou`` is not in 0..1.
    """

    def __init__(self, scheme: TileScheme, *, iou: float = 0.5) -> None:
        if not 0 < iou <= 1:
            raise InputError(f"`iou` must be above 0 and at most 1, found {iou}")
        self._scheme = scheme
        self._iou = iou
        self._columns = _lanes(scheme.columns, scheme.tile_px)
        self._rows = _lanes(scheme.rows, scheme.tile_px)
        self._next_row = 0
        self._arrived: list[tuple[Tile, Detections]] = []
        self._waiting = Views.none()

    def add(self, tile: Tile, detections: Detections) -> None:
        """Take the detections of one tile.

        Args:
            tile: A tile of the scheme.
            detections: Boxes in pixels of the whole raster. Parts outside the tile are cut off,
                boxes without area are ignored.

        Raises:
            InputError: `take_final` already declared the tile's row complete.
        """
        if tile.row < self._next_row:
            raise InputError(
                f"tile {tile.index} of row {tile.row} arrived after take_final({self._next_row}); "
                f"expected only rows from {self._next_row} on"
            )
        self._arrived.append((tile, detections))

    def take_final(self, next_row: int) -> Detections:
        """Hand out the objects that no tile still to come can change.

        Args:
            next_row: The first row of tiles of which tiles may still come.

        Returns:
            Boxes in pixels of the whole raster, sorted by coordinates, label and score.
        """
        self._next_row = max(next_row, self._next_row)
        rows = self._scheme.rows
        return self._take(float(rows[next_row]) if next_row < len(rows) else np.inf)

    def finish(self) -> Detections:
        """Hand out all objects that are left; sorted as by `take_final`."""
        return self._take(np.inf)

    def _arrivals(self) -> tuple[Detections, Views]:
        """What arrived since the last call: boxes that only one tile can see, and the others."""
        arrived, self._arrived = self._arrived, []
        found = Detections.concatenate([part for _, part in arrived])
        counts = [len(part) for _, part in arrived]
        index = np.repeat([t.index for t, _ in arrived], counts).astype(np.int64)
        places = [(*t.box, *self._own_ground(t)) for t, _ in arrived]
        frame, own = np.hsplit(np.repeat(np.reshape(places, (-1, 8)), counts, axis=0), 2)
        views = Views.of(found, index, frame, self._scheme)
        alone = ((views.reach - own) * SIDES_OUTWARDS < 0).all(axis=1)
        seen = box_ops.area(views.found.boxes) > 0
        return views.found[alone & seen], views[~alone & seen]

    def _own_ground(self, tile: Tile) -> tuple[float, float, float, float]:
        """The rectangle that no other tile of the same row or column reaches."""
        (left, right), (above, below) = self._columns[tile.col], self._rows[tile.row]
        return left, above, right, below

    def _take(self, to_come_y: float) -> Detections:
        """Merge what lies in groups that end above ``to_come_y`` and keep the rest waiting."""
        alone, views = self._arrivals()
        views = Views.concatenate([self._waiting, views])
        views = views[left_to_right(views.found, views.tile)]
        relations = relate(views, iou=self._iou)
        cluster = connected_components(len(views), relations.a, relations.b)
        waits = np.zeros(len(views), bool)
        waits[cluster[views.reach[:, 3] >= to_come_y]] = True
        waits = waits[cluster]
        self._waiting = views[waits]
        groups = group(views, relations[~waits[relations.a]], cluster)
        merged = Detections.concatenate([alone, _resolve(views, np.where(waits, -1, groups))])
        return merged[left_to_right(merged)]


def merge(
    parts: Iterable[tuple[Tile, Detections]], scheme: TileScheme, *, iou: float = 0.5
) -> Detections:
    """Merge the detections of all tiles at once.

    Args:
        parts: Tiles in any order, each with its detections, boxes in pixels of the whole raster.
        scheme: The tiles of the raster.
        iou: Least intersection over union, where both tiles can see, of two views of one object.

    Returns:
        One detection per object, sorted by coordinates, label and score.

    Raises:
        InputError: ``iou`` is not in 0..1.
    """
    merger = SeamMerger(scheme, iou=iou)
    for tile, detections in parts:
        merger.add(tile, detections)
    return merger.finish()


def _lanes(starts: tuple[int, ...], tile_px: int) -> list[tuple[float, float]]:
    """Per row or column of tiles: where the one before it ends and the one after it starts."""
    ends = [-np.inf, *(float(s + tile_px) for s in starts[:-1])]
    return list(zip(ends, [*map(float, starts[1:]), np.inf], strict=True))


def _resolve(views: Views, groups: IntArray) -> Detections:
    """One detection per group; group -1 is left out."""
    order = np.argsort(groups, kind="stable")
    order = order[np.searchsorted(groups[order], 0) :]
    if not len(order):
        return Detections.empty()
    views, groups = views[order], groups[order]
    first = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]])
    member = np.repeat(np.arange(len(first)), np.diff(np.r_[first, len(groups)]))
    stitched = _stitch(views, first, member)
    size = box_ops.area(views.found.boxes)
    whole = ~views.cut.any(1) & (size >= WHOLE_SHARE * box_ops.area(stitched.boxes)[member])
    candidates = np.flatnonzero(whole)
    ranked = candidates[np.lexsort((-views.found.scores[candidates], member[candidates]))]
    chosen, place = np.unique(member[ranked], return_index=True)
    pieced = np.ones(len(first), bool)
    pieced[chosen] = False
    return Detections.concatenate([stitched[pieced], views.found[ranked[place]]])


def _stitch(views: Views, first: IntArray, member: IntArray) -> Detections:
    """The union of each group of pieces; scores are means weighted by the pieces' areas."""
    found = views.found
    low = np.minimum.reduceat(found.boxes[:, :2], first, axis=0)
    high = np.maximum.reduceat(found.boxes[:, 2:], first, axis=0)
    size = box_ops.area(found.boxes)
    scores = np.add.reduceat(size * found.scores, first) / np.add.reduceat(size, first)
    alone = np.bincount(member)[member] == 1
    scores[member[alone]] = found.scores[alone]  # exactly its own
    return Detections(
        np.concatenate([low, high], axis=1),
        scores.astype(np.float32),
        found.labels[first],
        np.logical_or.reduceat(found.truncated, first),
    )
