"""Plan of a run: working grid, tiles and area of each raster, from headers only."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product

import numpy as np
import shapely
from pyproj import CRS

from geodetect.errors import GeodetectWarning, GeoreferenceError, InputError, list_names
from geodetect.geo.crs import WGS84
from geodetect.geo.grid import Grid, check_gsd, check_gsd_of_imagery
from geodetect.geo.reproject import densify, reproject
from geodetect.geo.tiles import Tile, TileScheme, overlap_px
from geodetect.io.array_raster import ArrayRaster
from geodetect.io.raster.find import find_rasters, without_repetitions
from geodetect.io.raster.reader import Raster, RasterOptions, name_rasters, open_raster
from geodetect.io.vector.read import read_area
from geodetect.model.card import ModelCard
from geodetect.model.network.input_size import padded_size
from geodetect.progress import phase
from geodetect.settings import PredictSettings
from geodetect.settings.value_types import area_text
from geodetect.types import BoolArray, IntArray, PathLike

SAME_GSD = 0.05  # largest relative difference of resolutions without resampling
COARSEST = 4.0  # largest ratio of the raster's resolution to the model's
OVERLAP_MARGIN_PX = 16
DEFAULT_OVERLAP = 0.125
TILE_RANGE = (0.75, 1.25)  # of input sizes, as multiples of the model's


@dataclass(frozen=True)
class RasterPlan:
    """Tiles of one raster that go through the detector.

    Args:
        raster: The raster, open.
        grid: Working grid: that of the raster, or resampled to the model's resolution.
        scheme: Tiles of the working grid.
        area: Area of interest in pixels of ``grid``; None: everything.
        tiles: Numbers of the tiles that touch the area, ascending.
        has_imagery: ``bool[rows, columns]`` False for tiles that are empty as the sources of a VRT
            tell; None: unknown until they are read.
    """

    raster: Raster
    grid: Grid
    scheme: TileScheme
    area: shapely.Geometry | None
    tiles: IntArray
    has_imagery: BoolArray | None = None

    def is_empty(self, tile: Tile) -> bool:
        """Return True if a tile is known to hold no imagery."""
        return self.has_imagery is not None and not self.has_imagery[tile.row, tile.col]

    @property
    def gsd_ratio(self) -> tuple[float, float]:
        """Pixels of the raster per working pixel, along x and y; (1, 1): not resampled."""
        x, y = self.grid.scale_to(self.raster.grid).tolist()
        return x, y

    def rows(self) -> Iterator[list[Tile]]:
        """Yield the tiles that touch the area, row by row, without empty rows."""
        columns = len(self.scheme.columns)
        for row in range(len(self.scheme.rows)):
            first, end = np.searchsorted(self.tiles, [row * columns, (row + 1) * columns])
            if first < end:
                numbers = set(self.tiles[first:end].tolist())
                yield [tile for tile in self.scheme.tiles_in_row(row) if tile.index in numbers]


def plan_rasters(
    rasters: PathLike | Sequence[PathLike], card: ModelCard, settings: PredictSettings
) -> list[RasterPlan]:
    """Open rasters and plan their tiles for the detector of a card, see ``predict.plan``.

    Raises:
        RasterError: A raster cannot be opened.
        InputError: There are no rasters, the area of interest touches none, or settings, model
            and rasters do not fit together.
    """
    paths = without_repetitions(find_rasters(rasters, pixel_coords=settings.pixel_coords))
    if not paths:
        raise InputError("no raster was given; name at least one file")
    plans = []
    with phase("Reading headers", "rasters") as advance:
        for number, path in enumerate(paths, 1):
            plans.append(plan_raster(path, card, settings))
            advance(number, len(paths))
    name_rasters([plan.raster for plan in plans])
    in_pixels = [plan.raster for plan in plans if plan.grid.crs is None]
    rotated = [raster.name for raster in in_pixels if raster.orientation != 1]
    if rotated:
        warnings.warn(
            f"{len(rotated)} images are stored rotated or mirrored, as EXIF states "
            f"({list_names(rotated)}): coordinates are those of the image as it is stored",
            GeodetectWarning,
            stacklevel=3,
        )
    if not any(len(plan.tiles) for plan in plans):
        corners = plans[0].grid.to_map(plans[0].grid.box.reshape(2, 2)).round(3).tolist()
        which = "the raster, which" if len(plans) == 1 else "any raster; the first one"
        raise InputError(
            f"the area of `aoi` or `bbox` does not touch {which} lies from {corners[0]} to "
            f"{corners[1]} in its CRS{_guess_mistake(settings, plans)}"
        )
    return plans


def _guess_mistake(settings: PredictSettings, plans: Sequence[RasterPlan]) -> str:
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


def plan_raster(
    path: str | os.PathLike[str], card: ModelCard, settings: PredictSettings
) -> RasterPlan:
    """Open a raster (a file or URL) and plan its tiles.

    Raises:
        RasterError: The raster cannot be opened.
        InputError: Settings, model and raster do not fit together.

    Warns:
        GeodetectWarning: The raster is coarser than the imagery that the model was evaluated on.
    """
    options = RasterOptions(
        bands=settings.bands,
        value_range=settings.value_range,
        src_crs=settings.src_crs,
        pixel_coords=settings.pixel_coords,
        external_sources=settings.external_sources,
        pixels_allowed=isinstance(path, ArrayRaster),
    )
    raster = open_raster(
        path, options, needed_bands=None if card.bands is None else len(card.bands)
    )
    gsd_m = raster.grid.gsd_m
    if gsd_m is not None and card.gsd_range_m is not None:
        finest, coarsest = card.gsd_range_m
        if gsd_m > coarsest * (1 + SAME_GSD):
            warnings.warn(
                f"{raster.path}: its pixels are {gsd_m:.3g} m on the ground; model {card.name} is "
                f"known to work on {finest:g} to {coarsest:g} m, so it will miss more than its "
                f"figures say; finer imagery or another `model` helps",
                GeodetectWarning,
                stacklevel=4,
            )
    grid, areas = raster.grid, []
    if settings.aoi is not None:
        aoi, crs = read_area(settings.aoi, default_crs=grid.crs)
        if grid.crs is None and crs is not None:
            raise InputError(
                f"`aoi` {area_text(settings.aoi)} lies on the map, but {raster.path} is used in "
                f"pixel coordinates; set `bbox` in pixels instead"
            )
        if crs is not None and grid.crs is not None:
            aoi = reproject(densify(np.array([aoi], dtype=object), crs), crs, grid.crs)[0]
        areas.append(aoi)
    if settings.bbox is not None:
        areas.append(shapely.box(*settings.bbox))
    area = shapely.transform(shapely.intersection_all(areas), grid.to_px) if areas else None
    return plan_grid(raster, card, settings, area=area)


def plan_grid(
    raster: Raster, card: ModelCard, settings: PredictSettings, *, area: shapely.Geometry | None
) -> RasterPlan:
    """Plan the tiles of an open raster.

    Args:
        raster: The raster.
        card: Card of the detector.
        settings: Resolution and tiles; ``aoi`` and ``bbox`` are ignored.
        area: Area of interest in pixels of the raster; None: everything.

    Raises:
        InputError: Settings, model and raster do not fit together.
    """
    grid = working_grid(raster, card, gsd_m=settings.gsd)
    if area is not None:
        scale = raster.grid.scale_to(grid)
        area = shapely.transform(area, lambda points: points * scale)
    scheme = _choose_scheme(grid, card, settings, area)
    if raster.is_service and area is None:
        raise InputError(
            f"{raster.path}: a web service of {len(scheme):,} tiles; set `bbox` or `aoi` to the "
            f"area to search"
        )
    has_imagery = None
    if raster.imagery is not None:
        scale = np.tile(raster.grid.scale_to(grid), 2)
        has_imagery = scheme.overlapping(raster.imagery * scale)
    return RasterPlan(raster, grid, scheme, area, _find_tiles(scheme, area), has_imagery)


def working_grid(raster: Raster, card: ModelCard, *, gsd_m: float | None) -> Grid:
    """Return the grid of the resolution ``gsd_m``, else the model's, else the raster's.

    A raster within 5 % of it is not resampled.

    Raises:
        InputError: The raster is far too coarse for the model, and ``gsd_m`` is None; or the model
            does not work at ``gsd_m``.
    """
    target_m = gsd_m or card.gsd_m
    raster_m = raster.grid.gsd_xy_m
    if gsd_m is not None and card.gsd_range_m is not None:
        check_gsd(gsd_m, *card.gsd_range_m, of=f"the range of model {card.name}")
    elif gsd_m is not None and raster.grid.gsd_m is not None:
        check_gsd_of_imagery(gsd_m, raster.grid.gsd_m, raster.path)
    if target_m is None:
        return raster.grid
    if raster_m is None:
        if gsd_m is not None:
            raise InputError(
                f"{raster.path}: `gsd` needs a raster whose ground resolution is known; this one "
                f"is used in pixel coordinates"
            )
        return raster.grid
    if gsd_m is None and max(raster_m) > COARSEST * target_m:
        advice = "" if card.gsd_range_m else f", or set `gsd` to {max(raster_m):.3g}"
        raise InputError(
            f"{raster.path}: its pixels are {max(raster_m):.3g} m on the ground, too coarse for "
            f"model {card.name} ({target_m:g} m); choose another `model`{advice}"
        )
    scale = raster_m[0] / target_m, raster_m[1] / target_m
    if all(abs(math.log(s)) <= math.log(1 + SAME_GSD) for s in scale):
        return raster.grid
    return raster.grid.resampled(*scale)


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


def _find_tiles(scheme: TileScheme, area: shapely.Geometry | None) -> IntArray:
    """Return the numbers of the tiles that touch an area."""
    if area is None:
        return np.arange(len(scheme))
    shapely.prepare(area)
    x1, y1, x2, y2 = area.bounds
    left, upper = np.array(scheme.columns), np.array(scheme.rows)
    right = left + min(scheme.tile_px, scheme.width)
    lower = upper + min(scheme.tile_px, scheme.height)
    columns = np.flatnonzero((left <= x2) & (right >= x1))
    tiles = [np.empty(0, np.int64)]
    for row in np.flatnonzero((upper <= y2) & (lower >= y1)):  # not all at once: there are millions
        boxes = shapely.box(left[columns], upper[row], right[columns], lower[row])
        tiles.append(row * len(left) + columns[shapely.intersects(boxes, area)])
    return np.concatenate(tiles)
