"""Small looks at a raster: its spread of values, and how its overviews were made."""

from __future__ import annotations

from typing import Any

import numpy as np
from rasterio.enums import Resampling
from rasterio.windows import Window

from geodetect.io.raster.bands import holds_value
from geodetect.types import AnyArray, BoolArray, FloatArray

SAMPLE_PX = 1024
LEAST_VALID = 0.01  # of the pixels of a sample
_PROBE_PX = 64
_PROBES = 4
_PLAIN = 0.5  # levels per pixel; most imagery shows the difference at the first place


def sample_windows(handle: Any) -> list[tuple[Window, tuple[int, int]]]:
    """Windows spread over a raster, each with the shape ``(height, width)`` to read it in.

    The whole raster where that is cheap (small, or with overviews), else 8 x 8 pieces of it.
    """
    width, height = handle.width, handle.height
    if handle.overviews(1) or width * height <= 16 * SAMPLE_PX**2:
        return [whole_window(handle)]
    columns, rows = (min(SAMPLE_PX // 8, side) for side in (width, height))
    places = [((width - columns) * x // 7, (height - rows) * y // 7)
              for y in range(8) for x in range(8)]  # fmt: skip
    return [(Window(x, y, columns, rows), (rows, columns)) for x, y in places]


def whole_window(handle: Any) -> tuple[Window, tuple[int, int]]:
    """All of a raster, and a shape ``(height, width)`` of at most ``SAMPLE_PX`` to read it in."""
    width, height = handle.width, handle.height
    scale = min(1.0, SAMPLE_PX / max(width, height))
    shape = max(1, round(height * scale)), max(1, round(width * scale))
    return Window(0, 0, width, height), shape


def values_in(values: AnyArray, valid: BoolArray, nodata: float | None) -> AnyArray:
    """The values of one band ``[H, W]`` where it holds some."""
    return values[valid & holds_value(values, nodata)]


def overviews_are_shifted(full: Any, overview: Any) -> bool:
    """Whether an overview holds picked pixels instead of averages of those it covers.

    Nearest-neighbour overviews, GDAL's default, hold the pixel at the upper left of each group,
    which moves everything by half a group. Found by comparing a few places with both.

    Args:
        full: Open dataset that reads without overviews.
        overview: The same dataset opened at its largest overview.
    """
    picked, averaged = 0.0, 0.0
    for window in _probes(overview):
        shape = int(window.height), int(window.width)
        there = Window(*_scaled(window, full, overview))
        seen = overview.read(1, window=window).astype(np.float64)
        mean = full.read(1, window=there, out_shape=shape, resampling=Resampling.average)
        picked += float(np.nansum(np.abs(_picked(full, overview, window) - seen)))
        averaged += float(np.nansum(np.abs(mean - seen)))
        if abs(picked - averaged) > seen.size * _PLAIN:
            break
    return picked < averaged


def _probes(overview: Any) -> list[Window]:
    """Places all over a raster, the central ones first."""
    columns, rows = (min(_PROBE_PX, side) for side in (overview.width, overview.height))
    steps = np.linspace(0, 1, _PROBES)
    places = sorted(
        ((x, y) for x in steps for y in steps), key=lambda p: np.hypot(p[0] - 0.5, p[1] - 0.5)
    )
    return [
        Window(int((overview.width - columns) * x), int((overview.height - rows) * y),
               columns, rows)
        for x, y in places
    ]  # fmt: skip


def _scaled(window: Window, full: Any, overview: Any) -> tuple[float, float, float, float]:
    x, y = full.width / overview.width, full.height / overview.height
    return window.col_off * x, window.row_off * y, window.width * x, window.height * y


def _picked(full: Any, overview: Any, window: Window) -> FloatArray:
    """What nearest-neighbour resampling, as GDAL does it for overviews, would have taken."""
    scale_x, scale_y = full.width / overview.width, full.height / overview.height
    x = (np.arange(window.col_off, window.col_off + window.width) * scale_x + 0.5).astype(int)
    y = (np.arange(window.row_off, window.row_off + window.height) * scale_y + 0.5).astype(int)
    x, y = np.minimum(x, full.width - 1), np.minimum(y, full.height - 1)
    block = full.read(1, window=Window(x[0], y[0], x[-1] - x[0] + 1, y[-1] - y[0] + 1))
    return np.asarray(block[np.ix_(y - y[0], x - x[0])], dtype=np.float64)
