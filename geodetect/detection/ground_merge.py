"""One detection per object where grounds in several coordinate reference systems meet.

Rasters in two UTM zones overlap or touch, but share no pixels, so that no tile shows both. Objects
of both grounds are compared in the pixels of the earlier one, inside the area that both show:

1. boxes that overlap there are one object: a complete one wins over one that the edge of the
   imagery cuts, else the one of the earlier ground; of two that are cut the union is taken;
2. two that are cut and touch where the grounds meet without overlap are one object, too;
3. what is cut and lies in a larger object of the other ground is a part of it;
4. any other object of the later ground is left out where the earlier one was searched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import shapely

from geodetect.detection.coverage import ImageryMask
from geodetect.detection.detections import Detections
from geodetect.detection.plan import GroundPlan
from geodetect.errors import GeoreferenceError
from geodetect.geo import boxes as box_ops
from geodetect.geo.bounds import bounds_px, projected_bounds
from geodetect.geo.crs import WGS84, horizontal_crs, same_crs
from geodetect.geo.grid import Grid
from geodetect.geo.reproject import densify, reproject_or_none
from geodetect.types import BoolArray, FloatArray, IntArray, ObjectArray

TOUCH_PX = 3.0  # largest gap between the parts of an object that meet at the edges of two grounds
NEAR_DEG = 1e-4  # largest distance of grounds that touch: about ten metres
SUPERSEDED = 0.7  # fraction of a sliver inside an object of the other ground
EDGE_PX = 1.5  # largest distance of a truncated box to the edge of the imagery


@dataclass(frozen=True)
class SearchedGround:
    """Objects of a ground.

    Args:
        plan: Plan of the ground.
        objects: Objects, boxes in pixels of the working grid.
        mask: Where it holds imagery.
    """

    plan: GroundPlan
    objects: Detections
    mask: ImageryMask


@dataclass(frozen=True)
class _Pairs:
    """Objects of two grounds that are one object each.

    Args:
        earlier: ``int64[P]`` rows of the earlier ground.
        later: ``int64[P]`` rows of the later ground.
    """

    earlier: IntArray
    later: IntArray


def merge_grounds(grounds: Sequence[SearchedGround], *, iou: float) -> list[Detections]:
    """Return the objects of each ground without those that another one has.

    Args:
        grounds: All grounds, in order.
        iou: Smallest intersection over union of two boxes of one object.
    """
    objects = [ground.objects for ground in grounds]
    for first, second in _find_neighbours(grounds):
        earlier = replace(grounds[first], objects=objects[first])
        later = replace(grounds[second], objects=objects[second])
        objects[first], objects[second] = _merge_pair(earlier, later, iou=iou)
    return objects


def _find_neighbours(grounds: Sequence[SearchedGround]) -> list[tuple[int, int]]:
    """Return pairs of grounds in different CRS that may overlap or touch."""
    grids = [ground.plan.grid for ground in grounds]
    systems = [grid.crs for grid in grids if grid.crs is not None]
    if len(systems) < len(grids) or all(same_crs(crs, systems[0]) for crs in systems):
        return []
    outlines = [np.array([grid.outline], dtype=object) for grid in grids]
    boxes = [projected_bounds(o, crs, WGS84) for o, crs in zip(outlines, systems, strict=True)]
    shapes = shapely.box(*np.concatenate(boxes).T)
    a, b = shapely.STRtree(shapes).query(shapely.buffer(shapes, NEAR_DEG))
    pairs = sorted((i, j) for i, j in zip(a.tolist(), b.tolist(), strict=True) if i < j)
    return [(i, j) for i, j in pairs if not same_crs(systems[i], systems[j])]


def _merge_pair(
    earlier: SearchedGround, later: SearchedGround, *, iou: float
) -> tuple[Detections, Detections]:
    """Return the objects of two grounds, each of which only one of them has."""
    grid, other_grid = earlier.plan.grid, later.plan.grid
    try:
        boxes = _boxes_in(grid, later.objects.boxes, other_grid)
        area, other_area = _searched_area(earlier, grid), _searched_area(later, grid)
    except GeoreferenceError:  # PROJ knows no operation between the two
        return earlier.objects, later.objects
    is_reached: BoolArray = np.asarray(np.isfinite(boxes).all(axis=1))
    boxes = np.where(is_reached[:, None], boxes, -1e9)
    pairs = _match(earlier.objects, later.objects, boxes, area & other_area, iou=iou)
    cut, other_cut = (
        earlier.objects.truncated[pairs.earlier],
        later.objects.truncated[pairs.later],
    )
    keeps = np.ones(len(earlier.objects), bool)
    keeps[pairs.earlier[cut & ~other_cut]] = False
    centres = box_ops.centres(boxes)
    is_covered = np.asarray(shapely.contains_xy(area, *centres.T))
    other_keeps = ~(is_covered & earlier.mask.has_imagery_at(centres))
    other_keeps[pairs.later] = cut & ~other_cut
    # slivers of objects that the other ground shows
    single = np.setdiff1d(np.flatnonzero(earlier.objects.truncated), pairs.earlier)
    keeps[single] = ~_lie_in_larger(earlier.objects.boxes[single], boxes[other_keeps])
    other_single = np.setdiff1d(np.flatnonzero(later.objects.truncated), pairs.later)
    is_sliver = _lie_in_larger(boxes[other_single], earlier.objects.boxes[keeps])
    other_keeps[other_single[is_sliver]] = False
    # unions of two that are cut, in the ground that shows the centre
    both = np.flatnonzero(cut & other_cut)
    rows, other_rows = pairs.earlier[both], pairs.later[both]
    unions = _unite(earlier.objects.boxes[rows], boxes[other_rows])
    is_earlier = np.asarray(shapely.contains_xy(area, *box_ops.centres(unions).T))
    whole = area | other_area
    frames = shapely.box(*(unions + np.array([-1, -1, 1, 1]) * EDGE_PX).T)
    truncated = ~shapely.contains(shapely.buffer(whole, EDGE_PX / 2), frames)
    objects = _replace_boxes(
        earlier,
        rows[is_earlier],
        unions[is_earlier],
        truncated[is_earlier],
        later.objects,
        other_rows[is_earlier],
        _unite_outlines(
            earlier.objects[rows[is_earlier]],
            _outlines_in(grid, later.objects[other_rows[is_earlier]], other_grid),
            area,
        ),
    )
    is_later = ~is_earlier
    own_boxes = _boxes_in(other_grid, earlier.objects.boxes[rows[is_later]], grid)
    other_unions = _unite(later.objects.boxes[other_rows[is_later]], own_boxes)
    other_objects = _replace_boxes(
        later,
        other_rows[is_later],
        other_unions,
        truncated[is_later],
        earlier.objects,
        rows[is_later],
        _unite_outlines(
            later.objects[other_rows[is_later]],
            _outlines_in(other_grid, earlier.objects[rows[is_later]], grid),
            _searched_area(later, other_grid),
        ),
    )
    keeps[rows[is_later]], other_keeps[other_rows[is_later]] = False, True
    return objects[keeps], other_objects[other_keeps]


def _match(
    earlier: Detections,
    later: Detections,
    boxes: FloatArray,
    common: shapely.Geometry,
    *,
    iou: float,
) -> _Pairs:
    """Pair objects one to one, the best agreement first.

    Args:
        earlier: Objects of the earlier ground.
        later: Objects of the later ground.
        boxes: ``float64[N, 4]`` their boxes in pixels of the earlier ground.
        common: Area that both grounds show.
        iou: Smallest agreement.
    """
    reach = np.array([-1, -1, 1, 1]) * TOUCH_PX
    tree = shapely.STRtree(shapely.box(*earlier.boxes.T))
    b, a = tree.query(shapely.box(*(boxes + reach).T))
    is_same_class = earlier.labels[a] == later.labels[b]
    a, b = a[is_same_class], b[is_same_class]
    shapely.prepare(common)
    first = shapely.intersection(shapely.box(*earlier.boxes[a].T), common)
    second = shapely.intersection(shapely.box(*boxes[b].T), common)
    shared = shapely.area(shapely.intersection(first, second))
    union = shapely.area(first) + shapely.area(second) - shared
    agreement = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    both_cut = earlier.truncated[a] & later.truncated[b]
    touching = _seam_agreement(earlier.boxes[a], boxes[b])
    agreement = np.where(both_cut, np.maximum(agreement, touching), agreement)
    order = np.lexsort((b, a, -agreement))
    rows, other_rows = list[int](), list[int]()
    taken, other_taken = set[int](), set[int]()
    for i in order[agreement[order] >= iou].tolist():
        row, other_row = int(a[i]), int(b[i])
        if row not in taken and other_row not in other_taken:
            taken.add(row)
            other_taken.add(other_row)
            rows.append(row)
            other_rows.append(other_row)
    return _Pairs(np.array(rows, np.int64), np.array(other_rows, np.int64))


def _lie_in_larger(slivers: FloatArray, boxes: FloatArray) -> BoolArray:
    """Return True for boxes of which most lies in a larger one of ``boxes``."""
    a, b = shapely.STRtree(shapely.box(*boxes.T)).query(shapely.box(*slivers.T))
    is_inside = box_ops.fraction_inside(slivers[a], boxes[b]) >= SUPERSEDED
    is_inside &= box_ops.area(boxes[b]) > box_ops.area(slivers[a])
    lie = np.zeros(len(slivers), bool)
    lie[a[is_inside]] = True
    return lie


def _seam_agreement(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the agreement of boxes along the line where they touch; 0 if they do not."""
    low, high = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])
    union = np.maximum(a[:, 2:], b[:, 2:]) - np.minimum(a[:, :2], b[:, :2])
    overlap = high - low  # along x and y; about 0 across the line
    along = np.clip(overlap / np.maximum(union, 1e-9), 0, 1)
    touches = np.abs(overlap) <= TOUCH_PX
    return np.where(touches[:, 0], along[:, 1], np.where(touches[:, 1], along[:, 0], 0.0))


