"""Validation results of made-up predictions on a raster."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geodetect.assessment.matching.class_matching import COCO_IOUS
from geodetect.assessment.matching.greedy_matching import match_boxes_at
from geodetect.detection.detections import Detections
from geodetect.io.raster.reader import Raster
from geodetect.training.validation.metrics import LOOSE_IOU, RasterObjects, ValidationResult


def grid_boxes(
    columns: int, rows: int, *, step_px: float, size_px: float = 16.0
) -> NDArray[np.float64]:
    """Square boxes in a grid, row by row, ``float64[columns * rows, 4]``."""
    y, x = np.mgrid[:rows, :columns].reshape(2, -1) * step_px + step_px / 2
    return np.stack([x, y, x + size_px, y + size_px], axis=1)


def made_up_validation(
    raster: Raster,
    truth: ArrayLike,
    predicted: ArrayLike,
    *,
    scores: Sequence[float] | None = None,
    metrics: dict[str, float] | None = None,
) -> ValidationResult:
    """The validation of predicted boxes on a whole raster, at a score threshold of 0.5."""
    truth_boxes, boxes = (
        np.array(values, np.float64).reshape(-1, 4) for values in (truth, predicted)
    )
    values = np.full(len(boxes), 0.9) if scores is None else np.array(scores, np.float64)
    loose, matches, *_ = match_boxes_at(boxes, values, truth_boxes, ious=(LOOSE_IOU, *COCO_IOUS))

    def layer(layer_boxes: NDArray[np.float64], of: NDArray[np.float64]) -> RasterObjects:
        labels = np.zeros(len(of), np.int64)
        detections = Detections.from_arrays(layer_boxes, of, labels)
        return RasterObjects(raster, raster.grid, detections, ("pool",))

    return ValidationResult(
        conf=0.5,
        metrics={"objects": float(len(truth_boxes))} | (metrics or {}),
        calibration=None,
        predictions=(layer(boxes, values),),
        truth=(layer(truth_boxes, np.ones(len(truth_boxes))),),
        matches=matches,
        loose_matches=loose,
        holdout=(raster.grid.box[None],),
    )
