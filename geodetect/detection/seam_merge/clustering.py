"""Views joined to groups, at most one view per tile in each."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from geodetect.detection.seam_merge.pair_relations import (
    ALIKE,
    CERTAIN,
    ONLY_EXPLAINS,
    PIECE,
    Relations,
)
from geodetect.detection.seam_merge.tile_detections import SIDES_OUTWARDS, Views
from geodetect.types import BoolArray, FloatArray, IntArray

DROPPED = -1


def group(views: Views, relations: Relations, cluster: IntArray) -> IntArray:
    """The group of each view: the number of one of its views, or DROPPED.

    Args:
        views: Views sorted from left to right.
        relations: All relations among them, strongest first.
        cluster: ``int64[N]`` connected component of each view under these relations.
    """
    explanations = _explanations(views, relations)
    simple = _simple(views, relations, cluster)
    hard = ~simple[relations.a]
    groups = np.where(simple, cluster, np.arange(len(views)))
    groups = _greedy(
        views, relations[hard], groups, explanations=explanations[~simple[explanations.piece]]
    )
    groups[_seen_better(explanations).piece] = DROPPED
    return groups


def _simple(views: Views, relations: Relations, cluster: IntArray) -> BoolArray:
    """Views in components that are one group without any choice to make.

    No tile has two views, and all lie on each other or there are only two.
    """
    r, count = relations, np.bincount(cluster, minlength=len(views))
    piece = (r.b_explains_a & r.b_sees_a) | (r.a_explains_b & r.a_sees_b)
    certain = (r.rank == ALIKE) | ((count[cluster[r.a]] == 2) & ((r.rank <= PIECE) | piece))
    simple = np.ones(len(views), bool)
    simple[cluster[r.a[~certain]]] = False
    order = np.lexsort((views.tile, cluster))
    again = (np.diff(cluster[order]) == 0) & (np.diff(views.tile[order]) == 0)
    simple[cluster[order][1:][again]] = False
    return simple[cluster]


class _Groups:
    """Groups of views that grow by joining."""

    def __init__(self, views: Views, rows: IntArray) -> None:
        outwards: FloatArray = views.found.boxes[rows] * SIDES_OUTWARDS
        sure = np.where(views.cut[rows], -np.inf, outwards)
        tiles = views.tile[rows].tolist()
        self.root = {row: row for row in rows.tolist()}
        self.members = {row: [row] for row in self.root}
        self._tiles = {row: {tile} for row, tile in zip(self.root, tiles, strict=True)}
        self._outermost = dict(zip(self.root, outwards.tolist(), strict=True))
        self._sure = dict(zip(self.root, sure.tolist(), strict=True))
        self._slack = dict(zip(self.root, views.slack[rows].tolist(), strict=True))

    def join(self, a: int, b: int) -> None:
        """Make one group of two, unless a tile would have two views in it."""
        low, high = sorted((self.root[a], self.root[b]))
        if low == high or not self._tiles[low].isdisjoint(self._tiles[high]):
            return
        self._tiles[low] |= self._tiles.pop(high)
        for extreme in (self._outermost, self._sure, self._slack):
            extreme[low] = [max(p) for p in zip(extreme[low], extreme.pop(high), strict=True)]
        for row in self.members[high]:
            self.root[row] = low
        self.members[low] += self.members.pop(high)

    def is_open(self, view: int) -> bool:
        """Whether the view's group has a side that only views cut there reach."""
        root = self.root[view]
        sides = zip(self._outermost[root], self._sure[root], self._slack[root], strict=True)
        return any(reached - sure > slack for reached, sure, slack in sides)


@dataclass(frozen=True)
class _Explanations:
    """Pieces that the view of another tile makes superfluous, strongest relations first."""

    piece: IntArray
    whole: IntArray
    seen: BoolArray  # all ground of the piece lies in the tile of the whole
    certain: BoolArray  # it is a piece of this whole and of nothing else

    def __getitem__(self, rows: IntArray | BoolArray) -> _Explanations:
        return _Explanations(*(getattr(self, f.name)[rows] for f in fields(self)))


