"""Which views of different tiles may show the same object."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import shapely

from geodetect.detection.seam_merge.tile_detections import SIDES_OUTWARDS, TOUCH_PX, Views, extents
from geodetect.geo import boxes as box_ops
from geodetect.types import BoolArray, FloatArray, IntArray

SPANNED = 0.95  # share of the common ground that says nothing about an object's edges
CONTAINED = 0.6  # share of a piece that lies in a view which goes on where the piece is cut
EXPLAINED = 0.7  # the same when the view is widened by its possible error
ACROSS = 0.5  # how far a piece may stick out of a widened view beside its cut, in own extents
_CHUNK = 1 << 18  # pairs at a time, to bound memory

ALIKE, SAME, PIECE, SPANNING, LOOSE, ONLY_EXPLAINS, NONE = range(7)
CERTAIN = 2  # sides that agree: fewer can agree by chance


@dataclass(frozen=True)
class Relations:
    """Pairs of views that may show one object, strongest first.

    Args:
        a: ``int64[P]`` one view.
        b: ``int64[P]`` the other, ``a < b``.
        rank: ``int64[P]`` ALIKE: both lie on each other, cut or not. SAME: they agree wherever both
            can speak. PIECE: one is cut and its piece lies in the other. SPANNING: they agree, but
            fill the common ground, which tells little. LOOSE: they agree if both reach the edges
            that may cut them. ONLY_EXPLAINS: no ground to join them.
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

    a: IntArray
    b: IntArray
    rank: IntArray
    evidence: IntArray
    agreement: FloatArray
    a_open: BoolArray
    b_open: BoolArray
    b_explains_a: BoolArray
    a_explains_b: BoolArray
    b_sees_a: BoolArray
    a_sees_b: BoolArray

    def __len__(self) -> int:
        return len(self.a)

    def __getitem__(self, rows: IntArray | BoolArray) -> Relations:
        """The pairs picked by a mask or row numbers."""
        return Relations(*(getattr(self, f.name)[rows] for f in fields(self)))


def relate(views: Views, *, iou: float) -> Relations:
    """All relations between views of different tiles and the same class.

    Args:
        views: Views sorted from left to right.
        iou: Least agreement of two views of one object, 0..1.
    """
    pairs = _neighbours(views)
    starts = range(0, max(len(pairs), 1), _CHUNK)
    parts = [part for s in starts for part in _judge(views, pairs[s : s + _CHUNK], iou)]
    columns = [np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Relations)]
    relations = Relations(*columns)
    return relations[_by_strength(relations)]


def _by_strength(relations: Relations) -> IntArray:
    """Row numbers, strongest relation first; ties by the order of the views."""
    r = relations
    certain = np.where(r.evidence >= CERTAIN, r.evidence, 0)
    return np.lexsort((r.b, r.a, -r.agreement, r.rank, -certain, r.rank == LOOSE))


def _neighbours(views: Views) -> IntArray:
    """Pairs whose objects may meet, seen by different tiles and of one class, ``int64[P, 2]``."""
    reach = shapely.box(*views.reach.T)
    a, b = shapely.STRtree(reach).query(reach)
    apart = (a < b) & (views.tile[a] != views.tile[b])
    a, b = a[apart], b[apart]
    same_class = views.found.labels[a] == views.found.labels[b]
    return np.stack([a[same_class], b[same_class]], axis=1).astype(np.int64, copy=False)


def _judge(views: Views, pairs: IntArray, iou: float) -> tuple[Relations, Relations]:
    """The relations among some pairs of views."""
    cut: BoolArray = np.any(views.cut, axis=1)
    either = cut[pairs[:, 0]] | cut[pairs[:, 1]]
    return _judge_whole(views, pairs[~either], iou), _judge_cut(views, pairs[either], iou)


def _judge_whole(views: Views, pairs: IntArray, iou: float) -> Relations:
    """The relations among views that no tile edge can have cut: far the most, and simple."""
    boxes, (a, b) = views.found.boxes, pairs.T
    apart = (boxes[a, 2] <= boxes[b, 0]) | (boxes[a, 3] <= boxes[b, 1])  # b is never left of a
    a, b = a[~apart], b[~apart]
    agreement = box_ops.iou(boxes[a], boxes[b])
    same = agreement >= iou
    a, b, agreement = a[same], b[same], agreement[same]
    no, none = np.zeros(len(a), bool), np.zeros((len(a), 4), bool)
    rank, evidence = np.full(len(a), ALIKE), np.full(len(a), 4)
    return Relations(a, b, rank, evidence, agreement, none, none, no, no, no, no)


