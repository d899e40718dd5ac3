"""Which views of different tiles may show the same object."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from geodetect.detection.views import SIDES_OUTWARDS, TOUCH_PX, Bool, Float, Int, Views, extents
from geodetect.geo import boxes as bx

CONTAINED = 0.6  # share of a piece that lies in a view which goes on where the piece is cut
EXPLAINED = 0.7  # the same when the view is widened by its possible error
ACROSS = 0.5  # how far a piece may stick out of a widened view beside its cut, in own extents
_CHUNK = 1 << 18  # pairs at a time, to bound memory

ALIKE, SAME, PIECE, LOOSE, ONLY_EXPLAINS, NONE = range(6)


@dataclass(frozen=True)
class Relations:
    """Pairs of views that may show one object, strongest first.

    Args:
        a: ``int64[P]`` one view.
        b: ``int64[P]`` the other, ``a < b``.
        rank: ``int8[P]`` SAME: both agree wherever both can speak. PIECE: one is cut and its
            piece lies in the other. LOOSE: they agree if both reach the edges that may cut them.
            ONLY_EXPLAINS: no ground to join them. ALIKE: both lie on each other, cut or not.
        evidence: ``int64[P]`` number of sides on which both end at the same place, 0..4; tile
            edges say nothing.
        agreement: ``float64[P]`` intersection over union where both can speak.
        a_open: ``bool[P, 4]`` sides where a may be cut and b goes on.
        b_open: ``bool[P, 4]`` the same the other way round.
        b_explains_a: ``bool[P]`` a may be a piece that b makes superfluous.
        a_explains_b: ``bool[P]`` the same the other way round.
        b_sees_a: ``bool[P]`` all of a lies in the tile of b.
        a_sees_b: ``bool[P]`` the same the other way round.
    """

    a: Int
    b: Int
    rank: Int
    evidence: Int
    agreement: Float
    a_open: Bool
    b_open: Bool
    b_explains_a: Bool
    a_explains_b: Bool
    b_sees_a: Bool
    a_sees_b: Bool

    def __len__(self) -> int:
        return len(self.a)

    def __getitem__(self, rows: Int | Bool) -> Relations:
        """The pairs picked by a mask or row numbers."""
        return Relations(*(getattr(self, f.name)[rows] for f in fields(self)))


def relate(views: Views, *, iou: float) -> Relations:
    """All relations between views of different tiles and the same class.

    Args:
        views: Views in canonical order.
        iou: Least agreement of two views of one object, 0..1.
    """
    reach = views.reach
    pairs = bx.overlap_pairs(reach, reach)
    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    a, b = pairs.T
    pairs = pairs[
        (views.tile[a] != views.tile[b]) & (views.found.labels[a] == views.found.labels[b])
    ]
    starts = range(0, max(len(pairs), 1), _CHUNK)
    parts = [part for s in starts for part in _judge(views, pairs[s : s + _CHUNK], iou)]
    columns = [np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Relations)]
    relations = Relations(*columns)
    return relations[
        np.lexsort(
            (relations.b, relations.a, -relations.agreement, relations.rank, -relations.evidence)
        )
    ]


def _judge(views: Views, pairs: Int, iou: float) -> tuple[Relations, Relations]:
    """The relations among some pairs of views."""
    cut = views.cut.any(axis=1)[pairs].any(axis=1)
    return _judge_whole(views, pairs[~cut], iou), _judge_cut(views, pairs[cut], iou)


def _judge_whole(views: Views, pairs: Int, iou: float) -> Relations:
    """The relations among views that no tile edge can have cut: far the most, and simple."""
    a, b = pairs.T
    agreement = bx.iou(views.found.boxes[a], views.found.boxes[b])
    same = agreement >= iou
    a, b, agreement = a[same], b[same], agreement[same]
    no, none = np.zeros(len(a), bool), np.zeros((len(a), 4), bool)
    rank = np.full(len(a), ALIKE)
    evidence = np.full(len(a), 4)
    return Relations(a, b, rank, evidence, agreement, none, none, no, no, no, no)


def _judge_cut(views: Views, pairs: Int, iou: float) -> Relations:
    """The relations among views of which one or both may be cut."""
    a, b = pairs.T
    one, two = views[a], views[b]
    agreement = _agreement(one, two)
    loose = _loose_agreement(one, two)
    a_open, b_open = _goes_on(one, two), _goes_on(two, one)
    contained = np.maximum(_contained(one, two, a_open), _contained(two, one, b_open))
    b_explains_a, a_explains_b = _explained(one, two, a_open), _explained(two, one, b_open)
    rank = np.select(
        [
            bx.iou(one.found.boxes, two.found.boxes) >= iou,
            agreement >= iou,
            contained >= CONTAINED,
            loose >= iou,
            b_explains_a | a_explains_b,
        ],
        [ALIKE, SAME, PIECE, LOOSE, ONLY_EXPLAINS],
        NONE,
    )
    agreement = np.where(rank == LOOSE, loose, agreement)
    found = Relations(
        a,
        b,
        rank,
        _evidence(one, two),
        agreement,
        a_open,
        b_open,
        b_explains_a,
        a_explains_b,
        _sees(two, one),
        _sees(one, two),
    )
    return found[rank < NONE]


def _agreement(one: Views, two: Views) -> Float:
    """Intersection over union of corresponding views, where both can speak."""
    a = bx.clip(one.found.boxes, two.trusted)
    b = bx.clip(two.found.boxes, one.trusted)
    seam = _meet_at_seam(one, two)
    return bx.iou(_along_seam(a, seam), _along_seam(b, seam))


def _loose_agreement(one: Views, two: Views) -> Float:
    """The same if both views reach the edges that may cut them; 0 if neither reaches the other.

    Two objects can lie near opposite edges of the ground that both tiles see without touching it,
    so one of the views must be seen to reach it.
    """
    reaches = bx.intersection(one.found.boxes, two.frame) + bx.intersection(
        two.found.boxes, one.frame
    )
    loose = bx.iou(bx.clip(one.snapped, two.trusted), bx.clip(two.snapped, one.trusted))
    return np.where(reaches > 0, loose, 0)


def _contained(piece: Views, whole: Views, goes_on: Bool) -> Float:
    """Share of the piece that lies in the whole, where the whole can speak; 0 if not cut."""
    seam = _meet_at_seam(piece, whole)
    part = _along_seam(bx.clip(piece.found.boxes, whole.trusted), seam)
    return np.where(goes_on.any(1), _share(part, _along_seam(whole.found.boxes, seam)), 0)


def _explained(piece: Views, whole: Views, goes_on: Bool) -> Bool:
    """Whether pieces are superfluous beside the wholes, which may stop short by their error."""
    cut_axis = np.tile(goes_on[:, :2] | goes_on[:, 2:], (1, 2))
    across = np.minimum(whole.slack, ACROSS * extents(piece.found.boxes)) * SIDES_OUTWARDS
    widened = np.where(cut_axis, whole.reach, whole.found.boxes + across)
    larger = bx.area(whole.found.boxes) > bx.area(piece.found.boxes)
    share = _share(piece.found.boxes, widened)
    return goes_on.any(1) & larger & (share >= EXPLAINED)


def _sees(one: Views, two: Views) -> Bool:
    """Whether the other view lies all in a view's tile."""
    outside: Bool = (two.found.boxes - one.frame) * SIDES_OUTWARDS > TOUCH_PX
    return ~outside.any(1)


