"""Which ground is held out to measure on: whole blocks, never single chips.

Ground is ground on the map: what is held out of one raster is not learned from another one either.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from pyproj import Geod

from geodetect.geo import boxes as box_ops
from geodetect.geo.bounds import densified
from geodetect.geo.crs import WGS84
from geodetect.geo.grid import Grid
from geodetect.geo.raster_overlap import LEAST_PX, boxes_over, overlaps
from geodetect.geo.reproject import reproject
from geodetect.io.vector import write as vector
from geodetect.types import BoolArray, FloatArray

BLOCKS_PER_SIDE = 5


def hold_out_blocks(
    grids: Sequence[Grid], boxes: Sequence[FloatArray], *, share: float, seed: int, least_px: int
) -> list[FloatArray]:
    """Cut each raster into blocks and hold out random ones until they have their share of objects.

    Rasters with the same grid, such as images of several years, are held out alike. An object is
    also lost to the training where another raster shows it on ground that is held out, and counts.

    Args:
        grids: The rasters' own grids.
        boxes: ``float64[N, 4]`` objects of each raster in its own pixels.
        share: Share of all objects to hold out.
        seed: Start of the randomness.
        least_px: Least side of a block.

    Returns:
        For each raster ``float64[M, 4]`` blocks in its own pixels; together they hold the first
        share of objects that is at least ``share``, but never all objects.
    """
    blocks = [(grid, block) for grid in dict.fromkeys(grids) for block in _blocks(grid, least_px)]
    seen_by = _sight(grids)
    lost = [np.zeros(len(objects), bool) for objects in boxes]
    held: dict[Grid, list[FloatArray]] = {grid: [] for grid in grids}
    total = sum(int(_inside(b, g.box).sum()) for g, b in zip(grids, boxes, strict=True))
    taken = 0
    for i in np.random.default_rng(seed).permutation(len(blocks)):
        if taken >= share * total or share == 0:
            break
        grid, block = blocks[i]
        more = [(n, lost[n] | _inside(boxes[n], part)) for n, part in seen_by(grid, block)]
        count = sum(int(rows.sum()) - int(lost[n].sum()) for n, rows in more)
        if taken + count >= total:
            continue
        taken += count
        held[grid].append(block)
        for n, rows in more:
            lost[n] |= rows
    return [np.array(held[grid], dtype=np.float64).reshape(-1, 4) for grid in grids]


def held_elsewhere(grids: Sequence[Grid], held_out: Sequence[FloatArray]) -> list[FloatArray]:
    """The ground of each raster that is held out of another one.

    Args:
        grids: The rasters' own grids.
        held_out: ``float64[M, 4]`` rectangles of each raster in its own pixels.

    Returns:
        For each raster ``float64[K, 4]`` rectangles in its own pixels that cover all that is held
        out of rasters it overlaps on the map; strips narrower than a pixel are left out.
    """
    found: list[list[FloatArray]] = [[np.empty((0, 4))] for _ in grids]
    for pair in overlaps(grids):
        for one, other in ((pair.first, pair.second), (pair.second, pair.first)):
            held = held_out[one]
            if len(held):
                is_same = grids[one] == grids[other]
                found[other].append(held if is_same else _moved(held, grids[one], grids[other]))
    return [np.concatenate(parts) for parts in found]


def split_table(
    grids: Sequence[Grid],
    held_out: Sequence[FloatArray],
    *,
    names: Sequence[str],
    boxes: Sequence[FloatArray],
    excluded: Sequence[FloatArray] | None = None,
) -> gpd.GeoDataFrame:
    """Which ground a training learns from and which it is measured on, as features.

    Args:
        grids: The rasters' own grids, with a CRS.
        held_out: ``float64[M, 4]`` rectangles of each raster in its own pixels.
        names: File names of the rasters.
        boxes: ``float64[N, 4]`` objects of each raster in its own pixels.
        excluded: ``float64[K, 4]`` ground that is held out of another raster, likewise; None: none.

    Returns:
        On WGS 84, for each raster one feature of ``role`` train (unless nothing of it is left), one
        of ``role`` validation for each connected piece that is held out and one of ``role`` unused
        for each piece that is held out of another raster only, with ``raster``, ``area_m2`` (on the
        ellipsoid) and ``objects`` (whose centre lies on it).
    """
    rows: list[tuple[str, str, int]] = []
    pieces: list[shapely.Geometry] = []
    others = excluded or [np.empty((0, 4))] * len(grids)
    for grid, held, other, name, objects in zip(grids, held_out, others, names, boxes, strict=True):
        centres = shapely.points(box_ops.centres(objects))
        left = np.ones(len(centres), bool)
        for role, piece in _roles(grid, held, other):
            on = shapely.intersects(piece, centres) & left
            left &= ~on
            rows.append((name, role, int(on.sum())))
            pieces.append(_on_wgs84(piece, grid))
    columns = {
        "raster": [row[0] for row in rows],
        "role": [row[1] for row in rows],
        "area_m2": [_area_m2(piece) for piece in pieces],
        "objects": [row[2] for row in rows],
    }
    return gpd.GeoDataFrame(columns, geometry=pieces, crs=WGS84)


def save_split(
    grids: Sequence[Grid],
    held_out: Sequence[FloatArray],
    path: str | os.PathLike[str],
    *,
    names: Sequence[str],
    boxes: Sequence[FloatArray],
    excluded: Sequence[FloatArray] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write ``split_table`` to a vector file, such as a GeoJSON.

    Raises:
        InputError: An unknown format.
        OutputError: The file exists, or it cannot be written.
    """
    table = split_table(grids, held_out, names=names, boxes=boxes, excluded=excluded)
    return vector.write(table, Path(path), overwrite=overwrite)


