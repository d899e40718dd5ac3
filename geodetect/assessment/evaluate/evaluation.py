"""``geodetect evaluate``: how good detections, or a model, are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import numpy as np
import shapely

from geodetect.assessment.evaluate.bootstrap import ground_blocks
from geodetect.assessment.evaluate.caveats import notes_on
from geodetect.assessment.evaluate.metrics import DetectionMetrics, measure
from geodetect.assessment.evaluate.precision_recall import OperatingPoint, precision_recall_curve
from geodetect.assessment.evaluate.read_layers import Layer, is_scored, read_predictions, read_truth
from geodetect.assessment.evaluate.thresholds import pick_threshold
from geodetect.assessment.matching.alignment import (
    Sides,
    align,
    centres_in,
    check_nearness,
    limited,
)
from geodetect.assessment.matching.class_matching import Criterion, Pairing, pair
from geodetect.assessment.matching.comparison_grid import frame_name
from geodetect.errors import InputError
from geodetect.io.vector.area import read_area
from geodetect.progress import Progress, no_progress
from geodetect.settings import EvaluateSettings, PredictSettings
from geodetect.types import BoolArray, PathLike

if TYPE_CHECKING:
    from geodetect.detection.detector import Detector


# of a model's detections before calibration, so that curves reach below its own threshold
LEAST_CONF = 0.05


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What an evaluation found.

    Args:
        metrics: The figures, by class and all together.
        predicted: The detections, as read; ``metrics.truth_of`` refers to its rows.
        truth: The objects, as read; with ``truth_row``, the row of the file.
        pairing: Which detection shows which object.
        picked: The threshold that ``pick_threshold`` found, and the counts there.
        scored: Whether the detections have scores.
        frame: Along what boxes were compared, for people.
        block_m: Side of the blocks of ground behind the intervals.
        blocks: How many of them there are.
        notes: What the user should know of this result.
        settings: The settings.
    """

    metrics: DetectionMetrics
    predicted: gpd.GeoDataFrame
    truth: gpd.GeoDataFrame
    pairing: Pairing
    picked: OperatingPoint | None
    scored: bool
    frame: str
    block_m: float
    blocks: int
    notes: tuple[str, ...]
    settings: EvaluateSettings

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is not defined is None."""
        from geodetect.assessment.evaluate.result import evaluation_values

        return evaluation_values(self)

    def error_tables(self) -> dict[str, gpd.GeoDataFrame]:
        """Layers ``true``, ``false`` and ``missed``; see ``error_layers.error_tables``."""
        from geodetect.assessment.evaluate.error_layers import error_tables

        return error_tables(self)

    def write_errors(self, path: PathLike, *, overwrite: bool = False) -> Path:
        """Write these layers, with styles, to a GeoPackage."""
        from geodetect.assessment.evaluate.error_layers import write_errors

        return write_errors(self, path, overwrite=overwrite)

    def write_plots(self, folder: PathLike, *, overwrite: bool = False) -> list[Path]:
        """Write curves of precision, recall and F1 of each class as PNG."""
        from geodetect.assessment.evaluate.plots import write_plots

        return write_plots(self, folder, overwrite=overwrite)


def evaluate(
    predicted: Layer,
    truth: Layer | Sequence[Layer],
    settings: EvaluateSettings | None = None,
) -> Evaluation:
    """Compare detections with the truth, object by object, over the whole scene.

    In descending score order each detection takes the free object of its class with the highest
    IoU of their bounding boxes, from ``settings.iou`` on, or the nearest one within
    ``settings.distance``. Objects that are seen twice are found once and give one false alarm.
    Average precisions are those of COCO (Lin et al. 2014), with the scene as one image and no limit
    on detections. Boxes are drawn along the sides of the predictions (``comparison_grid``), and
    intervals are found by drawing blocks of ground (``geodetect.assessment.evaluate.bootstrap``).

    Args:
        predicted: Detections: a vector file of any format and CRS, or a table. Without a column of
            scores all are equally sure; without one of classes, all are of one class.
        truth: Objects: polygons, or points with ``settings.distance``. One file, table, or several.
        settings: See ``EvaluateSettings``.

    Returns:
        The figures, and the layers behind them.

    Raises:
        InputError: A layer cannot be used, the layers lie far apart, or the settings ask for
            something they do not have.
    """
    settings = settings or EvaluateSettings()
    found = read_predictions(predicted, crs=settings.pred_crs, score_field=settings.score_field)
    wanted = read_truth(truth, crs=settings.truth_crs, class_field=settings.class_field)
    return _evaluate(found, wanted, settings)


def evaluate_model(
    model: PathLike | Detector,
    rasters: PathLike | Sequence[PathLike],
    labels: Layer | Sequence[Layer],
    settings: EvaluateSettings | None = None,
    *,
    predict_settings: PredictSettings | None = None,
    progress: Progress = no_progress,
) -> Evaluation:
    """Run a model on rasters and compare what it finds with labels.

    Detections are made down to a score of 0.05, before calibration, for the curves; counts are
    those at ``settings.conf``, else at the threshold of the model. Labels count where there is
    imagery.

    Args:
        model: Name of a built-in model, path of a model file, or any ``Detector``.
        rasters: Files, folders of rasters or URLs; one or several.
        labels: The truth, as for ``evaluate``.
        settings: See ``EvaluateSettings``. ``area`` also limits where the model looks.
        predict_settings: See ``PredictSettings``; ``conf`` and ``aoi`` are set here.
        progress: Told of every batch.

    Returns:
        The figures, and the layers behind them, as of ``evaluate``.

    Raises:
        RasterError: A raster cannot be opened, or none could be read.
        InputError: Settings, model, rasters and labels do not go together.
    """
    from geodetect.detection.coverage import LOOKED_AT, coverage_table
    from geodetect.detection.predict import RunSummary, as_detector, predict
    from geodetect.model.calibration import calibrated_score
    from geodetect.model.file import load_card

    settings = settings or EvaluateSettings()
    wanted = read_truth(labels, crs=settings.truth_crs, class_field=settings.class_field)
    card = load_card(model) if isinstance(model, str | os.PathLike) else model.card
    conf = card.conf if settings.conf is None else settings.conf
    least = calibrated_score(LEAST_CONF, card.calibration)
    changes = {"conf": min(least, max(0.0, conf)), "aoi": settings.area}
    run = (predict_settings or PredictSettings()).model_copy(update=changes)
    detector, tally = as_detector(model, run), RunSummary()
    found = predict(rasters, detector, settings=run, progress=progress, tally=tally)
    ground = coverage_table(tally.coverage)
    seen = shapely.union_all(ground.geometry[ground["status"] == LOOKED_AT])
    if settings.conf is None and settings.pick_threshold is None:
        settings = settings.model_copy(update={"conf": card.conf})
    return _evaluate(found, wanted, settings, seen=seen)


def _evaluate(
    found: gpd.GeoDataFrame,
    wanted: gpd.GeoDataFrame,
    settings: EvaluateSettings,
    *,
    seen: shapely.Geometry | None = None,
) -> Evaluation:
    """Compare layers.

    Args:
        found: Detections.
        wanted: Objects.
        settings: The user's wishes.
        seen: Ground that was looked at, in the CRS of the detections; None: all.
    """
    criterion = Criterion(settings.iou, settings.distance)
    by_class = False if settings.ignore_classes else None
    if settings.pick_threshold and not is_scored(found):
        raise InputError(
            "the predictions have no scores, so there is no threshold to pick; name the column of "
            "scores with --score-field, or leave --pick-threshold away"
        )
    sides = align(found, wanted, crs=settings.crs, by_centre=settings.distance is not None)
    gap_m = check_nearness(sides)
    pairing = pair(sides, criterion, by_class=by_class)
    inside = _inside(sides, settings, found, seen)
    if inside is not None:
        sides = limited(sides, pairing.pooled.chosen.truth_of, inside=inside)
        pairing = pair(sides, criterion, by_class=by_class)
    picked = None
    if settings.pick_threshold:
        curve = precision_recall_curve(pairing.pooled.chosen)
        picked = pick_threshold(curve, settings.pick_threshold)
    usual = None if picked is None else picked.score_threshold
    blocks = ground_blocks(pairing, settings.block)
    metrics = measure(
        pairing,
        rows=(len(found), len(wanted)),
        conf=usual if settings.conf is None else settings.conf,
        edges_m=settings.sizes,
        blocks=blocks,
        resamples=settings.resamples,
        seed=settings.seed,
    )
    return Evaluation(
        metrics=metrics,
        predicted=found,
        truth=wanted,
        pairing=pairing,
        picked=picked,
        scored=is_scored(found),
        frame=frame_name(sides.grid),
        block_m=blocks.side_m,
        blocks=blocks.count,
        notes=notes_on(pairing, metrics, gap_m=gap_m, is_scored=is_scored(found)),
        settings=settings,
    )


def _inside(
    sides: Sides,
    settings: EvaluateSettings,
    found: gpd.GeoDataFrame,
    seen: shapely.Geometry | None,
) -> tuple[BoolArray, BoolArray] | None:
    """Whose centres are where the truth is known and the model looked; None: there is no limit."""
    limits = []
    if settings.area is not None:
        limits.append(centres_in(sides, *read_area(settings.area)))
    if seen is not None:
        limits.append(centres_in(sides, seen, found.crs))
    if not limits:
        return None
    detections, objects = (np.logical_and.reduce(masks) for masks in zip(*limits, strict=True))
    if (len(detections) or len(objects)) and not (detections.any() or objects.any()):
        where = "on the imagery" if settings.area is None else f"in --area {settings.area}"
        raise InputError(
            f"none of {len(detections):,} detections and {len(objects):,} objects lies {where}; "
            f"check that they show the same place"
        )
    return detections, objects
