"""Overlaps of rasters on the ground, and areas of the map as boxes on a raster."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from pyproj import CRS

from geodetect.geo import boxes as box_ops
from geodetect.geo.bounds import bounds_px
from geodetect.geo.crs import same_crs
from geodetect.geo.grid import Grid
from geodetect.geo.reproject import densify, reproject_or_none
from geodetect.types import FloatArray, ObjectArray

MIN_FRACTION = 1e-9  # above rounding errors of rasters that only touch
MIN_SIDE_PX = 1.0  # a narrower part of a raster shows nothing


@dataclass(frozen=True)
class Overlap:
    """Two rasters that show the same ground.

    Args:
        first: Position of the first raster in the list.
        second: Position of the second.
        fraction: Area of the overlap divided by that of the smaller raster, in (0, 1].
    """

    first: int
    second: int
    fraction: float


def find_overlaps(grids: Sequence[Grid]) -> list[Overlap]:
    """Find all pairs of rasters that show the same ground.

    Outlines of all rasters are projected to each CRS and searched there with a tree, so the time
    grows about with the number of rasters and of overlaps.

    Args:
        grids: Grids of the rasters; those without a CRS overlap with none.

    Returns:
        Each pair once, in ascending order.
    """
    by_crs: dict[CRS, list[int]] = defaultdict(list)
    for position, grid in enumerate(grids):
        if grid.crs is not None:
            by_crs[grid.crs].append(position)
    outlines = {
        crs: densify(np.array([grids[p].outline for p in positions], dtype=object), crs)
        for crs, positions in by_crs.items()
    }
    overlaps: list[Overlap] = []
    systems = list(by_crs)
    for i, crs in enumerate(systems):  # rasters of one CRS among each other and with later ones
        positions = [position for system in systems[i:] for position in by_crs[system]]
        moved = [reproject_or_none(outlines[later], later, crs) for later in systems[i + 1 :]]
        polygons = np.concatenate([outlines[crs], *moved])
        a, b = shapely.STRtree(polygons).query(outlines[crs], predicate="intersects")
        a, b = a[a < b], b[a < b]
        areas = shapely.area(polygons)
        shared = shapely.area(shapely.intersection(polygons[a], polygons[b]))
        fractions = np.minimum(shared / np.minimum(areas[a], areas[b]), 1.0)
        for row in np.flatnonzero(fractions > MIN_FRACTION):
            pair = sorted((positions[a[row]], positions[b[row]]))
            overlaps.append(Overlap(pair[0], pair[1], float(fractions[row])))
    return sorted(overlaps, key=lambda overlap: (overlap.first, overlap.second))


def covering_boxes(areas: ObjectArray, crs: CRS, grid: Grid) -> FloatArray:
    """Cover the parts of map areas that lie on a raster by boxes in its pixels.

    Each connected part is covered by its bounding box: never less ground, sometimes more. Parts
    narrower than a pixel are left out.

    Args:
        areas: ``object[N]`` polygons.
        crs: CRS of their coordinates.
        grid: Grid of the raster.

    Returns:
        ``float64[M, 4]`` x1, y1, x2, y2 in pixel edges, clipped to the grid.
    """
    grid_crs = grid.crs or crs
    outline = np.array([grid.outline], dtype=object)
    if not same_crs(grid_crs, crs):
        outline = reproject_or_none(densify(outline, grid_crs), grid_crs, crs)
    if outline[0] is None:  # the CRS of the areas does not reach the raster
        return np.empty((0, 4))
    parts = shapely.get_parts(shapely.intersection(areas, outline[0]))
    boxes = box_ops.clip(bounds_px(parts[shapely.area(parts) > 0], crs, grid), grid.box)
    return boxes[(boxes[:, 2:] - boxes[:, :2] >= MIN_SIDE_PX).all(axis=1)]