def _greedy(
    views: Views, relations: Relations, groups: IntArray, *, explanations: _Explanations
) -> IntArray:
    """Join the strongest relations first, then drop the groups that are explained."""
    rows = np.unique(np.r_[relations.a, relations.b])
    seen_better = _seen_better(explanations)
    pieces = seen_better.piece
    known = np.isin(relations.a, pieces) | np.isin(relations.b, pieces)
    alike = relations.rank == ALIKE
    grown = _Groups(views, rows)
    _join_alike(relations[alike & ~known], grown)
    _attach(seen_better, grown)
    _join_open(relations[~alike & ~known], grown)
    groups = groups.copy()
    groups[rows] = [grown.root[row] for row in rows.tolist()]
    explained = _explained(explanations, grown) | set(pieces.tolist())
    gone = [root for root, members in grown.members.items() if explained.issuperset(members)]
    groups[rows[np.isin(groups[rows], gone)]] = DROPPED
    return groups


def _explanations(views: Views, relations: Relations) -> _Explanations:
    """All explanations of a view by the one in another tile that is closest to it.

    A small object inside the box of a larger one has its own view in the tile that sees both.
    """
    r = relations
    piece, whole = np.r_[r.a, r.b], np.r_[r.b, r.a]
    explains = np.r_[r.b_explains_a, r.a_explains_b]
    strength = np.tile(np.arange(len(r)), 2)
    order = np.lexsort((strength, views.tile[whole], piece))
    closest = np.ones(len(order), bool)
    closest[1:] = (np.diff(piece[order]) != 0) | (np.diff(views.tile[whole[order]]) != 0)
    choices = np.bincount(np.cumsum(closest) - 1, explains[order], minlength=1)
    chosen = order[closest]
    certain = (r.evidence[strength[chosen]] >= CERTAIN) | (choices[: len(chosen)] == 1)
    found = _Explanations(
        piece[chosen], whole[chosen], np.r_[r.b_sees_a, r.a_sees_b][chosen], certain
    )
    by_strength = np.argsort(strength[chosen], kind="stable")
    return found[by_strength[explains[chosen][by_strength]]]


def _seen_better(explanations: _Explanations) -> _Explanations:
    """The strongest explanation of each piece whose ground another tile sees in full.

    The view of that tile goes on where the piece is cut. If it shows another object, then that
    tile has a view of the piece's object, too, and at least as large: nothing is lost.
    """
    seen = explanations[explanations.seen]
    _, first = np.unique(seen.piece, return_index=True)
    return seen[np.sort(first)]


def _attach(seen_better: _Explanations, grown: _Groups) -> None:
    """Let pieces keep other views of their tile out of the group to which they surely belong."""
    certain = seen_better[seen_better.certain]
    for piece, whole in zip(certain.piece.tolist(), certain.whole.tolist(), strict=True):
        grown.join(piece, whole)


def _join_alike(relations: Relations, grown: _Groups) -> None:
    """Join views that lie on each other."""
    for a, b in zip(relations.a.tolist(), relations.b.tolist(), strict=True):
        grown.join(a, b)


def _join_open(relations: Relations, grown: _Groups) -> None:
    """Join views where one group is still cut and the other goes on."""
    r = relations[relations.rank < ONLY_EXPLAINS]
    columns = (column.tolist() for column in (r.a, r.b, r.a_open.any(1), r.b_open.any(1)))
    for a, b, a_open, b_open in zip(*columns, strict=True):
        if (a_open and grown.is_open(a)) or (b_open and grown.is_open(b)):
            grown.join(a, b)


def _explained(explanations: _Explanations, grown: _Groups) -> set[int]:
    """Views of groups that are still cut, explained by views of other groups."""
    pairs = zip(explanations.piece.tolist(), explanations.whole.tolist(), strict=True)
    return {p for p, w in pairs if grown.root[p] != grown.root[w] and grown.is_open(p)}
