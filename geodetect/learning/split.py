"""Which ground is held out to measure on: whole blocks, never single chips."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Geod

from geodetect.geo.bounds import densified
from geodetect.geo.grid import Grid
from geodetect.geo.reproject import reproject
from geodetect.io import vector
from geodetect.io.geojson import WGS84

BLOCKS_PER_SIDE = 5

Boxes = NDArray[np.float64]


def hold_out_blocks(
    grids: Sequence[Grid], boxes: Sequence[Boxes], *, share: float, seed: int, least_px: int
) -> list[Boxes]:
    """Cut each raster into blocks and hold out random ones until they have their share of objects.

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
    blocks = [(n, block) for n, grid in enumerate(grids) for block in _blocks(grid, least_px)]
    counts = [_centres_inside(boxes[number], block) for number, block in blocks]
    total, taken = sum(counts), 0
    held: list[list[Boxes]] = [[] for _ in grids]
    for i in np.random.default_rng(seed).permutation(len(blocks)):
        if taken >= share * total or share == 0:
            break
        if taken + counts[i] >= total:
            continue
        taken += counts[i]
        held[blocks[i][0]].append(blocks[i][1])
    return [np.array(parts, dtype=np.float64).reshape(-1, 4) for parts in held]


def area_boxes(area: shapely.Geometry, grid: Grid) -> Boxes:
    """Rectangles in pixels that cover an area given in pixels, ``float64[M, 4]``.

    Each part of the area is covered by its bounding box: more ground is held out, never less.
    """
    frame = shapely.box(0, 0, grid.width, grid.height)
    parts = shapely.get_parts(shapely.intersection(area, frame))
    return np.asarray(shapely.bounds(parts[~shapely.is_empty(parts)]), np.float64).reshape(-1, 4)


def split_table(
    grids: Sequence[Grid],
    held_out: Sequence[Boxes],
    *,
    names: Sequence[str],
    boxes: Sequence[Boxes],
) -> gpd.GeoDataFrame:
    """Which ground a training learns from and which it is measured on, as features.

    Args:
        grids: The rasters' own grids, with a CRS.
        held_out: ``float64[M, 4]`` rectangles of each raster in its own pixels.
        names: File names of the rasters.
        boxes: ``float64[N, 4]`` objects of each raster in its own pixels.

    Returns:
        On WGS 84, for each raster one feature of ``role`` train (unless all of it is held out) and
        one of ``role`` validation for each connected piece that is held out, with ``raster``,
        ``area_m2`` (on the ellipsoid) and ``objects`` (whose centre lies on it).
    """
    rows: list[tuple[str, str, int]] = []
    pieces: list[shapely.Geometry] = []
    for grid, held, name, objects in zip(grids, held_out, names, boxes, strict=True):
        frame = shapely.box(0, 0, grid.width, grid.height)
        out = shapely.intersection(shapely.union_all(shapely.box(*held.T)), frame)
        centres = shapely.points((objects[:, :2] + objects[:, 2:]) / 2)
        held_objects = 0
        for piece in shapely.get_parts(out):
            count = int(shapely.intersects(piece, centres).sum())
            held_objects += count
            rows.append((name, "validation", count))
            pieces.append(_on_wgs84(piece, grid))
        rest = shapely.difference(frame, out)
        if not rest.is_empty:
            inside = int(shapely.intersects(frame, centres).sum())
            rows.append((name, "train", inside - held_objects))
            pieces.append(_on_wgs84(rest, grid))
    columns = {
        "raster": [row[0] for row in rows],
        "role": [row[1] for row in rows],
        "area_m2": [_area_m2(piece) for piece in pieces],
        "objects": [row[2] for row in rows],
    }
    return gpd.GeoDataFrame(columns, geometry=pieces, crs=WGS84)


def save_split(
    grids: Sequence[Grid],
    held_out: Sequence[Boxes],
    path: str | os.PathLike[str],
    *,
    names: Sequence[str],
    boxes: Sequence[Boxes],
    overwrite: bool = False,
) -> Path:
    """Write ``split_table`` to a vector file, such as a GeoJSON.

    Raises:
        InputError: An unknown format.
        OutputError: The file exists, or it cannot be written.
    """
    table = split_table(grids, held_out, names=names, boxes=boxes)
    return vector.write(table, Path(path), overwrite=overwrite)


def _on_wgs84(piece: shapely.Geometry, grid: Grid) -> shapely.Geometry:
    """A geometry in pixels of a grid on WGS 84, its long edges bent as the map is."""
    crs = grid.crs or WGS84
    on_map = np.array([shapely.transform(piece, grid.to_map)], dtype=object)
    return reproject(densified(on_map, crs), crs, WGS84)[0]


def _area_m2(piece: shapely.Geometry) -> float:
    """Area on the ellipsoid; Karney (2013), "Algorithms for geodesics"."""
    return round(abs(float(Geod(ellps="WGS84").geometry_area_perimeter(piece)[0])), 1)


def _blocks(grid: Grid, least_px: int) -> list[Boxes]:
    side = max(least_px, round(max(grid.width, grid.height) / BLOCKS_PER_SIDE))
    return [
        np.array([x, y, min(x + side, grid.width), min(y + side, grid.height)], dtype=np.float64)
        for y in range(0, grid.height, side)
        for x in range(0, grid.width, side)
    ]


def _centres_inside(boxes: Boxes, block: Boxes) -> int:
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    return int(((centres >= block[:2]) & (centres < block[2:])).all(axis=1).sum())
