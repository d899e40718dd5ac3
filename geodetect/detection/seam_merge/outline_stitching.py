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

from geodetect.detection.seam_merge.clustering import DROPPED
from geodetect.detection.seam_merge.tile_detections import OUTWARD, TileDetections
from geodetect.geo.components import connected_components
from geodetect.geo.polygons import polygons_of
from geodetect.geo.tiles import TileScheme
from geodetect.types import BoolArray, FloatArray, IntArray, ObjectArray

GAP_PX = 0.75  # largest distance of an outline to the tile edge that cuts it

Position = tuple[int, int]  # row and column of a tile


def join_continuations(
    groups: IntArray, continuations: IntArray, is_complete: BoolArray
) -> IntArray:
    """Join groups, and fragments that were dropped, with those that continue their outlines.

    Args:
        groups: ``int64[N]`` group of each detection, or DROPPED.
        continuations: ``int64[P, 2]`` rows of detections whose outlines continue each other.
        is_complete: ``bool[N]`` detections that show an object completely: their groups stay.

    Returns:
        ``int64[N]`` group of each detection, or DROPPED.
    """
    count, is_dropped = len(groups), groups == DROPPED
    is_settled = np.isin(groups, groups[is_complete & ~is_dropped])
    a, b = continuations[~is_settled[continuations].any(axis=1)].T
    nodes = np.where(is_dropped, count + np.arange(count), groups)
    joined = connected_components(2 * count, nodes[a], nodes[b])[nodes]
    return np.where(joined < count, joined, DROPPED)


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

    Where tiles overlap by hardly a pixel, outlines that end just before an edge would leave a gap.
    """
    outlines = members.detections.outlines
    outlines = np.where(shapely.is_missing(outlines), shapely.box(*members.boxes.T), outlines)
    gap = (members.tile_box - shapely.bounds(outlines)) * OUTWARD
    is_short = members.may_be_cut & (gap > 0) & (gap <= GAP_PX)
    is_short &= np.abs(core - members.tile_box) <= GAP_PX
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
