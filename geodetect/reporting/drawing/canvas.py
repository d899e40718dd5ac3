"""The plane things are drawn on: the pixels of a raster, or plain ground around the objects."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from affine import Affine
from pyproj import CRS

from geodetect.errors import InputError
from geodetect.geo.grid import Grid, ground_distances_m
from geodetect.io.raster.reader import Raster, RasterOptions, open_raster
from geodetect.settings import PictureSettings
from geodetect.types import FloatArray

SQUARE = 1.02  # pixels whose sides differ by less are drawn as squares
MARGIN = 0.04  # of the extent, around objects without imagery
OBJECT_PX = 24  # the median object without imagery, so that a pixel is finer than any detail
MOST_PX, POINTS_PX = 2**20, 2**12  # longest side around objects, and around mere points
FINEST_M = 1e-3  # finer pixels could not be measured on the ground
METRE_DEG = 1e-5


@dataclass(frozen=True)
class Frame:
    """Pixels that are square on the ground, in which everything is drawn.

    Args:
        grid: They on the map. Rotated and sheared rasters are drawn as they are stored.
        raster: The open raster below; None: plain ground.
    """

    grid: Grid
    raster: Raster | None = None

    @property
    def size(self) -> FloatArray:
        """Columns and rows, ``float64[2]``."""
        return np.array([self.grid.width, self.grid.height], dtype=np.float64)

    def gsd_lattice_m(self, count: int) -> FloatArray | None:
        """Ground size of a pixel at ``count`` x ``count`` places from corner to corner.

        Returns:
            ``float64[count, count]`` in metres, rows from top to bottom; None without a CRS.
        """
        if self.grid.crs is None or self.grid.gsd_m is None:
            return None
        steps = np.linspace(0, 1, count)
        places = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2) * self.size
        sizes = []
        for step in ([0.5, 0.0], [0.0, 0.5]):
            ends = self.grid.to_map(places - step), self.grid.to_map(places + step)
            sizes.append(ground_distances_m(*ends, self.grid.crs))
        gsd_m = np.sqrt(np.prod(sizes, axis=0))
        known = np.isfinite(gsd_m) & (gsd_m > 0)  # corners may lie beyond what the CRS covers
        return np.where(known, gsd_m, self.grid.gsd_m).reshape(count, count)


@dataclass(frozen=True)
class RasterFrame(Frame):
    """A frame that has imagery."""

    raster: Raster


def raster_frame(raster: Raster) -> RasterFrame:
    """The pixels of a raster, made square on the ground."""
    return RasterFrame(square_pixels(raster.grid), raster)


def plain_frame(bounds: FloatArray, crs: CRS | None) -> Frame:
    """North-up ground around boxes.

    Args:
        bounds: ``float64[N, 4]`` x1, y1, x2, y2 on the map; without a CRS in pixel columns and
            rows, y down.
        crs: CRS of the map, or None.

    Raises:
        InputError: There are no boxes.
    """
    if len(bounds) == 0:
        raise InputError("there are no objects, so without --raster there is nothing to show")
    low, high = bounds[:, :2].min(axis=0), bounds[:, 2:].max(axis=0)
    typical = float(np.median((bounds[:, 2:] - bounds[:, :2]).max(axis=1)))
    extent = float((high - low).max())
    metre = METRE_DEG if crs and crs.is_geographic else 1.0
    wanted = max(extent / MOST_PX, typical / OBJECT_PX if typical else extent / POINTS_PX)
    pixel = max(wanted or metre, FINEST_M * metre)
    border = max(extent * MARGIN, 2 * typical, OBJECT_PX * pixel)
    low, high = low - border, high + border
    width, height = np.ceil((high - low) / pixel).astype(int).tolist()
    north_up = Affine(pixel, 0, float(low[0]), 0, -pixel, float(high[1]))
    y_down = Affine(pixel, 0, float(low[0]), 0, pixel, float(low[1]))
    grid = Grid(crs, y_down if crs is None else north_up, width, height)
    return Frame(square_pixels(grid))


def square_pixels(grid: Grid) -> Grid:
    """The same ground in pixels whose sides are equally long on the ground.

    The longer side is cut, so nothing that can be seen is lost.
    """
    if grid.gsd_xy_m is None:
        return grid
    ratio = grid.gsd_xy_m[0] / grid.gsd_xy_m[1]
    if 1 / SQUARE < ratio < SQUARE:
        return grid
    return grid.resampled(max(ratio, 1.0), max(1 / ratio, 1.0))


def open_to_show(path: str | os.PathLike[str], settings: PictureSettings) -> Raster:
    """Open a raster for pictures: red, green and blue, or its first band as grey.

    Bands and scaling follow the rules of detection. Of a raster that does not name its colours,
    the first three bands are shown.

    Raises:
        RasterError: It cannot be opened.
        GeoreferenceError: It has no georeference and none was given.
        BandError: It lacks a band that was asked for.
    """
    limits, crs, pixels = settings.value_range, settings.src_crs, settings.pixel_coords
    raster = open_raster(path, RasterOptions(settings.bands, limits, crs, pixels))
    shown = raster.bands[:3] if len(raster.bands) >= 3 else raster.bands[:1]
    if shown == raster.bands:
        return raster
    return open_raster(path, RasterOptions(shown, limits, crs, pixels))
