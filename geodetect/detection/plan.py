"""Plan of a run: working grid, tiles, shards and area of each ground, from headers only."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product

import numpy as np
import shapely
from pyproj import CRS

from geodetect.errors import GeodetectWarning, GeoreferenceError, InputError, list_names
from geodetect.geo.crs import WGS84
from geodetect.geo.grid import Grid, check_gsd, check_gsd_of_imagery, measure_pixels
from geodetect.geo.reproject import densify, reproject
from geodetect.geo.tiles import Shard, Tile, TileScheme, overlap_px
from geodetect.io.array_raster import ArrayRaster
from geodetect.io.ground.ground import Ground
from geodetect.io.ground.grouping import group_rasters
from geodetect.io.raster.reader import Raster, RasterOptions, name_rasters, open_raster
from geodetect.io.raster.remote import is_remote
from geodetect.io.sources.find import find_rasters, without_repetitions
from geodetect.io.vector.read import read_area
from geodetect.model.card import ModelCard
from geodetect.model.network.input_size import padded_size
from geodetect.progress import phase
from geodetect.settings import PredictSettings
from geodetect.settings.value_types import area_text
from geodetect.threads import stop_pools
from geodetect.types import FloatArray, IntArray, PathLike

SAME_GSD = 0.05  # largest relative difference of resolutions without resampling
COARSEST = 4.0  # largest ratio of the raster's resolution to the model's
OVERLAP_MARGIN_PX = 16
DEFAULT_OVERLAP = 0.125
SHARD_PX = 2e9  # of the ground that a shard covers
MAX_WIDTH = 3  # in sides of a square shard, of a ground whose shards are complete rows
HEADER_THREADS = 16
MAX_STRETCHING = 1.1  # largest ratio of the sizes of pixels on the ground within one ground
CACHED_ROWS = 256  # of planned tiles: those of a row of shards
TILE_RANGE = (0.75, 1.25)  # of input sizes, as multiples of the model's


@dataclass(frozen=True)
class TileRun:
    """Tiles of one row that lie beside each other in one shard.

    Args:
        tiles: At least one tile, from left to right.
        open_row: First row of tiles of which this run or a later one has some.
    """

    tiles: tuple[Tile, ...]
    open_row: int


@dataclass(frozen=True, eq=False)
class GroundPlan:
    """Tiles of one ground that go through the detector.

    Args:
        ground: The rasters, open.
        grid: Working grid: that of the ground, or resampled to the model's resolution.
        scheme: Tiles of the working grid.
        area: Area of interest in pixels of ``grid``; None: everything.
    """

    ground: Ground
    grid: Grid
    scheme: TileScheme
    area: shapely.Geometry | None

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
        side = max(1, round(math.sqrt(SHARD_PX) / (self.scheme.tile_px - self.scheme.overlap_px)))
        parts = 1 if columns <= MAX_WIDTH * side else math.ceil(columns / side)
        width = math.ceil(columns / parts)
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
                    tiles = (self.scheme.tile(row, col) for col in planned[first:end].tolist())
                    yield TileRun(tuple(tiles), row if is_whole_row else shard.first_row)

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


def plan_rasters(
    rasters: PathLike | Sequence[PathLike],
    card: ModelCard,
    settings: PredictSettings,
    *,
    joined: bool = True,
) -> list[GroundPlan]:
    """Open rasters and plan the tiles of their grounds for the detector of a card.

    Args:
        rasters: Files, folders of rasters or URLs.
        card: Card of the detector.
        settings: Resolution, tiles and area.
        joined: Rasters of one CRS that lie together are one ground; else each is one by itself.

    Raises:
        RasterError: A raster cannot be opened.
        InputError: There are no rasters, the area of interest touches none, or settings, model
            and rasters do not fit together.

    Warns:
        GeodetectWarning: Rasters are coarser than the imagery that the model was evaluated on, or
            images are stored rotated.
    """
    paths = without_repetitions(find_rasters(rasters, pixel_coords=settings.pixel_coords))
    if not paths:
        raise InputError("no raster was given; name at least one file")
    opened = _open_all(paths, card, settings)
    name_rasters(opened)
    rotated = [r.name for r in opened if r.grid.crs is None and r.orientation != 1]
    if rotated:
        warnings.warn(
            f"{len(rotated)} images are stored rotated or mirrored, as EXIF states "
            f"({list_names(rotated)}): coordinates are those of the image as it is stored",
            GeodetectWarning,
            stacklevel=3,
        )
    if joined:
        grounds = group_rasters(opened, [_tile_side(raster, card, settings) for raster in opened])
    else:
        grounds = [Ground.from_rasters([raster]) for raster in opened]
    for ground in grounds:
        if (doubt := _find_stretching(ground)) is not None:
            warnings.warn(doubt, GeodetectWarning, stacklevel=3)
    hidden = [name for ground in grounds for name in ground.hidden_rasters]
    if hidden:
        first = next(ground for ground in grounds if ground.hidden_rasters).rasters[0].name
        warnings.warn(
            f"{list_names(hidden)}: all of its ground is that of rasters named before, such as "
            f"{first}, which come first where they have imagery; to search imagery of two dates, "
            f"run each by itself",
            GeodetectWarning,
            stacklevel=3,
        )
    plans = [
        plan_ground(ground, card, settings, area=_area_on(ground, settings)) for ground in grounds
    ]
    if not any(plan.tile_count or plan.empty_count for plan in plans):
        corners = plans[0].grid.to_map(plans[0].grid.box.reshape(2, 2)).round(3).tolist()
        which = "the raster, which" if len(opened) == 1 else "any raster; the first ones"
        lie = "lies" if len(opened) == 1 else "lie"
        raise InputError(
            f"the area of `aoi` or `bbox` does not touch {which} {lie} from {corners[0]} to "
            f"{corners[1]} in its CRS{_guess_mistake(settings, plans)}"
        )
    return plans


def _guess_mistake(settings: PredictSettings, plans: Sequence[GroundPlan]) -> str:
    """Return a hint if ``bbox`` touches a raster with its axes exchanged or as degrees."""
    if settings.bbox is None or settings.aoi is not None:
        return ""
    x1, y1, x2, y2 = settings.bbox
    degrees = abs(np.array(settings.bbox)).max() <= 180
    guesses: list[tuple[shapely.Geometry, CRS | None, str]]
    guesses = [(shapely.box(y1, x1, y2, x2), None, "with x and y exchanged")]
    if degrees:
        guesses += [
            (shapely.box(x1, y1, x2, y2), WGS84, "as longitudes and latitudes"),
            (shapely.box(y1, x1, y2, x2), WGS84, "as latitudes and longitudes"),
        ]
    for plan, (box, crs, text) in product(plans, guesses):
        area = np.array([box], dtype=object)
        with suppress(GeoreferenceError):
            if crs is not None and plan.grid.crs is not None:
                area = reproject(densify(area, crs), crs, plan.grid.crs)
            if shapely.intersects(area[0], plan.grid.outline):
                return f"; `bbox` does so {text}: give min x, min y, max x, max y in this CRS"
    return ""


def _find_stretching(ground: Ground) -> str | None:
    """Return a message if pixels of one size on the map are not on the ground; None: they are."""
    sizes_m = [
        raster.grid.gsd_m or 1.0
        for raster, is_aligned in zip(ground.rasters, ground.is_aligned, strict=True)
        if is_aligned
    ]
    finest, coarsest = min(sizes_m), max(sizes_m)
    if ground.grid.crs is None or coarsest <= MAX_STRETCHING * finest:
        return None
    return (
        f"{ground.name}: pixels of one size in {ground.grid.crs.name} are {finest:.3g} to "
        f"{coarsest:.3g} m on the ground, and are searched at one resolution; project them to a "
        f"CRS that keeps lengths, such as UTM, or run north and south by themselves"
    )


def _open_all(paths: Sequence[str], card: ModelCard, settings: PredictSettings) -> list[Raster]:
    """Open rasters as a model reads them; several threads wait for servers.

    Warns:
        GeodetectWarning: A raster is coarser than the imagery that the model was evaluated on.
    """
    opened = list[Raster]()
    # local headers are read in less time than threads take to hand Python's lock over
    threads = HEADER_THREADS if any(map(is_remote, paths)) else 1
    pool = ThreadPoolExecutor(threads, thread_name_prefix="geodetect-header")
    headers = [pool.submit(_open_planned, path, card, settings) for path in paths]
    with phase("Reading headers", "rasters") as advance:
        try:
            for header in headers:
                opened.append(header.result())
                advance(len(opened), len(paths))
        finally:
            stop_pools([pool], headers)
    measure_pixels([raster.grid for raster in opened])
    for raster in opened:
        gsd_m = raster.grid.gsd_m
        if gsd_m is None or card.gsd_range_m is None:
            continue
        finest, coarsest = card.gsd_range_m
        if gsd_m > coarsest * (1 + SAME_GSD):
            warnings.warn(
                f"{raster.path}: its pixels are {gsd_m:.3g} m on the ground; model {card.name} is "
                f"known to work on {finest:g} to {coarsest:g} m, so it will miss more than its "
                f"figures say; finer imagery or another `model` helps",
                GeodetectWarning,
                stacklevel=4,
            )
    return opened


def _open_planned(
    path: str | os.PathLike[str], card: ModelCard, settings: PredictSettings
) -> Raster:
    """Open a raster (a file or URL) as a model reads it.

    Raises:
        RasterError: The raster cannot be opened.
        InputError: Settings, model and raster do not fit together.
    """
    options = RasterOptions(
        bands=settings.bands,
        value_range=settings.value_range,
        src_crs=settings.src_crs,
        pixel_coords=settings.pixel_coords,
        external_sources=settings.external_sources,
        pixels_allowed=isinstance(path, ArrayRaster),
    )
    return open_raster(path, options, needed_bands=None if card.bands is None else len(card.bands))


def _area_on(ground: Ground, settings: PredictSettings) -> shapely.Geometry | None:
    """Return the area of interest in pixels of a ground; None: everything.

    Raises:
        InputError: The area lies on the map, and the ground does not.
    """
    grid, areas = ground.grid, []
    if settings.aoi is not None:
        aoi, crs = read_area(settings.aoi, default_crs=grid.crs)
        if grid.crs is None and crs is not None:
            raise InputError(
                f"`aoi` {area_text(settings.aoi)} lies on the map, but {ground.path} is used in "
                f"pixel coordinates; set `bbox` in pixels instead"
            )
        if crs is not None and grid.crs is not None:
            aoi = reproject(densify(np.array([aoi], dtype=object), crs), crs, grid.crs)[0]
        areas.append(aoi)
    if settings.bbox is not None:
        areas.append(shapely.box(*settings.bbox))
    return shapely.transform(shapely.intersection_all(areas), grid.to_px) if areas else None


def _tile_side(raster: Raster, card: ModelCard, settings: PredictSettings) -> float:
    """Return the side of the largest tile on a raster, in map units."""
    grid = working_grid(raster.grid, card, gsd_m=settings.gsd, path=raster.path)
    tile_px = settings.tile_size or math.ceil(TILE_RANGE[1] * card.tile_px)
    return tile_px * math.sqrt(abs(grid.transform.determinant))


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