def _judge_cut(views: Views, pairs: IntArray, iou: float) -> Relations:
    """The relations among views of which one or both may be cut."""
    a, b = pairs.T
    one, two = views[a], views[b]
    agreement = _agreement(one, two)
    loose = _loose_agreement(one, two)
    a_open, b_open = _goes_on(one, two), _goes_on(two, one)
    contained = np.maximum(_contained(one, two, a_open), _contained(two, one, b_open))
    b_explains_a, a_explains_b = _explained(one, two, a_open), _explained(two, one, b_open)
    same = agreement >= iou
    ranks = {
        ALIKE: box_ops.iou(one.found.boxes, two.found.boxes) >= iou,
        SAME: same & ~_span(one, two),
        PIECE: contained >= CONTAINED,
        SPANNING: same,
        LOOSE: loose >= iou,
        ONLY_EXPLAINS: b_explains_a | a_explains_b,
    }
    rank = np.select(list(ranks.values()), list(ranks), NONE)
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


def _agreement(one: Views, two: Views) -> FloatArray:
    """Intersection over union of corresponding views, where both can speak."""
    a = box_ops.clip(one.found.boxes, two.trusted)
    b = box_ops.clip(two.found.boxes, one.trusted)
    seam = _meet_at_seam(one, two)
    return box_ops.iou(_along_seam(a, seam), _along_seam(b, seam))


def _span(one: Views, two: Views) -> BoolArray:
    """Whether two views both fill the ground that both tiles see, so that it tells nothing."""
    common = box_ops.clip(one.frame, two.frame)
    least = np.minimum(
        box_ops.intersection(one.found.boxes, common), box_ops.intersection(two.found.boxes, common)
    )
    spans: BoolArray = least >= SPANNED * box_ops.area(common)
    return spans & (least > 0)


def _loose_agreement(one: Views, two: Views) -> FloatArray:
    """The same if both views reach the edges that may cut them; 0 if one misses the other's tile.

    Two objects can lie near opposite edges of the ground that both tiles see without touching it.
    """
    reaches = box_ops.intersection(one.found.boxes, two.frame) > 0
    reached = box_ops.intersection(two.found.boxes, one.frame) > 0
    loose = box_ops.iou(
        box_ops.clip(one.snapped, two.trusted), box_ops.clip(two.snapped, one.trusted)
    )
    return np.where(reaches & reached, loose, 0)


def _contained(piece: Views, whole: Views, goes_on: BoolArray) -> FloatArray:
    """Share of the piece that lies in the whole, where the whole can speak; 0 if not cut."""
    seam = _meet_at_seam(piece, whole)
    part = _along_seam(box_ops.clip(piece.found.boxes, whole.trusted), seam)
    return np.where(goes_on.any(1), _share(part, _along_seam(whole.found.boxes, seam)), 0)


def _explained(piece: Views, whole: Views, goes_on: BoolArray) -> BoolArray:
    """Whether pieces are superfluous beside the wholes, which may stop short by their error."""
    cut_axis = np.tile(goes_on[:, :2] | goes_on[:, 2:], (1, 2))
    across = np.minimum(whole.slack, ACROSS * extents(piece.found.boxes)) * SIDES_OUTWARDS
    widened = np.where(cut_axis, whole.reach, whole.found.boxes + across)
    larger = box_ops.area(whole.found.boxes) > box_ops.area(piece.found.boxes)
    share = _share(piece.found.boxes, widened)
    return goes_on.any(1) & larger & (share >= EXPLAINED)


def _sees(one: Views, two: Views) -> BoolArray:
    """Whether the other view lies all in a view's tile."""
    inside: BoolArray = np.all((two.found.boxes - one.frame) * SIDES_OUTWARDS <= TOUCH_PX, axis=1)
    return inside


def _evidence(one: Views, two: Views) -> IntArray:
    """Number of sides on which two views end at the same place that is not a tile edge."""
    distance = np.abs(one.found.boxes - two.found.boxes)
    smaller = np.minimum(extents(one.found.boxes), extents(two.found.boxes))
    near = distance <= np.minimum(np.maximum(one.slack, two.slack), smaller / 2)
    return np.count_nonzero(near & ~(one.touching | two.touching), axis=1)


def _goes_on(piece: Views, whole: Views) -> BoolArray:
    """Sides where a piece may be cut and the other view lies beyond the cutting edge."""
    beyond = (whole.found.boxes - piece.frame) * SIDES_OUTWARDS > 0
    return piece.cut & beyond


def _meet_at_seam(one: Views, two: Views) -> BoolArray:
    """Axes (x, y) along which tiles without overlap meet and both views touch their seam."""
    right = (one.frame[:, 2:] == two.frame[:, :2]) & one.touching[:, 2:] & two.touching[:, :2]
    left = (one.frame[:, :2] == two.frame[:, 2:]) & one.touching[:, :2] & two.touching[:, 2:]
    across = right | left
    return across & ~across.all(1, keepdims=True)  # a common corner alone joins nothing


def _along_seam(boxes: FloatArray, seam: BoolArray) -> FloatArray:
    """Boxes with unit width across a seam, so that only their extents along it count."""
    unit = np.repeat([0.0, 1.0], 2)
    return np.where(np.tile(seam, (1, 2)), unit, boxes)


def _share(part: FloatArray, whole: FloatArray) -> FloatArray:
    """Share of each part's area that lies in the corresponding whole."""
    size = box_ops.area(part)
    return np.divide(
        box_ops.intersection(part, whole), size, out=np.zeros(len(part)), where=size > 0
    )
