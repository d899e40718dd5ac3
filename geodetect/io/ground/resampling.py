"""Resampling of pixels in memory: to another resolution of their grid, or onto another grid."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from rasterio.io import MemoryFile
from rasterio.warp import reproject
from rasterio.windows import Window

from geodetect.io.raster.georeference import RESAMPLING
from geodetect.types import AnyArray, BoolArray, IntArray, UInt8Array

OPAQUE = 255
KERNEL_PX = 2  # radius of the cubic kernel, in pixels of the coarser grid
_EPSILON_PX = 1e-10  # GDAL's
_ANYWHERE = Affine.scale(2, -2)  # without a transform rasterio warns
_SAME_CRS = "EPSG:3857"  # any projected CRS: GDAL's warper asks for two, pixels are only resampled


def kernel_margin(pixels_per_px: float) -> int:
    """Return the pixels beyond a window that the kernel reaches, when it is resampled.

    Args:
        pixels_per_px: Pixels of the source for each pixel of the result.
    """
    return math.ceil(KERNEL_PX * max(pixels_per_px, 1.0)) + 2


def resample(
    values: AnyArray,
    valid: BoolArray,
    window: Window,
    shape: tuple[int, int],
    *,
    corner: tuple[int, int] = (0, 0),
    nodata: float | None = None,
) -> AnyArray:
    """Resample a window of pixels with a cubic kernel, widened when shrinking.

    GDAL does it as when it reads from a file, so the result equals that of one raster with these
    pixels, to the bit, if there is a ``kernel_margin`` around the window. An exception are pixels
    beside invalid ones where the kernel ends on a line of centres of the source: there GDAL's
    rounding of coordinates decides whether the invalid ones, of weight 0, count.

    Args:
        values: ``[C, H, W]``.
        valid: ``bool[H, W]``; other pixels do not count.
        window: In pixels; it may start and end within pixels.
        shape: Height and width of the result.
        corner: Column and row of the upper left of the values.
        nodata: Value of pixels that are not valid, which decides it for each band by itself; None:
            ``valid`` decides it.

    Returns:
        ``[C, *shape]``.
    """
    count, height, width = values.shape
    profile: dict[str, Any] = {"height": height, "width": width, "count": count}
    profile |= {"dtype": values.dtype, "nodata": nodata, "transform": _ANYWHERE}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), MemoryFile() as file:
        with file.open(driver="GTiff", **profile) as target:
            target.write(values)
            if nodata is None and not valid.all():
                target.write_mask(valid)
        with file.open() as source:
            x, y = window.col_off - corner[0], window.row_off - corner[1]
            return source.read(
                window=Window(x, y, window.width, window.height),
                out_shape=(count, *shape),
                resampling=RESAMPLING,
            )


def pick_nearest(
    array: AnyArray, window: Window, shape: tuple[int, int], *, corner: tuple[int, int] = (0, 0)
) -> AnyArray:
    """Return the nearest elements of ``[H, W]`` in a window that is resampled, as GDAL picks them.

    Args:
        array: Any array of two dimensions.
        window: As for ``resample``.
        shape: Height and width of the result.
        corner: Column and row of the upper left of the array.
    """
    rows = _nearest(window.row_off, window.height, shape[0]) - corner[1]
    columns = _nearest(window.col_off, window.width, shape[1]) - corner[0]
    height, width = array.shape
    return array[np.ix_(np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1))]


def pick_moved(mask: BoolArray, to_source: Affine, shape: tuple[int, int]) -> BoolArray:
    """Return the elements of a mask at the centres of the pixels of another grid.

    Args:
        mask: ``bool[H, W]``, False outside.
        to_source: Pixel coordinates of the result to those of the mask.
        shape: Height and width of the result.
    """
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    t = to_source
    columns = np.floor(t.a * x + t.b * y + t.c).astype(np.int64)
    rows = np.floor(t.d * x + t.e * y + t.f).astype(np.int64)
    height, width = mask.shape
    is_inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    picked = np.zeros(shape, bool)
    picked[is_inside] = mask[rows[is_inside], columns[is_inside]]
    return picked


def _nearest(start: float, length: float, count: int) -> IntArray:
    """Return the pixel at the centre of each of ``count`` parts of a stretch of an axis.

    Like GDAL it adds up steps, whose rounding decides where a centre lies between two pixels.
    """
    steps = np.full(count, length / count)
    steps[0] = start + 0.5 * steps[0] + _EPSILON_PX
    return np.floor(np.cumsum(steps)).astype(np.int64)


def move(
    values: UInt8Array, valid: BoolArray, to_source: Affine, shape: tuple[int, int]
) -> tuple[UInt8Array, BoolArray]:
    """Interpolate pixels onto another grid of about the same resolution, with a cubic kernel.

    Args:
        values: ``uint8[C, H, W]``.
        valid: ``bool[H, W]``; what is not valid does not mix with other pixels.
        to_source: Pixel coordinates of the result to those of the values.
        shape: Height and width of the result.

    Returns:
        ``uint8[C, *shape]`` and ``bool[*shape]``, True for pixels whose centre is valid.
    """
    alpha = len(values) + 1
    bands = np.concatenate([values, np.where(valid, OPAQUE, 0).astype(np.uint8)[None]])
    moved = np.zeros((alpha, *shape), np.uint8)
    reproject(
        bands,
        moved,
        src_transform=Affine.identity(),
        dst_transform=to_source,
        src_crs=_SAME_CRS,
        dst_crs=_SAME_CRS,
        resampling=RESAMPLING,
        src_alpha=alpha,
        dst_alpha=alpha,
    )
    return moved[:-1], moved[-1] > OPAQUE // 2