def _roles(
    grid: Grid, held: FloatArray, other: FloatArray
) -> Iterator[tuple[str, shapely.Geometry]]:
    """The ground of a raster in pieces with their roles; objects belong to the first below."""
    whole = shapely.box(*grid.box)
    out, beside = (
        shapely.intersection(shapely.union_all(shapely.box(*rectangles.T)), whole)
        for rectangles in (held, other)
    )
    for piece in shapely.get_parts(out):
        yield "validation", piece
    unused = shapely.get_parts(shapely.difference(beside, out))
    sides = np.diff(shapely.bounds(unused).reshape(-1, 2, 2), axis=1)[:, 0]
    for piece in unused[(sides >= LEAST_PX).all(axis=1)]:
        yield "unused", piece
    rest = shapely.difference(whole, shapely.union(out, beside))
    if not rest.is_empty:
        yield "train", rest


def _on_wgs84(piece: shapely.Geometry, grid: Grid) -> shapely.Geometry:
    """A geometry in pixels of a grid on WGS 84, its long edges bent as the map is."""
    crs = grid.crs or WGS84
    on_map = np.array([shapely.transform(piece, grid.to_map)], dtype=object)
    return reproject(densified(on_map, crs), crs, WGS84)[0]


def _area_m2(piece: shapely.Geometry) -> float:
    """Area on the ellipsoid; Karney (2013), "Algorithms for geodesics"."""
    return round(abs(float(Geod(ellps="WGS84").geometry_area_perimeter(piece)[0])), 1)


def _blocks(grid: Grid, least_px: int) -> list[FloatArray]:
    side = max(least_px, round(max(grid.width, grid.height) / BLOCKS_PER_SIDE))
    return [
        np.array([x, y, min(x + side, grid.width), min(y + side, grid.height)], dtype=np.float64)
        for y in range(0, grid.height, side)
        for x in range(0, grid.width, side)
    ]


def _sight(grids: Sequence[Grid]) -> Callable[[Grid, FloatArray], list[tuple[int, FloatArray]]]:
    """What tells which rasters show a block of a grid, and where in their own pixels."""
    alike: dict[Grid, list[int]] = defaultdict(list)
    for number, grid in enumerate(grids):
        alike[grid].append(number)
    near: dict[Grid, list[tuple[int, FloatArray]]] = defaultdict(list)  # with the ground they share
    for pair in overlaps(grids):
        for one, other in ((pair.first, pair.second), (pair.second, pair.first)):
            if grids[one] != grids[other] and one == alike[grids[one]][0]:
                shared = _moved(grids[other].box[None], grids[other], grids[one])
                near[grids[one]] += [(other, part) for part in shared]

    def seen_by(grid: Grid, block: FloatArray) -> list[tuple[int, FloatArray]]:
        touched = [
            n for n, part in near[grid] if box_ops.intersection(part[None], block[None])[0] > 0
        ]
        parts = ((n, part) for n in touched for part in _moved(block[None], grid, grids[n]))
        return [*((n, block) for n in alike[grid]), *parts]

    return seen_by


def _moved(boxes: FloatArray, source: Grid, target: Grid) -> FloatArray:
    """Rectangles of one grid on another one with a CRS, see ``boxes_over``."""
    return boxes_over(shapely.polygons(source.boxes_to_map(boxes)), source.crs or WGS84, target)


def _inside(boxes: FloatArray, block: FloatArray) -> BoolArray:
    """Objects whose centre lies in a block, ``bool[N]``."""
    centres = box_ops.centres(boxes)
    return np.asarray(((centres >= block[:2]) & (centres < block[2:])).all(axis=1))
