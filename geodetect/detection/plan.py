"""Plan of a run: working grid, tiles, shards and area of each ground, from headers only."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial

import numpy as np
import shapely

from geodetect.errors import (
    InputError,
)
from geodetect.geo.grid import Grid, check_gsd, check_gsd_of_imagery
from geodetect.geo.tiles import Shard, Tile, TileScheme, Window, overlap_px
from geodetect.io.ground.ground import Ground
from geodetect.model.card import ModelCard
from geodetect.model.network.input_size import padded_size
from geodetect.settings import PredictSettings
from geodetect.types import FloatArray, IntArray

SAME_GSD = 0.05  # largest relative difference of resolutions without resampling
COARSEST = 4.0  # largest ratio of the raster's resolution to the model's
OVERLAP_MARGIN_PX = 16
DEFAULT_OVERLAP = 0.125
SHARD_PX = 2e9  # of the ground that a shard covers by default
MAX_WIDTH = 3  # in sides of a square shard, of a ground whose shards are complete rows
BATCH_COLUMNS = 32  # of a batch at most; wide shards begin where batches do
CACHED_ROWS = 256  # of planned tiles: those of a row of shards
TILE_RANGE = (0.75, 1.75)  # of input sizes, as multiples of the model's


@dataclass(frozen=True)
class TileRun:
    """Tiles of one row that lie beside each other in one shard.

    Args:
        tiles: At least one tile, from left to right.
        open_row: First row of tiles of which this run or a later one has some.
        read_state: Returns a digest of the states of all rasters that the tiles may show.
    """

    tiles: tuple[Tile, ...]
    open_row: int
    read_state: Callable[[], str] = field(default=str, repr=False, compare=False)

    @cached_property
    def state(self) -> str:
        """Digest of the states of all rasters that the tiles may show."""
        return self.read_state()


@dataclass(frozen=True, eq=False)
class GroundPlan:
    """Tiles of one ground that go through the detector.

    Args:
        ground: The rasters, open.
        grid: Working grid: that of the ground, or resampled to the model's resolution.
        scheme: Tiles of the working grid.
        area: Area of interest in pixels of ``grid``; None: everything.
        shard_px: Pixels of ``grid`` that a shard covers, at least about a tile.
    """

    ground: Ground
    grid: Grid
    scheme: TileScheme
    area: shapely.Geometry | None
    shard_px: float = SHARD_PX

    @property
    def gsd_ratio(self) -> tuple[float, float]:
        """Pixels of the ground's grid per working pixel, along x and y; (1, 1): not resampled."""
        x, y = self.grid.scale_to(self.ground.grid).tolist()
        return x, y

    @cached_property
    def tile_count(self) -> int:
        """Number of planned tiles: those that touch the area and may hold imagery."""
        if self.area is None and self._imagery is None:
            return len(self.scheme)
        return sum(len(self._plan_row(row)[0]) for row in self._rows)

    @cached_property
    def empty_count(self) -> int:
        """Number of further tiles that touch the area, which no source of a VRT covers."""
        if self._imagery is None or len(self.ground.rasters) > 1:  # between rasters is no tile
            return 0
        return sum(self._plan_row(row)[1] for row in self._rows)

    @cached_property
    def shards(self) -> tuple[Shard, ...]:
        """Blocks of tiles, in an order in which neighbours share cached pixels.

        They are complete rows where few tiles lie side by side.
        """
        columns, rows = len(self.scheme.columns), self._rows
        step = self.scheme.tile_px - self.scheme.overlap_px
        side = max(1, round(math.sqrt(self.shard_px) / step))
        parts = 1 if columns <= MAX_WIDTH * side else math.ceil(columns / side)
        width = math.ceil(columns / parts)
        if width > BATCH_COLUMNS:
            width = math.ceil(width / BATCH_COLUMNS) * BATCH_COLUMNS
        height = max(1, side * side // width)
        return tuple(
            Shard(row, min(row + height, rows.stop), col, min(col + width, columns))
            for row in range(rows.start, rows.stop, height)
            for col in range(0, columns, width)
        )

    def runs(self, shards: Sequence[Shard] | None = None) -> Iterator[TileRun]:
        """Yield the planned tiles of shards, run by run; by default of all."""
        columns = len(self.scheme.columns)
        for shard in self.shards if shards is None else shards:
            is_whole_row = shard.end_col - shard.first_col == columns
            for row in range(shard.first_row, shard.end_row):
                planned = self.columns_in(row)
                first, end = np.searchsorted(planned, [shard.first_col, shard.end_col])
                if first < end:
                    tiles = [self.scheme.tile(row, col) for col in planned[first:end].tolist()]
                    yield TileRun(
                        tuple(tiles),
                        row if is_whole_row else shard.first_row,
                        partial(self._read_state, tiles[0], tiles[-1]),
                    )

    def _read_state(self, first: Tile, last: Tile) -> str:
        """Return the state of the rasters that the tiles from one to another in its row show."""
        window = Window(first.x, first.y, last.x + last.width - first.x, first.height)
        return self.ground.state_in(window, self.grid)

    def count_tiles(self, shard: Shard) -> int:
        """Count the planned tiles of a shard."""
        ends = [shard.first_col, shard.end_col]
        rows = range(shard.first_row, shard.end_row)
        return sum(int(np.diff(np.searchsorted(self.columns_in(row), ends))[0]) for row in rows)

    def columns_in(self, row: int) -> IntArray:
        """Return the columns of the planned tiles of a row, ascending."""
        return self._row_cache(row)[0]

    @cached_property
    def _rows(self) -> range:
        """Rows of tiles that may touch the area."""
        upper = np.array(self.scheme.rows)
        if self.area is None:
            return range(len(upper))
        _, y1, _, y2 = self.area.bounds
        height = min(self.scheme.tile_px, self.scheme.height)
        first, end = np.searchsorted(upper + height, y1), np.searchsorted(upper, y2, side="right")
        return range(int(first), int(max(first, end)))

    @cached_property
    def _imagery(self) -> FloatArray | None:
        """Boxes in pixels of ``grid`` outside of which there is no imagery; None: unknown."""
        imagery = self.ground.imagery
        return (
            None if imagery is None else imagery * np.tile(self.ground.grid.scale_to(self.grid), 2)
        )

    @cached_property
    def _row_cache(self) -> Callable[[int], tuple[IntArray, int]]:
        return lru_cache(CACHED_ROWS)(self._plan_row)

    def _plan_row(self, row: int) -> tuple[IntArray, int]:
        """Return the columns of the planned tiles of a row, and the number of those left out."""
        left, top = np.array(self.scheme.columns), self.scheme.rows[row]
        columns = np.arange(len(left))
        width = min(self.scheme.tile_px, self.scheme.width)
        height = min(self.scheme.tile_px, self.scheme.height)
        if self.area is not None:
            x1, _, x2, _ = self.area.bounds
            columns = columns[(left <= x2) & (left + width >= x1)]
            shapely.prepare(self.area)
            x = left[columns]
            boxes = shapely.box(x, top, x + width, top + height)
            columns = columns[shapely.intersects(boxes, self.area)]
        if self._imagery is None:
            return columns, 0
        planned = columns[self.scheme.columns_overlapping(row, self._imagery)[columns]]
        return planned, len(columns) - len(planned)


def plan_ground(
    ground: Ground, card: ModelCard, settings: PredictSettings, *, area: shapely.Geometry | None
) -> GroundPlan:
    """Plan the tiles of a ground.

    Args:
        ground: The rasters.
        card: Card of the detector.
        settings: Resolution and tiles; ``aoi`` and ``bbox`` are ignored.
        area: Area of interest in pixels of the ground; None: everything.

    Raises:
        InputError: Settings, model and rasters do not fit together.
    """
    grid = working_grid(ground.grid, card, gsd_m=settings.gsd, path=ground.path)
    if area is not None:
        scale = ground.grid.scale_to(grid)
        area = shapely.transform(area, lambda points: points * scale)
    scheme = _choose_scheme(grid, card, settings, area)
    if ground.is_service and area is None:
        raise InputError(
            f"{ground.path}: a web service of {len(scheme):,} tiles; set `bbox` or `aoi` to the "
            f"area to search"
        )
    return GroundPlan(ground, grid, scheme, area)


def working_grid(grid: Grid, card: ModelCard, *, gsd_m: float | None, path: str) -> Grid:
    """Return the grid of the resolution ``gsd_m``, else the model's, else the imagery's.

    Imagery within 5 % of it is not resampled.

    Args:
        grid: Pixels of the imagery.
        card: Card of the model.
        gsd_m: Stated resolution; None: the model's.
        path: Name of the imagery, for errors.

    Raises:
        InputError: The raster is far too coarse for the model, and ``gsd_m`` is None; or the model
            does not work at ``gsd_m``.
    """
    target_m = gsd_m or card.gsd_m
    raster_m = grid.gsd_xy_m
    if gsd_m is not None and card.gsd_range_m is not None:
        check_gsd(gsd_m, *card.gsd_range_m, of=f"the range of model {card.name}")
    elif gsd_m is not None and grid.gsd_m is not None:
        check_gsd_of_imagery(gsd_m, grid.gsd_m, path)
    if target_m is None:
        return grid
    if raster_m is None:
        if gsd_m is not None:
            raise InputError(
                f"{path}: `gsd` needs a raster whose ground resolution is known; this one "
                f"is used in pixel coordinates"
            )
        return grid
    if gsd_m is None and max(raster_m) > COARSEST * target_m:
        advice = "" if card.gsd_range_m else f", or set `gsd` to {max(raster_m):.3g}"
        raise InputError(
            f"{path}: its pixels are {max(raster_m):.3g} m on the ground, too coarse for "
            f"model {card.name} ({target_m:g} m); choose another `model`{advice}"
        )
    scale = raster_m[0] / target_m, raster_m[1] / target_m
    if all(abs(math.log(s)) <= math.log(1 + SAME_GSD) for s in scale):
        return grid
    return grid.resampled(*scale)


def _choose_scheme(
    grid: Grid, card: ModelCard, settings: PredictSettings, area: shapely.Geometry | None
) -> TileScheme:
    """Return the tiles of ``tile_size``, else those near the model's size with the fewest pixels.

    Tiles of one size hardly ever fit a raster exactly: with an overlap of 113 px, 1024 px make
    five columns of 4096 px, of which a fifth is computed twice; 1152 px make four.
    """

    def scheme_of(tile_px: int) -> TileScheme:
        overlap = _overlap_px(tile_px, grid, card, overlap=settings.overlap)
        return TileScheme(grid.width, grid.height, tile_px, overlap)

    tile_px = settings.tile_size or card.tile_px
    if card.imported is not None and tile_px > min(card.imported.input_px):
        height, width = card.imported.input_px
        raise InputError(
            f"`tile_size` {tile_px}: model {card.name} takes images of {width} x {height} px; "
            f"choose a smaller one, or convert an ONNX file of that size"
        )
    default = scheme_of(tile_px)
    if settings.tile_size is not None or card.network is None:
        return default
    is_fraction = settings.overlap is not None and settings.overlap < 1
    schemes = [default]
    # sizes that fill the input of the network
    input_px = padded_size(card, tile_px, tile_px)[0]
    multiple = card.network.multiple_px or max(card.network.strides)
    for filled_px in range(multiple, math.floor(TILE_RANGE[1] * input_px) + 1, multiple):
        side_px = math.floor(filled_px / card.input_scale)
        if filled_px < TILE_RANGE[0] * input_px or side_px < 1:
            continue
        overlap = _overlap_px(side_px, grid, card, overlap=settings.overlap)
        if overlap < side_px and (is_fraction or overlap >= default.overlap_px):
            schemes.append(scheme_of(side_px))
    extent = grid.box if area is None else np.array(area.bounds)

    def computed_px(scheme: TileScheme) -> int:
        shape = min(scheme.tile_px, grid.height), min(scheme.tile_px, grid.width)
        return scheme.count_touching(extent) * math.prod(padded_size(card, *shape))

    return min(schemes, key=lambda scheme: (computed_px(scheme), abs(scheme.tile_px - tile_px)))


def _overlap_px(tile_px: int, grid: Grid, card: ModelCard, *, overlap: float | None) -> int:
    """Return the overlap in pixels: by default, some tile holds the largest object completely."""
    if overlap is not None:
        return overlap_px(overlap, tile_px)
    if card.object_size_m is None or grid.gsd_xy_m is None:
        return math.ceil(tile_px * DEFAULT_OVERLAP) if tile_px > 1 else 0
    largest = card.object_size_m[2] / min(grid.gsd_xy_m)
    return min(math.ceil(largest) + OVERLAP_MARGIN_PX, tile_px // 2)