def _evidence(one: Views, two: Views) -> Int:
    """Number of sides on which two views end at the same place that is not a tile edge."""
    distance = np.abs(one.found.boxes - two.found.boxes)
    smaller = np.minimum(extents(one.found.boxes), extents(two.found.boxes))
    near = distance <= np.minimum(np.maximum(one.slack, two.slack), smaller / 2)
    return np.count_nonzero(near & ~(one.touching | two.touching), axis=1)


def _goes_on(piece: Views, whole: Views) -> Bool:
    """Sides where a piece may be cut and the other view lies beyond the cutting edge."""
    beyond = (whole.found.boxes - piece.frame) * SIDES_OUTWARDS > 0
    return piece.cut & beyond


def _meet_at_seam(one: Views, two: Views) -> Bool:
    """Axes (x, y) along which tiles without overlap meet and both views touch their seam."""
    right = (one.frame[:, 2:] == two.frame[:, :2]) & one.touching[:, 2:] & two.touching[:, :2]
    left = (one.frame[:, :2] == two.frame[:, 2:]) & one.touching[:, :2] & two.touching[:, 2:]
    across = right | left
    return across & ~across.all(1, keepdims=True)  # a common corner alone joins nothing


def _along_seam(boxes: Float, seam: Bool) -> Float:
    """Boxes with unit width across a seam, so that only their extents along it count."""
    unit = np.repeat([0.0, 1.0], 2)
    return np.where(np.tile(seam, (1, 2)), unit, boxes)


def _share(part: Float, whole: Float) -> Float:
    """Share of each part's area that lies in the corresponding whole."""
    size = bx.area(part)
    return np.divide(bx.intersection(part, whole), size, out=np.zeros(len(part)), where=size > 0)
