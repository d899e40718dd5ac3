"""Drawing surface: the pixels of a raster, or a blank map around objects."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import numpy as np
from affine import Affine
from pyproj import CRS

from geodetect.errors import InputError
from geodetect.geo.geodesic import ground_distances_m
from geodetect.geo.grid import Grid
from geodetect.io.array_raster import ArrayRaster
from geodetect.io.raster.open_raster import open_raster
from geodetect.io.raster.reader import Raster, RasterOptions
from geodetect.reporting.drawing.images import PixelSource
from geodetect.settings import DrawingSettings
from geodetect.types import FloatArray

SQUARE_TOLERANCE = 1.02  # pixels whose width and height differ by less are drawn as squares
MARGIN = 0.04  # around the objects of a blank map, as a fraction of their extent
OBJECT_PX = 24  # size of the median object on a blank map: pixels are finer than its details
MAX_SIDE_PX, POINTS_SIDE_PX = 2**20, 2**12  # longest side of a blank map, of boxes and of points
MIN_PIXEL_M = 1e-3  # finer pixels could not be measured on the ground
METRE_DEG = 1e-5  # about a metre, in degrees of latitude


@dataclass(frozen=True)
class Canvas:
    """Pixels that are square on the ground; everything is drawn in their coordinates.

    Args:
        grid: Size and georeference. Rotated and sheared rasters are drawn as they are stored.
        raster: Open raster to draw on, or several as a mosaic; None: a blank map.
    """

    grid: Grid
    raster: PixelSource | None = None

    @classmethod
    def from_bounds(cls, bounds: FloatArray, crs: CRS | None) -> Canvas:
        """Return a blank north-up map around boxes.

        Args:
            bounds: ``float64[N, 4]`` x1, y1, x2, y2 on the map; without a CRS in pixel columns and
                rows, y down.
            crs: CRS of the map, or None.

        Raises:
            InputError: There are no boxes.
        """
        if len(bounds) == 0:
            raise InputError("there are no predictions to show; set `raster` to show the imagery")
        low, high = bounds[:, :2].min(axis=0), bounds[:, 2:].max(axis=0)
        extent = float((high - low).max())
        object_size = float(np.median((bounds[:, 2:] - bounds[:, :2]).max(axis=1)))
        metre = METRE_DEG if crs and crs.is_geographic else 1.0
        finest = object_size / OBJECT_PX if object_size else extent / POINTS_SIDE_PX
        pixel = max(max(extent / MAX_SIDE_PX, finest) or metre, MIN_PIXEL_M * metre)
        margin = max(extent * MARGIN, 2 * object_size, OBJECT_PX * pixel)
        low, high = low - margin, high + margin
        width, height = np.ceil((high - low) / pixel).astype(int).tolist()
        north_up = Affine(pixel, 0, float(low[0]), 0, -pixel, float(high[1]))
        y_down = Affine(pixel, 0, float(low[0]), 0, pixel, float(low[1]))
        grid = Grid(crs, y_down if crs is None else north_up, width, height)
        return cls(resample_to_square_pixels(grid))

    @property
    def size(self) -> FloatArray:
        """Columns and rows, ``float64[2]``."""
        return np.array([self.grid.width, self.grid.height], dtype=np.float64)

    def sample_gsd_m(self, count: int) -> FloatArray | None:
        """Return the ground size of a pixel at ``count`` x ``count`` points, corner to corner.

        Returns:
            ``float64[count, count]`` in metres, rows from top to bottom; None without a CRS.
        """
        if self.grid.crs is None or self.grid.gsd_m is None:
            return None
        steps = np.linspace(0, 1, count)
        points = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2) * self.size
        sizes = []
        for step in ([0.5, 0.0], [0.0, 0.5]):
            ends = self.grid.to_map(points - step), self.grid.to_map(points + step)
            sizes.append(ground_distances_m(*ends, self.grid.crs))
        gsd_m = np.sqrt(np.prod(sizes, axis=0))
        is_valid = np.isfinite(gsd_m) & (gsd_m > 0)  # corners may lie beyond the area of the CRS
        return np.where(is_valid, gsd_m, self.grid.gsd_m).reshape(count, count)


@dataclass(frozen=True)
class RasterCanvas(Canvas):
    """A canvas with imagery."""

    raster: PixelSource

    @classmethod
    def from_raster(cls, raster: PixelSource) -> RasterCanvas:
        """Return the pixels of a raster, made square on the ground."""
        return cls(resample_to_square_pixels(raster.grid), raster)


def resample_to_square_pixels(grid: Grid) -> Grid:
    """Return a grid of the same extent whose pixels are square on the ground.

    The longer side of the pixels is divided, so that no detail is lost.
    """
    if grid.gsd_xy_m is None:
        return grid
    ratio = grid.gsd_xy_m[0] / grid.gsd_xy_m[1]
    if 1 / SQUARE_TOLERANCE < ratio < SQUARE_TOLERANCE:
        return grid
    return grid.resampled(max(ratio, 1.0), max(1 / ratio, 1.0))


def open_for_display(path: str | os.PathLike[str], settings: DrawingSettings) -> Raster:
    """Open a raster for display: red, green and blue, or its first band as grey.

    Bands and scaling follow the rules of detection. The first three bands are displayed if the
    raster does not state its colour interpretation.

    Raises:
        RasterError: It cannot be opened.
        GeoreferenceError: It has no georeference, and the settings state none.
        BandError: It lacks a band that the settings name.
    """
    options = RasterOptions(
        settings.bands,
        settings.value_range,
        settings.src_crs,
        settings.pixel_coords,
        settings.external_sources,
        pixels_allowed=isinstance(path, ArrayRaster),
    )
    raster = open_raster(path, options)
    bands = raster.bands[:3] if len(raster.bands) >= 3 else raster.bands[:1]
    if bands == raster.bands:
        return raster
    return open_raster(path, replace(options, bands=bands))
