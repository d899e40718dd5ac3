"""Pixels of a raster as pictures, read in pieces of bounded size."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from geodetect.geo.grid import Grid
from geodetect.geo.tiles import Tile
from geodetect.io.atomic import write_atomically
from geodetect.io.raster.reader import Pixels, Raster

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
QUALITY = 90  # of the formats that have one
PIECE_PX = 512
WEBP = {"quality": 80, "method": 2}  # at half the size of JPEG; better methods take twice as long
OPAQUE = 255


def picture(raster: Raster, grid: Grid) -> Image.Image:
    """The whole of a raster as an RGBA picture.

    Args:
        raster: An open raster with one or three bands.
        grid: Its pixels in the resolution that is wanted; they decide the memory that is used.

    Raises:
        RasterError: The pixels cannot be read.
    """
    canvas = Image.new("RGBA", (grid.width, grid.height))
    for y0 in range(0, grid.height, PIECE_PX):
        canvas.paste(strip(raster, grid, y0), (0, y0))
    return canvas


def strip(raster: Raster, grid: Grid, y0: int) -> Image.Image:
    """A row of pieces, from ``y0`` down, as an RGBA picture as wide as the raster."""
    height = min(PIECE_PX, grid.height - y0)
    canvas = Image.new("RGBA", (grid.width, height))
    for x0 in range(0, grid.width, PIECE_PX):
        width = min(PIECE_PX, grid.width - x0)
        pixels = raster.read(Tile(0, 0, 0, x0, y0, width, height), grid)
        canvas.paste(rgba(pixels), (x0, 0))
    return canvas


def rgba(pixels: Pixels) -> Image.Image:
    """Pixels as an RGBA picture: grey if they have one band, transparent where not valid."""
    values = pixels.values
    colours = values[:3] if len(values) >= 3 else np.repeat(values[:1], 3, axis=0)
    alpha = pixels.valid[None].astype(np.uint8) * OPAQUE
    return Image.fromarray(np.moveaxis(np.concatenate([colours, alpha]), 0, -1).copy())


def is_blank(image: Image.Image) -> bool:
    """Whether an RGBA picture is transparent all over."""
    return image.getchannel("A").getextrema()[1] == 0


def encoded(image: Image.Image) -> bytes:
    """An RGBA picture as WebP, without the alpha channel where it is opaque."""
    opaque = image.getchannel("A").getextrema()[0] == OPAQUE
    stream = io.BytesIO()
    (image.convert("RGB") if opaque else image).save(stream, "WEBP", **WEBP)
    return stream.getvalue()


def write_picture(image: Image.Image, target: Path, *, overwrite: bool) -> None:
    """Write a picture to a file.

    Args:
        image: The picture.
        target: One of ``FORMATS`` by its suffix.
        overwrite: Replace the file.

    Raises:
        OutputError: The file exists, or cannot be written.
    """
    with write_atomically(target, overwrite=overwrite) as path:
        image.save(path, FORMATS[target.suffix.lower()], quality=QUALITY)
