"""Split of rasters into training and holdout areas: whole blocks, never single chips.

The split is made on the map: an area held out of one raster is not trained on in any other raster.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import geopandas as gpd
import numpy as np
import shapely
from pyproj import Geod

from geodetect.geo import boxes as box_ops
from geodetect.geo.crs import WGS84
from geodetect.geo.grid import Grid
from geodetect.geo.raster_overlap import MIN_SIDE_PX, covering_boxes, find_overlaps
from geodetect.geo.reproject import densify, reproject
from geodetect.training.data.training_raster import TrainingRaster, no_boxes
from geodetect.types import BoolArray, FloatArray

BLOCKS_PER_SIDE = 5


def hold_out_blocks(
    grids: Sequence[Grid],
    boxes: Sequence[FloatArray],
    *,
    fraction: float,
    seed: int,
    min_block_px: int,
) -> list[FloatArray]:
    """Cut rasters into blocks and hold out random ones until they have their fraction of objects.

    Rasters with the same grid, such as images of several years, are held out alike. Objects
    that another raster shows in an area held out are lost to the training too, and are counted.

    Args:
        grids: Grids of the rasters.
        boxes: ``float64[N, 4]`` objects of each raster in its pixels.
        fraction: Fraction of all objects to hold out.
        seed: Random seed.
        min_block_px: Least side of a block.

    Returns:
        For each raster ``float64[M, 4]`` blocks in its pixels. Together they hold at least the
        fraction of the objects, including the block that reached it, but never all objects.
    """
    same_grid: dict[tuple[Grid, int], list[int]] = defaultdict(list)
    for index, grid in enumerate(grids):
        # grids without a CRS are all alike, and show different places
        same_grid[grid, -1 if grid.crs is not None else index].append(index)
    blocks = []
    for place in same_grid:
        grid = place[0]
        side = max(min_block_px, round(max(grid.width, grid.height) / BLOCKS_PER_SIDE))
        for y in range(0, grid.height, side):
            for x in range(0, grid.width, side):
                corner = min(x + side, grid.width), min(y + side, grid.height)
                blocks.append((place, np.array([x, y, *corner], dtype=np.float64)))
    # rasters of other grids that overlap each grid, with the parts of the grid that they cover
    overlapping: dict[Grid, list[tuple[int, FloatArray]]] = defaultdict(list)
    for pair in find_overlaps(grids):
        for index, other in ((pair.first, pair.second), (pair.second, pair.first)):
            grid = grids[index]
            if grid != grids[other] and index == same_grid[grid, -1][0]:
                shared = _move_boxes(grids[other].box[None], grids[other], grid)
                overlapping[grid] += [(other, part) for part in shared]

    is_lost = [np.zeros(len(objects), bool) for objects in boxes]
    holdout: list[list[FloatArray]] = [[] for _ in grids]
    total = sum(int(_centred_in(b, g.box).sum()) for g, b in zip(grids, boxes, strict=True))
    lost = 0
    for i in np.random.default_rng(seed).permutation(len(blocks)):
        if lost >= fraction * total or fraction == 0:
            break
        place, block = blocks[i]
        grid = place[0]
        shown = [(index, block) for index in same_grid[place]]
        for index, part in overlapping[grid]:
            if box_ops.intersection(part[None], block[None])[0] > 0:
                shown += [(index, moved) for moved in _move_boxes(block[None], grid, grids[index])]
        lost_rows = [
            (index, is_lost[index] | _centred_in(boxes[index], part)) for index, part in shown
        ]
        count = sum(int(rows.sum()) - int(is_lost[index].sum()) for index, rows in lost_rows)
        if lost + count >= total:
            continue
        lost += count
        for index in same_grid[place]:
            holdout[index].append(block)
        for index, rows in lost_rows:
            is_lost[index] |= rows
    return [np.array(parts, dtype=np.float64).reshape(-1, 4) for parts in holdout]


def find_overlapping_holdout(
    grids: Sequence[Grid], holdout: Sequence[FloatArray]
) -> list[FloatArray]:
    """Find the areas of each raster that are held out of other rasters.

    Args:
        grids: Grids of the rasters.
        holdout: ``float64[M, 4]`` rectangles of each raster in its pixels.

    Returns:
        For each raster ``float64[K, 4]`` rectangles in its pixels that cover all that is held out
        of overlapping rasters; strips narrower than a pixel are left out.
    """
    rectangles: list[list[FloatArray]] = [[no_boxes()] for _ in grids]
    for pair in find_overlaps(grids):
        for source, target in ((pair.first, pair.second), (pair.second, pair.first)):
            if len(holdout[source]):
                moved = _move_boxes(holdout[source], grids[source], grids[target])
                rectangles[target].append(moved)
    return [np.concatenate(parts) for parts in rectangles]


def split_table(rasters: Sequence[TrainingRaster]) -> gpd.GeoDataFrame:
    """Return the areas of a training and of its validation as features.

    Args:
        rasters: Labelled rasters with a CRS, or with a known size of their pixels.

    Returns:
        On WGS 84, for each raster one feature of ``role`` train (unless nothing of it is left), one
        of ``role`` validation for each connected part that is held out and one of ``role`` unused
        for each part that is held out of another raster only, with ``raster``, ``area_m2`` (on the
        ellipsoid; Karney 2013, "Algorithms for geodesics") and ``objects`` (number of visible
        objects centred in it). Of rasters in pixel coordinates there is no geometry.
    """
    rows = []
    for labelled in rasters:
        whole = shapely.box(*labelled.grid.box)
        held_out, overlapping = (
            shapely.intersection(shapely.union_all(shapely.box(*rectangles.T)), whole)
            for rectangles in (labelled.holdout, labelled.overlapping_holdout)
        )
        unused = shapely.get_parts(shapely.difference(overlapping, held_out))
        sizes = np.diff(shapely.bounds(unused).reshape(-1, 2, 2), axis=1)[:, 0]
        unused = unused[(sizes >= MIN_SIDE_PX).all(axis=1)]
        rest = shapely.difference(whole, shapely.union(held_out, overlapping))
        # objects on a border belong to the first part
        parts = [("validation", part) for part in shapely.get_parts(held_out)]
        parts += [("unused", part) for part in unused]
        parts += [] if rest.is_empty else [("train", rest)]
        crs = labelled.grid.crs
        centres = shapely.points(box_ops.centres(labelled.clipped_boxes[labelled.is_visible]))
        is_remaining = np.ones(len(centres), bool)
        for role, part in parts:
            is_inside = shapely.intersects(part, centres) & is_remaining
            is_remaining &= ~is_inside
            if crs is None:
                polygon, area_m2 = None, part.area * labelled.gsd_m**2
            else:
                on_map = np.array([shapely.transform(part, labelled.grid.to_map)], dtype=object)
                polygon = reproject(densify(on_map, crs), crs, WGS84)[0]
                area_m2 = abs(float(Geod(ellps="WGS84").geometry_area_perimeter(polygon)[0]))
            name, objects = labelled.raster.name, int(is_inside.sum())
            rows.append((name, role, round(area_m2, 1), objects, polygon))
    columns = ["raster", "role", "area_m2", "objects", "geometry"]
    return gpd.GeoDataFrame(rows, columns=columns, crs=WGS84)


def _move_boxes(boxes: FloatArray, source: Grid, target: Grid) -> FloatArray:
    """Return rectangles of one grid in pixels of another one with a CRS, see ``covering_boxes``."""
    if source == target:
        return boxes
    return covering_boxes(shapely.polygons(source.boxes_to_map(boxes)), source.crs or WGS84, target)


def _centred_in(boxes: FloatArray, block: FloatArray) -> BoolArray:
    """Return a mask of the boxes whose centre lies in a block, ``bool[N]``."""
    centres = box_ops.centres(boxes)
    return np.asarray(((centres >= block[:2]) & (centres < block[2:])).all(axis=1))
