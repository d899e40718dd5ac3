"""Evaluation of predictions, or of a model, against the truth."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack

import geopandas as gpd
import numpy as np
import shapely

from geodetect.assessment.evaluate.areas.outline_errors import OutlineAreas
from geodetect.assessment.evaluate.bootstrap import cut_blocks
from geodetect.assessment.evaluate.caveats import LEAST_CONF, find_caveats, find_ground_caveats
from geodetect.assessment.evaluate.metrics import compute_metrics
from geodetect.assessment.evaluate.precision_recall import precision_recall_curve
from geodetect.assessment.evaluate.read_layers import (
    TRUTH,
    read_predictions,
    read_truncated,
    read_truth,
)
from geodetect.assessment.evaluate.result import Evaluation
from geodetect.assessment.evaluate.thresholds import pick_threshold
from geodetect.assessment.image_truth import read_image_truth
from geodetect.assessment.layer_distance import FAR_M, measure_gap
from geodetect.assessment.matching.alignment import (
    AlignedLayers,
    align_layers,
    centres_in_area,
    restrict_layers,
)
from geodetect.assessment.matching.class_matching import match_layers
from geodetect.assessment.matching.comparison_grid import grid_name
from geodetect.assessment.matching.outlines import are_mostly_outlines
from geodetect.errors import InputError
from geodetect.io.array_raster import as_raster_paths
from geodetect.io.inputs import source_names
from geodetect.io.raster.georeference import georeference_advice
from geodetect.io.sources.find import find_rasters
from geodetect.io.vector.features import find_score_column
from geodetect.io.vector.read import PREDICTIONS, LayerSource, read_area
from geodetect.progress import Progress, as_progress, phase, reports_progress
from geodetect.settings import EvaluateSettings, PredictSettings
from geodetect.settings.functions import takes_settings
from geodetect.settings.keywords import EvaluateKeywords, EvaluateModelKeywords
from geodetect.settings.value_types import area_text
from geodetect.types import BoolArray, PathLike, RasterSource

if TYPE_CHECKING:
    from geodetect.detection.detectors.detector import Detector


@takes_settings(EvaluateSettings)
def evaluate(
    predictions: LayerSource,
    truth: LayerSource | Sequence[LayerSource],
    settings: EvaluateSettings | Mapping[str, Any] | None = None,
    **keywords: Unpack[EvaluateKeywords],
) -> Evaluation:
    """Compare predictions with the truth, object by object, over the whole scene.

    In descending score order each prediction takes the free object of its class with the highest
    IoU of their bounding boxes, or with ``settings.match`` "outline" of their polygons, from
    ``settings.iou`` on, or the nearest one within ``settings.distance``. Objects that are detected
    twice are one true and one false positive.
    Average precisions are those of COCO (Lin et al. 2014), with the scene as one image and no limit
    on detections. Boxes are drawn along the sides of the predictions (``comparison_grid``), and
    intervals are a bootstrap over blocks of ground (``geodetect.assessment.evaluate.bootstrap``).

    Args:
        predictions: A vector file of any format and CRS, or a table. Without a column of scores all
            have a score of 1; without one of classes, all are of one class.
        truth: Objects: polygons, or points with ``settings.distance``. One file, table, or several.
        settings: See ``EvaluateSettings``.
        keywords: Settings by name, such as ``iou=0.3``; they win over ``settings``.

    Raises:
        InputError: A layer cannot be used, the layers lie far apart, or the settings need scores
            or classes that the layers lack.
    """
    settings = EvaluateSettings.resolve(settings, keywords)
    _check_match(settings)
    evaluation = _evaluate_tables(
        read_predictions(predictions, crs=settings.pred_crs, score_field=settings.score_field),
        read_truth(truth, crs=settings.truth_crs, class_field=settings.class_field),
        settings,
    )
    return replace(evaluation, sources=tuple(source_names([predictions, truth, settings.aoi])))


@takes_settings(EvaluateSettings, PredictSettings)
@reports_progress
def evaluate_model(
    model: PathLike | Detector,
    rasters: RasterSource | Sequence[RasterSource],
    truth: LayerSource | Sequence[LayerSource],
    settings: EvaluateSettings | Mapping[str, Any] | None = None,
    *,
    predict_settings: PredictSettings | Mapping[str, Any] | None = None,
    progress: Progress | bool = False,
    **keywords: Unpack[EvaluateModelKeywords],
) -> Evaluation:
    """Run a model on rasters and compare its predictions with ground truth.

    Predictions are made down to a score of 0.05, before calibration, for the curves; counts are
    those at ``settings.conf``, else at the threshold of the model. Labels count where there is
    imagery.

    Args:
        model: Name of a built-in model, path of a model file, or any ``Detector``.
        rasters: Files, folders of rasters, URLs, arrays or open datasets of rasterio; one or
            several.
        truth: The truth, as for ``evaluate``, or labels in pixels of images as for a training,
            such as COCO or YOLO.
        settings: See ``EvaluateSettings``. ``aoi`` also limits the prediction.
        predict_settings: See ``PredictSettings``; ``conf`` and ``aoi`` are set here.
        progress: Called after every batch.
        keywords: Settings by name, such as ``iou=0.3``; they win over ``settings``.

    Raises:
        RasterError: A raster cannot be opened, or none could be read.
        InputError: Settings, model, rasters and truth do not go together.
    """
    from geodetect.detection.coverage import SEARCHED, coverage_table
    from geodetect.detection.predict import predict_layer
    from geodetect.model.calibration import calibrated_score
    from geodetect.model.file import load_card

    of_evaluation = {n: v for n, v in keywords.items() if n in EvaluateSettings.names()}
    of_prediction = {n: v for n, v in keywords.items() if n not in of_evaluation}
    settings = EvaluateSettings.resolve(settings, of_evaluation)
    _check_match(settings)
    run = PredictSettings.resolve(predict_settings, of_prediction)
    paths = as_raster_paths(rasters)
    progress = as_progress(progress)
    if isinstance(truth, str | os.PathLike | gpd.GeoDataFrame):
        truth = [truth]
    image_truth, layers = read_image_truth(truth, paths, run)
    if image_truth is None:
        objects = read_truth(layers, crs=settings.truth_crs, class_field=settings.class_field)
    else:
        objects = image_truth.table()
        paths = [raster.path for raster in image_truth.rasters]
        run = image_truth.predict_settings(run)
    card = load_card(model) if isinstance(model, str | os.PathLike) else model.card
    conf = card.conf if settings.conf is None else settings.conf
    least = calibrated_score(LEAST_CONF, card.calibration)
    changes = {"conf": min(least, max(0.0, conf)), "aoi": settings.aoi}
    with georeference_advice("give labels in pixels of its image, such as COCO, as `truth`"):
        layer = predict_layer(
            paths,
            model,
            settings=run.model_copy(update=changes),
            progress=progress,
            counted_conf=conf,
            joined=image_truth is None,  # labels in pixels of images end at their edges
        )
    if image_truth is not None:
        layer = image_truth.lay_side_by_side(layer)
    coverage = coverage_table(layer.coverage)
    searched = shapely.union_all(coverage.geometry[coverage["status"] == SEARCHED])
    if settings.conf is None and settings.pick_threshold is None:
        settings = settings.model_copy(update={"conf": card.conf})
    evaluation = _evaluate_tables(layer.table(), objects, settings, searched=searched)
    caveats = [*evaluation.caveats, *find_ground_caveats(evaluation.layer_matches.layers, card)]
    if image_truth is not None:
        evaluation = replace(
            evaluation,
            predictions=image_truth.move_back(evaluation.predictions),
            truth=image_truth.move_back(evaluation.truth),
        )
    sources = source_names([find_rasters(paths, quiet=True), model, truth, settings.aoi])
    return replace(
        evaluation,
        caveats=tuple(caveats),
        run=layer.summary.description,
        sources=tuple(sources),
    )


def _check_match(settings: EvaluateSettings) -> None:
    """Check that one kind of match is set.

    Raises:
        InputError: Both outlines and distances are to decide.
    """
    if settings.match == "outline" and settings.distance is not None:
        raise InputError(
            f"`distance` {settings.distance:g} matches centres, and `match` outline matches "
            f"outlines; leave one of them away"
        )


@phase("Matching and measuring")
def _evaluate_tables(
    predictions: gpd.GeoDataFrame,
    truth: gpd.GeoDataFrame,
    settings: EvaluateSettings,
    *,
    searched: shapely.Geometry | None = None,
) -> Evaluation:
    """Compare layers.

    Args:
        predictions: Predictions as read.
        truth: True objects as read.
        settings: See ``EvaluateSettings``.
        searched: Area that a model searched, in the CRS of its predictions, which are complete then
            down to ``LEAST_CONF``; None: predictions of a file.
    """
    match = partial(
        match_layers,
        iou=settings.iou,
        distance_m=settings.distance,
        by_class=False if settings.ignore_classes else None,
    )
    has_scores = "score" in predictions
    if settings.pick_threshold and not has_scores:
        raise InputError(
            "the predictions have no scores, so there is no threshold to pick; name the column of "
            "scores with `score_field`, or leave `pick_threshold` away"
        )
    layers = align_layers(
        predictions,
        truth,
        crs=settings.box_crs,
        by_centre=settings.distance is not None,
        by_outline=settings.match == "outline",
    )
    gap_m, gap_message = measure_gap(
        layers.predictions.boxes, layers.truth.boxes, layers.grid, (PREDICTIONS, TRUTH)
    )
    if gap_m > FAR_M:
        raise InputError(gap_message)
    layer_matches = match(layers)
    is_inside = _centres_inside(layers, settings, predictions, searched)
    if is_inside is not None:
        truth_of = layer_matches.pooled.matches.truth_of
        layers = restrict_layers(layers, truth_of, is_inside=is_inside)
        layer_matches = match(layers)
    picked, conf = None, settings.conf
    if settings.pick_threshold:
        curve = precision_recall_curve(layer_matches.pooled.matches)
        picked = pick_threshold(curve, settings.pick_threshold)
        conf = picked.score_threshold if conf is None else conf
    lowest_score = None
    if has_scores and len(predictions) and searched is None:
        lowest_score = float(np.nanmin(predictions["score"]))
    blocks = cut_blocks(layer_matches, settings.block_size)
    areas = OutlineAreas.from_layers(layers, predictions)
    metrics = compute_metrics(
        layer_matches,
        n_rows=(len(predictions), len(truth)),
        conf=conf,
        edges_m=settings.size_bins,
        blocks=blocks,
        resamples=settings.resamples,
        seed=settings.seed,
        areas=areas,
    )
    return Evaluation(
        metrics=metrics,
        predictions=predictions,
        truth=truth,
        layer_matches=layer_matches,
        picked=picked,
        grid_name=grid_name(layers.grid),
        block_m=blocks.side_m,
        blocks=blocks.count,
        caveats=find_caveats(
            layer_matches,
            metrics,
            gap_m=gap_m,
            is_truncated=read_truncated(predictions),
            has_scores=has_scores,
            truth_has_scores=find_score_column(truth) is not None,
            lowest_score=lowest_score,
            conf=settings.conf,
            distance_m=settings.distance,
            has_outlines=all(
                are_mostly_outlines(np.asarray(table.geometry), table.crs)
                for table in (predictions, truth)
            ),
        ),
        lowest_score=lowest_score,
        settings=settings,
        area_error=None
        if areas is None
        else areas.area_error(layer_matches, metrics.score_threshold),
    )


def _centres_inside(
    layers: AlignedLayers,
    settings: EvaluateSettings,
    predictions: gpd.GeoDataFrame,
    searched: shapely.Geometry | None,
) -> tuple[BoolArray, BoolArray] | None:
    """Return True for centres in the area of the truth and in the searched area; None: no limit."""
    limits = []
    if settings.aoi is not None:
        limits.append(
            centres_in_area(layers, *read_area(settings.aoi, default_crs=predictions.crs))
        )
    if searched is not None:
        limits.append(centres_in_area(layers, searched, predictions.crs))
    if not limits:
        return None
    is_inside, is_truth_inside = (
        np.logical_and.reduce(masks) for masks in zip(*limits, strict=True)
    )
    n_inside = is_inside.sum() + is_truth_inside.sum()
    if (len(is_inside) or len(is_truth_inside)) and not n_inside:
        where = "on the imagery" if settings.aoi is None else f"in `aoi` {area_text(settings.aoi)}"
        raise InputError(
            f"none of {len(is_inside):,} detections and {len(is_truth_inside):,} objects lies "
            f"{where}; check that they show the same place"
        )
    return is_inside, is_truth_inside
