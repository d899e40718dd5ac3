"""A whole raster as one picture, with boxes, legend and scale bar."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw

from geodetect.io.vector.qgis_style import SCORE_BREAKS, SCORE_COLOURS
from geodetect.reporting.drawing import marks
from geodetect.reporting.drawing.canvas import RasterFrame
from geodetect.reporting.drawing.images import picture
from geodetect.reporting.drawing.layers import Objects
from geodetect.settings import PreviewSettings
from geodetect.types import FloatArray

NO_IMAGERY = (227, 230, 234)
MOST_ENLARGED = 4.0  # how much small rasters are enlarged at most
LEAST_WIDTH_PX = 560  # room for the legend
FOOTER_PX = 64
PADDING_PX = 16
SWATCH_PX = 14


def draw_overview(
    frame: RasterFrame, found: Objects | None, settings: PreviewSettings
) -> Image.Image:
    """The raster with its boxes.

    Args:
        frame: The raster.
        found: The detections on it, if any.
        settings: Longest side, and least score.

    Raises:
        RasterError: The pixels cannot be read.
    """
    scale = min(MOST_ENLARGED, settings.size / float(frame.size.max()))
    grid = frame.grid.resampled(scale, scale)
    ground = Image.new("RGB", (grid.width, grid.height), NO_IMAGERY)
    seen = picture(frame.raster, grid)
    ground.paste(seen, (0, 0), seen)
    if found is not None:
        _draw_boxes(ground, found, found.sure(settings.conf), np.array(ground.size) / frame.size)
    width = max(grid.width, LEAST_WIDTH_PX)
    image = Image.new("RGB", (width, grid.height + FOOTER_PX), marks.PAPER)
    image.paste(ground, ((width - grid.width) // 2, 0))
    bar_place = (PADDING_PX, grid.height + 46)
    bar_px = marks.draw_scale_bar(image, bar_place, gsd_m=grid.gsd_m)
    left = PADDING_PX + bar_px + 2 * PADDING_PX
    _draw_text(image, left, grid.height + 20, _caption(frame, found, settings))
    if found is not None and found.scores is not None:
        _draw_legend(ImageDraw.Draw(image), left, grid.height + 45)
    return image


def _draw_boxes(image: Image.Image, found: Objects, count: int, scale_xy: FloatArray) -> None:
    """The first ``count`` boxes, the surest on top."""
    canvas, boxes = ImageDraw.Draw(image), found.boxes[:count] * np.tile(scale_xy, 2)
    scores = [None] * count if found.scores is None else found.scores[:count].tolist()
    for box, score in reversed(list(zip(boxes.tolist(), scores, strict=True))):
        marks.draw_box(canvas, box, marks.score_colour(score))


def _caption(frame: RasterFrame, found: Objects | None, settings: PreviewSettings) -> str:
    name = frame.raster.name
    if found is None:
        return name
    scored = settings.conf is not None and found.scores is not None
    least = f", score {settings.conf:g} or more" if scored else ""
    return f"{found.sure(settings.conf):,} detections in {name}{least}"


def _draw_text(image: Image.Image, x: int, y: int, text: str) -> None:
    fitting = marks.shortened(text, 15, image.width - x - PADDING_PX)
    ImageDraw.Draw(image).text((x, y), fitting, marks.INK, marks.font(15), anchor="lm")


def _draw_legend(canvas: ImageDraw.ImageDraw, x: int, y: int) -> None:
    """A swatch and its range of scores for each colour."""
    face = marks.font(13)
    for (low, high), colour in zip(pairwise(SCORE_BREAKS), SCORE_COLOURS, strict=True):
        top = y - SWATCH_PX // 2
        canvas.rectangle((x, top, x + SWATCH_PX, top + SWATCH_PX), colour, marks.CASING)
        text = f"{low:.1f} to {high:.1f}"
        canvas.text((x + SWATCH_PX + 6, y), text, marks.FAINT, face, anchor="lm")
        x += SWATCH_PX + 6 + round(face.getlength(text)) + 14
