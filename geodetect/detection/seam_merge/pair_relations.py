"""Pairs of detections of different tiles that may show the same object."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely

from geodetect.arrays.ordering import group_rows
from geodetect.detection.detections import Columns
from geodetect.detection.seam_merge.outline_relations import APART, outline_agreements
from geodetect.detection.seam_merge.tile_detections import (
    OUTWARD,
    TOUCH_PX,
    TileDetections,
    extents,
)
from geodetect.geo import boxes as box_ops
from geodetect.types import BoolArray, FloatArray, IntArray

SPANNED = 0.95  # filled fraction of the overlap of two tiles from which on agreement is weak
CONTAINED = 0.6  # fraction of a fragment inside a detection that continues where it is cut
SUPERSEDED = 0.7  # the same when the detection is widened by its tolerance
ACROSS = 0.5  # how far a fragment may stick out of it beside its cut, in extents of the fragment
_CHUNK = 1 << 18  # pairs at a time, to bound memory

# relations, strongest first; see `PairRelations`
OVERLAPPING, AGREEING, FRAGMENT, SPANNING, EXTENDED, SUPERSEDING_ONLY, UNRELATED = range(7)
CERTAIN_SIDES = 2  # matching sides that identify an object: fewer can match by chance


@dataclass(frozen=True)
class PairRelations(Columns):
    """Pairs of detections that may show one object, strongest relation first.

    Args:
        a: ``int64[P]`` row of one detection.
        b: ``int64[P]`` row of the other, ``a < b``.
        rank: ``int64[P]`` the strongest relation that holds. OVERLAPPING: the boxes overlap, cut
            or not. AGREEING: they overlap inside the area that both tiles show. FRAGMENT: one is
            cut and lies in the other. SPANNING: they agree, but fill the overlap of the tiles,
            so the agreement is weak evidence. EXTENDED: they agree if both reach the edges that
            may cut them. SUPERSEDING_ONLY: no reason to join them.
        matching_sides: ``int64[P]`` number of sides on which both end at the same place, 0..4;
            sides on tile edges do not count.
        agreement: ``float64[P]`` intersection over union inside the area that both tiles show.
        a_open: ``bool[P, 4]`` sides where a may be cut and b continues.
        b_open: ``bool[P, 4]`` sides where b may be cut and a continues.
        b_supersedes_a: ``bool[P]`` a may be a fragment that is superfluous beside b.
        a_supersedes_b: ``bool[P]`` b may be a fragment that is superfluous beside a.
        a_in_tile_of_b: ``bool[P]`` a lies completely in the tile of b.
        b_in_tile_of_a: ``bool[P]`` b lies completely in the tile of a.
    """

    a: IntArray
    b: IntArray
    rank: IntArray
    matching_sides: IntArray
    agreement: FloatArray
    a_open: BoolArray
    b_open: BoolArray
    b_supersedes_a: BoolArray
    a_supersedes_b: BoolArray
    a_in_tile_of_b: BoolArray
    b_in_tile_of_a: BoolArray


def relate_pairs(detections: TileDetections, *, iou: float) -> PairRelations:
    """Return all relations between detections of different tiles and the same class.

    Those whose outlines are apart have none.

    Args:
        detections: Detections sorted from left to right.
        iou: Smallest intersection over union of two detections of one object, 0..1.
    """
    largest = shapely.box(*detections.largest_boxes.T)
    pairs_by_class = [np.empty((0, 2), np.int64)]
    for rows in group_rows(detections.detections.labels):  # of one class: far fewer pairs
        a, b = rows[shapely.STRtree(largest[rows]).query(largest[rows])]
        is_pair = (a < b) & (detections.tile_index[a] != detections.tile_index[b])
        pairs_by_class.append(
            np.stack([a[is_pair], b[is_pair]], axis=1).astype(np.int64, copy=False)
        )
    pairs = np.concatenate(pairs_by_class)
    is_cut: BoolArray = np.any(detections.may_be_cut, axis=1)
    parts = []
    for start in range(0, max(len(pairs), 1), _CHUNK):
        chunk = pairs[start : start + _CHUNK]
        either_cut = is_cut[chunk[:, 0]] | is_cut[chunk[:, 1]]
        parts.append(_relate_complete_pairs(detections, chunk[~either_cut], iou))
        parts.append(_relate_cut_pairs(detections, chunk[either_cut], iou))
    r = PairRelations.concatenate(parts)
    if detections.detections.has_outlines:
        r = r[~(outline_agreements(detections[r.a], detections[r.b]) < APART)]
    certain = np.where(r.matching_sides >= CERTAIN_SIDES, r.matching_sides, 0)
    return r[np.lexsort((r.b, r.a, -r.agreement, r.rank, -certain, r.rank == EXTENDED))]


def _relate_complete_pairs(
    detections: TileDetections, pairs: IntArray, iou: float
) -> PairRelations:
    """Relate detections that no tile edge can have cut: by far the most, and simple."""
    boxes, (a, b) = detections.boxes, pairs.T
    is_apart = (boxes[a, 2] <= boxes[b, 0]) | (boxes[a, 3] <= boxes[b, 1])  # b is never left of a
    a, b = a[~is_apart], b[~is_apart]
    agreement = box_ops.iou(boxes[a], boxes[b])
    is_same = agreement >= iou
    a, b, agreement = a[is_same], b[is_same], agreement[is_same]
    no, no_sides = np.zeros(len(a), bool), np.zeros((len(a), 4), bool)
    rank, sides = np.full(len(a), OVERLAPPING), np.full(len(a), 4)
    return PairRelations(a, b, rank, sides, agreement, no_sides, no_sides, no, no, no, no)


def _relate_cut_pairs(detections: TileDetections, pairs: IntArray, iou: float) -> PairRelations:
    """Relate detections of which one or both may be cut."""
    first, second = detections[pairs[:, 0]], detections[pairs[:, 1]]
    seam = _shared_seam(first, second)
    agreement = box_ops.iou(
        _flatten_across(box_ops.clip(first.boxes, second.visible_area), seam),
        _flatten_across(box_ops.clip(second.boxes, first.visible_area), seam),
    )
    # as if both reached the edges that may cut them; 0 if one misses the other's tile: two objects
    # can lie near opposite edges of the overlap of the tiles without touching it
    extended_agreement = box_ops.iou(
        box_ops.clip(first.snapped_boxes, second.visible_area),
        box_ops.clip(second.snapped_boxes, first.visible_area),
    )
    extended_agreement[box_ops.intersection(first.boxes, second.tile_box) <= 0] = 0
    extended_agreement[box_ops.intersection(second.boxes, first.tile_box) <= 0] = 0
    # if both fill the overlap of their tiles, they may be two objects
    overlap = box_ops.clip(first.tile_box, second.tile_box)
    least = np.minimum(
        box_ops.intersection(first.boxes, overlap), box_ops.intersection(second.boxes, overlap)
    )
    span_overlap = (least >= SPANNED * box_ops.area(overlap)) & (least > 0)
    a_open = first.may_be_cut & ((second.boxes - first.tile_box) * OUTWARD > 0)
    b_open = second.may_be_cut & ((first.boxes - second.tile_box) * OUTWARD > 0)
    contained = np.maximum(
        _contained_fraction(first, second, a_open), _contained_fraction(second, first, b_open)
    )
    b_supersedes_a = _is_superseded(first, second, a_open)
    a_supersedes_b = _is_superseded(second, first, b_open)
    ranks = {
        OVERLAPPING: box_ops.iou(first.boxes, second.boxes) >= iou,
        AGREEING: (agreement >= iou) & ~span_overlap,
        FRAGMENT: contained >= CONTAINED,
        SPANNING: agreement >= iou,
        EXTENDED: extended_agreement >= iou,
        SUPERSEDING_ONLY: b_supersedes_a | a_supersedes_b,
    }
    rank = np.select(list(ranks.values()), list(ranks), UNRELATED)
    relations = PairRelations(
        a=pairs[:, 0],
        b=pairs[:, 1],
        rank=rank,
        matching_sides=_count_matching_sides(first, second),
        agreement=np.where(rank == EXTENDED, extended_agreement, agreement),
        a_open=a_open,
        b_open=b_open,
        b_supersedes_a=b_supersedes_a,
        a_supersedes_b=a_supersedes_b,
        a_in_tile_of_b=np.all((first.boxes - second.tile_box) * OUTWARD <= TOUCH_PX, axis=1),
        b_in_tile_of_a=np.all((second.boxes - first.tile_box) * OUTWARD <= TOUCH_PX, axis=1),
    )
    return relations[rank < UNRELATED]


def _contained_fraction(
    fragment: TileDetections, other: TileDetections, open_sides: BoolArray
) -> FloatArray:
    """Return the visible fraction of each fragment that lies in the other; 0 if it is not cut."""
    seam = _shared_seam(fragment, other)
    visible = _flatten_across(box_ops.clip(fragment.boxes, other.visible_area), seam)
    fraction = box_ops.fraction_inside(visible, _flatten_across(other.boxes, seam))
    return np.where(open_sides.any(1), fraction, 0)


def _is_superseded(
    fragment: TileDetections, other: TileDetections, open_sides: BoolArray
) -> BoolArray:
    """Return True where a fragment is superfluous beside the other, larger one.

    The other may stop short by its tolerance.
    """
    is_cut_axis = np.tile(open_sides[:, :2] | open_sides[:, 2:], (1, 2))
    across = np.minimum(other.tolerance, ACROSS * extents(fragment.boxes)) * OUTWARD
    widened = np.where(is_cut_axis, other.largest_boxes, other.boxes + across)
    is_larger = box_ops.area(other.boxes) > box_ops.area(fragment.boxes)
    is_inside = box_ops.fraction_inside(fragment.boxes, widened) >= SUPERSEDED
    return open_sides.any(1) & is_larger & is_inside


def _count_matching_sides(first: TileDetections, second: TileDetections) -> IntArray:
    """Count the sides on which both end at the same place that is not a tile edge."""
    distance = np.abs(first.boxes - second.boxes)
    smaller = np.minimum(extents(first.boxes), extents(second.boxes))
    tolerance = np.minimum(np.maximum(first.tolerance, second.tolerance), smaller / 2)
    touches_edge = first.touches_edge | second.touches_edge
    return np.count_nonzero((distance <= tolerance) & ~touches_edge, axis=1)


def _shared_seam(first: TileDetections, second: TileDetections) -> BoolArray:
    """Return the axes (x, y) along which tiles without overlap meet and both boxes touch there."""
    right = first.tile_box[:, 2:] == second.tile_box[:, :2]
    right &= first.touches_edge[:, 2:] & second.touches_edge[:, :2]
    left = first.tile_box[:, :2] == second.tile_box[:, 2:]
    left &= first.touches_edge[:, :2] & second.touches_edge[:, 2:]
    seam = right | left
    return seam & ~seam.all(1, keepdims=True)  # a common corner alone joins nothing


def _flatten_across(boxes: FloatArray, seam: BoolArray) -> FloatArray:
    """Return boxes with unit width across a seam, so that only their extents along it count."""
    return np.where(np.tile(seam, (1, 2)), np.repeat([0.0, 1.0], 2), boxes)
