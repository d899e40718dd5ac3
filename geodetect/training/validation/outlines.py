"""Validation of the outline head on the holdout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from geodetect.assessment.evaluate.areas.area_error import measure_area_error
from geodetect.assessment.matching.greedy_matching import match_boxes
from geodetect.detection.detectors.detector import Detector
from geodetect.geo.polygons import polygon_iou
from geodetect.model.card import AreaError, ModelCard
from geodetect.training.data.training_raster import TrainingRaster
from geodetect.training.validation.metrics import predict_holdout
from geodetect.types import FloatArray, ObjectArray

MATCH_IOU = 0.5  # of boxes
DECIMALS = 4


@dataclass(frozen=True)
class OutlineValidation:
    """Outlines of true positives compared with those of the labels.

    Args:
        iou: ``float64[P]`` IoU with the true outline.
        detected_m2: ``float64[P]`` areas on the ground.
        true_m2: ``float64[P]`` areas of the true outlines.
    """

    iou: FloatArray
    detected_m2: FloatArray
    true_m2: FloatArray

    def add_to_card(self, card: ModelCard) -> ModelCard:
        """Return the card with the medians of IoU, area ratio and area error, and ``AreaError``."""
        if not len(self.iou):
            return card
        ratio = self.detected_m2 / self.true_m2
        metrics = {
            "outline_iou": np.median(self.iou),
            "area_ratio": np.median(ratio),
            "area_error": np.median(np.abs(ratio - 1)),
        }
        rounded = {name: round(float(value), DECIMALS) for name, value in metrics.items()}
        error: AreaError | None = measure_area_error(self.detected_m2, self.true_m2)
        return card.model_copy(update={"metrics": card.metrics | rounded, "area_error": error})


def validate_outlines(
    detector: Detector, rasters: Sequence[TrainingRaster], *, conf: float
) -> OutlineValidation:
    """Compare the outlines of true positives on the holdout with those of the labels.

    Objects that the edge of a raster cuts, and labels that are boxes, are left out.

    Args:
        detector: Detector of outlines.
        rasters: Labelled rasters.
        conf: Score threshold, of the detector's own scores.
    """
    parts = [np.empty((0, 3))]
    for labelled in rasters:
        if labelled.outlines is None or not len(labelled.holdout):
            continue
        rows = labelled.is_held_out & (labelled.visible_fraction == 1)
        rows &= ~shapely.is_missing(labelled.outlines)
        predictions = predict_holdout(labelled, detector, conf=conf)
        scale = predictions.grid.scale_to(labelled.grid)
        objects = predictions.objects
        matches = match_boxes(
            predictions.boxes_px, objects.scores, labelled.boxes[rows], iou=MATCH_IOU
        )
        is_pair = (matches.truth_of >= 0) & ~shapely.is_missing(objects.outlines)
        detected: ObjectArray = shapely.transform(
            objects.outlines[is_pair], lambda points, scale=scale: points * scale
        )
        true = labelled.outlines[rows][matches.truth_of[is_pair]]
        px_m2 = float(np.prod(labelled.grid.gsd_xy_m or (1.0, 1.0)))
        columns = polygon_iou(detected, true), *(shapely.area(x) * px_m2 for x in (detected, true))
        parts.append(np.stack(columns, axis=1))
    return OutlineValidation(*np.concatenate(parts).T)
