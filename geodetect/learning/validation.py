"""How good a new model is on the ground that was held out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from geodetect.assessment.curves import average_precision, precision_recall_curve
from geodetect.assessment.matching import match_boxes, match_boxes_at
from geodetect.assessment.metrics import COCO_IOUS
from geodetect.detection.detector import Detector
from geodetect.detection.inference import Tally, detect_raster
from geodetect.detection.plan import plan_grid
from geodetect.learning.chips import Ground
from geodetect.settings import PredictSettings

LEAST_CONF = 0.05
FAR_APART_PX = 1e9  # boxes of different rasters and classes never overlap

Boxes = NDArray[np.float64]


@dataclass(frozen=True)
class Validation:
    """What was measured.

    Args:
        conf: The score threshold with the highest F1 at an IoU of 0.5; the detector's own when no
            object was found.
        metrics: Figures by name: ``objects, ap50, ap50_95, f1, precision, recall``, the last three
            at that threshold. Without detections there is no precision.
    """

    conf: float
    metrics: dict[str, float]


def validate(detector: Detector, grounds: Sequence[Ground]) -> Validation | None:
    """Detect on all held-out ground and compare with its labels.

    Objects and detections count when their centre is held out.

    Args:
        detector: Gives scores down to ``LEAST_CONF``.
        grounds: Rasters with objects; those without held-out ground are passed over.

    Returns:
        None when no object is held out.
    """
    found, scores, wanted = [], [], []
    for number, ground in enumerate(grounds):
        if not len(ground.held_out):
            continue
        settings = PredictSettings(conf=LEAST_CONF)
        area = shapely.union_all(shapely.box(*ground.held_out.T))
        plan = plan_grid(ground.raster, detector.card, settings, area=area)
        detections = detect_raster(plan, detector, settings=settings, keep=None, tally=Tally())
        scale = np.array([*plan.gsd_ratio, *plan.gsd_ratio])
        held = ~ground.trainable
        found.append(_apart(detections.boxes * scale, detections.labels, number))
        scores.append(detections.scores)
        wanted.append(_apart(ground.boxes[held], ground.labels[held], number))
    truth = np.concatenate([np.empty((0, 4)), *wanted])
    if not len(truth):
        return None
    boxes, score = np.concatenate(found), np.concatenate(scores)
    best = precision_recall_curve(match_boxes(boxes, score, truth)).best_f1()
    all_ious = [average_precision(m) for m in match_boxes_at(boxes, score, truth, ious=COCO_IOUS)]
    metrics = {
        "objects": float(len(truth)),
        "ap50": all_ious[0],
        "ap50_95": float(np.mean(all_ious)),
        "f1": best.f1,
        "precision": best.precision,
        "recall": best.recall,
    }
    return Validation(
        conf=_floor(best.score_threshold) if best.f1 > 0 else detector.card.conf,
        metrics={name: round(v, 4) for name, v in metrics.items() if math.isfinite(v)},
    )


def _floor(score: float) -> float:
    """Four decimals, rounded down: the last detection over the threshold stays over it."""
    return math.floor(score * 1e4) / 1e4


def _apart(boxes: Boxes, labels: NDArray[np.integer], number: int) -> Boxes:
    """Move boxes of each raster and class to a place of their own."""
    offset = np.stack([labels.astype(np.float64), np.full(len(labels), float(number))], axis=1)
    return boxes + np.tile(offset, 2) * FAR_APART_PX
