"""GeoTIFFs that benchmarks write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.windows import Window

from benchmarks.harness.paths import SAMPLE

BLOCK_PX = 512
BLOCKS: dict[str, Any] = {"tiled": True, "blockxsize": BLOCK_PX, "blockysize": BLOCK_PX}


def write_raster(
    file: Path,
    pixels: np.ndarray,
    *,
    crs: Any,
    transform: Any,
    mask: np.ndarray | None = None,
    **options: Any,
) -> Path:
    """Write a GeoTIFF; return the file.

    Args:
        file: To write.
        pixels: ``[bands, H, W]``.
        crs: As rasterio takes it.
        transform: Affine transform from pixels to the CRS.
        mask: ``uint8[H, W]``, written inside the file; None: all pixels are valid.
        options: Creation options of GDAL's GTiff driver.
    """
    count, height, width = pixels.shape
    profile = {"driver": "GTiff", "count": count, "height": height, "width": width}
    profile |= {"dtype": pixels.dtype, "crs": crs, "transform": transform}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(file, "w", **profile, **options) as target,
    ):
        target.write(pixels)
        if mask is not None:
            target.write_mask(mask)
    return file


def write_empty_raster(file: Path, width: int, height: int, *, crs: Any, transform: Any) -> Path:
    """Write a GeoTIFF of three bands whose blocks are absent from the file; return the file."""
    profile = {"driver": "GTiff", "count": 3, "height": height, "width": width, "dtype": np.uint8}
    profile |= {"crs": crs, "transform": transform, "photometric": "RGB"}
    with rasterio.open(file, "w", **profile, tiled=True, sparse_ok=True):
        return file


def write_window(source: Any, window: Window, file: Path, **options: Any) -> Path:
    """Write a window of an open raster as a GeoTIFF; return the file."""
    transform = source.window_transform(window)
    pixels = source.read(window=window)
    return write_raster(file, pixels, crs=source.crs, transform=transform, **options)


def repeat_sample(file: Path, side: int, *, in_strips: bool = False) -> Path:
    """Write the drawn sample mirrored repeatedly until it fills a square; return the file.

    Args:
        file: To write.
        side: Of the square in pixels.
        in_strips: Store row by row instead of in blocks of 512 px.
    """
    with rasterio.open(SAMPLE) as sample:
        pixels, grid = sample.read(), {"crs": sample.crs, "transform": sample.transform}
    missing = [(0, max(0, side - size)) for size in pixels.shape[1:]]
    pixels = np.pad(pixels, [(0, 0), *missing], mode="symmetric")[:, :side, :side]
    blocks = {} if in_strips else BLOCKS
    return write_raster(file, pixels, **grid, **blocks, compress="deflate")


def size_text(raster: Path) -> str:
    """Return width and height of a raster, for a title."""
    with rasterio.open(raster) as source:
        return f"{source.width} x {source.height} px"
