"""How good a new model is on the ground that was held out."""

from __future__ import annotations

import math
import os
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
from geodetect.detection.detection_layer import DetectionLayer, RasterDetections, canonical_order
from geodetect.detection.detections import Detections
from geodetect.detection.detector import Detector
from geodetect.detection.plan import plan_grid
from geodetect.detection.predict import RunSummary, detect_raster
from geodetect.geo import boxes as box_ops
from geodetect.geo.grid import Grid
from geodetect.io.raster.reader import Raster
from geodetect.io.vector.geopackage import Layer, write_layers
from geodetect.io.vector.qgis_style import TRUE_POSITIVE, Symbol, score_qml, single_qml
from geodetect.model.calibration import calibrated_score
from geodetect.model.card import Calibration, ModelCard
from geodetect.settings import PredictSettings
from geodetect.training.data.chip_sampler import Ground
from geodetect.types import BoolArray, FloatArray, IntArray

LEAST_CONF = 0.05
FILE_NAME = "validation.gpkg"
SCORE_DECIMALS = 4
IGNORED_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class Validation:
    """What was measured.

    Args:
        conf: The calibrated score that should have the highest F1 at an IoU of 0.5, see
            ``bagged_f1_threshold``; the detector's own threshold when no object was found.
        metrics: Figures by name: ``objects, ap50, ap50_95``; ``f1, precision, recall`` at that
            threshold; ``ece``, the expected calibration error of scores from ``LEAST_CONF`` up, and
            ``ece_uncalibrated``, that of the network's own if they were calibrated here. All
            classes together, and ``ap50 NAME`` of each class if there are several. Figures that are
            not defined are left out.
        calibration: Makes the network's scores shares of right detections; None: too few
            detections to tell.
        found: The detections of each raster with held-out ground, with the network's own scores.
        wanted: The objects of each of these rasters.
        matches: All detections, in this order, matched with all objects at an IoU of 0.5, by
            calibrated scores.
    """

    conf: float
    metrics: dict[str, float]
    calibration: Calibration | None
    found: tuple[Sheet, ...]
    wanted: tuple[Sheet, ...]
    matches: Matches

    @cached_property
    def detections(self) -> gpd.GeoDataFrame:
        """All detections from ``LEAST_CONF`` up.

        Returns:
            The detection table in the CRS of the first raster, with ``correct`` (whether an object
            was found at an IoU of 0.5), ``raw_score`` (the network's own, before calibration) and
            ``source`` (where the raster is).
        """
        table = _on_one_map(self.found)
        return table.assign(
            score=self.matches.scores.round(SCORE_DECIMALS),
            correct=self.matches.correct,
            raw_score=table["score"],
        )

    @cached_property
    def truth(self) -> gpd.GeoDataFrame:
        """The objects that should have been found.

        Returns:
            The columns of the detection table, with ``found_score`` (the calibrated score of the
            detection that found it; NaN: none did) and ``source``, on the map of ``detections``.
        """
        table = _on_one_map(self.wanted).drop(columns=["score", "truncated"])
        scores = np.append(self.matches.scores, np.nan)  # -1, not found, picks the last
        found = scores[self.matches.prediction_of].round(SCORE_DECIMALS)
        return table.assign(found_score=found)

    def save(self, run_dir: str | os.PathLike[str], *, overwrite: bool = True) -> Path:
        """Write ``validation.gpkg`` with the layers ``detections`` and ``truth``.

        Args:
            run_dir: An existing folder.
            overwrite: Replace the file of an earlier validation.

        Raises:
            OutputError: It cannot be written.
        """
        layers = [
            Layer("detections", self.detections, score_qml()),
            Layer("truth", self.truth, single_qml(Symbol(TRUE_POSITIVE))),
        ]
        return write_layers(layers, Path(run_dir) / FILE_NAME, overwrite=overwrite)


@dataclass(frozen=True, eq=False)
class Sheet:
    """Detections or objects on one raster.

    Args:
        raster: The raster.
        grid: Pixels that the boxes are in.
        objects: In the order of the detection table.
        classes: Names of the labels.
    """

    raster: Raster
    grid: Grid
    objects: Detections
    classes: tuple[str, ...]

    @classmethod
    def of(cls, ground: Ground, grid: Grid, objects: Detections, card: ModelCard) -> Sheet:
        """Objects of a ground, put in order."""
        return cls(ground.raster, grid, objects[canonical_order(objects)], card.classes)

    def apart(self, number: int) -> FloatArray:
        """Boxes in the raster's own pixels, moved to a place that only their class has."""
        boxes = self.objects.boxes * np.tile(self.grid.scale_to(self.raster.grid), 2)
        return offset_boxes(boxes, self.objects.labels, scene=number)

    def on_map(self) -> RasterDetections:
        """The same on the map."""
        return RasterDetections.of(
            self.objects, self.grid, classes=self.classes, raster=self.raster.name
        )


