"""Which ground a run looked at, which it skipped, and why."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio.features
import shapely
from affine import Affine
from pyproj import CRS

from geodetect.detection.plan import RasterPlan
from geodetect.errors import GeoreferenceError
from geodetect.geo.crs import horizontal_crs
from geodetect.geo.geodesic import ground_areas_m2
from geodetect.geo.grid import Grid
from geodetect.geo.reproject import densify, reproject
from geodetect.geo.tiles import Tile, TileScheme
from geodetect.io.vector.qgis_style import (
    GREEN,
    GREY,
    ORANGE,
    VERMILLION,
    Symbol,
    categorised_qml,
)
from geodetect.types import BoolArray, IntArray, ObjectArray

SEARCHED = "searched"
NO_IMAGERY = "no imagery"
OUTSIDE = "outside the area of interest"
NOT_READ = "not read"
STATUSES = frozenset({SEARCHED, NO_IMAGERY, OUTSIDE, NOT_READ})
LAYER = "coverage"

CELLS_PER_TILE = 16
MOST_CELLS = 4_000_000  # of one raster, a byte each
SEEN = 0.5  # share of a cell that holds imagery from which on it was looked at
_UNKNOWN, _EMPTY, _IMAGERY = 0, 1, 2

Span = tuple[slice, IntArray, BoolArray]

_DTYPES: dict[str, type] = {
    "raster": str,
    "status": str,
    "reason": str,
    "area_m2": np.float64,
    "gsd_m": np.float64,
    "working_gsd_m": np.float64,
}
STYLE = categorised_qml(
    "status",
    {
        OUTSIDE: Symbol(GREY, line="dot", fill=0.15, casing=False),
        NO_IMAGERY: Symbol(ORANGE, line="dash", fill=0.25, casing=False),
        NOT_READ: Symbol(VERMILLION, line="dash", fill=0.4, casing=False),
        SEARCHED: Symbol(GREEN, fill=0.08),
    },
)


@dataclass(frozen=True)
class CoverageRegion:
    """Ground of one raster that met one fate.

    Args:
        status: ``SEARCHED``, ``NO_IMAGERY``, ``OUTSIDE`` or ``NOT_READ``.
        reason: Why, where that is more than the status says.
        geometry: In pixels of the working grid.
    """

    status: str
    reason: str
    geometry: shapely.Geometry


@dataclass(frozen=True)
class RasterCoverage:
    """The ground of one raster.

    Args:
        raster: Its name.
        grid: The grid worked on.
        gsd_m: Ground size of its own pixels in metres; None: not known.
        regions: What became of its ground; together they are all of it, and they do not overlap.
    """

    raster: str
    grid: Grid
    gsd_m: float | None
    regions: tuple[CoverageRegion, ...]


class ImageryMask:
    """Where a raster holds imagery, noted tile by tile on square cells of a 16th of a tile.

    Of a very large raster the cells are larger, so that there are never more than four million.

    Args:
        scheme: The tiles.
    """

    def __init__(self, scheme: TileScheme) -> None:
        side = min(scheme.tile_px, max(scheme.width, scheme.height))
        most = math.ceil(math.sqrt(scheme.width * scheme.height / MOST_CELLS))
        self.cell_px = max(1, side // CELLS_PER_TILE, most)
        self._edges_x = _edges(scheme.width, self.cell_px)
        self._edges_y = _edges(scheme.height, self.cell_px)
        shape = len(self._edges_y) - 1, len(self._edges_x) - 1
        self._state = np.full(shape, _UNKNOWN, np.uint8)

    def cells_with_imagery(self, tile: Tile, valid: BoolArray) -> BoolArray:
        """Which cells of a tile hold imagery, ``bool[rows, columns]``, from its ``bool[H, W]``."""
        (_, starts_y, _), (_, starts_x, _) = self._spans(tile)
        if valid.all():
            return np.ones((len(starts_y), len(starts_x)), bool)
        by_row = np.add.reduceat(valid, starts_y, axis=0, dtype=np.int32)
        count = np.add.reduceat(by_row, starts_x, axis=1)
        heights, widths = (
            np.diff(np.append(starts, side))
            for starts, side in ((starts_y, tile.height), (starts_x, tile.width))
        )
        return np.asarray(count >= SEEN * np.outer(heights, widths))

    def empty_cells(self, tile: Tile) -> BoolArray:
        """The same of a tile without imagery."""
        (_, starts_y, _), (_, starts_x, _) = self._spans(tile)
        return np.zeros((len(starts_y), len(starts_x)), bool)

    def update(self, tile: Tile, imagery: BoolArray) -> None:
        """Take what ``imagery`` found of a tile.

        A cell that several tiles see is decided by the last one that sees its centre.
        """
        (rows, _, central_y), (columns, _, central_x) = self._spans(tile)
        state = self._state[rows, columns]
        decided = np.outer(central_y, central_x) | (state == _UNKNOWN)
        state[decided] = np.where(imagery, _IMAGERY, _EMPTY)[decided]

    def to_coverage(self, plan: RasterPlan) -> RasterCoverage:
        """Return the coverage of the raster, once all tiles are noted."""
        frame, area = _frame(plan)
        geometries = {
            SEARCHED: shapely.intersection(self._polygon(_IMAGERY, frame), area),
            NO_IMAGERY: shapely.intersection(self._polygon(_EMPTY, frame), area),
            OUTSIDE: shapely.difference(frame, area),
        }
        return _coverage(plan, geometries, {NO_IMAGERY: "nodata"})

    def _spans(self, tile: Tile) -> tuple[Span, Span]:
        """The cells that a tile sees: along the columns of the raster, and along its rows."""
        return (
            _span(self._edges_y, tile.y, tile.height),
            _span(self._edges_x, tile.x, tile.width),
        )

    def _polygon(self, state: int, frame: shapely.Geometry) -> shapely.Geometry:
        """The cells of one state, dissolved."""
        chosen = (self._state == state).astype(np.uint8)
        scale = Affine.scale(self.cell_px)
        shapes = rasterio.features.shapes(chosen, mask=chosen > 0, transform=scale)
        outlines = [shapely.geometry.shape(outline) for outline, _ in shapes]
        return shapely.intersection(shapely.union_all(outlines), frame)  # the last cells stick out


def unread_coverage(plan: RasterPlan, reason: str) -> RasterCoverage:
    """Return the coverage of a raster that could not be read to the end: none of it counts."""
    frame, area = _frame(plan)
    geometries = {NOT_READ: area, OUTSIDE: shapely.difference(frame, area)}
    return _coverage(plan, geometries, {NOT_READ: reason})


def coverage_table(coverage: Sequence[RasterCoverage], crs: CRS | None = None) -> gpd.GeoDataFrame:
    """The ground of all rasters as a layer.

    Args:
        coverage: As ``predict`` leaves it in its ``RunSummary``.
        crs: CRS of the layer; by default the CRS of the first raster.

    Returns:
        For each raster one row per status that occurs, with

        - ``raster`` str
        - ``status`` str: "searched", "no imagery", "outside the area of interest" (nothing was
          searched there) or "not read"
        - ``reason`` str: "nodata" (which stands for masks and transparency too), or the error
        - ``area_m2`` float64: true ground area; NaN without a CRS
        - ``gsd_m``, ``working_gsd_m`` float64: true size of the raster's pixels, and of those
          worked on
        - ``geometry``: polygon or multipolygon. Imagery is told from nodata to a 16th of a tile;
          other limits are exact.

    Raises:
        GeoreferenceError: Some rasters have a CRS and others none.
    """
    if len({one.grid.crs is None for one in coverage}) > 1:
        raise GeoreferenceError(
            "some rasters have a CRS and others have none, so they share no map; "
            "set `src_crs`, or run them separately"
        )
    first = coverage[0].grid.crs if coverage else None
    target = None if first is None else horizontal_crs(crs or first)
    rows = [(one, part) for one in coverage for part in one.regions]
    geometry = np.concatenate(
        [np.empty(0, dtype=object), *(_on_map(one, target) for one in coverage)]
    )
    values = {
        "raster": [one.raster for one, _ in rows],
        "status": [part.status for _, part in rows],
        "reason": [part.reason for _, part in rows],
        "area_m2": np.round(ground_areas_m2(geometry, target), 1),
        "gsd_m": [_rounded(one.gsd_m) for one, _ in rows],
        "working_gsd_m": [_rounded(one.grid.gsd_m) for one, _ in rows],
    }
    typed = {name: pd.Series(values[name], dtype=dtype) for name, dtype in _DTYPES.items()}
    return gpd.GeoDataFrame(typed, geometry=gpd.array.from_shapely(geometry, crs=target))


def _edges(length: int, cell_px: int) -> IntArray:
    """Edges of the cells along one axis; the last cell may be smaller."""
    return np.append(np.arange(0, length, cell_px), length)


def _span(edges: IntArray, start: int, length: int) -> Span:
    """The cells that a tile sees along one axis.

    Returns:
        The cells, where in the tile each begins, and whether the tile sees its centre.
    """
    first = int(np.searchsorted(edges, start, side="right")) - 1
    last = int(np.searchsorted(edges, start + length, side="left"))
    begins = np.maximum(edges[first:last] - start, 0)
    centres = (edges[first:last] + edges[first + 1 : last + 1]) / 2
    return slice(first, last), begins, (start <= centres) & (centres < start + length)


def _frame(plan: RasterPlan) -> tuple[shapely.Geometry, shapely.Geometry]:
    """The whole raster and what of it was to be looked at, in pixels of the working grid."""
    frame = shapely.box(0, 0, plan.grid.width, plan.grid.height)
    if plan.area is None:
        return frame, frame
    return frame, shapely.intersection(shapely.make_valid(plan.area), frame)


def _coverage(
    plan: RasterPlan, geometries: Mapping[str, shapely.Geometry], reasons: Mapping[str, str]
) -> RasterCoverage:
    """Return the coverage from the geometry and the reason of each status."""
    regions = tuple(
        CoverageRegion(status, reasons.get(status, ""), _polygonal(geometry))
        for status, geometry in geometries.items()
        if geometry.area > 0
    )
    return RasterCoverage(plan.raster.name, plan.grid, plan.raster.grid.gsd_m, regions)


def _polygonal(geometry: shapely.Geometry) -> shapely.Geometry:
    """Without the lines and points that are left where polygons only touch."""
    pieces = shapely.get_parts(geometry)
    return shapely.union_all(pieces[shapely.get_dimensions(pieces) == 2])


def _on_map(one: RasterCoverage, target: CRS | None) -> ObjectArray:
    pixels = np.array([part.geometry for part in one.regions], dtype=object)
    on_map = np.asarray(shapely.transform(pixels, one.grid.to_map), dtype=object)
    if one.grid.crs is None or target is None:
        return on_map
    return reproject(densify(on_map, one.grid.crs), one.grid.crs, target)


def _rounded(gsd_m: float | None) -> float:
    return math.nan if gsd_m is None else round(gsd_m, 4)
