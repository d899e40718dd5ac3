"""One detection per object from the overlapping tiles of a raster.

Detections of different tiles are joined to groups, at most one detection per tile in each, so
neither neighbours inside one tile nor chains of neighbours ever merge. Two detections are compared
only inside the area that both tiles show, up to the edges that may cut them (`pair_relations`).
Then, strongest relations first (`clustering`):

1. detections that overlap each other are joined;
2. a fragment that lies completely in another tile, where the closest detection continues beyond
   the edge that cuts the fragment, is dropped: that tile shows more of the same object;
3. groups that are still cut are joined with detections that continue beyond the cutting edge;
4. groups that are still cut and lie in larger detections of other tiles are dropped.

A group with a detection that no tile edge can have cut takes its box; any other the union of its
boxes. Scores only choose between several complete detections.

Where detections have outlines, those of two tiles that show other places of the ground that both
tiles show are never joined; pieces whose outlines continue each other across a tile edge are joined
even if a tile has several of them, such as the sides of a ring, unless a third tile shows them
apart; and the outline of an object that tile edges cut is stitched (`outline_relations`,
`outline_stitching`).
"""

from __future__ import annotations

import numpy as np

from geodetect.arrays.components import connected_components
from geodetect.detection.detections import UNKNOWN, Detections
from geodetect.detection.seam_merge.clustering import DROPPED, group_detections
from geodetect.detection.seam_merge.outline_relations import find_continuations
from geodetect.detection.seam_merge.outline_stitching import (
    TileCores,
    join_continuations,
    stitch_outline,
)
from geodetect.detection.seam_merge.pair_relations import relate_pairs
from geodetect.detection.seam_merge.tile_detections import OUTWARD, TileDetections, left_to_right
from geodetect.errors import InputError
from geodetect.geo import boxes as box_ops
from geodetect.geo.tiles import Tile, TileScheme
from geodetect.types import BoolArray, IntArray

COMPLETE = 0.75  # smallest fraction of its group's union that a complete detection covers


