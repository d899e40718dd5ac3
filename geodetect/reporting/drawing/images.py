"""Raster pixels as images, and images as files and data URIs."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from geodetect.geo.grid import Grid
from geodetect.geo.tiles import Window
from geodetect.io.atomic import write_atomically
from geodetect.io.raster.reader import Pixels, Raster

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
QUALITY = 90  # of files in the lossy formats
BLOCK_PX = 512  # rows and columns that are read at once, which bounds the memory
WEBP = {"quality": 80, "method": 2}  # at half the size of JPEG; better methods take twice as long
OPAQUE = 255


def read_image(raster: Raster, grid: Grid) -> Image.Image:
    """Read a whole raster as an RGBA image.

    Args:
        raster: An open raster with one or three bands.
        grid: Its pixels in the resolution to read, which decides the memory that is used.

    Raises:
        RasterError: The pixels cannot be read.
    """
    image = Image.new("RGBA", (grid.width, grid.height))
    for y0 in range(0, grid.height, BLOCK_PX):
        image.paste(read_strip(raster, grid, y0), (0, y0))
    return image


def read_strip(raster: Raster, grid: Grid, y0: int) -> Image.Image:
    """Read ``BLOCK_PX`` rows from ``y0`` down as an RGBA image as wide as the raster."""
    height = min(BLOCK_PX, grid.height - y0)
    strip = Image.new("RGBA", (grid.width, height))
    for x0 in range(0, grid.width, BLOCK_PX):
        width = min(BLOCK_PX, grid.width - x0)
        pixels = raster.read(Window(x0, y0, width, height), grid)
        strip.paste(rgba_image(pixels), (x0, 0))
    return strip


def rgba_image(pixels: Pixels) -> Image.Image:
    """Return pixels as an RGBA image: grey if they have one band, transparent where invalid."""
    values = pixels.values
    rgb = values[:3] if len(values) >= 3 else np.repeat(values[:1], 3, axis=0)
    alpha = pixels.valid[None].astype(np.uint8) * OPAQUE
    return Image.fromarray(np.moveaxis(np.concatenate([rgb, alpha]), 0, -1).copy())


def is_transparent(image: Image.Image) -> bool:
    """Return True if every pixel of an RGBA image is transparent."""
    return image.getchannel("A").getextrema()[1] == 0


def encode_webp(image: Image.Image) -> bytes:
    """Encode an RGBA image as WebP, without its alpha channel if it is opaque."""
    is_opaque = image.getchannel("A").getextrema()[0] == OPAQUE
    stream = io.BytesIO()
    (image.convert("RGB") if is_opaque else image).save(stream, "WEBP", **WEBP)
    return stream.getvalue()


def data_uri(content: bytes, media_type: str = "image/webp") -> str:
    """Return an encoded image as a ``data:`` URI, which embeds it in a page (RFC 2397)."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


def write_image(image: Image.Image, target: Path, *, overwrite: bool) -> None:
    """Write an image to a file, in one of ``FORMATS`` by its suffix.

    Raises:
        OutputError: The file exists, or cannot be written.
    """
    with write_atomically(target, overwrite=overwrite) as path:
        image.save(path, FORMATS[target.suffix.lower()], quality=QUALITY)
