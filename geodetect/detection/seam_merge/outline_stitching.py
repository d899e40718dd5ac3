"""Outlines of objects that tile edges cut, stitched from those of several tiles.

Where several tiles show the same ground, the outline of the tile counts that shows it farthest from
its edges: each tile has the ground up to the middle of its overlaps. A union would be too large
wherever the outlines of two tiles differ.
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from itertools import product

import numpy as np
import shapely

from geodetect.arrays.components import connected_components
from geodetect.detection.seam_merge.clustering import DROPPED
from geodetect.detection.seam_merge.outline_relations import Continuations
from geodetect.detection.seam_merge.tile_detections import OUTWARD, TileDetections
from geodetect.geo.polygons import polygons_of
from geodetect.geo.tiles import TileScheme
from geodetect.types import BoolArray, FloatArray, IntArray, ObjectArray

GAP_PX = 0.75  # largest distance of an outline to the tile edge that cuts it

Position = tuple[int, int]  # row and column of a tile


def join_continuations(
    detections: TileDetections,
    groups: IntArray,
    continuations: Continuations,
    is_complete: BoolArray,
) -> IntArray:
    """Join groups whose outlines continue each other, and add fragments that were dropped.

    Groups are not joined where a third tile shows them apart. Each fragment goes to the group with
    which it shares most.

    Args:
        detections: All detections.
        groups: ``int64[N]`` group of each detection, or DROPPED.
        continuations: Continuations among them.
        is_complete: ``bool[N]`` detections that show an object completely: their groups stay.

    Returns:
        ``int64[N]`` group of each detection, or DROPPED.
    """
    c = continuations
    is_settled = np.isin(groups, groups[is_complete & (groups != DROPPED)])
    joins = (groups[c.a] != DROPPED) & (groups[c.b] != DROPPED) & (groups[c.a] != groups[c.b])
    joins &= ~is_settled[c.a] & ~is_settled[c.b]
    joins[joins] = ~_are_seen_apart(detections, groups, c.a[joins], c.b[joins])
    roots = connected_components(len(groups), groups[c.a[joins]], groups[c.b[joins]])
    joined = np.where(groups == DROPPED, DROPPED, roots[groups])
    # each fragment with its partner, that with which it shares most first
    fragment, partner = np.r_[c.a, c.b], np.r_[c.b, c.a]
    order = np.lexsort((partner, -np.tile(c.shared, 2)))
    order = order[(groups[fragment] == DROPPED)[order] & (groups[partner] != DROPPED)[order]]
    fragments, first = np.unique(fragment[order], return_index=True)
    partners = partner[order][first]
    belongs = ~is_settled[partners]
    joined[fragments[belongs]] = joined[partners[belongs]]
    return joined


def _are_seen_apart(
    detections: TileDetections, groups: IntArray, a: IntArray, b: IntArray
) -> BoolArray:
    """Return True for pairs whose groups a third tile shows apart at the place where they meet.

    Args:
        detections: All detections.
        groups: ``int64[N]`` group of each.
        a: ``int64[P]`` rows of detections of one group.
        b: ``int64[P]`` rows of detections of another.
    """
    boxes, tiles = detections.boxes, detections.tile_index
    low = np.maximum(boxes[a, :2], boxes[b, :2])
    places = (low + np.minimum(boxes[a, 2:], boxes[b, 2:])) / 2
    apart = np.zeros(len(a), bool)
    for i in range(len(a)):
        first, second = (np.flatnonzero(groups == groups[row]) for row in (a[i], b[i]))
        shared = first[np.isin(tiles[first], tiles[second])]
        shared = shared[~np.isin(tiles[shared], tiles[[a[i], b[i]]])]
        frames = detections.tile_box[shared]
        apart[i] = ((places[i] > frames[:, :2]) & (places[i] < frames[:, 2:])).all(axis=1).any()
    return apart


class TileCores:
    """Partition of a raster among its tiles, along the middle of their overlaps.

    Args:
        scheme: The tiles.
    """

    def __init__(self, scheme: TileScheme) -> None:
        self._x = _middles(scheme.columns, scheme.tile_px, scheme.width)
        self._y = _middles(scheme.rows, scheme.tile_px, scheme.height)

    def position(self, index: int) -> Position:
        """Return the row and the column of a tile."""
        row, col = divmod(index, len(self._x) - 1)
        return row, col

    def box(self, position: Position) -> FloatArray:
        """Return the part of the raster that a tile has, ``float64[4]`` in pixels."""
        row, col = position
        return np.array([self._x[col], self._y[row], self._x[col + 1], self._y[row + 1]])

    def positions_in(self, box: FloatArray) -> list[Position]:
        """Return the tiles whose part overlaps a box ``float64[4]``."""
        rows, columns = (
            range(
                max(int(np.searchsorted(edges, low, side="right")) - 1, 0),
                min(int(np.searchsorted(edges, high, side="left")), len(edges) - 1),
            )
            for edges, low, high in ((self._y, box[1], box[3]), (self._x, box[0], box[2]))
        )
        return list(product(rows, columns))


def _middles(starts: tuple[int, ...], tile_px: int, length: int) -> FloatArray:
    """Return the edges of the parts along one axis, ``float64[K + 1]``."""
    first = np.array(starts, np.float64)
    return np.r_[0.0, (first[:-1] + tile_px + first[1:]) / 2, float(length)]


def stitch_outline(members: TileDetections, cores: TileCores) -> shapely.Geometry | None:
    """Return the outline of an object from its detections in several tiles.

    Where the tile that has a part of the ground shows none of the object, the outlines of the
    nearest tiles count.

    Args:
        members: Detections of the object, at most a few in each tile. The box stands in for the
            outline of one that has none.
        cores: Parts of the raster that the tiles have.

    Returns:
        A valid polygon or multipolygon; None if no member has an outline.
    """
    if not members.detections.has_outlines:
        return None
    tiles: dict[Position, tuple[shapely.Geometry, FloatArray]] = {}
    shown: dict[Position, set[Position]] = defaultdict(set)
    for index in np.unique(members.tile_index).tolist():
        of_tile = members[members.tile_index == index]
        position, tile_box = cores.position(index), of_tile.tile_box[0]
        outline = shapely.union_all(_close_gaps(of_tile, cores.box(position)))
        tiles[position] = outline, tile_box
        for part in cores.positions_in(np.array(outline.bounds)):
            shown[part].add(position)
    pieces = []
    for part, positions in shown.items():
        rest = shapely.box(*cores.box(part))
        for position in [part] if part in tiles else _nearest_first(positions, part):
            outline, tile_box = tiles[position]
            pieces.append(shapely.intersection(outline, rest))
            rest = shapely.difference(rest, shapely.box(*tile_box))
    return polygons_of(shapely.union_all(pieces))


def _nearest_first(positions: set[Position], part: Position) -> list[Position]:
    row, col = part
    return sorted(positions, key=lambda p: (abs(p[0] - row) + abs(p[1] - col), p))


def _close_gaps(members: TileDetections, core: FloatArray) -> ObjectArray:
    """Return the outlines of one tile, moved onto the edges that cut them if no other tile can.

    Where tiles do not overlap, outlines that end just before an edge would leave a gap.
    """
    outlines = members.detections.outlines
    outlines = np.where(shapely.is_missing(outlines), shapely.box(*members.boxes.T), outlines)
    gap = (members.tile_box - shapely.bounds(outlines)) * OUTWARD
    is_short = members.may_be_cut & (gap > 0) & (gap <= GAP_PX)
    is_short &= core == members.tile_box
    edges = np.where(is_short, members.tile_box, np.nan)
    for row in np.flatnonzero(is_short.any(axis=1)):
        moved = shapely.transform(outlines[row], partial(_move_onto, edges=edges[row]))
        outlines[row] = shapely.make_valid(moved, method="structure", keep_collapsed=False)
    return outlines


def _move_onto(points: FloatArray, *, edges: FloatArray) -> FloatArray:
    """Move points that are near an edge x1, y1, x2 or y2 onto it; NaN: there is none."""
    low, high = edges[:2], edges[2:]
    points = np.where(np.abs(points - low) <= GAP_PX, low, points)
    return np.where(np.abs(points - high) <= GAP_PX, high, points)
