"""Overview: a whole raster as one image, with boxes, legend and scale bar."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import shapely
from PIL import Image, ImageDraw

from geodetect.io.vector.qgis_style import SCORE_BREAKS, SCORE_COLOURS, Colour
from geodetect.progress import phase
from geodetect.reporting.drawing import primitives
from geodetect.reporting.drawing.canvas import RasterCanvas
from geodetect.reporting.drawing.images import read_image
from geodetect.reporting.drawing.layers import CanvasLayer
from geodetect.reporting.drawing.shapes import draw_shapes
from geodetect.reporting.drawing.zones import Zone
from geodetect.settings import PreviewSettings
from geodetect.types import FloatArray, IntArray

NO_IMAGERY = (227, 230, 234)
MAX_SCALE = 4.0  # small rasters are enlarged no further
MIN_WIDTH_PX = 560  # room for the legend
FOOTER_PX = 64
PADDING_PX = 16
SWATCH_PX = 14
ZONE_NAME_PX = 16

LegendEntry = tuple[Colour, str]


@phase("Drawing the overview")
def draw_overview(
    canvas: RasterCanvas,
    predictions: CanvasLayer | None,
    settings: PreviewSettings,
    zones: Sequence[Zone] = (),
) -> Image.Image:
    """Draw a raster with the predictions that reach the score threshold, if there are any.

    Outlines, and boxes where there are none, are coloured by score, those of changes by status;
    zones are outlined and named.

    Raises:
        RasterError: The pixels cannot be read.
    """
    scale = min(MAX_SCALE, settings.image_size / float(canvas.size.max()))
    grid = canvas.grid.resampled(scale, scale)
    imagery = Image.new("RGB", (grid.width, grid.height), NO_IMAGERY)
    pixels = read_image(canvas.raster, grid)
    imagery.paste(pixels, (0, 0), pixels)
    scale_xy = np.array(imagery.size) / canvas.size
    draw, legend = ImageDraw.Draw(imagery), list[LegendEntry]()
    outlines = [shapely.transform(zone.outline, lambda xy: xy * scale_xy) for zone in zones]
    _draw_outlines(draw, outlines)
    caption = canvas.raster.name
    if predictions is not None:
        rows = predictions.visible_rows(settings.conf)
        _draw_predictions(draw, predictions, rows, scale_xy)
        caption = (
            f"{len(rows):,} {'changes' if predictions.statuses else 'predictions'} in {caption}"
        )
        if settings.conf is not None and predictions.scores is not None:
            caption += f", score {settings.conf:g} or more"
        legend = _list_legend(predictions, rows)
    _draw_names(draw, [zone.name for zone in zones], outlines)
    size = max(grid.width, MIN_WIDTH_PX), grid.height + FOOTER_PX
    image = Image.new("RGB", size, primitives.WHITE)
    image.paste(imagery, ((image.width - grid.width) // 2, 0))
    scale_bar_xy = (PADDING_PX, grid.height + 46)
    left = 3 * PADDING_PX + primitives.draw_scale_bar(image, scale_bar_xy, gsd_m=grid.gsd_m)
    draw, width_px = ImageDraw.Draw(image), image.width - left - PADDING_PX
    primitives.draw_text(draw, (left, grid.height + 20), caption, size_px=15, width_px=width_px)
    font, x, y = primitives.load_font(13), left, grid.height + 45
    for colour, text in legend:
        top = y - SWATCH_PX // 2
        draw.rectangle((x, top, x + SWATCH_PX, top + SWATCH_PX), colour, primitives.CASING)
        draw.text((x + SWATCH_PX + 6, y), text, primitives.GREY, font, anchor="lm")
        x += SWATCH_PX + 6 + round(font.getlength(text)) + 14
    return image


def _draw_predictions(
    draw: ImageDraw.ImageDraw, predictions: CanvasLayer, rows: IntArray, scale_xy: FloatArray
) -> None:
    """Draw predictions, those of the highest score, or that are worked on first, on top."""
    if predictions.statuses:
        codes = predictions.status_codes
        rows = rows[np.argsort(-codes[rows], kind="stable")]
        colours = [predictions.statuses[code].colour for code in codes[rows].tolist()]
    else:
        rows, scores = rows[::-1], predictions.scores
        colours = [
            primitives.score_colour(None if scores is None else float(scores[row]))
            for row in rows.tolist()
        ]
    draw_shapes(draw, predictions.shapes[rows].scaled(scale_xy), colours, small_as_dots=True)


def _list_legend(predictions: CanvasLayer, rows: IntArray) -> list[LegendEntry]:
    """Return colours and texts of the statuses with their counts, or of the scores."""
    if predictions.statuses:
        codes = predictions.status_codes[rows]
        counts = np.bincount(codes, minlength=len(predictions.statuses)).tolist()
        return [
            (status.colour, f"{count:,} {status.name or 'without a status'}")
            for status, count in zip(predictions.statuses, counts, strict=True)
        ]
    if predictions.scores is None:
        return []
    return [
        (colour, f"{low:.1f} to {high:.1f}")
        for (low, high), colour in zip(pairwise(SCORE_BREAKS), SCORE_COLOURS, strict=True)
    ]


def _draw_outlines(draw: ImageDraw.ImageDraw, outlines: Sequence[shapely.Geometry]) -> None:
    """Draw outlines of zones, with a dark casing."""
    rings = [
        shapely.get_coordinates(ring).ravel().tolist()
        for ring in shapely.get_rings(shapely.get_parts(outlines))
    ]
    for colour, width in ((primitives.CASING, 4), (primitives.WHITE, 2)):
        for ring in rings:
            draw.line(ring, colour, width)


def _draw_names(
    draw: ImageDraw.ImageDraw, names: Sequence[str], outlines: Sequence[shapely.Geometry]
) -> None:
    """Draw the names of zones in the middle of those parts on the image that have room."""
    font = primitives.load_font(ZONE_NAME_PX)
    for name, outline in zip(names, outlines, strict=True):
        visible = shapely.clip_by_rect(outline, 0, 0, *draw.im.size)
        if visible.is_empty:
            continue
        x1, y1, x2, y2 = visible.bounds
        if font.getlength(name) < x2 - x1 and y2 - y1 > 2 * ZONE_NAME_PX:
            draw.text(
                ((x1 + x2) / 2, (y1 + y2) / 2), name, primitives.WHITE, font, anchor="mm",
                stroke_width=2, stroke_fill=primitives.CASING,
            )  # fmt: skip
