"""Drawing primitives for Pillow images: boxes, text, scale bars, and their colours."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from functools import cache

from PIL import Image, ImageDraw, ImageFont

from geodetect.io.vector.qgis_style import SCORE_BREAKS, SCORE_COLOURS, TRUE_POSITIVE, Colour
from geodetect.types import FloatArray

CASING: Colour = (0, 0, 0)  # around coloured lines, to set them off from bright and dark imagery
BLACK, GREY, WHITE = (27, 35, 48), (91, 101, 115), (255, 255, 255)  # text and background
MIN_OUTLINE_PX = 9.0  # smaller boxes are drawn as dots
MIN_SIDE_PX = 5.0  # of dots and outlines


def score_colour(score: float | None) -> Colour:
    """Return the colour of a score in the QGIS style; without a score that of true positives."""
    if score is None:
        return TRUE_POSITIVE
    index = bisect_right(SCORE_BREAKS, score) - 1
    return SCORE_COLOURS[min(max(index, 0), len(SCORE_COLOURS) - 1)]


def draw_box(draw: ImageDraw.ImageDraw, box: Sequence[float], colour: Colour) -> None:
    """Draw a box as an outline or, if it is small, as a dot; see `draw_outline`."""
    if is_small(box):
        draw.rectangle(_casing_edges(box), colour, CASING)
    else:
        draw_outline(draw, box, colour)


def is_small(box: Sequence[float]) -> bool:
    """Return True for a box that is drawn as a dot."""
    return max(box[2] - box[0], box[3] - box[1]) < MIN_OUTLINE_PX


def draw_rings(
    draw: ImageDraw.ImageDraw, rings: Sequence[FloatArray], colour: Colour, *, width_px: int = 2
) -> None:
    """Draw the rings of a polygon with a dark casing on both sides.

    Args:
        draw: Pillow's drawing interface of the image.
        rings: Closed rings ``float64[K, 2]`` in pixels of the image.
        colour: Colour of the line.
        width_px: Width of the line.
    """
    for line_colour, width in ((CASING, width_px + 2), (colour, width_px)):
        for ring in rings:
            draw.line(ring.ravel().tolist(), line_colour, width, joint="curve")


def draw_outline(
    draw: ImageDraw.ImageDraw, box: Sequence[float], colour: Colour, *, width_px: int = 2
) -> None:
    """Draw the outline of a box with a dark casing on both sides.

    Args:
        draw: Pillow's drawing interface of the image.
        box: x1, y1, x2, y2 in pixels of the image.
        colour: Colour of the line.
        width_px: Width of the line.
    """
    left, top, right, bottom = _casing_edges(box)
    draw.rectangle((left, top, right, bottom), outline=CASING, width=width_px + 2)
    draw.rectangle((left + 1, top + 1, right - 1, bottom - 1), outline=colour, width=width_px)


def _casing_edges(box: Sequence[float]) -> tuple[int, int, int, int]:
    """Return first and last pixels of the casing of a box, widened to a visible size."""
    x1, y1, x2, y2 = box
    grow_x, grow_y = (max(0.0, (MIN_SIDE_PX - side) / 2) for side in (x2 - x1, y2 - y1))
    left, top = round(x1 - grow_x) - 1, round(y1 - grow_y) - 1
    return left, top, round(x2 + grow_x), round(y2 + grow_y)


@cache
def load_font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the font that Pillow brings along, the same on every machine."""
    return ImageFont.load_default(size_px)


def draw_text(
    draw: ImageDraw.ImageDraw, xy: tuple[float, float], text: str, *, size_px: int, width_px: float
) -> None:
    """Draw one line of text, cut with dots to a width.

    Args:
        draw: Pillow's drawing interface of the image.
        xy: Left end of the text, at half its height.
        text: The text.
        size_px: Size of the font.
        width_px: Greatest width.
    """
    draw.text(xy, shorten(text, size_px, width_px), BLACK, load_font(size_px), anchor="lm")


def shorten(text: str, size_px: int, width_px: float) -> str:
    """Cut a text with dots to a width."""
    font = load_font(size_px)
    if font.getlength(text) <= width_px:
        return text
    while text and font.getlength(text + "...") > width_px:
        text = text[:-1]
    return text + "..."


def round_length(limit: float) -> float:
    """Return the largest of 1, 2, 5, 10, ... that does not exceed a limit."""
    power = 10.0 ** math.floor(math.log10(limit))
    return max(step * power for step in (1, 2, 5) if step * power <= limit * (1 + 1e-9))


def format_length(length: float, *, in_metres: bool) -> str:
    """Return a length as ``50 m``, ``2 km`` or, if it is not in metres, ``200 px``."""
    if not in_metres:
        return f"{length:g} px"
    return f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"


def draw_scale_bar(
    image: Image.Image, xy: tuple[int, int], *, gsd_m: float | None, max_px: int = 160
) -> int:
    """Draw a scale bar with its length above it.

    Args:
        image: The image.
        xy: Left end of the bar, and its baseline.
        gsd_m: Ground size of a pixel of the image; None: the bar counts pixels.
        max_px: Greatest length of the bar.

    Returns:
        The length of the bar in pixels of the image.
    """
    draw = ImageDraw.Draw(image)
    length = round_length(max_px * (gsd_m or 1.0))
    length_px = round(length / (gsd_m or 1.0))
    x, y = xy
    draw.line([(x, y - 5), (x, y), (x + length_px, y), (x + length_px, y - 5)], BLACK, 2)
    text = format_length(length, in_metres=gsd_m is not None)
    draw.text((x + length_px / 2, y - 8), text, BLACK, load_font(13), anchor="md")
    return length_px
