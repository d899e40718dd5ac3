"""Overview: a whole raster as one image, with boxes, legend and scale bar."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw

from geodetect.io.vector.qgis_style import SCORE_BREAKS, SCORE_COLOURS
from geodetect.reporting.drawing import primitives
from geodetect.reporting.drawing.canvas import RasterCanvas
from geodetect.reporting.drawing.images import read_image
from geodetect.reporting.drawing.layers import CanvasLayer
from geodetect.settings import PreviewSettings

NO_IMAGERY = (227, 230, 234)
MAX_SCALE = 4.0  # small rasters are enlarged no further
MIN_WIDTH_PX = 560  # room for the legend
FOOTER_PX = 64
PADDING_PX = 16
SWATCH_PX = 14


def draw_overview(
    canvas: RasterCanvas, predictions: CanvasLayer | None, settings: PreviewSettings
) -> Image.Image:
    """Draw a raster with the boxes of predictions that reach the score threshold, if there are any.

    Raises:
        RasterError: The pixels cannot be read.
    """
    scale = min(MAX_SCALE, settings.image_size / float(canvas.size.max()))
    grid = canvas.grid.resampled(scale, scale)
    imagery = Image.new("RGB", (grid.width, grid.height), NO_IMAGERY)
    pixels = read_image(canvas.raster, grid)
    imagery.paste(pixels, (0, 0), pixels)
    caption = canvas.raster.name
    if predictions is not None:
        count = predictions.count_at(settings.conf)
        boxes = predictions.boxes[:count] * np.tile(np.array(imagery.size) / canvas.size, 2)
        scores = [None] * count if predictions.scores is None else predictions.scores.tolist()
        draw = ImageDraw.Draw(imagery)
        for row in reversed(range(count)):  # the highest score last, on top
            primitives.draw_box(draw, boxes[row].tolist(), primitives.score_colour(scores[row]))
        caption = f"{count:,} predictions in {caption}"
        if settings.conf is not None and predictions.scores is not None:
            caption += f", score {settings.conf:g} or more"
    size = max(grid.width, MIN_WIDTH_PX), grid.height + FOOTER_PX
    image = Image.new("RGB", size, primitives.WHITE)
    image.paste(imagery, ((image.width - grid.width) // 2, 0))
    scale_bar_xy = (PADDING_PX, grid.height + 46)
    left = 3 * PADDING_PX + primitives.draw_scale_bar(image, scale_bar_xy, gsd_m=grid.gsd_m)
    draw, width_px = ImageDraw.Draw(image), image.width - left - PADDING_PX
    primitives.draw_text(draw, (left, grid.height + 20), caption, size_px=15, width_px=width_px)
    if predictions is not None and predictions.scores is not None:
        font, x, y = primitives.load_font(13), left, grid.height + 45
        for (low, high), colour in zip(pairwise(SCORE_BREAKS), SCORE_COLOURS, strict=True):
            top = y - SWATCH_PX // 2
            draw.rectangle((x, top, x + SWATCH_PX, top + SWATCH_PX), colour, primitives.CASING)
            text = f"{low:.1f} to {high:.1f}"
            draw.text((x + SWATCH_PX + 6, y), text, primitives.GREY, font, anchor="lm")
            x += SWATCH_PX + 6 + round(font.getlength(text)) + 14
    return image
