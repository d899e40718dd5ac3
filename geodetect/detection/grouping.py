"""Views joined to groups, at most one view per tile in each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from geodetect.detection.relations import ALIKE, ONLY_EXPLAINS, SAME, Relations
from geodetect.detection.views import SIDES_OUTWARDS, Bool, Float, Int, Views

DROPPED = -1
CERTAIN = 2  # sides that agree: fewer can agree by chance


def components(count: int, a: Int, b: Int) -> Int:
    """The smallest member of the connected component of each node, ``int64[count]``.

    Args:
        count: Number of nodes.
        a: ``int64[E]`` one end of each edge.
        b: ``int64[E]`` the other.

    Returns:
        Found by hooking the larger root under the smaller one and halving paths until nothing
        changes (Shiloach and Vishkin 1982), so it takes about log(count) passes over the edges.
    """
    root = np.arange(count)
    while len(a):
        low, high = np.minimum(root[a], root[b]), np.maximum(root[a], root[b])
        apart = low != high
        if not apart.any():
            break
        a, b = a[apart], b[apart]
        np.minimum.at(root, high[apart], low[apart])
        while True:
            shorter = root[root]
            if np.array_equal(shorter, root):
                break
            root = shorter
    return root


def group(views: Views, relations: Relations, cluster: Int) -> Int:
    """The group of each view: the number of one of its views, or DROPPED.

    Args:
        views: Views in canonical order.
        relations: All relations among them, strongest first.
        cluster: ``int64[N]`` connected component of each view under these relations.
    """
    simple = _simple(views, relations, cluster)
    hard = relations[~simple[relations.a]]
    return _greedy(views, hard, np.where(simple, cluster, np.arange(len(views))))


def _simple(views: Views, relations: Relations, cluster: Int) -> Bool:
    """Views in components that are one group without any choice to make.

    No tile has two views, and all lie on each other or there are only two: greedy joining would
    join everything.
    """
    r, count = relations, np.bincount(cluster, minlength=len(views))
    simple = np.ones(len(views), bool)
    doubtful = (r.rank > SAME) | ((r.rank > ALIKE) & (count[cluster[r.a]] > 2))
    simple[cluster[r.a[doubtful]]] = False
    order = np.lexsort((views.tile, cluster))
    again = (np.diff(cluster[order]) == 0) & (np.diff(views.tile[order]) == 0)
    simple[cluster[order][1:][again]] = False
    return simple[cluster]


class _Groups:
    """Groups of views that grow by joining."""

    def __init__(self, views: Views, rows: Int) -> None:
        outwards: Float = views.found.boxes[rows] * SIDES_OUTWARDS
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


def _greedy(views: Views, relations: Relations, groups: Int) -> Int:
    """Join the strongest relations first, then drop the pieces that are explained."""
    rows = np.unique(np.r_[relations.a, relations.b])
    relations = _closest_explain(views, relations)
    grown = _Groups(views, rows)
    pieces = _seen_better(relations)
    known = np.isin(relations.a, list(pieces)) | np.isin(relations.b, list(pieces))
    alike = relations.rank == ALIKE
    _join_alike(relations[alike & ~known], grown)
    _attach(pieces, relations, grown)
    _join_open(relations[~alike & ~known], grown)
    groups = groups.copy()
    groups[rows] = [grown.root[row] for row in rows.tolist()]
    groups[rows[np.isin(groups[rows], _explained(pieces, relations, grown))]] = DROPPED
    groups[list(pieces)] = DROPPED
    return groups


def _closest_explain(views: Views, relations: Relations) -> Relations:
    """The same relations, where a view may be explained only by its closest one in each tile.

    A small object inside the box of a larger one has its own view in the tile that sees both.
    """
    r, count = relations, len(relations)
    view, other = np.r_[r.a, r.b], np.r_[r.b, r.a]
    strength = np.tile(np.arange(count), 2)
    order = np.lexsort((strength, views.tile[other], view))
    first = np.ones(2 * count, bool)
    first[1:] = (np.diff(view[order]) != 0) | (np.diff(views.tile[other[order]]) != 0)
    closest = np.zeros(2 * count, bool)
    closest[order[first]] = True
    return replace(
        r,
        b_explains_a=r.b_explains_a & closest[:count],
        a_explains_b=r.a_explains_b & closest[count:],
    )


def _seen_better(relations: Relations) -> dict[int, int]:
    """Pieces, each with the number of the strongest relation that makes it superfluous.

    The other tile sees all the ground of the piece and its view goes on where the piece is cut. If
    that shows another object, then that tile has a view of the piece's object, too, and at least
    as large: nothing is lost.
    """
    r, found = relations, {}
    up, down = r.b_explains_a & r.b_sees_a, r.a_explains_b & r.a_sees_b
    for k in np.flatnonzero(up | down)[::-1].tolist():
        found[int(r.a[k] if up[k] else r.b[k])] = k
    return found


def _join_alike(relations: Relations, grown: _Groups) -> None:
    """Join views that lie on each other."""
    for a, b in zip(relations.a.tolist(), relations.b.tolist(), strict=True):
        grown.join(a, b)


def _attach(pieces: dict[int, int], relations: Relations, grown: _Groups) -> None:
    """Let pieces keep other views of their tile out of the group to which they surely belong."""
    for k in sorted(pieces.values()):
        if relations.evidence[k] >= CERTAIN:
            grown.join(int(relations.a[k]), int(relations.b[k]))


def _join_open(relations: Relations, grown: _Groups) -> None:
    """Join views where one group is still cut and the other goes on."""
    r = relations[relations.rank < ONLY_EXPLAINS]
    columns = (column.tolist() for column in (r.a, r.b, r.a_open.any(1), r.b_open.any(1)))
    for a, b, a_open, b_open in zip(*columns, strict=True):
        if (a_open and grown.is_open(a)) or (b_open and grown.is_open(b)):
            grown.join(a, b)


def _explained(pieces: dict[int, int], relations: Relations, grown: _Groups) -> list[int]:
    """Groups of which every view is an open piece explained by another group."""
    explained = set(pieces)
    pairs = (
        (relations.a, relations.b, relations.b_explains_a),
        (relations.b, relations.a, relations.a_explains_b),
    )
    for piece, whole, explains in pairs:
        for view, other in zip(piece[explains].tolist(), whole[explains].tolist(), strict=True):
            if grown.root[view] != grown.root[other] and grown.is_open(view):
                explained.add(view)
    return [root for root, views in grown.members.items() if explained.issuperset(views)]
