"""Plans of the tiles of rasters: they are opened, grouped into grounds, and cut into tiles."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import product

import numpy as np
import shapely
from pyproj import CRS

from geodetect.detection.plan import (
    SAME_GSD,
    SHARD_PX,
    TILE_RANGE,
    GroundPlan,
    plan_ground,
    working_grid,
)
from geodetect.errors import (
    GeodetectWarning,
    GeoreferenceError,
    IncompleteWarning,
    InputError,
    list_names,
)
from geodetect.geo.crs import WGS84
from geodetect.geo.grid import measure_pixels
from geodetect.geo.reproject import densify, reproject
from geodetect.io.ground.ground import Ground
from geodetect.io.ground.grouping import group_rasters
from geodetect.io.ground.header_index import open_rasters
from geodetect.io.raster.open_raster import name_rasters
from geodetect.io.raster.reader import Raster, RasterOptions
from geodetect.io.sources.find import find_rasters, without_repetitions
from geodetect.io.vector.read import read_area
from geodetect.model.card import ModelCard
from geodetect.progress import phase
from geodetect.settings import PredictSettings
from geodetect.settings.value_types import area_text
from geodetect.types import PathLike

MAX_STRETCHING = 1.1  # largest ratio of the sizes of pixels on the ground within one ground


def plan_rasters(
    rasters: PathLike | Sequence[PathLike],
    card: ModelCard,
    settings: PredictSettings,
    *,
    joined: bool = True,
    shard_px: float = SHARD_PX,
    left_out: dict[str, str] | None = None,
) -> list[GroundPlan]:
    """Open rasters and plan the tiles of their grounds for the detector of a card.

    Args:
        rasters: Files, folders of rasters or URLs.
        card: Card of the detector.
        settings: Resolution, tiles and area.
        joined: Rasters of one CRS that lie together are one ground; else each is one by itself.
        shard_px: Pixels of the working grid that a shard covers.
        left_out: Takes the error of each raster that cannot be opened, by path.

    Raises:
        RasterError: A file does not exist, no raster can be opened, or with ``strict`` one cannot.
        InputError: There are no rasters, the area of interest touches none, or settings, model
            and rasters do not fit together.

    Warns:
        IncompleteWarning: A raster cannot be opened; its place is not known.
        GeodetectWarning: Rasters are coarser than the imagery that the model was evaluated on, or
            images are stored rotated.
    """
    paths = without_repetitions(find_rasters(rasters, pixel_coords=settings.pixel_coords))
    if not paths:
        raise InputError("no raster was given; name at least one file")
    errors: dict[str, str] = {}
    opened = _open_all(paths, card, settings, errors)
    for error in errors.values():
        warnings.warn(f"left out: {error}", IncompleteWarning, stacklevel=3)
    if left_out is not None:
        left_out |= errors
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
        replace(
            plan_ground(ground, card, settings, area=_area_on(ground, settings)), shard_px=shard_px
        )
        for ground in grounds
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


def _open_all(
    paths: Sequence[str], card: ModelCard, settings: PredictSettings, left_out: dict[str, str]
) -> list[Raster]:
    """Open rasters as a model reads them; those that cannot be opened are left out.

    Raises:
        RasterError: A raster cannot be opened.
        InputError: Settings, model and a raster do not fit together.

    Warns:
        GeodetectWarning: A raster is coarser than the imagery that the model was evaluated on.
    """
    options = RasterOptions(
        bands=settings.bands,
        value_range=settings.value_range,
        src_crs=settings.src_crs,
        pixel_coords=settings.pixel_coords,
        external_sources=settings.external_sources,
    )
    needed_bands = None if card.bands is None else len(card.bands)
    with phase("Reading headers", "rasters") as advance:
        opened = open_rasters(
            paths,
            options,
            needed_bands=needed_bands,
            left_out=None if settings.strict else left_out,
            advance=advance,
        )
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
