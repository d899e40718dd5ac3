"""An evaluation as plain values for JSON."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from geodetect.assessment.evaluate.bootstrap import ClassIntervals, Interval, PointIntervals
from geodetect.assessment.evaluate.metrics import PRECISIONS, ClassMetrics
from geodetect.assessment.evaluate.precision_recall import OperatingPoint

if TYPE_CHECKING:
    from geodetect.assessment.evaluate.evaluation import Evaluation

DECIMALS = 6


def evaluation_values(evaluation: Evaluation) -> dict[str, Any]:
    """The figures of an evaluation; what is not defined is None.

    Beside a figure, ``<name>_interval`` holds the ends of its 95 % interval.
    """
    metrics, settings = evaluation.metrics, evaluation.settings
    picked = evaluation.picked
    return {
        "iou": settings.iou if settings.distance is None else None,
        "distance_m": settings.distance,
        "boxes_along": evaluation.frame,
        "scored": evaluation.scored,
        "score_threshold": number(metrics.score_threshold),
        "detections": metrics.overall.n_predicted,
        "objects": metrics.overall.n_truth,
        "overall": class_values(metrics.overall),
        "classes": [class_values(one) for one in metrics.classes],
        "picked": None if picked is None else {"rule": settings.pick_threshold} | _point(picked),
        "intervals": {
            "level": 0.95,
            "block_m": number(evaluation.block_m),
            "blocks": evaluation.blocks,
            "resamples": settings.resamples,
            "seed": settings.seed,
        },
        "notes": list(evaluation.notes),
    }


def class_values(one: ClassMetrics) -> dict[str, Any]:
    """The figures of one class."""
    intervals = one.intervals
    values: dict[str, Any] = {
        "class": one.class_name,
        "detections": one.n_predicted,
        "objects": one.n_truth,
    }
    for name in PRECISIONS:
        values[name] = number(getattr(one, name))
        values[f"{name}_interval"] = _ends(intervals, name)
    at, best = (None, None) if intervals is None else (intervals.at_threshold, intervals.best_f1)
    values["at_threshold"] = _point(one.at_threshold, at)
    values["best_f1"] = _point(one.best_f1, best)
    values["by_size"] = [
        {
            "from_m": number(size.low_m),
            "to_m": number(size.high_m),
            "objects": size.n_truth,
            "found": size.n_found,
            "recall": number(size.recall),
            "recall_interval": None if intervals is None else _pair(intervals.sizes[i]),
        }
        for i, size in enumerate(one.sizes)
    ]
    return values


def number(value: float) -> float | None:
    """A number that JSON has, rounded."""
    return round(value, DECIMALS) if math.isfinite(value) else None


def _point(point: OperatingPoint, intervals: PointIntervals | None = None) -> dict[str, Any]:
    values: dict[str, Any] = {
        "score_threshold": number(point.score_threshold),
        "right": point.true_positives,
        "false": point.false_positives,
        "missed": point.false_negatives,
        "precision": number(point.precision),
        "recall": number(point.recall),
        "f1": number(point.f1),
        "count_error": number(point.count_error),
    }
    for field in fields(PointIntervals) if intervals else ():
        values[f"{field.name}_interval"] = _pair(getattr(intervals, field.name))
    return values


def _ends(intervals: ClassIntervals | None, name: str) -> list[float] | None:
    return None if intervals is None else _pair(getattr(intervals, name))


def _pair(interval: Interval) -> list[float] | None:
    ends = [number(interval.low), number(interval.high)]
    return None if None in ends else ends  # type: ignore[return-value]
