"""Groups of tile detections that show one object, at most one detection per tile in each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geodetect.detection.detections import Columns
from geodetect.detection.seam_merge.pair_relations import (
    CERTAIN_SIDES,
    FRAGMENT,
    OVERLAPPING,
    SUPERSEDING_ONLY,
    PairRelations,
)
from geodetect.detection.seam_merge.tile_detections import OUTWARD, TileDetections
from geodetect.types import BoolArray, IntArray

DROPPED = -1


def group_detections(
    detections: TileDetections, relations: PairRelations, components: IntArray
) -> IntArray:
    """Return the group of each detection: the row of one of its members, or DROPPED.

    Args:
        detections: Detections sorted from left to right.
        relations: All relations among them, strongest first.
        components: ``int64[N]`` connected component of each detection under these relations.
    """
    is_simple = _are_simple(detections, relations, components)
    groups = np.where(is_simple, components, np.arange(len(detections)))
    superseded = _find_superseded(detections, relations)
    relations = relations[~is_simple[relations.a]]
    _group_greedily(detections, relations, groups, superseded[~is_simple[superseded.fragment]])
    groups[superseded.in_other_tile().fragment] = DROPPED
    return groups


def _are_simple(
    detections: TileDetections, relations: PairRelations, components: IntArray
) -> BoolArray:
    """Return True for detections in components that are one group without any choice to make.

    No tile has two detections in it, and all overlap each other or there are only two.
    """
    r, sizes = relations, np.bincount(components, minlength=len(detections))
    is_fragment = (r.b_supersedes_a & r.a_in_tile_of_b) | (r.a_supersedes_b & r.b_in_tile_of_a)
    is_pair = sizes[components[r.a]] == 2
    is_certain = (r.rank == OVERLAPPING) | (is_pair & ((r.rank <= FRAGMENT) | is_fragment))
    is_simple = np.ones(len(detections), bool)
    is_simple[components[r.a[~is_certain]]] = False
    order = np.lexsort((detections.tile_index, components))
    components_in_order, tiles_in_order = components[order], detections.tile_index[order]
    is_repeated = (np.diff(components_in_order) == 0) & (np.diff(tiles_in_order) == 0)
    is_simple[components_in_order[1:][is_repeated]] = False
    return is_simple[components]


@dataclass(frozen=True)
class _Superseded(Columns):
    """Fragments that the detection of another tile makes superfluous, strongest relation first."""

    fragment: IntArray  # int64[S] row of the fragment
    other: IntArray  # int64[S] row of the other detection
    is_in_tile: BoolArray  # bool[S] the fragment lies completely in the tile of the other
    is_certain: BoolArray  # bool[S] it is a fragment of this object and of no other

    def in_other_tile(self) -> _Superseded:
        """Return the strongest pair of each fragment that lies completely in another tile.

        The detection of that tile continues where the fragment is cut. If it shows another object,
        that tile also has a detection of the fragment's object, at least as large: nothing is lost.
        """
        inside = self[self.is_in_tile]
        _, first = np.unique(inside.fragment, return_index=True)
        return inside[np.sort(first)]


def _find_superseded(detections: TileDetections, relations: PairRelations) -> _Superseded:
    """Pair each fragment with the detection of another tile that is closest to it.

    A small object inside the box of a larger one has its own detection in the tile that shows both.
    """
    r = relations
    fragment, other = np.r_[r.a, r.b], np.r_[r.b, r.a]
    supersedes = np.r_[r.b_supersedes_a, r.a_supersedes_b]
    strength = np.tile(np.arange(len(r)), 2)
    order = np.lexsort((strength, detections.tile_index[other], fragment))
    tile = detections.tile_index[other[order]]
    is_closest = np.ones(len(order), bool)
    is_closest[1:] = (np.diff(fragment[order]) != 0) | (np.diff(tile) != 0)
    choices = np.bincount(np.cumsum(is_closest) - 1, supersedes[order], minlength=1)
    closest = order[is_closest]
    is_certain = r.matching_sides[strength[closest]] >= CERTAIN_SIDES
    is_certain |= choices[: len(closest)] == 1
    is_in_tile = np.r_[r.a_in_tile_of_b, r.b_in_tile_of_a][closest]
    pairs = _Superseded(fragment[closest], other[closest], is_in_tile, is_certain)
    by_strength = np.argsort(strength[closest], kind="stable")
    return pairs[by_strength[supersedes[closest][by_strength]]]


def _group_greedily(
    detections: TileDetections, relations: PairRelations, groups: IntArray, superseded: _Superseded
) -> None:
    """Join the strongest relations first, then drop superseded groups; ``groups`` is changed."""
    rows = np.unique(np.r_[relations.a, relations.b])
    union = _GroupUnion(detections, rows)
    in_other_tile = superseded.in_other_tile()
    fragments = in_other_tile.fragment
    is_settled = np.isin(relations.a, fragments) | np.isin(relations.b, fragments)
    is_overlapping = relations.rank == OVERLAPPING
    r = relations[is_overlapping & ~is_settled]
    for a, b in zip(r.a.tolist(), r.b.tolist(), strict=True):
        union.join(a, b)
    # a fragment takes the place of its tile in the group to which it certainly belongs
    certain = in_other_tile[in_other_tile.is_certain]
    for a, b in zip(certain.fragment.tolist(), certain.other.tolist(), strict=True):
        union.join(a, b)
    # groups that are still cut are joined with detections that continue beyond the edge
    r = relations[~is_overlapping & ~is_settled & (relations.rank < SUPERSEDING_ONLY)]
    columns = (column.tolist() for column in (r.a, r.b, r.a_open.any(1), r.b_open.any(1)))
    for a, b, a_open, b_open in zip(*columns, strict=True):
        if (a_open and union.is_open(a)) or (b_open and union.is_open(b)):
            union.join(a, b)
    groups[rows] = [union.root[row] for row in rows.tolist()]
    # groups that are still cut are dropped if all their members are superseded by other groups
    dropped = set(fragments.tolist())
    for a, b in zip(superseded.fragment.tolist(), superseded.other.tolist(), strict=True):
        if union.root[a] != union.root[b] and union.is_open(a):
            dropped.add(a)
    superfluous = [root for root, members in union.members.items() if dropped.issuperset(members)]
    groups[rows[np.isin(groups[rows], superfluous)]] = DROPPED


class _GroupUnion:
    """Disjoint sets of ``rows`` that grow by joining, with at most one detection per tile."""

    def __init__(self, detections: TileDetections, rows: IntArray) -> None:
        outward = detections.boxes[rows] * OUTWARD
        uncut = np.where(detections.may_be_cut[rows], -np.inf, outward)
        tiles = detections.tile_index[rows].tolist()
        self.root = {row: row for row in rows.tolist()}
        self.members = {row: [row] for row in self.root}
        self._tiles = {row: {tile} for row, tile in zip(self.root, tiles, strict=True)}
        self._outermost = dict(zip(self.root, outward.tolist(), strict=True))
        self._outermost_uncut = dict(zip(self.root, uncut.tolist(), strict=True))
        tolerance = detections.tolerance[rows].tolist()
        self._tolerance = dict(zip(self.root, tolerance, strict=True))

    def join(self, a: int, b: int) -> None:
        """Join the groups of two detections, unless a tile would have two detections in it."""
        low, high = sorted((self.root[a], self.root[b]))
        if low == high or not self._tiles[low].isdisjoint(self._tiles[high]):
            return
        self._tiles[low] |= self._tiles.pop(high)
        for sides in (self._outermost, self._outermost_uncut, self._tolerance):
            sides[low] = [max(pair) for pair in zip(sides[low], sides.pop(high), strict=True)]
        for row in self.members[high]:
            self.root[row] = low
        self.members[low] += self.members.pop(high)

    def is_open(self, row: int) -> bool:
        """Return True if only sides that may be cut reach one of the edges of the group."""
        root = self.root[row]
        sides = zip(
            self._outermost[root], self._outermost_uncut[root], self._tolerance[root], strict=True
        )
        return any(outermost - uncut > tolerance for outermost, uncut, tolerance in sides)
