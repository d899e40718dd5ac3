"""Which rasters show the same ground, and where in each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from pyproj import CRS

from geodetect.geo import boxes as box_ops
from geodetect.geo.bounds import bounds_px, densified
from geodetect.geo.crs import same_crs
from geodetect.geo.grid import Grid
from geodetect.geo.reproject import reproject_each
from geodetect.types import FloatArray, IntArray, ObjectArray

LEAST_SHARE = 1e-9  # more than what rounding makes of rasters that only touch
LEAST_PX = 1.0  # ground narrower than that shows nothing


@dataclass(frozen=True)
class Overlap:
    """Two rasters that show the same ground.

    Args:
        first: Number of the one.
        second: Number of the other.
        share: Ground they share, of that of the smaller one, above 0 and at most 1.
    """

    first: int
    second: int
    share: float


def overlaps(grids: Sequence[Grid]) -> list[Overlap]:
    """All pairs of rasters that show the same ground.

    Outlines of all rasters are brought to the map of each CRS and searched there with a tree, so
    the time grows about with the number of rasters and of pairs found.

    Args:
        grids: The rasters' own grids; those without a CRS share no ground.

    Returns:
        Each pair once, in ascending order.
    """
    by_crs: dict[CRS, list[int]] = defaultdict(list)
    for number, grid in enumerate(grids):
        if grid.crs is not None:
            by_crs[grid.crs].append(number)
    outlines = {
        crs: densified(np.array([grids[n].outline for n in members], dtype=object), crs)
        for crs, members in by_crs.items()
    }
    found: list[Overlap] = []
    systems = list(by_crs)
    for i, crs in enumerate(systems):
        later = systems[i + 1 :]
        numbers = np.array([n for system in systems[i:] for n in by_crs[system]])
        moved = [reproject_each(outlines[other], other, crs) for other in later]
        found += _pairs(np.concatenate([outlines[crs], *moved]), numbers, own=len(by_crs[crs]))
    return sorted(found, key=lambda pair: (pair.first, pair.second))


def boxes_over(areas: ObjectArray, crs: CRS, grid: Grid) -> FloatArray:
    """Rectangles in the pixels of a grid that cover what areas have of its ground.

    Each connected part is covered by its bounding box: never less ground, sometimes more. Parts
    narrower than a pixel are left out.

    Args:
        areas: ``object[N]`` polygons.
        crs: CRS of their coordinates.
        grid: A raster's own grid.

    Returns:
        ``float64[M, 4]`` within the grid.
    """
    own = grid.crs or crs
    whole = np.array([grid.outline], dtype=object)
    if not same_crs(own, crs):
        whole = reproject_each(densified(whole, own), own, crs)
    on_map = whole[0]
    if on_map is None:  # too far away to have a place on that map
        return np.empty((0, 4))
    parts = shapely.get_parts(shapely.intersection(areas, on_map))
    boxes = box_ops.clip(bounds_px(parts[shapely.area(parts) > 0], crs, grid), grid.box)
    return boxes[(boxes[:, 2:] - boxes[:, :2] >= LEAST_PX).all(axis=1)]


def _pairs(outlines: ObjectArray, numbers: IntArray, *, own: int) -> Iterator[Overlap]:
    """Pairs with at least one of the first ``own`` outlines on one map, None where there is none.

    Args:
        outlines: ``object[N]``.
        numbers: ``int64[N]`` of the rasters they belong to.
        own: How many of them are looked up.
    """
    rows, others = shapely.STRtree(outlines).query(outlines[:own], predicate="intersects")
    rows, others = rows[rows < others], others[rows < others]
    shared = shapely.area(shapely.intersection(outlines[rows], outlines[others]))
    areas = shapely.area(outlines)
    shares = np.minimum(shared / np.minimum(areas[rows], areas[others]), 1.0)
    for row in np.flatnonzero(shares > LEAST_SHARE):
        first, second = sorted((int(numbers[rows[row]]), int(numbers[others[row]])))
        yield Overlap(first, second, float(shares[row]))
