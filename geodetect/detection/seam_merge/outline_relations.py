"""Relations between outlines of different tiles: apart, or one object that a tile edge cuts."""

from __future__ import annotations

import numpy as np
import shapely

from geodetect.detection.seam_merge.tile_detections import OUTWARD, TileDetections, extents
from geodetect.geo import boxes as box_ops
from geodetect.geo.ordering import group_rows
from geodetect.geo.polygons import clip_polygons
from geodetect.types import BoolArray, FloatArray, IntArray, ObjectArray

APART = 0.1  # agreement below which two outlines are of different objects
CONTINUED = 0.5  # agreement from which an outline continues where a tile edge cuts another one
REACH_PX = 2.0  # error of the sides of outlines
SEAM_PX = 1.0  # depth beside a tile edge in which outlines are compared if tiles do not overlap


def find_continuations(detections: TileDetections) -> IntArray:
    """Pair outlines of which one continues beyond the tile edge that cuts the other.

    Boxes cannot tell that two pieces which a tile shows are of one object, such as the sides of a
    ring: the outline of the next tile, which holds both, can.

    Args:
        detections: Detections of one or more tiles.

    Returns:
        ``int64[P, 2]`` rows of detections of different tiles and the same class, both of which
        may be cut.
    """
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
    is_continued = outline_agreements(detections[a], detections[b]) >= CONTINUED
    return np.stack([a[is_continued], b[is_continued]], axis=1)


def outline_agreements(first: TileDetections, second: TileDetections) -> FloatArray:
    """Measure how far the outlines of pairs agree on the ground that both tiles show.

    Args:
        first: One detection of each pair.
        second: The other one, of another tile.

    Returns:
        ``float64[P]`` in 0..1: the shared area over that of the smaller outline, inside the
        overlap of the tiles. Of tiles without overlap, the sections along the seam are compared.
        NaN without outlines, or where neither reaches the ground that both tiles show.
    """
    agreement = np.full(len(first), np.nan)
    low = np.maximum(first.tile_box[:, :2], second.tile_box[:, :2])
    high = np.minimum(first.tile_box[:, 2:], second.tile_box[:, 2:])
    is_known = ~(
        shapely.is_missing(first.detections.outlines)
        | shapely.is_missing(second.detections.outlines)
    )
    overlaps = np.flatnonzero(is_known & (high > low).all(axis=1))
    agreement[overlaps] = _overlap_agreements(first[overlaps], second[overlaps])
    is_seam = (high == low).any(axis=1) & (high > low).any(axis=1)
    seams = np.flatnonzero(is_known & is_seam)
    agreement[seams] = _section_agreements(first[seams], second[seams])
    return agreement


def _overlap_agreements(first: TileDetections, second: TileDetections) -> FloatArray:
    """Compare outlines inside the overlap of their tiles.

    Where only one is there, both are apart, unless it reaches into the overlap only by its error.
    """
    overlap = box_ops.clip(first.tile_box, second.tile_box)
    a, b = first.detections.outlines, second.detections.outlines
    area, other_area = _areas(clip_polygons(a, overlap)), _areas(clip_polygons(b, overlap))
    agreement = _ratio(_areas(shapely.intersection(a, b)), np.minimum(area, other_area))
    is_unknown = (area == 0) & ~_reach_into(second, overlap)
    is_unknown |= (other_area == 0) & ~_reach_into(first, overlap)
    return np.where(is_unknown | ((area == 0) & (other_area == 0)), np.nan, agreement)


def _reach_into(detections: TileDetections, frame: FloatArray) -> BoolArray:
    """Return True for boxes that reach well into a frame, up to a half of a narrow one."""
    depth = extents(box_ops.clip(detections.boxes, frame))
    return np.asarray((depth > np.minimum(REACH_PX, extents(frame) / 2)).all(axis=1))


def _section_agreements(first: TileDetections, second: TileDetections) -> FloatArray:
    """Compare the sections of outlines along the edge at which their tiles meet.

    The sections are strips beside the edge, moved onto each other; one pixel along the edge is
    tolerated, by which a diagonal object moves from one strip to the next.
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
    agreement = np.maximum(
        _ratio(_areas(shapely.intersection(a, other_wide)), area),
        _ratio(_areas(shapely.intersection(b, wide)), other_area),
    )
    return np.where((area == 0) | (other_area == 0), np.nan, agreement)


def _areas(polygons: ObjectArray) -> FloatArray:
    """Return areas, 0 for None."""
    return np.nan_to_num(shapely.area(polygons))


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)
