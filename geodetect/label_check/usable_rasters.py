"""Rasters that a training can use: they open, have the bands and a CRS, and can be read."""

from __future__ import annotations

from geodetect.geo.tiles import Window
from geodetect.io.raster.reader import Raster, RasterOptions, open_raster

BANDS = 3  # input bands of a network
MOST_PROBED = 100  # rasters whose pixels are probed
PROBE_PX = 16


def open_usable(path: str, options: RasterOptions, *, probe: bool = True) -> Raster:
    """Open a raster that a training can use.

    Args:
        path: The file.
        options: Bands, value range and CRS as the user states them.
        probe: Read two small windows, the centre and the last pixels, which a truncated file lacks.

    Raises:
        InputError: It lacks the bands that a network takes, or its CRS cannot be used.
        RasterError: It cannot be opened or read.
    """
    raster = open_raster(path, options, needed_bands=BANDS)
    grid = raster.grid
    grid.gsd_xy_m  # noqa: B018 (raises where the CRS is not defined)
    if probe:
        width, height = min(PROBE_PX, grid.width), min(PROBE_PX, grid.height)
        with raster:  # reads open it, this closes it: a system has only so many open files
            for fraction in (0.5, 1.0):
                x = int((grid.width - width) * fraction)
                y = int((grid.height - height) * fraction)
                raster.read(Window(x, y, width, height))
    return raster
