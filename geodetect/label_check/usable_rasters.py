"""Rasters that a training can use: they open, have the bands and a CRS, and can be read."""

from __future__ import annotations

from collections.abc import Sequence

from geodetect.errors import InputError, RasterError
from geodetect.geo.tiles import Window
from geodetect.io.raster.reader import Raster, RasterOptions, open_raster

BANDS = 3  # that a network takes
MOST_PROBED = 100  # rasters of which pixels are read
PROBE_PX = 16


def open_rasters(
    paths: Sequence[str], options: RasterOptions
) -> tuple[list[Raster], dict[str, str]]:
    """Open the rasters that a training can use, and read a few pixels of each.

    Args:
        paths: Files; one that is named twice is opened once.
        options: Bands, value range and CRS as the user states them.

    Returns:
        The rasters, and the reason for each file that was left out, by path.

    Raises:
        InputError: None can be used: the error of the first.
        RasterError: Likewise.
    """
    opened: list[Raster] = []
    left_out: dict[str, str] = {}
    first_error: InputError | RasterError | None = None
    for path in dict.fromkeys(paths):
        try:
            opened.append(open_usable(path, options, probe=len(opened) < MOST_PROBED))
        except (InputError, RasterError) as error:
            first_error = first_error or error
            left_out[path] = str(error)
    if not opened and first_error is not None:
        raise first_error
    return opened, left_out


def open_usable(path: str, options: RasterOptions, *, probe: bool = True) -> Raster:
    """Open a raster that a training can use.

    Args:
        path: The file.
        options: Bands, value range and CRS as the user states them.
        probe: Read two small windows, the centre and the last pixels, which a truncated file lacks.

    Raises:
        InputError: It has not the bands that a network takes, or a CRS that cannot be used.
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
