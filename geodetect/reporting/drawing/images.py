"""Raster pixels as images, and images as files and data URIs."""

from __future__ import annotations

import base64
import io
import math
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from geodetect.geo.grid import Grid
from geodetect.geo.tiles import Window
from geodetect.io.atomic import write_atomically
from geodetect.io.raster.reader import Pixels
from geodetect.types import FloatArray

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
QUALITY = 90  # of files in the lossy formats
BLOCK_PX = 512  # rows and columns that are read at once, which bounds the memory
WEBP = {"quality": 80, "method": 2}  # at half the size of JPEG; better methods take twice as long
OPAQUE = 255


class PixelSource(Protocol):
    """Raster to display, or several as a mosaic."""

    @property
    def name(self) -> str:
        """Name in titles."""

    @property
    def grid(self) -> Grid:
        """Grid of the pixels."""

    @property
    def imagery(self) -> FloatArray | None:
        """``float64[N, 4]`` boxes outside of which there is no imagery; None: not known."""

    def read(self, window: Window | None = None, grid: Grid | None = None) -> Pixels:
        """Read the pixels of a window of the grid, or of a resampled one."""


def read_image(raster: PixelSource, grid: Grid) -> Image.Image:
    """Read a whole raster as an RGBA image.

    Args:
        raster: An open raster with one or three bands, or several as a mosaic.
        grid: Its pixels in the resolution to read, which decides the memory that is used.

    Raises:
        RasterError: The pixels cannot be read.
    """
    image = Image.new("RGBA", (grid.width, grid.height))
    for y0 in range(0, grid.height, BLOCK_PX):
        for column, block in read_blocks(raster, grid, y0).items():
            image.paste(block, (column * BLOCK_PX, y0))
    return image


def read_blocks(raster: PixelSource, grid: Grid, y0: int) -> dict[int, Image.Image]:
    """Read ``BLOCK_PX`` rows from ``y0`` down as RGBA images as wide, by their column.

    Blocks without any valid pixel are left out.
    """
    height, blocks = min(BLOCK_PX, grid.height - y0), {}
    for column in _columns_with_imagery(raster, grid, y0):
        x0 = column * BLOCK_PX
        pixels = raster.read(Window(x0, y0, min(BLOCK_PX, grid.width - x0), height), grid)
        if pixels.valid.any():
            blocks[column] = rgba_image(pixels)
    return blocks


def _columns_with_imagery(raster: PixelSource, grid: Grid, y0: int) -> list[int]:
    """List the columns of blocks in a row of them that may hold imagery."""
    if raster.imagery is None:
        return list(range(math.ceil(grid.width / BLOCK_PX)))
    boxes = raster.imagery * np.tile(raster.grid.scale_to(grid), 2)
    boxes = boxes[(boxes[:, 1] <= y0 + BLOCK_PX + 1) & (boxes[:, 3] >= y0 - 1)]
    firsts = np.floor((np.maximum(boxes[:, 0], 1) - 1) / BLOCK_PX).astype(int)
    lasts = np.ceil((np.minimum(boxes[:, 2], grid.width - 1) + 1) / BLOCK_PX).astype(int)
    ranges = [range(*ends) for ends in zip(firsts.tolist(), lasts.tolist(), strict=True)]
    return sorted(set().union(*ranges))


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
