"""Which ground is held out to measure on: whole blocks, never single chips."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

from geodetect.geo.grid import Grid

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
