"""Relations between outlines of different tiles: apart, or one object that a tile edge cuts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely

from geodetect.arrays.ordering import group_rows
from geodetect.detection.detections import Columns
from geodetect.detection.seam_merge.tile_detections import OUTWARD, TileDetections, extents
from geodetect.geo import boxes as box_ops
from geodetect.geo.polygons import clip_polygons
from geodetect.types import BoolArray, FloatArray, IntArray, ObjectArray

APART = 0.1  # agreement below which two outlines are of different objects
CONTINUED = 0.5  # agreement from which an outline continues where a tile edge cuts another one
REACH_PX = 4.0  # error of the sides of outlines
NEAR_PX = 4.0  # largest distance of outlines that may be of one object, although none shows it
SEAM_PX = 1.0  # depth beside a tile edge in which outlines are compared if tiles do not overlap


@dataclass(frozen=True)
class Continuations(Columns):
    """Pairs of outlines of which one continues beyond the tile edge that cuts the other.

    Boxes cannot tell that two pieces which a tile shows are of one object, such as the sides of a
    ring: the outline of the next tile, which holds both, can.

    Args:
        a: ``int64[P]`` row of one detection, which a tile edge may cut.
        b: ``int64[P]`` row of the other, of another tile and the same class, ``a < b``, likewise.
        shared: ``float64[P]`` area that they share, or of their sections beside a seam.
    """

    a: IntArray
    b: IntArray
    shared: FloatArray


def find_continuations(detections: TileDetections) -> Continuations:
    """Return all continuations among detections that have outlines."""
    cut: IntArray = np.flatnonzero(
        detections.may_be_cut.any(axis=1) & ~shapely.is_missing(detections.detections.outlines)
    )
    pairs = [np.empty((0, 2), np.int64)]
    for positions in group_rows(detections.detections.labels[cut]):
        rows = cut[positions]
        largest = shapely.box(*detections.largest_boxes[rows].T)
        a, b = rows[shapely.STRtree(largest).query(largest)]
        is_pair = (a < b) & (detections.tile_index[a] != detections.tile_index[b])
        pairs.append(np.stack([a[is_pair], b[is_pair]], axis=1))
    a, b = np.concatenate(pairs).T
    first, second = detections[a], detections[b]
    is_open = first.may_be_cut & ((second.boxes - first.tile_box) * OUTWARD > 0)
    is_open |= second.may_be_cut & ((first.boxes - second.tile_box) * OUTWARD > 0)
    a, b = a[is_open.any(axis=1)], b[is_open.any(axis=1)]
    agreement, smaller = _compare(detections[a], detections[b])
    return Continuations(a, b, agreement * smaller)[agreement >= CONTINUED]


def outline_agreements(first: TileDetections, second: TileDetections) -> FloatArray:
    """Measure how far the outlines of pairs agree on the ground that both tiles show.

    Args:
        first: One detection of each pair.
        second: The other one, of another tile.

    Returns:
        ``float64[P]`` in 0..1: the shared area over that of the smaller outline, inside the
        overlap of the tiles. Of tiles without overlap, the sections along the seam are compared.
        NaN without outlines, or where their errors decide whether they are there.
    """
    return _compare(first, second)[0]


def _compare(first: TileDetections, second: TileDetections) -> tuple[FloatArray, FloatArray]:
    """Return the agreement of outlines, and the smaller area of which it is a fraction."""
    agreement, smaller = np.full(len(first), np.nan), np.zeros(len(first))
    low = np.maximum(first.tile_box[:, :2], second.tile_box[:, :2])
    high = np.minimum(first.tile_box[:, 2:], second.tile_box[:, 2:])
    is_known = ~(
        shapely.is_missing(first.detections.outlines)
        | shapely.is_missing(second.detections.outlines)
    )
    overlaps = np.flatnonzero(is_known & (high > low).all(axis=1))
    agreement[overlaps], smaller[overlaps] = _compare_in_overlap(first[overlaps], second[overlaps])
    is_seam = (high == low).any(axis=1) & (high > low).any(axis=1)
    seams = np.flatnonzero(is_known & is_seam)
    agreement[seams], smaller[seams] = _compare_sections(first[seams], second[seams])
    unknown = np.flatnonzero(is_known & np.isnan(agreement))
    gaps = shapely.distance(first.detections.outlines[unknown], second.detections.outlines[unknown])
    agreement[unknown[gaps > NEAR_PX]] = 0  # one of them would be there
    return agreement, smaller


def _compare_in_overlap(
    first: TileDetections, second: TileDetections
) -> tuple[FloatArray, FloatArray]:
    """Compare outlines inside the overlap of their tiles.

    Nothing is known where they do not agree, but one reaches into the overlap by its error only.
    """
    overlap = box_ops.clip(first.tile_box, second.tile_box)
    a, b = first.detections.outlines, second.detections.outlines
    area, other_area = _areas(clip_polygons(a, overlap)), _areas(clip_polygons(b, overlap))
    smaller = np.minimum(area, other_area)
    agreement = _ratio(_areas(shapely.intersection(a, b)), smaller)
    is_thin = (area > 0) & ~_reach_into(first, overlap)
    is_thin |= (other_area > 0) & ~_reach_into(second, overlap)
    is_unknown = is_thin & (agreement < APART)
    is_unknown |= (area == 0) & (other_area == 0)
    return np.where(is_unknown, np.nan, agreement), smaller


def _reach_into(detections: TileDetections, frame: FloatArray) -> BoolArray:
    """Return True for boxes that reach well into a frame, up to a half of a narrow one."""
    depth = extents(box_ops.clip(detections.boxes, frame))
    return np.asarray((depth > np.minimum(REACH_PX, extents(frame) / 2)).all(axis=1))


def _compare_sections(
    first: TileDetections, second: TileDetections
) -> tuple[FloatArray, FloatArray]:
    """Compare the sections of outlines along the edge at which their tiles meet.

    The sections are strips beside the edge, moved onto each other. Nothing is known of those that
    lie a pixel apart along the edge: a diagonal object moves so far from one strip to the next.
    """
    # across the edge, from the first to the second tile: one axis is 0
    offset = (first.tile_box[:, 2:] == second.tile_box[:, :2]).astype(np.float64)
    offset -= first.tile_box[:, :2] == second.tile_box[:, 2:]
    offset *= SEAM_PX
    strip = box_ops.clip(second.tile_box - np.tile(offset, (1, 2)), first.tile_box)
    a = clip_polygons(first.detections.outlines, strip)
    b = clip_polygons(second.detections.outlines, strip + np.tile(offset, (1, 2)))
    points, pair = shapely.get_coordinates(b, return_index=True)
    b = shapely.set_coordinates(b, points - offset[pair])
    area, other_area = _areas(a), _areas(b)
    wide, other_wide = (shapely.buffer(section, SEAM_PX, quad_segs=1) for section in (a, b))
    smaller = np.minimum(area, other_area)
    agreement = _ratio(_areas(shapely.intersection(a, b)), smaller)
    nearly = np.maximum(
        _ratio(_areas(shapely.intersection(a, other_wide)), area),
        _ratio(_areas(shapely.intersection(b, wide)), other_area),
    )
    is_unknown = (smaller == 0) | ((agreement < APART) & (nearly >= APART))
    return np.where(is_unknown, np.nan, agreement), smaller


def _areas(polygons: ObjectArray) -> FloatArray:
    """Return areas, 0 for None."""
    return np.nan_to_num(shapely.area(polygons))


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)