def _searched_area(ground: SearchedGround, grid: Grid) -> shapely.Geometry:
    """Return the area of the rasters of a ground in pixels of a grid in any CRS."""
    ground_grid = ground.plan.grid
    outlines = shapely.union_all(ground.plan.ground.outlines)
    on_map = shapely.transform(np.array([outlines], dtype=object), ground.plan.ground.grid.to_map)
    if ground_grid is grid:
        return shapely.transform(on_map[0], grid.to_px)
    assert ground_grid.crs is not None
    assert grid.crs is not None
    source = ground_grid.crs
    moved = reproject_or_none(densify(on_map, source), horizontal_crs(source), grid.crs)[0]
    return shapely.Polygon() if moved is None else shapely.transform(moved, grid.to_px)


def _boxes_in(grid: Grid, boxes: FloatArray, source: Grid) -> FloatArray:
    """Return the boxes around boxes of another grid, in pixels of a grid in any CRS."""
    assert source.crs is not None
    rings: ObjectArray = shapely.polygons(source.boxes_to_map(boxes))
    return bounds_px(rings, source.crs, grid)


def _outlines_in(grid: Grid, objects: Detections, source: Grid) -> ObjectArray:
    """Return the outlines of objects of another grid, in pixels of a grid in any CRS.

    Boxes stand in for outlines that are not known, but None for all if none is.
    """
    if not objects.has_outlines:
        return objects.outlines
    assert source.crs is not None
    assert grid.crs is not None
    boxes = shapely.box(*objects.boxes.T)
    outlines = np.where(shapely.is_missing(objects.outlines), boxes, objects.outlines)
    on_map = densify(shapely.transform(outlines, source.to_map), source.crs)
    moved = reproject_or_none(on_map, source.crs, grid.crs)
    return np.asarray(shapely.transform(moved, grid.to_px))


