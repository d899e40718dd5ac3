"""Validation of a detector on the holdout of labelled rasters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely

from geodetect.assessment.evaluate.precision_recall import average_precision, precision_recall_curve
from geodetect.assessment.evaluate.reliability import (
    apply_calibration,
    fit_calibration,
    reliability,
)
from geodetect.assessment.evaluate.thresholds import bagged_f1_threshold
from geodetect.assessment.matching.class_matching import COCO_IOUS
from geodetect.assessment.matching.greedy_matching import Matches, match_boxes_at, offset_boxes
from geodetect.detection.detection_layer import DetectionLayer, GroundDetections, canonical_order
from geodetect.detection.detections import Detections
from geodetect.detection.detectors.detector import Detector
from geodetect.detection.plan import plan_ground
from geodetect.detection.search import detect_ground
from geodetect.geo import boxes as box_ops
from geodetect.geo.grid import Grid
from geodetect.io.ground.ground import Ground
from geodetect.io.raster.reader import Raster
from geodetect.io.vector.geopackage import Layer, write_layers
from geodetect.io.vector.qgis_style import TRUE_POSITIVE, Symbol, score_qml, single_qml
from geodetect.model.calibration import calibrated_score
from geodetect.model.card import Calibration, ModelCard
from geodetect.redaction import redact
from geodetect.settings import PredictSettings
from geodetect.training.data.training_raster import TrainingRaster
from geodetect.training.run.folder import VALIDATION
from geodetect.types import FloatArray, PathLike

MIN_SCORE = 0.05
SCORE_DECIMALS = 4
IGNORED_FRACTION = 0.5
LOOSE_IOU = 0.3  # of loose labels, and of objects of a few pixels


@dataclass(frozen=True, eq=False)
class RasterObjects:
    """Predictions or ground truth on one raster.

    Args:
        raster: The raster.
        grid: Grid whose pixels the boxes are in.
        objects: In ``canonical_order``; ground truth has scores of 1.
        classes: Class names.
    """

    raster: Raster
    grid: Grid
    objects: Detections
    classes: tuple[str, ...]

    @property
    def boxes_px(self) -> FloatArray:
        """Boxes in pixels of the raster, ``float64[N, 4]``."""
        return self.objects.boxes * np.tile(self.grid.scale_to(self.raster.grid), 2)

    @property
    def pixel_size_m(self) -> FloatArray:
        """Ground size of a pixel of the raster along rows and columns, ``float64[2]`` in metres."""
        return np.array(self.raster.grid.gsd_xy_m or (1.0, 1.0))

    def for_matching(self, scene: int) -> FloatArray:
        """Return boxes in pixels of the raster, apart from other scenes and classes."""
        return offset_boxes(self.boxes_px, self.objects.labels, scene=scene)


@dataclass(frozen=True, eq=False)
class ValidationResult:
    """Predictions on the holdout, matched with the ground truth.

    Args:
        conf: Calibrated score threshold with the highest expected F1 at an IoU of 0.5, see
            ``bagged_f1_threshold``; the detector's own threshold if there are no predictions.
        metrics: Figures by name: ``objects, ap50, ap30, ap50_95``; ``f1, precision, recall`` at
            that threshold; ``ece``, the expected calibration error of scores from ``MIN_SCORE`` up,
            and ``ece_uncalibrated``, that of the raw scores if they were calibrated here. All
            classes together, and ``ap50 NAME`` and ``ap30 NAME`` of each class if there are
            several. Undefined figures are left out.
        calibration: Maps raw scores to precision; None: too few predictions to fit it.
        predictions: Predictions on each raster with a holdout, with raw scores.
        truth: Ground truth on each of these rasters.
        matches: All predictions, in this order, matched with all objects at an IoU of 0.5, by
            calibrated scores.
        loose_matches: The same at an IoU of ``LOOSE_IOU``.
        holdout: ``float64[M, 4]`` rectangles held out of each raster, in its pixels.
    """

    conf: float
    metrics: dict[str, float]
    calibration: Calibration | None
    predictions: tuple[RasterObjects, ...]
    truth: tuple[RasterObjects, ...]
    matches: Matches
    loose_matches: Matches
    holdout: tuple[FloatArray, ...] = ()

    @property
    def figures(self) -> dict[str, float]:
        """AP50 and AP30 as figures of the progress."""
        return {f"val_{name}": self.metrics.get(name, 0.0) for name in ("ap50", "ap30")}

    def add_to_card(self, card: ModelCard) -> ModelCard:
        """Return the card with calibration, score threshold and metrics of this validation."""
        return card.model_copy(
            update={"calibration": self.calibration, "conf": self.conf, "metrics": self.metrics}
        )

    @cached_property
    def prediction_table(self) -> gpd.GeoDataFrame:
        """Predictions from a score of ``MIN_SCORE`` up, as a detection table.

        Its CRS is that of the first raster. Further columns: ``tp`` and ``tp30`` (true positive at
        an IoU of 0.5 and of 0.3), ``raw_score`` (before calibration) and ``source`` (path of the
        raster).
        """
        table = _layer_table(self.predictions)
        return table.assign(
            score=self.matches.scores.round(SCORE_DECIMALS),
            tp=self.matches.is_tp,
            tp30=self.loose_matches.is_tp,
            raw_score=table["score"],
        )

    @cached_property
    def truth_table(self) -> gpd.GeoDataFrame:
        """Ground truth with the columns of a detection table, in the same CRS.

        Further columns: ``matched_score`` and ``matched_score30`` (calibrated score of the matched
        prediction at an IoU of 0.5 and of 0.3; NaN: a false negative), and ``source``.
        """
        table = _layer_table(self.truth).drop(columns=["score", "truncated"])
        return table.assign(
            matched_score=self.matches.scores_of_truth.round(SCORE_DECIMALS),
            matched_score30=self.loose_matches.scores_of_truth.round(SCORE_DECIMALS),
        )

    def write(self, run_dir: PathLike, *, overwrite: bool = True) -> Path:
        """Write ``validation.gpkg`` with the layers ``detections`` and ``truth``.

        Args:
            run_dir: An existing folder.
            overwrite: Replace the file of an earlier validation.

        Raises:
            OutputError: It cannot be written.
        """
        layers = [
            Layer("detections", self.prediction_table, score_qml()),
            Layer("truth", self.truth_table, single_qml(Symbol(TRUE_POSITIVE))),
        ]
        return write_layers(layers, Path(run_dir) / VALIDATION, overwrite=overwrite)


def validate(detector: Detector, rasters: Sequence[TrainingRaster]) -> ValidationResult | None:
    """Run a detector on the holdout and compare its predictions with the labels.

    Objects and predictions count if their centre is held out. Scores are calibrated on the same
    holdout, unless the card of the detector has a calibration already: then that one is used.

    Args:
        detector: Detector with scores down to ``MIN_SCORE``.
        rasters: Labelled rasters; those without a holdout are skipped.

    Returns:
        None if no object is held out.
    """
    rasters = [raster for raster in rasters if len(raster.holdout)]
    card = detector.card
    truth = tuple(_holdout_truth(raster, card) for raster in rasters)
    truth_boxes = np.concatenate(
        [np.empty((0, 4)), *(t.for_matching(scene) for scene, t in enumerate(truth))]
    )
    if not len(truth_boxes):
        return None
    predictions = tuple(predict_holdout(raster, detector) for raster in rasters)
    boxes = np.concatenate([p.for_matching(scene) for scene, p in enumerate(predictions)])
    raw_scores = np.concatenate([p.objects.scores for p in predictions])
    labels = np.concatenate([p.objects.labels for p in predictions])
    is_correct = match_boxes_at(boxes, raw_scores, truth_boxes, ious=[0.5])[0].is_tp
    calibration = card.calibration
    scores, raw_ece = raw_scores.astype(np.float64), math.nan
    if calibration is None:
        calibration = fit_calibration(scores, labels, is_correct, classes=len(card.classes))
        if calibration is not None:
            raw_ece = reliability(scores, is_correct, least=MIN_SCORE).expected_calibration_error
        scores = apply_calibration(scores, labels, calibration)
    loose, *matches_by_iou = match_boxes_at(
        boxes, scores, truth_boxes, ious=(LOOSE_IOU, *COCO_IOUS)
    )
    matches = matches_by_iou[0]
    curve = precision_recall_curve(matches)
    conf = round(bagged_f1_threshold(curve, least=calibrated_score(MIN_SCORE, calibration)), 4)
    conf = card.conf if math.isnan(conf) else conf
    point = curve.at(conf)
    ap = [average_precision(at_iou) for at_iou in matches_by_iou]
    truth_labels = np.concatenate([t.objects.labels for t in truth])
    metrics = {
        "objects": float(len(truth_boxes)),
        "ap50": ap[0],
        "ap30": average_precision(loose),
        "ap50_95": float(np.mean(ap)),
        "f1": point.f1,
        "precision": point.precision,
        "recall": point.recall,
        "ece": reliability(scores, is_correct, least=MIN_SCORE).expected_calibration_error,
        "ece_uncalibrated": raw_ece,
    }
    for label, name in enumerate(card.classes if len(card.classes) > 1 else ()):
        rows, n_truth = labels == label, int((truth_labels == label).sum())
        for key, pooled in (("ap50", matches), ("ap30", loose)):
            class_matches = Matches(
                pooled.truth_of[rows],
                pooled.iou[rows],
                pooled.scores[rows],
                n_truth,
                pooled.threshold,
            )
            metrics[f"{key} {name}"] = average_precision(class_matches)
    return ValidationResult(
        conf=conf,
        metrics={name: round(v, 4) for name, v in metrics.items() if math.isfinite(v)},
        calibration=calibration,
        predictions=predictions,
        truth=truth,
        matches=matches,
        loose_matches=loose,
        holdout=tuple(raster.holdout for raster in rasters),
    )


def _holdout_truth(labelled: TrainingRaster, card: ModelCard) -> RasterObjects:
    rows = labelled.is_held_out
    boxes = labelled.clipped_boxes[rows]
    truth = Detections.from_arrays(boxes, np.ones(len(boxes)), labelled.class_ids[rows])
    truth = truth[canonical_order(truth)]
    return RasterObjects(labelled.raster, labelled.grid, truth, card.classes)


def predict_holdout(
    labelled: TrainingRaster, detector: Detector, *, conf: float = MIN_SCORE
) -> RasterObjects:
    """Predict on the holdout of a raster.

    Predictions of which at least half lies on an object that is hardly visible are left out: they
    are neither true nor false positives, like detections on ignored regions in COCO.

    Args:
        labelled: The raster.
        detector: The detector.
        conf: Score threshold, which is that of the detector.
    """
    settings = PredictSettings(conf=conf)
    area = shapely.union_all(shapely.box(*labelled.holdout.T))
    ground = Ground.from_rasters([labelled.raster])
    plan = plan_ground(ground, detector.card, settings, area=area)
    predictions = detect_ground(plan, detector, settings)
    boxes = predictions.boxes / np.tile(labelled.grid.scale_to(plan.grid), 2)
    ignored = labelled.clipped_boxes[~labelled.is_visible]
    rows, objects = box_ops.overlap_pairs(boxes, ignored).T
    covered_area = box_ops.intersection(boxes[rows], ignored[objects])
    is_covered = covered_area >= IGNORED_FRACTION * box_ops.area(boxes[rows])
    predictions = predictions[~np.isin(np.arange(len(boxes)), rows[is_covered])]
    predictions = predictions[canonical_order(predictions)]
    return RasterObjects(labelled.raster, plan.grid, predictions, detector.card.classes)


def _layer_table(layer: Sequence[RasterObjects]) -> gpd.GeoDataFrame:
    """Return the table of all objects, with the path of the raster in ``source``, no secrets."""
    detections = [
        GroundDetections.from_detections(
            p.objects, p.grid, classes=p.classes, rasters=[p.raster.name]
        )
        for p in layer
    ]
    paths = [p.raster.path for p in layer]
    sources = [str(Path(path).resolve()) if Path(path).exists() else redact(path) for path in paths]
    counts = [len(p.objects) for p in layer]
    table = DetectionLayer(tuple(detections)).table()
    return table.assign(source=np.repeat(np.array(sources, dtype=object), counts))
