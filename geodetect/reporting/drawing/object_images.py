"""Chips: small pictures of single objects with their surroundings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from geodetect.geo.tiles import Tile
from geodetect.io.vector.qgis_style import Colour
from geodetect.reporting.drawing.canvas import Frame, RasterFrame
from geodetect.reporting.drawing.images import rgba
from geodetect.reporting.drawing.marks import PAPER, draw_outline
from geodetect.types import FloatArray

Outline = tuple[FloatArray, Colour]

SURROUNDINGS = 2.4  # side of a chip in longest sides of its object
LEAST_PX = 48  # side of a chip in pixels of the raster
LEAST_M = 12.0  # and on the ground


def chip_window(frame: Frame, box: FloatArray) -> FloatArray:
    """The square around an object that its chip shows, ``float64[4]`` in pixels of the frame."""
    longest = float(max(box[2] - box[0], box[3] - box[1]))
    least_ground_px = LEAST_M / (frame.grid.gsd_m or LEAST_M / LEAST_PX)
    half = max(SURROUNDINGS * longest, LEAST_PX, least_ground_px) / 2
    centre = (box[:2] + box[2:]) / 2
    return np.concatenate([centre - half, centre + half])


def chip(
    frame: RasterFrame, box: FloatArray, *, side_px: int, outlines: Sequence[Outline] = ()
) -> Image.Image:
    """A square picture with an object in its middle.

    Args:
        frame: The raster.
        box: ``float64[4]`` x1, y1, x2, y2 of the object in pixels of the frame.
        side_px: Side of the picture.
        outlines: Boxes in pixels of the frame, with their colours.

    Returns:
        An RGB picture, white where there is no imagery.

    Raises:
        RasterError: The pixels cannot be read.
    """
    window = chip_window(frame, box)
    scale = side_px / (window[2] - window[0])
    grid = frame.grid.resampled(scale, scale)
    scale_xy = np.array([grid.width, grid.height]) / frame.size
    corner = np.round(window[:2] * scale_xy).astype(int)
    start = np.maximum(corner, 0)
    stop = np.minimum(corner + side_px, [grid.width, grid.height])
    image = Image.new("RGB", (side_px, side_px), PAPER)
    if (start < stop).all():
        tile = Tile(0, 0, 0, *start.tolist(), *(stop - start).tolist())
        seen = rgba(frame.raster.read(tile, grid))
        image.paste(seen, tuple((start - corner).tolist()), seen)
    canvas = ImageDraw.Draw(image)
    for other, colour in outlines:
        shown = other * np.tile(scale_xy, 2) - np.tile(corner, 2)
        draw_outline(canvas, shown.tolist(), colour)
    return image


def outlines_near(
    frame: Frame, box: FloatArray, layers: Sequence[tuple[FloatArray, Colour]]
) -> list[Outline]:
    """The boxes that reach onto the chip of an object.

    Args:
        frame: The raster.
        box: ``float64[4]`` of the object in pixels of the frame.
        layers: Boxes ``float64[N, 4]``, each with the colour of theirs.
    """
    window = chip_window(frame, box)
    outlines: list[Outline] = []
    for boxes, colour in layers:
        reaches = (boxes[:, :2] < window[2:]) & (boxes[:, 2:] > window[:2])
        outlines += [(other, colour) for other in boxes[reaches.all(axis=1)]]
    return outlines
