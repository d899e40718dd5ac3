"""Coverage of a run: searched and skipped areas, with reasons."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio.features
import shapely
from affine import Affine
from pyproj import CRS

from geodetect.detection.plan import GroundPlan
from geodetect.detection.run.cell_rows import UNKNOWN, CellRows
from geodetect.errors import GeoreferenceError
from geodetect.geo.crs import horizontal_crs
from geodetect.geo.geodesic import ground_areas_m2
from geodetect.geo.grid import Grid
from geodetect.geo.polygons import polygons_of
from geodetect.geo.reproject import densify, reproject
from geodetect.geo.tiles import Tile, TileScheme
from geodetect.io.raster.reader import Pixels
from geodetect.io.vector.qgis_style import GREEN, GREY, ORANGE, VERMILLION, Symbol, categorised_qml
from geodetect.types import BoolArray, FloatArray, IntArray, UInt8Array

SEARCHED = "searched"
NO_IMAGERY = "no imagery"
BLANK = "blank"
OUTSIDE = "outside the area of interest"
NOT_READ = "not read"
STATUSES = frozenset({SEARCHED, NO_IMAGERY, BLANK, OUTSIDE, NOT_READ})

CELLS_PER_TILE, MAX_CELL_PX = 28, 64
MIN_IMAGERY = 0.5  # smallest fraction of valid pixels of a cell with imagery
# sides of constant squares: larger than white roofs
MIN_BLANK_TILES, MIN_BLANK_PX, MAX_BLANK_PX = 0.5, 256, 512
_EMPTY, _IMAGERY, _CONSTANT, _UNREAD, _UNKNOWN = 0, 1, 2, 3, UNKNOWN
_STATUS_VALUES = {
    SEARCHED: _IMAGERY,
    NO_IMAGERY: _EMPTY,
    BLANK: _CONSTANT,
    NOT_READ: _UNREAD,
}
_REASONS = {NO_IMAGERY: "nodata", BLANK: "one constant value"}
COVERAGE_STYLE = categorised_qml(
    "status",
    {
        OUTSIDE: Symbol(GREY, line="dot", fill=0.15, casing=False),
        NO_IMAGERY: Symbol(ORANGE, line="dash", fill=0.25, casing=False),
        BLANK: Symbol(ORANGE, line="dot", fill=0.4, casing=False),
        NOT_READ: Symbol(VERMILLION, line="dash", fill=0.4, casing=False),
        SEARCHED: Symbol(GREEN, fill=0.08),
    },
)


@dataclass(frozen=True)
class CoverageRegion:
    """Area of one raster with one status.

    Args:
        status: ``SEARCHED``, ``NO_IMAGERY``, ``BLANK``, ``OUTSIDE`` or ``NOT_READ``.
        reason: Reason for it; empty if the status is enough.
        geometry: Polygons in pixels of the working grid.
    """

    status: str
    reason: str
    geometry: shapely.Geometry


@dataclass(frozen=True)
class RasterCoverage:
    """Searched and skipped areas of one raster, without those that an earlier one covers.

    Args:
        raster: Name of the raster.
        grid: Working grid of its ground.
        gsd_m: Ground resolution of the raster in metres; None: unknown.
        regions: Regions that cover this part of the raster without overlap.
    """

    raster: str
    grid: Grid
    gsd_m: float | None
    regions: tuple[CoverageRegion, ...]

    @property
    def blank_fraction(self) -> float:
        """Fraction of the imagery in the area of interest that is blank."""
        areas = {region.status: region.geometry.area for region in self.regions}
        blank = areas.get(BLANK, 0.0)
        return blank / (blank + areas.get(SEARCHED, 0.0)) if blank else 0.0


class ImageryMask:
    """Coarse mask of the imagery of a ground, filled tile by tile.

    Its cells are squares with a 28th of the side of a tile, at most 64 px. They hold no imagery,
    imagery, imagery of a constant value, or could not be read. Squares of half a tile and 256 px,
    at most 512 px, of a constant value are blank: a lost mask, not ground.

    Args:
        scheme: Tiles of the ground.
    """

    def __init__(self, scheme: TileScheme) -> None:
        tile_px = min(scheme.tile_px, max(scheme.width, scheme.height))
        self.cell_px = max(1, min(tile_px // CELLS_PER_TILE, MAX_CELL_PX))
        # edges of the cells along each axis; the last cell may be smaller
        self._edges_x = np.append(np.arange(0, scheme.width, self.cell_px), scheme.width)
        self._edges_y = np.append(np.arange(0, scheme.height, self.cell_px), scheme.height)
        self._rows_of_tiles = scheme.rows
        self._cells = CellRows((len(self._edges_y) - 1, len(self._edges_x) - 1))
        blank_px = max(MIN_BLANK_PX, min(tile_px * MIN_BLANK_TILES, MAX_BLANK_PX))
        self._blank_cells = max(1, math.floor(blank_px / self.cell_px))

    def cell_states(self, tile: Tile, pixels: Pixels | None) -> UInt8Array:
        """Return the states of the cells of a tile: imagery if at least half of a cell is.

        Args:
            tile: The tile.
            pixels: Its pixels; None: it has no imagery.

        Returns:
            ``uint8[rows, columns]`` of the cells that the tile touches.
        """
        _, starts_y, _ = _cell_span(self._edges_y, tile.y, tile.height)
        _, starts_x, _ = _cell_span(self._edges_x, tile.x, tile.width)
        states = np.full((len(starts_y), len(starts_x)), _IMAGERY, np.uint8)
        if pixels is None:
            states[:] = _EMPTY
            return states
        if pixels.constant is not None:
            in_rows = np.logical_and.reduceat(pixels.constant, starts_y, axis=0)
            states[np.logical_and.reduceat(in_rows, starts_x, axis=1)] = _CONSTANT
        if not pixels.valid.all():
            by_row = np.add.reduceat(pixels.valid, starts_y, axis=0, dtype=np.int32)
            count = np.add.reduceat(by_row, starts_x, axis=1)
            heights = np.diff(np.append(starts_y, tile.height))
            widths = np.diff(np.append(starts_x, tile.width))
            is_empty = count < MIN_IMAGERY * np.outer(heights, widths)
            states[is_empty] = _EMPTY
            if pixels.unread is not None:
                rows = np.logical_or.reduceat(pixels.unread, starts_y, axis=0)
                states[is_empty & np.logical_or.reduceat(rows, starts_x, axis=1)] = _UNREAD
        return states

    def update(self, tile: Tile, states: UInt8Array) -> None:
        """Set the cells of a tile; the last tile that holds the centre of a cell decides it.

        Args:
            tile: The tile.
            states: States of its cells, see ``cell_states``.
        """
        rows, _, y_in_tile = _cell_span(self._edges_y, tile.y, tile.height)
        columns, _, x_in_tile = _cell_span(self._edges_x, tile.x, tile.width)
        state = self._cells.read(rows, columns)
        is_updated = np.outer(y_in_tile, x_in_tile) | (state == _UNKNOWN)
        self._cells.write(rows, columns, np.where(is_updated, states, state))

    def close_above(self, row: int) -> None:
        """Compress the cells that only tiles above a row of tiles have, after their updates."""
        cells, _, _ = _cell_span(self._edges_y, self._rows_of_tiles[row], 1)
        self._cells.close_above(cells.start)

    def has_imagery_at(self, points: FloatArray) -> BoolArray:
        """Return ``bool[N]``, True for points ``float64[N, 2]`` in pixels on imagery."""
        state = self._cells.at(np.floor(points / self.cell_px).astype(np.int64))
        return np.asarray((state == _IMAGERY) | (state == _CONSTANT))

    def to_coverage(self, plan: GroundPlan) -> tuple[RasterCoverage, ...]:
        """Return the coverage of each raster, after an update with each tile of the ground."""
        parts = dict(enumerate(visible_parts(plan)))
        regions_of = {
            number: self._regions_of(part, plan.area)
            # from top to bottom, as rows of cells are kept compressed
            for number, part in sorted(parts.items(), key=lambda item: item[1].bounds[1:2])
            if part.area > 0
        }
        coverage = []
        for number, regions in sorted(regions_of.items()):
            reasons = _REASONS | {NOT_READ: plan.ground.failures.get(number, "")}
            raster = plan.ground.rasters[number]
            coverage.append(
                RasterCoverage(
                    raster.name,
                    plan.grid,
                    raster.grid.gsd_m,
                    tuple(
                        CoverageRegion(status, reasons.get(status, ""), geometry)
                        for status, geometry in regions.items()
                    ),
                )
            )
        return tuple(coverage)

    def _final_states(self, rows: slice, columns: slice) -> UInt8Array:
        """Return the states of a window of cells, in which only large constant areas are blank."""
        height, width = (min(self._blank_cells, n) for n in self._cells.shape)
        first_row, first_col = max(0, rows.start - height + 1), max(0, columns.start - width + 1)
        around = self._cells.read(
            slice(first_row, rows.stop + height - 1), slice(first_col, columns.stop + width - 1)
        )
        window = np.s_[
            rows.start - first_row : rows.stop - first_row,
            columns.start - first_col : columns.stop - first_col,
        ]
        state = around[window].copy()
        state[state == _CONSTANT] = _IMAGERY
        state[state == _UNKNOWN] = _EMPTY  # tiles that no source of a VRT covers
        state[_open_mask(around == _CONSTANT, height, width)[window]] = _CONSTANT
        return state

    def _regions_of(
        self, part: shapely.Geometry, area: shapely.Geometry | None
    ) -> dict[str, shapely.Geometry]:
        """Return the polygons of each status that occurs in a part of the ground."""
        inside = part
        if area is not None:
            inside = shapely.intersection(shapely.make_valid(area), part)
        x1, y1, x2, y2 = part.bounds
        first_row, first_col = int(y1 // self.cell_px), int(x1 // self.cell_px)
        columns = slice(first_col, math.ceil(x2 / self.cell_px))
        shapes: dict[str, list[shapely.Geometry]] = {status: [] for status in _STATUS_VALUES}
        for rows in self._cells.bands(first_row, math.ceil(y2 / self.cell_px)):
            state = self._final_states(rows, columns)
            # the last cells extend beyond the ground
            transform = Affine.scale(self.cell_px) @ Affine.translation(first_col, rows.start)
            for status, value in _STATUS_VALUES.items():
                mask = state == value
                if mask.any():
                    shapes[status] += [
                        shapely.geometry.shape(shape)
                        for shape, _ in rasterio.features.shapes(
                            mask.astype(np.uint8), mask=mask, transform=transform
                        )
                    ]
        regions = {
            status: polygons_of(shapely.intersection(shapely.union_all(cells), inside))
            for status, cells in shapes.items()
            if cells
        }
        if area is not None:
            regions[OUTSIDE] = polygons_of(shapely.difference(part, inside))
        return {status: region for status, region in regions.items() if region.area > 0}


def common_crs(crs_of_rasters: Iterable[CRS | None], crs: CRS | None = None) -> CRS | None:
    """Return ``crs`` or by default the CRS of the first raster; None for pixel coordinates.

    Raises:
        GeoreferenceError: Some rasters have a CRS and others none.
    """
    each_crs = list(crs_of_rasters)
    if len({raster_crs is None for raster_crs in each_crs}) > 1:
        raise GeoreferenceError(
            "some rasters have a CRS and others have none, so they share no map; "
            "set `src_crs`, or run them separately"
        )
    first = each_crs[0] if each_crs else None
    return first and (crs or first)


def coverage_table(coverage: Sequence[RasterCoverage], crs: CRS | None = None) -> gpd.GeoDataFrame:
    """Return the coverage of all rasters as a table.

    Args:
        coverage: Coverage of a ``DetectionLayer``.
        crs: CRS of the table; by default that of the first raster.

    Returns:
        For each raster one row per status that occurs, with

        - ``raster`` str
        - ``status`` str: "searched", "no imagery", "blank" (imagery of one constant value, as a
          lost mask leaves it), "outside the area of interest" (nothing was searched there) or "not
          read"
        - ``reason`` str: "nodata" (masks and transparency included), or the error
        - ``area_m2`` float64: true ground area; NaN without a CRS
        - ``gsd_m``, ``working_gsd_m`` float64: true size of the pixels of the raster and of its
          working grid
        - ``geometry``: polygon or multipolygon. Borders between imagery and nodata are exact to a
          28th of a tile (at most 64 px), all other borders are exact.

    Raises:
        GeoreferenceError: Some rasters have a CRS and others none.
    """
    target = common_crs((raster.grid.crs for raster in coverage), crs)
    target = target and horizontal_crs(target)
    geometries = [np.empty(0, dtype=object)]
    for raster in coverage:
        pixels = np.array([region.geometry for region in raster.regions], dtype=object)
        on_map = np.asarray(shapely.transform(pixels, raster.grid.to_map), dtype=object)
        if raster.grid.crs is not None and target is not None:
            on_map = reproject(densify(on_map, raster.grid.crs), raster.grid.crs, target)
        geometries.append(on_map)
    geometry = np.concatenate(geometries)
    rows = [(raster, region) for raster in coverage for region in raster.regions]
    columns = {
        "raster": pd.Series([raster.raster for raster, _ in rows], dtype=str),
        "status": pd.Series([region.status for _, region in rows], dtype=str),
        "reason": pd.Series([region.reason for _, region in rows], dtype=str),
        "area_m2": np.round(ground_areas_m2(geometry, target), 1),
        "gsd_m": np.round(np.array([raster.gsd_m for raster, _ in rows], np.float64), 4),
        "working_gsd_m": np.round(
            np.array([raster.grid.gsd_m for raster, _ in rows], np.float64), 4
        ),
    }
    return gpd.GeoDataFrame(columns, geometry=gpd.array.from_shapely(geometry, crs=target))


def _cell_span(edges: IntArray, start: int, length: int) -> tuple[slice, IntArray, BoolArray]:
    """Return the cells that a tile touches along one axis.

    Returns:
        Numbers of the cells; ``int64[N]`` pixel of the tile at which each begins; ``bool[N]`` True
        if its centre lies in the tile.
    """
    first = int(np.searchsorted(edges, start, side="right")) - 1
    last = int(np.searchsorted(edges, start + length, side="left"))
    starts = np.maximum(edges[first:last] - start, 0)
    centres = (edges[first:last] + edges[first + 1 : last + 1]) / 2
    return slice(first, last), starts, (start <= centres) & (centres < start + length)


def _open_mask(mask: BoolArray, height: int, width: int) -> BoolArray:
    """Return the morphological opening of a mask: the union of the rectangles that lie in it."""
    if not mask.any():
        return mask
    corners = _window_sums(mask, height, width) == height * width
    padded = np.pad(corners, ((height - 1, height - 1), (width - 1, width - 1)))
    return np.asarray(_window_sums(padded, height, width) > 0)


def _window_sums(mask: BoolArray, height: int, width: int) -> IntArray:
    """Return the number of True in each rectangle of a size, by its upper left corner."""
    sums = np.pad(mask.cumsum(0, np.int64).cumsum(1), ((1, 0), (1, 0)))
    by_column = sums[height:] - sums[:-height]
    return by_column[:, width:] - by_column[:, :-width]


def visible_parts(plan: GroundPlan) -> list[shapely.Geometry]:
    """Return the part of each raster that no earlier one covers, in pixels of the working grid."""
    ground, grid = plan.ground, plan.grid
    if len(ground.rasters) == 1:
        return [shapely.box(*grid.box)]
    scale = ground.grid.scale_to(grid)
    return list(shapely.transform(np.array(ground.visible_parts), lambda points: points * scale))