def _unite_outlines(
    objects: Detections, additions: ObjectArray, area: shapely.Geometry
) -> ObjectArray:
    """Return the outlines of objects, with additions to them outside an area."""
    outlines = objects.outlines.copy()
    for row in np.flatnonzero(~shapely.is_missing(additions)):
        outline = outlines[row] or shapely.box(*objects.boxes[row])
        union = shapely.union(outline, shapely.difference(additions[row], area))
        for distance in (TOUCH_PX / 2, -TOUCH_PX / 2):  # closes the gap between the grounds
            union = shapely.buffer(union, distance, join_style="mitre")
        outlines[row] = union
    return outlines


def _unite(a: FloatArray, b: FloatArray) -> FloatArray:
    return np.concatenate([np.minimum(a[:, :2], b[:, :2]), np.maximum(a[:, 2:], b[:, 2:])], axis=1)


def _replace_boxes(
    ground: SearchedGround,
    rows: IntArray,
    boxes: FloatArray,
    truncated: BoolArray,
    partners: Detections,
    partner_rows: IntArray,
    outlines: ObjectArray,
) -> Detections:
    """Return the objects of a ground, some united with those of another: scores are the higher."""
    objects = ground.objects
    new = {
        name: getattr(objects, name).copy()
        for name in ("boxes", "scores", "truncated", "raster", "outlines")
    }
    new["boxes"][rows], new["truncated"][rows], new["outlines"][rows] = boxes, truncated, outlines
    new["scores"][rows] = np.maximum(objects.scores[rows], partners.scores[partner_rows])
    scale = ground.plan.grid.scale_to(ground.plan.ground.grid)
    new["raster"][rows] = ground.plan.ground.rasters_at(box_ops.centres(boxes) * scale)
    return replace(objects, **new)
