"""Contact sheets: thumbnails of predictions side by side, with score and id."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from geodetect.errors import InputError
from geodetect.progress import phase
from geodetect.reporting.drawing.canvas import RasterCanvas
from geodetect.reporting.drawing.layers import CanvasLayer
from geodetect.reporting.drawing.primitives import WHITE, draw_text, score_colour
from geodetect.reporting.drawing.thumbnails import draw_thumbnail
from geodetect.settings import PreviewSettings
from geodetect.types import IntArray

THUMBNAIL_PX, CAPTION_PX, GAP_PX, TITLE_PX = 192, 24, 14, 46
ASPECT_RATIO = 1.5  # columns over rows, about
DEFAULT_UNCERTAIN = 0.5
TITLES = {"best": "highest scores", "worst": "lowest scores", "uncertain": "scores nearest to"}

Captioned = tuple[Image.Image, str]


@phase("Drawing thumbnails")
def draw_contact_sheet(
    canvas: RasterCanvas, predictions: CanvasLayer, settings: PreviewSettings
) -> Image.Image:
    """Draw thumbnails of the predictions that the settings select.

    Raises:
        InputError: There are no predictions, or they have no scores.
        RasterError: The pixels cannot be read.
    """
    if predictions.scores is None:
        raise InputError(
            "a contact sheet needs scores, and the predictions have none; set `score_field` to "
            "name the column that holds them"
        )
    thumbnails = []
    for row in select_rows(predictions, settings).tolist():
        box, record = predictions.boxes[row], predictions.table.iloc[row]
        shapes = [(predictions.shapes[np.array([row])], score_colour(float(record["score"])))]
        image = draw_thumbnail(canvas, box, size_px=THUMBNAIL_PX, shapes=shapes)
        caption = [f"{record['score']:.3f}"]
        if "id" in predictions.table:
            caption.append(f"id {record['id']}")
        if len(predictions.classes) > 1:
            caption.append(str(record["class"]))
        thumbnails.append((image, "   ".join(caption)))
    kind = settings.sheet or "best"
    title = f"{len(thumbnails):,} predictions in {canvas.raster.name}: {TITLES[kind]}"
    if kind == "uncertain":
        title += f" {DEFAULT_UNCERTAIN if settings.conf is None else settings.conf:g}"
    return arrange_thumbnails(title, thumbnails)


def arrange_thumbnails(title: str, thumbnails: Sequence[Captioned]) -> Image.Image:
    """Draw captioned thumbnails of ``THUMBNAIL_PX``, at least one, in rows below a title."""
    n_columns = min(len(thumbnails), math.ceil(math.sqrt(len(thumbnails) * ASPECT_RATIO)))
    n_rows = math.ceil(len(thumbnails) / n_columns)
    step_x, step_y = THUMBNAIL_PX + GAP_PX, THUMBNAIL_PX + CAPTION_PX + GAP_PX
    width = n_columns * step_x + GAP_PX
    sheet = Image.new("RGB", (width, TITLE_PX + n_rows * step_y), WHITE)
    draw = ImageDraw.Draw(sheet)
    draw_text(draw, (GAP_PX, TITLE_PX / 2), title, size_px=16, width_px=width - 2 * GAP_PX)
    for index, (image, caption) in enumerate(thumbnails):
        row, column = divmod(index, n_columns)
        x, y = GAP_PX + column * step_x, TITLE_PX + row * step_y
        sheet.paste(image, (x, y))
        caption_xy = x, y + THUMBNAIL_PX + CAPTION_PX / 2
        draw_text(draw, caption_xy, caption, size_px=13, width_px=THUMBNAIL_PX)
    return sheet


def select_rows(predictions: CanvasLayer, settings: PreviewSettings) -> IntArray:
    """Return rows of the predictions on a contact sheet, in its order.

    Args:
        predictions: Predictions with scores, in descending order.
        settings: Kind and number of the predictions.

    Raises:
        InputError: There are none.
    """
    rows = np.arange(predictions.count_at(settings.conf))
    if settings.sheet == "worst":
        rows = rows[::-1]
    elif settings.sheet == "uncertain":
        centre = DEFAULT_UNCERTAIN if settings.conf is None else settings.conf
        rows = np.argsort(np.abs(predictions.table["score"].to_numpy() - centre), kind="stable")
    if len(rows) == 0:
        limit = "" if settings.conf is None else f" with a score of at least {settings.conf:g}"
        raise InputError(f"there are no predictions{limit} for a contact sheet; lower `conf`")
    return np.asarray(rows[: settings.thumbnails])
