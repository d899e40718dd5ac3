"""The worst errors of a model on the holdout, as thumbnails."""

from __future__ import annotations

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
from PIL import Image

from geodetect.errors import InputError, RasterError
from geodetect.io.vector.qgis_style import FALSE_NEGATIVE, FALSE_POSITIVE, TRUE_POSITIVE
from geodetect.reporting.drawing.canvas import RasterCanvas, open_for_display
from geodetect.reporting.drawing.contact_sheet import THUMBNAIL_PX, Captioned
from geodetect.reporting.drawing.layers import place_on_canvas
from geodetect.reporting.drawing.match_result import rank_false_negatives
from geodetect.reporting.drawing.thumbnails import draw_thumbnail, shapes_near
from geodetect.settings import DrawingSettings
from geodetect.types import IntArray


@dataclass(frozen=True)
class WorstErrors:
    """The worst errors of one kind.

    Args:
        total: Number of errors of the kind.
        thumbnails: The worst errors with captions, the worst first.
        unreadable: Names of rasters that could not be read, with the reason.
    """

    total: int
    thumbnails: tuple[Captioned, ...]
    unreadable: dict[str, str]


def worst_false_negatives(truth: gpd.GeoDataFrame, score_threshold: float) -> IntArray:
    """Return rows of the objects without a prediction, in the order of `rank_false_negatives`."""
    scores = truth["matched_score"].to_numpy(np.float64)
    return rank_false_negatives(scores, truth.bounds.to_numpy(), threshold=score_threshold)


def worst_false_positives(detections: gpd.GeoDataFrame, score_threshold: float) -> IntArray:
    """Return rows of the false positives, the highest scores first."""
    scores = detections["score"].to_numpy(np.float64)
    rows = np.flatnonzero((scores >= score_threshold) & ~detections["tp"].to_numpy(bool))
    return rows[np.argsort(-scores[rows], kind="stable")]


def draw_worst_errors(
    detections: gpd.GeoDataFrame, truth: gpd.GeoDataFrame, *, score_threshold: float, count: int
) -> tuple[WorstErrors, WorstErrors]:
    """Draw the worst false negatives and the worst false positives.

    Args:
        detections: With ``class, score, tp, raster, source``.
        truth: With ``class, matched_score, raster, source``, in the same CRS.
        score_threshold: The score threshold.
        count: Greatest number of thumbnails of each kind.
    """
    rankings = (
        truth.iloc[worst_false_negatives(truth, score_threshold)],
        detections.iloc[worst_false_positives(detections, score_threshold)],
    )
    n_classes = len({*truth["class"], *detections["class"]})
    results = []
    for ranking in rankings:
        scores = ranking["score" if "score" in ranking else "matched_score"].iloc[:count]
        captions = ["no prediction" if np.isnan(x) else f"score {x:.3f}" for x in scores]
        images: dict[int, Image.Image] = {}  # by row
        unreadable: dict[str, str] = {}
        worst = ranking.iloc[:count]
        if n_classes > 1:
            captions = [f"{a}   {b}" for a, b in zip(captions, worst["class"], strict=True)]
        for (source, name), errors in worst.groupby(["source", "raster"], sort=False):
            try:
                images |= _draw_on_raster(source, errors, truth, detections, score_threshold)
            except (RasterError, InputError) as error:
                unreadable[name] = str(error)
        thumbnails = tuple(
            (images[row], caption)
            for row, caption in zip(worst.index, captions, strict=True)
            if row in images
        )
        results.append(WorstErrors(len(ranking), thumbnails, unreadable))
    return results[0], results[1]


def _draw_on_raster(
    source: str,
    errors: gpd.GeoDataFrame,
    truth: gpd.GeoDataFrame,
    detections: gpd.GeoDataFrame,
    score_threshold: float,
) -> dict[int, Image.Image]:
    """Draw errors on one raster, by row, with the objects and detections near them."""
    truth = truth[truth["source"] == source]
    detections = detections[
        (detections["source"] == source) & (detections["score"] >= score_threshold)
    ]
    with open_for_display(source, DrawingSettings(pixel_coords=truth.crs is None)) as raster:
        canvas = RasterCanvas.from_raster(raster)
        placed, objects, predictions = (
            place_on_canvas(table, canvas, name="objects")
            for table in (errors.assign(row=errors.index), truth, detections)
        )
        is_correct = predictions.table["tp"].to_numpy(bool)
        is_missed = ~(objects.table["matched_score"].to_numpy(np.float64) >= score_threshold)
        layers = [
            (objects.shapes[is_missed], FALSE_NEGATIVE),
            (predictions.shapes[is_correct], TRUE_POSITIVE),
            (predictions.shapes[~is_correct], FALSE_POSITIVE),
        ]
        images = {}
        for row, box in zip(placed.table["row"], placed.boxes, strict=True):
            shapes = shapes_near(canvas, box, layers)
            images[row] = draw_thumbnail(canvas, box, size_px=THUMBNAIL_PX, shapes=shapes)
        return images
