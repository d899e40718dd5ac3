"""Thumbnails on the report page: the worst errors, and objects in reduced imagery."""

from __future__ import annotations

from typing import Any

import numpy as np

from geodetect.progress import phase
from geodetect.reporting.drawing.canvas import RasterCanvas
from geodetect.reporting.drawing.images import data_uri, encode_webp
from geodetect.reporting.drawing.layers import CanvasLayer
from geodetect.reporting.drawing.match_result import MatchResult
from geodetect.reporting.drawing.primitives import score_colour
from geodetect.reporting.drawing.thumbnails import ColouredShapes, draw_thumbnail, shapes_near
from geodetect.types import FloatArray, IntArray

THUMBNAIL_PX = 176
MAX_THUMBNAILS = 1000


@phase("Drawing thumbnails of errors")
def error_thumbnails(
    canvas: RasterCanvas, matches: MatchResult, *, score_threshold: float | None, count: int
) -> dict[str, list[dict[str, Any]]]:
    """Draw the worst errors at a score threshold, with all objects near them.

    Args:
        canvas: The raster.
        matches: The matched predictions.
        score_threshold: The score threshold; None: all predictions count.
        count: Greatest number of thumbnails of each kind of error.

    Returns:
        ``row`` and ``src`` of each thumbnail, the worst error first, of false positives (``fp``),
        false negatives (``fn``) and predictions whose box is off (``loose``), which also have
        ``truth_row`` and ``iou``.
    """
    predictions, truth = matches.predictions, matches.truth
    n_predictions = predictions.count_at(score_threshold)
    layers = matches.coloured_shapes(n_predictions)

    def draw(boxes: FloatArray, rows: IntArray) -> list[dict[str, Any]]:
        return [
            {"row": row, "src": _draw_uri(canvas, box, shapes_near(canvas, box, layers))}
            for row, box in zip(rows[:count].tolist(), boxes[rows[:count]], strict=True)
        ]

    loose = matches.loose_pairs(n_predictions)
    order = np.argsort(loose.iou, kind="stable")
    thumbnails = {
        "fp": draw(predictions.boxes, matches.false_positives(n_predictions)),
        "fn": draw(truth.boxes, matches.false_negatives(n_predictions)),
        "loose": draw(predictions.boxes, loose.predictions[order]),
    }
    for thumbnail, position in zip(thumbnails["loose"], order.tolist(), strict=False):
        thumbnail["truth_row"] = int(loose.truth[position])
        thumbnail["iou"] = round(float(loose.iou[position]), 3)
    return thumbnails


@phase("Drawing thumbnails")
def prediction_thumbnails(canvas: RasterCanvas, predictions: CanvasLayer) -> dict[int, str]:
    """Draw the predictions of the highest scores, or the changes that are worked on first.

    Returns:
        Data URIs by row of the layer.
    """
    shapes, scores = predictions.shapes, predictions.scores
    rows = np.arange(len(predictions))
    if predictions.statuses:
        codes = predictions.status_codes
        rows = np.argsort(codes, kind="stable")
        colours = [predictions.statuses[code].colour for code in codes.tolist()]
    else:
        colours = [score_colour(None if scores is None else scores[row]) for row in rows.tolist()]
    return {
        row: _draw_uri(canvas, shapes.boxes[row], [(shapes[np.array([row])], colours[row])])
        for row in rows[:MAX_THUMBNAILS].tolist()
    }


def _draw_uri(canvas: RasterCanvas, box: FloatArray, shapes: list[ColouredShapes]) -> str:
    image = draw_thumbnail(canvas, box, size_px=THUMBNAIL_PX, shapes=shapes)
    return data_uri(encode_webp(image.convert("RGBA")))
