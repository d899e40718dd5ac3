"""Image pyramid: a raster as small image tiles at several resolutions.

A page loads the tiles in view only, at the resolution of the screen. GDAL's ``gdal2tiles`` is not
used: it takes 8-bit rasters only, whereas values are stretched here as for detection, and it writes
files only, whereas small rasters go inside the page.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from geodetect.geo.grid import Grid
from geodetect.progress import Progress, no_progress
from geodetect.reporting.drawing.images import (
    BLOCK_PX,
    PixelSource,
    data_uri,
    encode_webp,
    is_transparent,
    read_blocks,
)
from geodetect.reporting.html.output_folder import INDEX

TILE_PX = BLOCK_PX  # a block that is read at once is a tile
MAX_INSIDE_PX = 16_000_000  # about 2 MB of page
MAX_BESIDE_PX = 400_000_000  # about 80 MB of files

Placement = Literal["inside", "beside"]
SaveTile = Callable[[str, bytes], None]
TileRow = dict[int, Image.Image]  # by column; those without any valid pixel are missing


@dataclass(frozen=True)
class PyramidPlan:
    """Location and resolution of an image pyramid.

    Args:
        placement: ``inside`` the page, or in files ``beside`` it.
        grid: The pixels of level 0, the finest.
    """

    placement: Placement
    grid: Grid

    @property
    def levels(self) -> int:
        """Number of levels, of half the resolution each, until one tile holds the raster."""
        longer_side = max(self.grid.width, self.grid.height)
        return 1 + max(0, math.ceil(math.log2(longer_side / TILE_PX)))

    @property
    def finest_tiles(self) -> int:
        """Number of tiles at level 0."""
        return math.ceil(self.grid.width / TILE_PX) * math.ceil(self.grid.height / TILE_PX)


@dataclass(frozen=True)
class Imagery:
    """The image tiles of a report.

    Args:
        grid: The pixels of the finest level.
        tiles: Number of tiles.
        size_bytes: Size of all tiles.
        folder: Their folder; None: they are inside the page.
        payload: Description for the script of the page.
    """

    grid: Grid
    tiles: int
    size_bytes: int
    folder: Path | None
    payload: dict[str, Any]


def plan_pyramid(
    grid: Grid,
    *,
    placement: Literal["auto", "inside", "beside"],
    gsd_m: float | None = None,
    covered_fraction: float = 1.0,
) -> PyramidPlan:
    """Choose the location and finest resolution of the image tiles.

    Rasters of up to ``MAX_INSIDE_PX`` pixels go inside the page, larger ones beside it. The
    resolution is reduced to stay below ``MAX_INSIDE_PX`` or ``MAX_BESIDE_PX``, unless ``gsd_m``
    states it.

    Args:
        grid: The pixels of the raster.
        placement: Location of the tiles; ``auto``: by size.
        gsd_m: Finest ground sampling distance in metres; that of the raster is the limit.
        covered_fraction: Fraction of the grid with imagery; gaps take no space.
    """
    scale = 1.0 if gsd_m is None or grid.gsd_m is None else min(1.0, grid.gsd_m / gsd_m)
    pixels = grid.width * grid.height * covered_fraction * scale**2
    if placement == "auto":
        placement = "inside" if pixels <= MAX_INSIDE_PX else "beside"
    limit = MAX_INSIDE_PX if placement == "inside" else MAX_BESIDE_PX
    if gsd_m is None and pixels > limit:
        scale = math.sqrt(limit / pixels)
    return PyramidPlan(placement, grid if scale == 1.0 else grid.resampled(scale, scale))


def write_imagery(
    raster: PixelSource, plan: PyramidPlan, folder: Path, progress: Progress
) -> Imagery:
    """Cut a raster into image tiles, and write them to a folder if they go beside the page.

    Args:
        raster: An open raster, or several as a mosaic.
        plan: Resolution and location.
        folder: The folder to make.
        progress: Called with the number of finished tiles at level 0.

    Raises:
        RasterError: The pixels cannot be read.
    """
    sizes: dict[str, int] = {}
    uris: dict[str, str] = {}
    is_beside = plan.placement == "beside"
    if is_beside:
        folder.mkdir()

    def save(key: str, webp: bytes) -> None:
        sizes[key] = len(webp)
        if is_beside:
            file = folder / f"{key}.webp"
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(webp)
        else:
            uris[key] = data_uri(webp)

    build_pyramid(raster, plan, save, progress=progress)
    payload = {
        "width": plan.grid.width,
        "height": plan.grid.height,
        "levels": plan.levels,
        "tile_px": TILE_PX,
        "folder": folder.name if is_beside else None,
        "tiles": list(sizes) if is_beside else uris,
    }
    if is_beside:
        (folder / INDEX).write_text(json.dumps(payload), encoding="utf-8")
    size_bytes = sum(sizes.values())
    return Imagery(plan.grid, len(sizes), size_bytes, folder if is_beside else None, payload)


def build_pyramid(
    raster: PixelSource, plan: PyramidPlan, save: SaveTile, *, progress: Progress = no_progress
) -> None:
    """Cut a raster into tiles of ``TILE_PX`` pixels at all levels.

    Every pixel is read once: coarser levels are averages of finer ones, made row by row, so memory
    grows with the imagery in a row of tiles but not with the number of rows. Tiles without any
    valid pixel are left out.

    Args:
        raster: An open raster, or several as a mosaic.
        plan: Resolution and levels.
        save: Called with ``LEVEL/COLUMN_ROW`` and the WebP file of each tile.
        progress: Called with the number of finished tiles at level 0.

    Raises:
        RasterError: The pixels cannot be read.
    """
    size = plan.grid.width, plan.grid.height
    rows = _save_rows(_read_rows(raster, plan, progress), 0, save)
    for level in range(1, plan.levels):
        size = math.ceil(size[0] / 2), math.ceil(size[1] / 2)
        rows = _save_rows(_halve_rows(rows, size), level, save)
    for _ in rows:  # the coarsest level pulls all finer ones
        pass


def _read_rows(raster: PixelSource, plan: PyramidPlan, progress: Progress) -> Iterator[TileRow]:
    starts = range(0, plan.grid.height, TILE_PX)
    for completed, y0 in enumerate(starts, start=1):
        yield read_blocks(raster, plan.grid, y0)
        progress(plan.finest_tiles * completed // len(starts), plan.finest_tiles)


def _save_rows(rows: Iterator[TileRow], level: int, save: SaveTile) -> Iterator[TileRow]:
    """Save the tiles of each row, and pass the row on."""
    for number, row in enumerate(rows):
        for column, tile in row.items():
            if not is_transparent(tile):  # as averages of single pixels become
                save(f"{level}/{column}_{number}", encode_webp(tile))
        yield row


def _halve_rows(rows: Iterator[TileRow], size: tuple[int, int]) -> Iterator[TileRow]:
    """Join two rows each at half their resolution; odd edges keep a pixel of half the weight.

    Args:
        rows: Rows of tiles from top to bottom.
        size: Columns and rows of pixels at the coarser level.
    """
    half = TILE_PX // 2
    for number, upper in enumerate(rows):
        joined: TileRow = {}
        height = min(TILE_PX, size[1] - number * TILE_PX)
        for y, row in ((0, upper), (half, next(rows, {}))):
            for column, tile in row.items():
                parent, is_right = divmod(column, 2)
                width = min(TILE_PX, size[0] - parent * TILE_PX)
                if parent not in joined:
                    joined[parent] = Image.new("RGBA", (width, height))
                joined[parent].paste(tile.reduce(2), (half * is_right, y))
        yield dict(sorted(joined.items()))