def validate(detector: Detector, grounds: Sequence[Ground]) -> Validation | None:
    """Detect on all held-out ground and compare with its labels.

    Objects and detections count when their centre is held out. Scores are calibrated on that same
    ground, unless the card of the detector has a calibration already: then that one is measured.

    Args:
        detector: Gives scores down to ``LEAST_CONF``.
        grounds: Rasters with objects; those without held-out ground are passed over.

    Returns:
        None when no object is held out.
    """
    held = [ground for ground in grounds if len(ground.held_out)]
    wanted = tuple(_wanted(ground, detector.card) for ground in held)
    truth = np.concatenate([np.empty((0, 4)), *(one.apart(n) for n, one in enumerate(wanted))])
    if not len(truth):
        return None
    found = tuple(_found(ground, detector) for ground in held)
    boxes = np.concatenate([one.apart(n) for n, one in enumerate(found)])
    raw, labels = (
        np.concatenate([getattr(one.objects, name) for one in found])
        for name in ("scores", "labels")
    )
    correct = match_boxes_at(boxes, raw, truth, ious=[0.5])[0].correct
    calibration = detector.card.calibration
    scores, before = raw.astype(np.float64), math.nan
    if calibration is None:
        classes = len(detector.card.classes)
        calibration = fit_calibration(scores, labels, correct, classes=classes)
        before = _expected_error(scores, correct) if calibration is not None else math.nan
        scores = apply_calibration(scores, labels, calibration)
    by_iou = match_boxes_at(boxes, scores, truth, ious=COCO_IOUS)
    curve = precision_recall_curve(by_iou[0])
    conf = round(bagged_f1_threshold(curve, least=calibrated_score(LEAST_CONF, calibration)), 4)
    conf = detector.card.conf if math.isnan(conf) else conf
    point = curve.at(conf)
    ap = [average_precision(matches) for matches in by_iou]
    metrics = {
        "objects": float(len(truth)),
        "ap50": ap[0],
        "ap50_95": float(np.mean(ap)),
        "f1": point.f1,
        "precision": point.precision,
        "recall": point.recall,
        "ece": _expected_error(scores, correct),
        "ece_uncalibrated": before,
        **_by_class(by_iou[0], labels, wanted),
    }
    return Validation(
        conf=conf,
        metrics={name: round(v, 4) for name, v in metrics.items() if math.isfinite(v)},
        calibration=calibration,
        found=found,
        wanted=wanted,
        matches=by_iou[0],
    )


def calibrated(card: ModelCard, validation: Validation) -> ModelCard:
    """The card with what a validation found: calibration, threshold and metrics."""
    return card.model_copy(
        update={
            "calibration": validation.calibration,
            "conf": validation.conf,
            "metrics": validation.metrics,
        }
    )


def _wanted(ground: Ground, card: ModelCard) -> Sheet:
    held = ground.measured
    boxes = ground.shown[held]
    objects = Detections.of(boxes, np.ones(len(boxes)), ground.labels[held])
    return Sheet.of(ground, ground.raster.grid, objects, card)


def _found(ground: Ground, detector: Detector) -> Sheet:
    settings = PredictSettings(conf=LEAST_CONF)
    area = shapely.union_all(shapely.box(*ground.held_out.T))
    plan = plan_grid(ground.raster, detector.card, settings, area=area)
    found = detect_raster(plan, detector, settings=settings, keep=None, tally=RunSummary())
    scale = np.tile(ground.raster.grid.scale_to(plan.grid), 2)
    found = found[~_are_on_cut_objects(found.boxes / scale, ground)]
    return Sheet.of(ground, plan.grid, found, detector.card)


def _are_on_cut_objects(boxes: FloatArray, ground: Ground) -> BoolArray:
    """Whether at least half of each lies on an object of which the raster shows too little.

    They are neither right nor wrong, as COCO counts what lies on regions that are to be ignored.
    """
    cut = ground.shown[~ground.is_seen]
    rows, objects = box_ops.overlap_pairs(boxes, cut).T
    covered = box_ops.intersection(boxes[rows], cut[objects]) >= IGNORED_SHARE * box_ops.area(
        boxes[rows]
    )
    return np.bincount(rows[covered], minlength=len(boxes)) > 0


def _expected_error(scores: FloatArray, correct: BoolArray) -> float:
    return reliability(scores, correct, least=LEAST_CONF).expected_calibration_error


def _by_class(matches: Matches, labels: IntArray, wanted: Sequence[Sheet]) -> dict[str, float]:
    """The average precision of each class; nothing where there is only one."""
    classes = wanted[0].classes
    if len(classes) == 1:
        return {}
    truth_labels = np.concatenate([one.objects.labels for one in wanted])
    figures = {}
    for label, name in enumerate(classes):
        own, count = labels == label, int((truth_labels == label).sum())
        one = Matches(matches.truth_of[own], matches.iou[own], matches.scores[own], count, 0.5)
        figures[f"ap50 {name}"] = average_precision(one)
    return figures


def _on_one_map(sheets: Sequence[Sheet]) -> gpd.GeoDataFrame:
    table = DetectionLayer(tuple(one.on_map() for one in sheets)).table()
    sources = [_source(one.raster.path) for one in sheets for _ in range(len(one.objects))]
    return table.assign(source=np.array(sources, dtype=str).astype(object))


def _source(path: str) -> str:
    """Where a raster is, wherever it is looked for from."""
    return str(Path(path).resolve()) if Path(path).exists() else path
