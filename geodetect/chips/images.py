"""Georeferenced images of chips."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import rasterio
from rasterio.errors import NotGeoreferencedWarning

from geodetect.geo.grid import Grid
from geodetect.io.raster.reader import Pixels


@dataclass(frozen=True)
class ImageFormat:
    """Image format that GDAL writes.

    Args:
        driver: Name of GDAL's driver.
        options: Creation options of the driver.
        world_file: Suffix of the world file; None if the image itself holds the georeference.
    """

    driver: str
    options: Mapping[str, object] = field(default_factory=dict)
    world_file: str | None = None


IMAGE_FORMATS: Mapping[str, ImageFormat] = MappingProxyType(
    {
        "png": ImageFormat("PNG", world_file=".pgw"),
        "jpg": ImageFormat("JPEG", {"QUALITY": 95}, world_file=".jgw"),
        "tif": ImageFormat("GTiff", {"COMPRESS": "DEFLATE", "PREDICTOR": 2}),
    }
)


def write_image(path: Path, pixels: Pixels, grid: Grid) -> None:
    """Write a chip in the format of its suffix.

    PNG and JPEG get a world file, and GDAL adds an ``.aux.xml`` with the CRS and the exact
    transform. A GeoTIFF that is not valid everywhere has a mask inside; in the others such pixels
    are 0.

    Args:
        path: The file.
        pixels: Pixels of the chip.
        grid: Grid of the chip; without a CRS the image has no georeference.
    """
    image = IMAGE_FORMATS[path.suffix[1:]]
    profile = {
        "driver": image.driver,
        "dtype": "uint8",
        "count": len(pixels.values),
        "height": grid.height,
        "width": grid.width,
    }
    if grid.crs is not None:
        profile |= {"crs": grid.crs_wkt, "transform": grid.transform}
    with warnings.catch_warnings(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # of identity transforms too
        with rasterio.open(path, "w", **profile, **image.options) as target:
            target.write(pixels.values)
            if image.world_file is None and not pixels.valid.all():
                target.write_mask(pixels.valid)
    if (
        image.world_file is not None and grid.crs is not None
    ):  # Esri's format: the *centre* of the upper left pixel
        t = grid.transform
        x, y = t.c + (t.a + t.b) / 2, t.f + (t.d + t.e) / 2
        lines = "".join(f"{value!r}\n" for value in (t.a, t.d, t.b, t.e, x, y))
        path.with_suffix(image.world_file).write_text(lines)
