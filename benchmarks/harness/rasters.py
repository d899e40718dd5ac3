"""GeoTIFFs that benchmarks write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.windows import Window

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
