"""Contact sheets: chips of detections side by side, with score and id."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from geodetect.errors import InputError
from geodetect.reporting.drawing import marks
from geodetect.reporting.drawing.canvas import RasterFrame
from geodetect.reporting.drawing.layers import Objects
from geodetect.reporting.drawing.object_images import chip
from geodetect.settings import PreviewSettings
from geodetect.types import IntArray

CHIP_PX, CAPTION_PX, GAP_PX, HEAD_PX = 192, 24, 14, 46
WIDE = 1.5  # columns per row, about
MIDDLE_SCORE = 0.5
TITLES = {"best": "highest scores", "worst": "lowest scores", "uncertain": "scores nearest to"}


def draw_sheet(frame: RasterFrame, found: Objects, settings: PreviewSettings) -> Image.Image:
    """Chips of some detections.

    Args:
        frame: The raster.
        found: The detections on it.
        settings: Which detections, and how many.

    Raises:
        InputError: There are no detections, or they have no scores.
        RasterError: The pixels cannot be read.
    """
    rows = choose(found, settings)
    chips = [(_chip(frame, found, row), _caption(found, row)) for row in rows.tolist()]
    return arrange(_title(frame, len(rows), settings), chips)


def arrange(title: str, chips: Sequence[tuple[Image.Image, str]]) -> Image.Image:
    """Chips side by side.

    Args:
        title: Above them.
        chips: Pictures of ``CHIP_PX`` x ``CHIP_PX``, at least one, with their captions.
    """
    columns = min(len(chips), math.ceil(math.sqrt(len(chips) * WIDE)))
    lines = math.ceil(len(chips) / columns)
    step_x, step_y = CHIP_PX + GAP_PX, CHIP_PX + CAPTION_PX + GAP_PX
    size = columns * step_x + GAP_PX, HEAD_PX + lines * step_y
    image = Image.new("RGB", size, marks.PAPER)
    canvas = ImageDraw.Draw(image)
    text = marks.shortened(title, 16, size[0] - 2 * GAP_PX)
    canvas.text((GAP_PX, HEAD_PX / 2), text, marks.INK, marks.font(16), anchor="lm")
    for place, (picture, caption) in enumerate(chips):
        x, y = GAP_PX + place % columns * step_x, HEAD_PX + place // columns * step_y
        image.paste(picture, (x, y))
        below = x, y + CHIP_PX + CAPTION_PX / 2
        text = marks.shortened(caption, 13, CHIP_PX)
        canvas.text(below, text, marks.INK, marks.font(13), anchor="lm")
    return image


def choose(found: Objects, settings: PreviewSettings) -> IntArray:
    """Rows of the detections that a sheet shows, in its order.

    Raises:
        InputError: There are none, or they have no scores.
    """
    if found.scores is None:
        raise InputError(
            "the detections have no scores to choose them by; name the column that holds them "
            "with --score-field"
        )
    middle = MIDDLE_SCORE if settings.conf is None else settings.conf
    sure = np.arange(found.sure(settings.conf))
    by_doubt = np.argsort(np.abs(found.scores - middle), kind="stable")
    rows = {"best": sure, "worst": sure[::-1], "uncertain": by_doubt}[settings.sheet or "best"]
    if len(rows) == 0:
        least = "" if settings.conf is None else f" with a score of {settings.conf:g} or more"
        raise InputError(f"there are no detections{least} for a contact sheet; lower --conf")
    return np.asarray(rows[: settings.count])


def _title(frame: RasterFrame, count: int, settings: PreviewSettings) -> str:
    what = TITLES[settings.sheet or "best"]
    if settings.sheet == "uncertain":
        what += f" {MIDDLE_SCORE if settings.conf is None else settings.conf:g}"
    return f"{count:,} detections in {frame.raster.name}: {what}"


def _chip(frame: RasterFrame, found: Objects, row: int) -> Image.Image:
    scores = found.scores
    score = None if scores is None else float(scores[row])
    outline = (found.boxes[row], marks.score_colour(score))
    return chip(frame, found.boxes[row], side_px=CHIP_PX, outlines=[outline])


def _caption(found: Objects, row: int) -> str:
    """Score, id and, if there are several, the class."""
    record = found.table.iloc[row]
    parts = [f"{record['score']:.3f}"]
    if "id" in found.table:
        parts.append(f"id {record['id']}")
    if len(found.classes) > 1:
        parts.append(str(record["class"]))
    return "   ".join(parts)
