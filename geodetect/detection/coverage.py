"""Searched ground of a run, skipped ground, and the reasons."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

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
COVERAGE_LAYER = "coverage"

CELLS_PER_TILE = 16
MAX_CELLS = 4_000_000  # of one raster, a byte each
MIN_IMAGERY = 0.5  # fraction of a cell with imagery from which on it counts as imagery
_UNKNOWN, _EMPTY, _IMAGERY = 0, 1, 2

_DTYPES: dict[str, type] = {
    "raster": str,
    "status": str,
    "reason": str,
    "area_m2": np.float64,
    "gsd_m": np.float64,
    "working_gsd_m": np.float64,
}
COVERAGE_STYLE = categorised_qml(
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
    """Ground of one raster with one status.

    Args:
        status: ``SEARCHED``, ``NO_IMAGERY``, ``OUTSIDE`` or ``NOT_READ``.
        reason: Reason, if the status does not tell it.
        geometry: Polygons in pixels of the working grid.
    """

    status: str
    reason: str
    geometry: shapely.Geometry


@dataclass(frozen=True)
class RasterCoverage:
    """Searched and skipped ground of one raster.

    Args:
        raster: Name of the raster.
        grid: Working grid.
        gsd_m: Ground size of the raster's pixels in metres; None: unknown.
        regions: All ground of the raster, without overlaps.
    """

    raster: str
    grid: Grid
    gsd_m: float | None
    regions: tuple[CoverageRegion, ...]


class ImageryMask:
    """Coarse mask of the imagery of a raster, filled tile by tile.

    Its square cells measure a 16th of a tile. Of a very large raster they are larger, so that there
    are never more than four million.

    Args:
        scheme: Tiles of the raster.
    """

    def __init__(self, scheme: TileScheme) -> None:
        side = min(scheme.tile_px, max(scheme.width, scheme.height))
        smallest = math.ceil(math.sqrt(scheme.width * scheme.height / MAX_CELLS))
        self.cell_px = max(1, side // CELLS_PER_TILE, smallest)
        # edges of the cells along each axis; the last cell may be smaller
        self._edges_x = np.append(np.arange(0, scheme.width, self.cell_px), scheme.width)
        self._edges_y = np.append(np.arange(0, scheme.height, self.cell_px), scheme.height)
        shape = len(self._edges_y) - 1, len(self._edges_x) - 1
        self._state = np.full(shape, _UNKNOWN, np.uint8)

    def cells_with_imagery(self, tile: Tile, valid: BoolArray | None) -> BoolArray:
        """Return True for the cells of a tile that hold imagery.

        Args:
            tile: The tile.
            valid: ``bool[H, W]`` valid pixels of the tile; None: it has none.

        Returns:
            ``bool[rows, columns]`` of the cells that the tile touches.
        """
        starts_y = _cell_span(self._edges_y, tile.y, tile.height).starts
        starts_x = _cell_span(self._edges_x, tile.x, tile.width).starts
        if valid is None or valid.all():
            return np.full((len(starts_y), len(starts_x)), valid is not None)
        by_row = np.add.reduceat(valid, starts_y, axis=0, dtype=np.int32)
        count = np.add.reduceat(by_row, starts_x, axis=1)
        heights = np.diff(np.append(starts_y, tile.height))
        widths = np.diff(np.append(starts_x, tile.width))
        return np.asarray(count >= MIN_IMAGERY * np.outer(heights, widths))

    def update(self, tile: Tile, cells: BoolArray) -> None:
        """Set the cells of a tile; of several tiles, the last that holds a cell's centre decides.

        Args:
            tile: The tile.
            cells: Cells of the tile, see ``cells_with_imagery``.
        """
        rows = _cell_span(self._edges_y, tile.y, tile.height)
        columns = _cell_span(self._edges_x, tile.x, tile.width)
        state = self._state[rows.cells, columns.cells]
        is_decided = np.outer(rows.has_centre, columns.has_centre) | (state == _UNKNOWN)
        state[is_decided] = np.where(cells, _IMAGERY, _EMPTY)[is_decided]

    def to_coverage(self, plan: RasterPlan) -> RasterCoverage:
        """Return the coverage of the raster, after an update with each of its tiles."""
        extent, area = _extent_and_area(plan)
        geometries = {
            SEARCHED: shapely.intersection(self._polygonize(_IMAGERY, extent), area),
            NO_IMAGERY: shapely.intersection(self._polygonize(_EMPTY, extent), area),
            OUTSIDE: shapely.difference(extent, area),
        }
        return _coverage(plan, geometries, {NO_IMAGERY: "nodata"})

    def _polygonize(self, state: int, extent: shapely.Geometry) -> shapely.Geometry:
        """Return the cells of one state, dissolved; the last cells stick out of the raster."""
        is_state = (self._state == state).astype(np.uint8)
        scale = Affine.scale(self.cell_px)
        shapes = rasterio.features.shapes(is_state, mask=is_state > 0, transform=scale)
        outlines = [shapely.geometry.shape(outline) for outline, _ in shapes]
        return shapely.intersection(shapely.union_all(outlines), extent)


def unread_coverage(plan: RasterPlan, reason: str) -> RasterCoverage:
    """Return the coverage of a raster that could not be read to the end: none of it counts."""
    extent, area = _extent_and_area(plan)
    geometries = {NOT_READ: area, OUTSIDE: shapely.difference(extent, area)}
    return _coverage(plan, geometries, {NOT_READ: reason})


def coverage_table(coverage: Sequence[RasterCoverage], crs: CRS | None = None) -> gpd.GeoDataFrame:
    """Return the coverage of all rasters as a layer.

    Args:
        coverage: Coverage of a ``DetectionLayer``.
        crs: CRS of the layer; by default the CRS of the first raster.

    Returns:
        For each raster one row per status that occurs, with

        - ``raster`` str
        - ``status`` str: "searched", "no imagery", "outside the area of interest" (nothing was
          searched there) or "not read"
        - ``reason`` str: "nodata" (which stands for masks and transparency too), or the error
        - ``area_m2`` float64: true ground area; NaN without a CRS
        - ``gsd_m``, ``working_gsd_m`` float64: true size of the pixels of the raster and of its
          working grid
        - ``geometry``: polygon or multipolygon. Limits between imagery and nodata are exact to a
          16th of a tile, others completely.

    Raises:
        GeoreferenceError: Some rasters have a CRS and others none.
    """
    if len({raster.grid.crs is None for raster in coverage}) > 1:
        raise GeoreferenceError(
            "some rasters have a CRS and others have none, so they share no map; "
            "set `src_crs`, or run them separately"
        )
    first = coverage[0].grid.crs if coverage else None
    target = None if first is None else horizontal_crs(crs or first)
    rows = [(raster, region) for raster in coverage for region in raster.regions]
    geometry = np.concatenate(
        [np.empty(0, dtype=object), *(_regions_on_map(raster, target) for raster in coverage)]
    )
    values = {
        "raster": [raster.raster for raster, _ in rows],
        "status": [region.status for _, region in rows],
        "reason": [region.reason for _, region in rows],
        "area_m2": np.round(ground_areas_m2(geometry, target), 1),
        "gsd_m": [_rounded(raster.gsd_m) for raster, _ in rows],
        "working_gsd_m": [_rounded(raster.grid.gsd_m) for raster, _ in rows],
    }
    typed = {name: pd.Series(values[name], dtype=dtype) for name, dtype in _DTYPES.items()}
    return gpd.GeoDataFrame(typed, geometry=gpd.array.from_shapely(geometry, crs=target))


class _CellSpan(NamedTuple):
    """Cells that a tile touches along one axis.

    Args:
        cells: Numbers of the cells.
        starts: ``int64[N]`` pixel of the tile at which each cell begins.
        has_centre: ``bool[N]`` the centre of the cell lies in the tile.
    """

    cells: slice
    starts: IntArray
    has_centre: BoolArray


def _cell_span(edges: IntArray, start: int, length: int) -> _CellSpan:
    first = int(np.searchsorted(edges, start, side="right")) - 1
    last = int(np.searchsorted(edges, start + length, side="left"))
    starts = np.maximum(edges[first:last] - start, 0)
    centres = (edges[first:last] + edges[first + 1 : last + 1]) / 2
    return _CellSpan(slice(first, last), starts, (start <= centres) & (centres < start + length))


def _extent_and_area(plan: RasterPlan) -> tuple[shapely.Geometry, shapely.Geometry]:
    """Return the raster and the area of interest inside it, in pixels of the working grid."""
    extent = shapely.box(*plan.grid.box)
    if plan.area is None:
        return extent, extent
    return extent, shapely.intersection(shapely.make_valid(plan.area), extent)


def _coverage(
    plan: RasterPlan, geometries: Mapping[str, shapely.Geometry], reasons: Mapping[str, str]
) -> RasterCoverage:
    """Return the coverage from the geometry and the reason of each status."""
    regions = []
    for status, geometry in geometries.items():
        if geometry.area > 0:  # without the lines and points where polygons only touch
            parts = shapely.get_parts(geometry)
            polygons = shapely.union_all(parts[shapely.get_dimensions(parts) == 2])
            regions.append(CoverageRegion(status, reasons.get(status, ""), polygons))
    raster = plan.raster
    return RasterCoverage(raster.name, plan.grid, raster.grid.gsd_m, tuple(regions))


def _regions_on_map(coverage: RasterCoverage, target: CRS | None) -> ObjectArray:
    pixels = np.array([region.geometry for region in coverage.regions], dtype=object)
    on_map = np.asarray(shapely.transform(pixels, coverage.grid.to_map), dtype=object)
    crs = coverage.grid.crs
    if crs is None or target is None:
        return on_map
    return reproject(densify(on_map, crs), crs, target)


def _rounded(gsd_m: float | None) -> float:
    return math.nan if gsd_m is None else round(gsd_m, 4)
