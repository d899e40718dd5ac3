"""Thumbnails: small square images of single objects with their surroundings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from geodetect.geo import boxes as box_ops
from geodetect.geo.tiles import Window
from geodetect.io.vector.qgis_style import Colour
from geodetect.reporting.drawing.canvas import Canvas, RasterCanvas
from geodetect.reporting.drawing.images import rgba_image
from geodetect.reporting.drawing.primitives import WHITE
from geodetect.reporting.drawing.shapes import Shapes, draw_shapes
from geodetect.types import FloatArray

ColouredShapes = tuple[Shapes, Colour]

CONTEXT = 2.4  # side of the window over the longer side of the object
MIN_WINDOW_PX = 48  # in pixels of the canvas
MIN_WINDOW_M = 12.0  # on the ground


def thumbnail_window(canvas: Canvas, box: FloatArray) -> FloatArray:
    """Return the square window around an object, ``float64[4]`` in pixels of the canvas."""
    longer_side = float(max(box[2] - box[0], box[3] - box[1]))
    min_ground_px = MIN_WINDOW_M / (canvas.grid.gsd_m or MIN_WINDOW_M / MIN_WINDOW_PX)
    half = max(CONTEXT * longer_side, MIN_WINDOW_PX, min_ground_px) / 2
    centre = box_ops.centres(box)
    return np.concatenate([centre - half, centre + half])


def draw_thumbnail(
    canvas: RasterCanvas, box: FloatArray, *, size_px: int, shapes: Sequence[ColouredShapes] = ()
) -> Image.Image:
    """Draw an object in the middle of a square image.

    Args:
        canvas: The raster.
        box: ``float64[4]`` x1, y1, x2, y2 of the object in pixels of the canvas.
        size_px: Width and height of the image.
        shapes: Objects in pixels of the canvas, with their colours.

    Returns:
        An RGB image, white where there is no imagery.

    Raises:
        RasterError: The pixels cannot be read.
    """
    window = thumbnail_window(canvas, box)
    scale = size_px / (window[2] - window[0])
    grid = canvas.grid.resampled(scale, scale)
    scale_xy = canvas.grid.scale_to(grid)
    corner = np.round(window[:2] * scale_xy).astype(int)
    start = np.maximum(corner, 0)
    stop = np.minimum(corner + size_px, [grid.width, grid.height])
    image = Image.new("RGB", (size_px, size_px), WHITE)
    if (start < stop).all():
        visible = Window(*start.tolist(), *(stop - start).tolist())
        pixels = rgba_image(canvas.raster.read(visible, grid))
        image.paste(pixels, tuple((start - corner).tolist()), pixels)
    draw = ImageDraw.Draw(image)
    for objects, colour in shapes:
        in_image = objects.scaled(scale_xy, corner)
        draw_shapes(draw, in_image, [colour] * len(in_image), small_as_dots=False)
    return image


def shapes_near(
    canvas: Canvas, box: FloatArray, layers: Sequence[ColouredShapes]
) -> list[ColouredShapes]:
    """Return the objects that overlap the thumbnail of an object.

    Args:
        canvas: The raster.
        box: ``float64[4]`` of the object in pixels of the canvas.
        layers: Objects in the same pixels, and their colour.
    """
    window = thumbnail_window(canvas, box)
    near = []
    for shapes, colour in layers:
        boxes = shapes.boxes
        overlaps = (boxes[:, :2] < window[2:]) & (boxes[:, 2:] > window[:2])
        near.append((shapes[np.flatnonzero(overlaps.all(axis=1))], colour))
    return near
