"""Calibration of the scores of a model, on rasters with ground truth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from geodetect.assessment.evaluate.caveats import LEAST_CONF
from geodetect.assessment.evaluate.evaluation import evaluate_model
from geodetect.assessment.evaluate.precision_recall import average_precision, precision_recall_curve
from geodetect.assessment.evaluate.reliability import (
    MIN_EVENTS,
    apply_calibration,
    fit_calibration,
    reliability,
)
from geodetect.assessment.evaluate.result import Evaluation
from geodetect.assessment.evaluate.thresholds import bagged_f1_threshold
from geodetect.errors import InputError
from geodetect.io.inputs import protect_inputs
from geodetect.io.vector.read import LayerSource
from geodetect.model.calibration import calibrated_score
from geodetect.model.card import Calibration, ModelCard
from geodetect.model.file import check_target, model_path, read_model_file, write_model_file
from geodetect.progress import Progress, as_progress, reports_progress
from geodetect.settings import CalibrateSettings, EvaluateSettings, PredictSettings
from geodetect.settings.functions import takes_settings
from geodetect.settings.keywords import CalibrateKeywords
from geodetect.types import PathLike, RasterSource

DECIMALS = 4  # of figures and of the threshold in the card


@takes_settings(CalibrateSettings)
@reports_progress
def calibrate(
    model: PathLike,
    rasters: RasterSource | Sequence[RasterSource],
    truth: LayerSource | Sequence[LayerSource],
    output: PathLike,
    *,
    settings: CalibrateSettings | Mapping[str, Any] | None = None,
    predict_settings: PredictSettings | Mapping[str, Any] | None = None,
    progress: Progress | bool = False,
    overwrite: bool = False,
    **keywords: Unpack[CalibrateKeywords],
) -> ModelCard:
    """Write a model whose scores are the fractions of true positives on rasters with ground truth.

    Detections down to a score of 0.05 are matched with the truth as by ``evaluate_model``. Platt
    scaling is fitted to them, class by class, on top of a calibration that the model has already.
    The score threshold of the new card is the one with the highest F1, and its figures are those
    on this truth. With ``match="outline"`` the error of areas is measured, too.

    Args:
        model: Name of a built-in model or path of a model file.
        rasters: Files, folders of rasters, URLs, arrays or open datasets of rasterio; one or
            several. The model should not have been trained on them.
        truth: The complete truth of these rasters, or of ``aoi``, as for ``evaluate_model``.
        output: Model file to write, ``.safetensors``.
        settings: See ``CalibrateSettings``.
        predict_settings: See ``PredictSettings``; ``conf`` and ``aoi`` are set here.
        progress: Called after every batch.
        overwrite: Replace ``output`` if it exists.
        keywords: Settings by name, such as ``iou=0.3``; they win over ``settings``.

    Returns:
        The card of the new model.

    Raises:
        InputError: There are too few true or false positives, or settings, model, rasters and
            truth do not go together.
        RasterError: A raster cannot be opened, or none could be read.
        OutputError: The model cannot be written.
    """
    settings = CalibrateSettings.resolve(settings, keywords)
    source, target = model_path(model), Path(output)
    with protect_inputs(source):
        check_target(target, overwrite=overwrite)
    card, weights = read_model_file(source)
    values = settings.model_dump(exclude={"conf"}, exclude_unset=True)
    evaluation = evaluate_model(
        source,
        rasters,
        truth,
        EvaluateSettings(**values, resamples=0),
        predict_settings=predict_settings,
        progress=as_progress(progress),
    )
    new_card = _calibrate_card(card, evaluation, conf=settings.conf)
    write_model_file(target, new_card, weights)
    return new_card


def _calibrate_card(card: ModelCard, evaluation: Evaluation, *, conf: float | None) -> ModelCard:
    """Return a card with the calibration, threshold and figures of an evaluation.

    Args:
        card: Card of the model that was evaluated.
        evaluation: Its evaluation, with predictions down to ``LEAST_CONF``.
        conf: Score threshold; None: the one with the highest F1.

    Raises:
        InputError: There are too few true or false positives.
    """
    pooled, predictions = evaluation.layer_matches.pooled, evaluation.layer_matches.layers
    scores = pooled.matches.scores.astype(np.float64)
    names = predictions.predictions.class_names[pooled.predicted]
    labels = np.array([card.classes.index(name) for name in names], np.int64)
    is_tp = pooled.matches.is_tp
    fitted = fit_calibration(scores, labels, is_tp, classes=len(card.classes))
    if fitted is None:
        raise InputError(
            f"found {is_tp.sum():,} true and {(~is_tp).sum():,} false positives down to a score of "
            f"{LEAST_CONF:g}, expected {MIN_EVENTS} of each; calibrate on more rasters with more "
            f"`truth`"
        )
    calibrated = apply_calibration(scores, labels, fitted)
    matches = replace(pooled.matches, scores=calibrated)
    calibration = _compose(card.calibration, fitted)
    curve = precision_recall_curve(matches)
    threshold = bagged_f1_threshold(curve, least=calibrated_score(LEAST_CONF, calibration))
    conf = round(threshold, DECIMALS) if conf is None else conf
    point = curve.at(conf)
    figures = {
        "objects": float(matches.n_truth),
        "precision": point.precision,
        "recall": point.recall,
        "f1": point.f1,
        "ece": reliability(calibrated, is_tp).expected_calibration_error,
        "ece_uncalibrated": reliability(scores, is_tp).expected_calibration_error,
    }
    if pooled.coco:
        figures["ap50"] = average_precision(replace(pooled.coco[0], scores=calibrated))
    return card.model_copy(
        update={
            "calibration": calibration,
            "conf": conf,
            "area_error": evaluation.area_error or card.area_error,
            "metrics": {n: round(v, DECIMALS) for n, v in figures.items() if math.isfinite(v)},
        }
    )


def _compose(first: Calibration | None, second: Calibration) -> Calibration:
    """Return the calibration that does what two do one after the other."""
    if first is None:
        return second
    pairs = list(zip(first.slope, first.intercept, second.slope, second.intercept, strict=True))
    return Calibration(
        slope=tuple(a * c for a, _, c, _ in pairs),
        intercept=tuple(b * c + d for _, b, c, d in pairs),
        score_range=second.score_range,
    )
