"""Samples of a raster's values, and a check of the resampling of its overviews."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from rasterio.enums import Resampling
from rasterio.windows import Window

SAMPLE_PX = 1024
MIN_VALID_FRACTION = 0.01  # of the pixels of a sample
_PROBE_PX = 64
_PROBES_PER_SIDE = 4
_DECISIVE = 0.5  # levels per pixel; most imagery shows the difference in the first probe

SampleWindow = tuple[Window, tuple[int, int]]  # window, and shape (height, width) of its pixels


def sample_windows(dataset: Any) -> list[SampleWindow]:
    """Return windows spread over a raster: all of it where that is cheap, else a grid of 8 x 8.

    It is cheap for small rasters and for those with overviews.
    """
    width, height = dataset.width, dataset.height
    if dataset.overviews(1) or width * height <= 16 * SAMPLE_PX**2:
        return [whole_window(dataset)]
    columns, rows = (min(SAMPLE_PX // 8, side) for side in (width, height))
    corners = [((width - columns) * x // 7, (height - rows) * y // 7)
               for y in range(8) for x in range(8)]  # fmt: skip
    return [(Window(x, y, columns, rows), (rows, columns)) for x, y in corners]


def whole_window(dataset: Any) -> SampleWindow:
    """Return the window of a whole raster, to be read in at most ``SAMPLE_PX`` a side."""
    width, height = dataset.width, dataset.height
    scale = min(1.0, SAMPLE_PX / max(width, height))
    shape = max(1, round(height * scale)), max(1, round(width * scale))
    return Window(0, 0, width, height), shape


def overviews_are_shifted(full: Any, overview: Any) -> bool:
    """Return True if an overview holds picked pixels instead of averages of those it covers.

    Nearest-neighbour overviews, GDAL's default, hold the pixel at the upper left of each group,
    which moves everything by half a group. A few windows are compared with both.

    Args:
        full: Open dataset that reads without overviews.
        overview: The same dataset opened at its largest overview.
    """
    scale_x, scale_y = full.width / overview.width, full.height / overview.height
    picked, averaged = 0.0, 0.0  # differences of the overview from either resampling
    columns, rows = min(_PROBE_PX, overview.width), min(_PROBE_PX, overview.height)
    steps = np.linspace(0, 1, _PROBES_PER_SIDE)
    places = sorted(product(steps, steps), key=lambda p: np.hypot(p[0] - 0.5, p[1] - 0.5))
    for x_fraction, y_fraction in places:  # central windows first
        left = int((overview.width - columns) * x_fraction)
        top = int((overview.height - rows) * y_fraction)
        window = Window(left, top, columns, rows)
        stored = overview.read(1, window=window).astype(np.float64)
        in_full = Window(window.col_off * scale_x, window.row_off * scale_y,
                         window.width * scale_x, window.height * scale_y)  # fmt: skip
        mean = full.read(1, window=in_full, out_shape=stored.shape, resampling=Resampling.average)
        # nearest neighbour as GDAL picks it for overviews
        x = (np.arange(window.col_off, window.col_off + window.width) * scale_x + 0.5).astype(int)
        y = (np.arange(window.row_off, window.row_off + window.height) * scale_y + 0.5).astype(int)
        x, y = np.minimum(x, full.width - 1), np.minimum(y, full.height - 1)
        block = full.read(1, window=Window(x[0], y[0], x[-1] - x[0] + 1, y[-1] - y[0] + 1))
        nearest = block[np.ix_(y - y[0], x - x[0])].astype(np.float64)
        picked += float(np.nansum(np.abs(nearest - stored)))
        averaged += float(np.nansum(np.abs(mean - stored)))
        if abs(picked - averaged) > stored.size * _DECISIVE:
            break
    return picked < averaged
