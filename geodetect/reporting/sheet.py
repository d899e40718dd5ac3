"""Contact sheets: chips of detections side by side, with score and id."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from geodetect.errors import InputError
from geodetect.reporting import marks
from geodetect.reporting.chips import chip
from geodetect.reporting.frame import RasterFrame
from geodetect.reporting.objects import Objects
from geodetect.settings import PreviewSettings

Int = NDArray[np.int64]

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
    columns = min(len(rows), math.ceil(math.sqrt(len(rows) * WIDE)))
    lines = math.ceil(len(rows) / columns)
    step_x, step_y = CHIP_PX + GAP_PX, CHIP_PX + CAPTION_PX + GAP_PX
    size = columns * step_x + GAP_PX, HEAD_PX + lines * step_y
    image = Image.new("RGB", size, marks.PAPER)
    canvas = ImageDraw.Draw(image)
    title = marks.shortened(_title(frame, len(rows), settings), 16, size[0] - 2 * GAP_PX)
    canvas.text((GAP_PX, HEAD_PX / 2), title, marks.INK, marks.font(16), anchor="lm")
    for place, row in enumerate(rows.tolist()):
        x, y = GAP_PX + place % columns * step_x, HEAD_PX + place // columns * step_y
        _draw_chip(image, (x, y), frame, found, row)
    return image


def choose(found: Objects, settings: PreviewSettings) -> Int:
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


def _draw_chip(
    image: Image.Image, place: tuple[int, int], frame: RasterFrame, found: Objects, row: int
) -> None:
    scores = found.scores
    score = None if scores is None else float(scores[row])
    outline = (found.boxes[row], marks.score_colour(score))
    image.paste(chip(frame, found.boxes[row], side_px=CHIP_PX, outlines=[outline]), place)
    caption = marks.shortened(_caption(found, row), 13, CHIP_PX)
    at = place[0], place[1] + CHIP_PX + CAPTION_PX / 2
    ImageDraw.Draw(image).text(at, caption, marks.INK, marks.font(13), anchor="lm")


def _caption(found: Objects, row: int) -> str:
    """Score, id and, if there are several, the class."""
    record = found.table.iloc[row]
    parts = [f"{record['score']:.3f}"]
    if "id" in found.table:
        parts.append(f"id {record['id']}")
    if len(found.classes) > 1:
        parts.append(str(record["class"]))
    return "   ".join(parts)