class SeamMerger:
    """Merges detections of tiles as they arrive, row by row of tiles.

    All calls together return the same objects, whatever the order of the tiles and however often
    `take_final` is called.

    Args:
        scheme: The tiles of the raster.
        iou: Smallest intersection over union of two detections of one object, inside the area
            that both tiles show.

    Raises:
        InputError: ``iou`` is not in 0..1.
    """

    def __init__(self, scheme: TileScheme, *, iou: float = 0.5) -> None:
        if not 0 < iou <= 1:
            raise InputError(f"`iou` must be above 0 and at most 1, found {iou}")
        self._scheme = scheme
        self._iou = iou
        self._columns = _exclusive_spans(scheme.columns, scheme.tile_px)
        self._rows = _exclusive_spans(scheme.rows, scheme.tile_px)
        self._cores = TileCores(scheme)
        self._next_row = 0
        self._arrived: list[tuple[Tile, Detections]] = []
        self._waiting = TileDetections.from_detections(
            Detections.empty(), np.empty(0, np.int64), np.empty((0, 4)), scheme
        )

    def add(self, tile: Tile, detections: Detections) -> None:
        """Add the detections of one tile.

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

    def __len__(self) -> int:
        """Detections of tiles that are not final yet."""
        return len(self._waiting) + sum(len(part) for _, part in self._arrived)

    def take_final(self, next_row: int) -> Detections:
        """Return the objects that later tiles cannot change, once.

        Args:
            next_row: First row of tiles that is not complete.

        Returns:
            Boxes in pixels of the whole raster, sorted by coordinates, label and score.
        """
        self._next_row = max(next_row, self._next_row)
        rows = self._scheme.rows
        next_y = float(rows[next_row]) if next_row < len(rows) else np.inf
        alone, arrived = self._take_arrived()
        detections = TileDetections.concatenate([self._waiting, arrived])
        detections = detections[left_to_right(detections.detections, detections.tile_index)]
        relations = relate_pairs(detections, iou=self._iou)
        components = connected_components(len(detections), relations.a, relations.b)
        continuations = find_continuations(detections)
        related = components
        if len(continuations):
            pairs = components[continuations.a], components[continuations.b]
            related = connected_components(len(detections), *pairs)[components]
        waits = np.zeros(len(detections), bool)
        waits[related[detections.largest_boxes[:, 3] >= next_y]] = True
        waits = waits[related]
        self._waiting = detections[waits]
        groups = group_detections(detections, relations[~waits[relations.a]], components)
        groups = np.where(waits, DROPPED, groups)
        is_complete = _find_complete(detections, groups)
        continuations = continuations[~waits[continuations.a]]
        groups = join_continuations(detections, groups, continuations, is_complete)
        merged = _merge_groups(detections, groups, is_complete, self._cores)
        merged = Detections.concatenate([alone, merged])
        return merged[left_to_right(merged)]

    def finish(self) -> Detections:
        """Return all remaining objects, sorted as by `take_final`."""
        return self.take_final(len(self._scheme.rows))

    def _take_arrived(self) -> tuple[Detections, TileDetections]:
        """Return the new detections: those that only one tile can show, and all others."""
        arrived, self._arrived = self._arrived, []
        detections = Detections.concatenate([part for _, part in arrived])
        counts = [len(part) for _, part in arrived]
        index = np.repeat([tile.index for tile, _ in arrived], counts).astype(np.int64)
        boxes = np.reshape([tile.box for tile, _ in arrived], (-1, 4))
        x_spans = [self._columns[tile.col] for tile, _ in arrived]
        y_spans = [self._rows[tile.row] for tile, _ in arrived]
        # boxes that no other tile of the same row or column reaches
        exclusive = np.stack([x_spans, y_spans], axis=-1).reshape(-1, 4)
        tile_detections = TileDetections.from_detections(
            detections, index, np.repeat(boxes, counts, axis=0), self._scheme
        )
        margin = (tile_detections.largest_boxes - np.repeat(exclusive, counts, axis=0)) * OUTWARD
        is_alone = (margin < 0).all(axis=1)
        has_area = box_ops.area(tile_detections.boxes) > 0
        alone = tile_detections.detections[is_alone & has_area]
        return alone, tile_detections[~is_alone & has_area]


def _exclusive_spans(starts: tuple[int, ...], tile_px: int) -> list[tuple[float, float]]:
    """Return per row or column of tiles where the previous one ends and the next one starts."""
    ends = [-np.inf, *(float(start + tile_px) for start in starts[:-1])]
    return list(zip(ends, [*map(float, starts[1:]), np.inf], strict=True))


def _find_complete(detections: TileDetections, groups: IntArray) -> BoolArray:
    """Return True for detections that show an object completely.

    No tile edge can have cut them, and they are nearly as large as the union of their group.
    """
    low, high = np.full((len(groups), 2), np.inf), np.full((len(groups), 2), -np.inf)
    rows = np.flatnonzero(groups != DROPPED)
    np.minimum.at(low, groups[rows], detections.boxes[rows, :2])
    np.maximum.at(high, groups[rows], detections.boxes[rows, 2:])
    union = box_ops.area(np.concatenate([low, high], axis=1))[groups]
    is_complete = ~detections.may_be_cut.any(1) & (groups != DROPPED)
    return np.asarray(is_complete & (box_ops.area(detections.boxes) >= COMPLETE * union))


def _merge_groups(
    detections: TileDetections, groups: IntArray, is_complete: BoolArray, cores: TileCores
) -> Detections:
    """Return one detection per group, without those of DROPPED."""
    order = np.argsort(groups, kind="stable")
    order = order[np.searchsorted(groups[order], DROPPED, side="right") :]
    if not len(order):
        return Detections.empty()
    detections, groups, is_complete = detections[order], groups[order], is_complete[order]
    first = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]])  # member of each group
    group_of_member = np.repeat(np.arange(len(first)), np.diff(np.r_[first, len(groups)]))
    union = _unite_groups(detections.detections, first, group_of_member)
    candidates = np.flatnonzero(is_complete)
    scores = detections.detections.scores
    ranked = candidates[np.lexsort((-scores[candidates], group_of_member[candidates]))]
    group, best = np.unique(group_of_member[ranked], return_index=True)
    has_complete = np.zeros(len(first), bool)
    has_complete[group] = True
    ends = np.r_[first[1:], len(detections)]
    if detections.detections.has_outlines:
        for i in np.flatnonzero(~has_complete & (ends - first > 1)).tolist():
            union.outlines[i] = stitch_outline(detections[first[i] : ends[i]], cores)
    return Detections.concatenate([union[~has_complete], detections.detections[ranked[best]]])


def _unite_groups(detections: Detections, first: IntArray, group_of_member: IntArray) -> Detections:
    """Return the union of each group; scores are means weighted by the areas of its members.

    The raster that shows the centre of a union of several is unknown, and so is its outline.
    """
    upper_left = np.minimum.reduceat(detections.boxes[:, :2], first, axis=0)
    lower_right = np.maximum.reduceat(detections.boxes[:, 2:], first, axis=0)
    size = box_ops.area(detections.boxes)
    scores = np.add.reduceat(size * detections.scores, first) / np.add.reduceat(size, first)
    is_alone = np.bincount(group_of_member)[group_of_member] == 1
    scores[group_of_member[is_alone]] = detections.scores[is_alone]  # without rounding
    outlines = detections.outlines[first]
    is_single = np.diff(np.r_[first, len(detections)]) == 1
    outlines[~is_single] = None  # until they are stitched
    return Detections(
        np.concatenate([upper_left, lower_right], axis=1),
        scores.astype(np.float32),
        detections.labels[first],
        np.logical_or.reduceat(detections.truncated, first),
        np.where(is_single, detections.raster[first], UNKNOWN),
        outlines,
    )
