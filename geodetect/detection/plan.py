"""What a run is going to do, from headers only."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from geodetect.errors import GeodetectWarning, InputError
from geodetect.geo.grid import Grid
from geodetect.geo.reproject import densify, reproject
from geodetect.geo.tiles import Tile, TileScheme
from geodetect.io.raster.reader import Raster, RasterOptions, find_rasters, open_raster
from geodetect.io.vector.area import read_area
from geodetect.model.card import ModelCard, NetworkConfig
from geodetect.model.network.input_size import padded_size
from geodetect.settings import PredictSettings
from geodetect.types import IntArray, PathLike

SAME_GSD = 0.05  # a raster this close to the model's resolution is not resampled
COARSEST = 4.0  # a raster this many times coarser than the model is refused
OVERLAP_MARGIN_PX = 16
DEFAULT_OVERLAP = 0.125
TILE_RANGE = (0.75, 1.25)  # sides of tiles over the model's own


@dataclass(frozen=True)
class RasterPlan:
    """How one raster will be looked at.

    Args:
        raster: The raster, open.
        grid: The grid worked on: the raster's own, or resampled to the model's resolution.
        scheme: Its tiles.
        area: Ground to look at, in pixels of ``grid``; None: all of it.
        tiles: Numbers of the tiles that touch the area, ascending.
    """

    raster: Raster
    grid: Grid
    scheme: TileScheme
    area: shapely.Geometry | None
    tiles: IntArray

    @property
    def gsd_ratio(self) -> tuple[float, float]:
        """Pixels of the raster per pixel worked on, along x and y; (1, 1): not resampled."""
        x, y = self.grid.scale_to(self.raster.grid).tolist()
        return x, y

    def rows(self) -> Iterator[list[Tile]]:
        """The tiles that touch the area, row by row, without empty rows."""
        across = len(self.scheme.columns)
        for row in range(len(self.scheme.rows)):
            first, end = np.searchsorted(self.tiles, [row * across, (row + 1) * across])
            if first < end:
                chosen = set(self.tiles[first:end].tolist())
                yield [tile for tile in self.scheme.row(row) if tile.index in chosen]


def plan_rasters(
    rasters: PathLike | Sequence[PathLike], card: ModelCard, settings: PredictSettings
) -> list[RasterPlan]:
    """Open rasters and decide how to look at them, reading only their headers.

    Args:
        rasters: Files, folders of rasters or URLs; one or several.
        card: Card of the detector.
        settings: The user's wishes.

    Returns:
        One plan for each raster; the caller closes their rasters.

    Raises:
        RasterError: A raster cannot be opened.
        InputError: There are no rasters, the area of interest touches none, or settings, model
            and rasters do not go together.
    """
    paths = find_rasters(rasters)
    if not paths:
        raise InputError("no raster was given; name at least one file")
    plans = [plan_raster(path, card, settings) for path in paths]
    _check_area(plans)
    return plans


def plan_raster(
    path: str | os.PathLike[str], card: ModelCard, settings: PredictSettings
) -> RasterPlan:
    """Open a raster and decide how to look at it.

    Args:
        path: File or URL.
        card: Card of the detector.
        settings: The user's wishes.

    Raises:
        RasterError: It cannot be opened.
        InputError: Settings, model and raster do not go together.

    Warns:
        GeodetectWarning: The raster is coarser than the model is known to work on.
    """
    options = RasterOptions(
        bands=settings.bands,
        value_range=settings.value_range,
        src_crs=settings.src_crs,
        pixel_coords=settings.pixel_coords,
    )
    needed = None if card.bands is None else len(card.bands)
    raster = open_raster(path, options, needed_bands=needed)
    _warn_of_coarse_pixels(raster, card)
    return plan_grid(raster, card, settings, area=_area_px(raster, settings))


def plan_grid(
    raster: Raster, card: ModelCard, settings: PredictSettings, *, area: shapely.Geometry | None
) -> RasterPlan:
    """Decide how to look at an open raster.

    Args:
        raster: The raster.
        card: Card of the detector.
        settings: The user's wishes; its limits of the area are not looked at.
        area: Ground to look at, in pixels of the raster; None: all of it.

    Raises:
        InputError: Settings, model and raster do not go together.
    """
    grid = working_grid(raster, card, gsd_m=settings.gsd)
    if area is not None:
        scale = raster.grid.scale_to(grid)
        area = shapely.transform(area, lambda points: points * scale)
    scheme = _scheme(grid, card, settings, area)
    return RasterPlan(raster, grid, scheme, area, _tiles_on(scheme, area))


def working_grid(raster: Raster, card: ModelCard, *, gsd_m: float | None) -> Grid:
    """The grid at the resolution asked for, else the model's, else the raster's own.

    A raster within 5 % of it is taken as it is.

    Raises:
        InputError: The raster is far too coarse for the model, and nobody insists.
    """
    wanted = gsd_m or card.gsd_m
    own = raster.grid.gsd_xy_m
    if wanted is None:
        return raster.grid
    if own is None:
        if gsd_m is not None:
            raise InputError(
                f"{raster.path}: `gsd` needs a raster whose ground resolution is known; this one "
                f"is used in pixel coordinates"
            )
        return raster.grid
    if gsd_m is None and max(own) > COARSEST * wanted:
        raise InputError(
            f"{raster.path}: its pixels are {max(own):.3g} m on the ground, too coarse for model "
            f"{card.name} ({wanted:g} m); choose another `model`, or set `gsd` to "
            f"{max(own):.3g}"
        )
    scale = own[0] / wanted, own[1] / wanted
    if all(abs(math.log(s)) <= math.log(1 + SAME_GSD) for s in scale):
        return raster.grid
    return raster.grid.resampled(*scale)


def _warn_of_coarse_pixels(raster: Raster, card: ModelCard) -> None:
    gsd_m = raster.grid.gsd_m
    if gsd_m is None or card.gsd_range_m is None:
        return
    finest, coarsest = card.gsd_range_m
    if gsd_m > coarsest * (1 + SAME_GSD):
        warnings.warn(
            f"{raster.path}: its pixels are {gsd_m:.3g} m on the ground; model {card.name} is "
            f"known to work on {finest:g} to {coarsest:g} m, so it will miss more than its "
            f"figures say; finer imagery or another `model` helps",
            GeodetectWarning,
            stacklevel=5,
        )


def _scheme(
    grid: Grid, card: ModelCard, settings: PredictSettings, area: shapely.Geometry | None
) -> TileScheme:
    """Tiles of the size asked for, else the one near the model's own that wastes least.

    Tiles of one size hardly ever fit a raster exactly: with an overlap of 113 px, 1024 px make
    five columns of 4096 px, of which a fifth is looked at twice; 1152 px make four.
    """

    def overlap_of(side_px: int) -> int:
        return _overlap_px(side_px, grid, card, overlap=settings.overlap)

    side_px = settings.tile_size or card.tile_px
    own = TileScheme(grid.width, grid.height, side_px, overlap_of(side_px))
    if settings.tile_size is not None or card.network is None:
        return own
    share = settings.overlap is not None and settings.overlap < 1
    schemes = [
        TileScheme(grid.width, grid.height, side, overlap_of(side))
        for side in _sides(card, card.network)
        if overlap_of(side) < side and (share or overlap_of(side) >= own.overlap_px)
    ]
    extent = grid.box if area is None else np.array(area.bounds)

    def pixels(scheme: TileScheme) -> int:
        shape = min(scheme.tile_px, grid.height), min(scheme.tile_px, grid.width)
        return scheme.count_on(extent) * math.prod(padded_size(card, *shape))

    return min((own, *schemes), key=lambda one: (pixels(one), abs(one.tile_px - side_px)))


def _sides(card: ModelCard, network: NetworkConfig) -> list[int]:
    """Sides of tiles near the model's own that fill the input of its network."""
    own_px = padded_size(card, card.tile_px, card.tile_px)[0]
    multiple = network.multiple_px or max(network.strides)
    inputs = range(multiple, math.floor(TILE_RANGE[1] * own_px) + 1, multiple)
    sides = (math.floor(px / card.input_scale) for px in inputs if px >= TILE_RANGE[0] * own_px)
    return [side for side in sides if side >= 1]


