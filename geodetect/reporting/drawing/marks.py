"""What is drawn on pictures: outlines, scale bars, text."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from functools import cache

from PIL import Image, ImageDraw, ImageFont

from geodetect.io.vector.qgis_style import SCORE_BREAKS, SCORE_COLOURS, TRUE_POSITIVE, Colour

CASING: Colour = (0, 0, 0)
INK, FAINT, PAPER = (27, 35, 48), (91, 101, 115), (255, 255, 255)
SMALL_PX = 9.0  # smaller boxes are drawn as dots
DOT_PX = 5.0  # least size of dots and outlines


def score_colour(score: float | None) -> Colour:
    """The colour of a score, as in the QGIS style; of no score the colour of a sure detection."""
    if score is None:
        return TRUE_POSITIVE
    step = bisect_right(SCORE_BREAKS, score) - 1
    return SCORE_COLOURS[min(max(step, 0), len(SCORE_COLOURS) - 1)]


def draw_box(canvas: ImageDraw.ImageDraw, box: Sequence[float], colour: Colour) -> None:
    """Draw a box as an outline or, if it is small, as a dot; see `draw_outline`."""
    if max(box[2] - box[0], box[3] - box[1]) < SMALL_PX:
        rim = _edges(box)
        canvas.rectangle(rim, colour, CASING)
    else:
        draw_outline(canvas, box, colour)


def draw_outline(
    canvas: ImageDraw.ImageDraw, box: Sequence[float], colour: Colour, *, width_px: int = 2
) -> None:
    """Outline a box with a dark rim, so that it shows on bright and dark ground.

    Args:
        canvas: Where to draw.
        box: x1, y1, x2, y2 in pixels of the picture.
        colour: Of the line.
        width_px: Of the line.
    """
    left, top, right, bottom = _edges(box)
    canvas.rectangle((left, top, right, bottom), outline=CASING, width=width_px + 2)
    canvas.rectangle((left + 1, top + 1, right - 1, bottom - 1), outline=colour, width=width_px)


def _edges(box: Sequence[float]) -> tuple[int, int, int, int]:
    """First and last pixels of the rim around a box, which is widened to a visible size."""
    x1, y1, x2, y2 = box
    grow_x, grow_y = (max(0.0, (DOT_PX - side) / 2) for side in (x2 - x1, y2 - y1))
    left, top = round(x1 - grow_x) - 1, round(y1 - grow_y) - 1
    return left, top, round(x2 + grow_x), round(y2 + grow_y)


@cache
def font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, the same on every machine."""
    return ImageFont.load_default(size_px)


def shortened(text: str, size_px: int, width_px: float) -> str:
    """Text that fits a width, cut with dots if need be."""
    face = font(size_px)
    if face.getlength(text) <= width_px:
        return text
    while text and face.getlength(text + "...") > width_px:
        text = text[:-1]
    return text + "..."


def round_length(longest: float) -> float:
    """The largest of 1, 2, 5, 10, ... that is not above a length."""
    power = 10.0 ** math.floor(math.log10(longest))
    return max(step * power for step in (1, 2, 5) if step * power <= longest * (1 + 1e-9))


def length_text(metres: float | None, pixels: float) -> str:
    """``50 m``, ``2 km`` or, where nothing is known of the ground, ``200 px``."""
    if metres is None:
        return f"{pixels:g} px"
    return f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:g} m"


def draw_scale_bar(
    image: Image.Image, place: tuple[int, int], *, gsd_m: float | None, most_px: int = 160
) -> int:
    """Draw a scale bar, its text above it.

    Args:
        image: The picture.
        place: Left end and baseline of the bar.
        gsd_m: Ground size of a pixel of the picture; None: the bar counts pixels.
        most_px: Largest length.

    Returns:
        The length of the bar in pixels of the picture.
    """
    canvas = ImageDraw.Draw(image)
    length = round_length(most_px * (gsd_m or 1.0))
    length_px = round(length / (gsd_m or 1.0))
    x, y = place
    canvas.line([(x, y - 5), (x, y), (x + length_px, y), (x + length_px, y - 5)], INK, 2)
    text = length_text(length if gsd_m else None, length)
    canvas.text((x + length_px / 2, y - 8), text, INK, font(13), anchor="md")
    return length_px