def _overlap_px(tile_px: int, grid: Grid, card: ModelCard, *, overlap: float | None) -> int:
    """Overlap in pixels: as stated, else so that some tile sees the largest object whole."""
    if overlap is not None:
        pixels = overlap * tile_px if overlap < 1 else overlap
        return math.ceil(pixels)
    if card.object_size_m is None or grid.gsd_xy_m is None:
        return math.ceil(tile_px * DEFAULT_OVERLAP) if tile_px > 1 else 0
    largest = card.object_size_m[2] / min(grid.gsd_xy_m)
    return min(math.ceil(largest) + OVERLAP_MARGIN_PX, tile_px // 2)


def _area_px(raster: Raster, settings: PredictSettings) -> shapely.Geometry | None:
    """The ground to look at in pixels of the raster; None: everything."""
    grid = raster.grid
    parts = []
    if settings.aoi is not None:
        area, crs = read_area(settings.aoi)
        if grid.crs is None:
            raise InputError(
                f"`aoi` {settings.aoi} lies on the map, but {raster.path} is used in pixel "
                f"coordinates; set `bbox` in pixels instead"
            )
        outline = densify(np.array([area], dtype=object), crs)
        parts.append(reproject(outline, crs, grid.crs)[0])
    if settings.bbox is not None:
        parts.append(shapely.box(*settings.bbox))
    if not parts:
        return None
    return shapely.transform(shapely.intersection_all(parts), grid.to_px)


def _tiles_on(scheme: TileScheme, area: shapely.Geometry | None) -> IntArray:
    if area is None:
        return np.arange(len(scheme))
    shapely.prepare(area)
    x1, y1, x2, y2 = area.bounds
    left, upper = np.array(scheme.columns), np.array(scheme.rows)
    right = left + min(scheme.tile_px, scheme.width)
    lower = upper + min(scheme.tile_px, scheme.height)
    near = np.flatnonzero((left <= x2) & (right >= x1))
    touched = [np.empty(0, np.int64)]
    for row in np.flatnonzero((upper <= y2) & (lower >= y1)):  # not all at once: there are millions
        boxes = shapely.box(left[near], upper[row], right[near], lower[row])
        touched.append(row * len(left) + near[shapely.intersects(boxes, area)])
    return np.concatenate(touched)


def _check_area(plans: Sequence[RasterPlan]) -> None:
    """Refuse an area that touches no raster."""
    if any(len(plan.tiles) for plan in plans):
        return
    grid = plans[0].grid
    corners = grid.to_map(np.array([[0, 0], [grid.width, grid.height]], np.float64)).round(3)
    which = "the raster, which" if len(plans) == 1 else "any raster; the first one"
    raise InputError(
        f"the area of `aoi` or `bbox` does not touch {which} "
        f"lies from {corners[0].tolist()} to {corners[1].tolist()} in its CRS"
    )
