"""Metrics of two tables."""

from __future__ import annotations

import geopandas as gpd

from geodetect.assessment.evaluate.metrics import DetectionMetrics, compute_metrics
from geodetect.assessment.matching.alignment import align_layers
from geodetect.assessment.matching.class_matching import match_layers


def evaluate_tables(
    predictions: gpd.GeoDataFrame,
    truth: gpd.GeoDataFrame,
    *,
    iou: float = 0.5,
    distance_m: float | None = None,
    conf: float | None = None,
    by_class: bool | None = None,
) -> DetectionMetrics:
    """Compute the metrics of predictions in a table by the bounding boxes of their geometries.

    In contrast to ``evaluate``, the tables are taken as they are, wherever they lie.

    Args:
        predictions: Geometry and, if present, ``score`` (else all are 1) and ``class``.
        truth: Geometry and, if present, ``class``.
        iou: Least IoU of a match in counts.
        distance_m: Greatest distance of centres of a match on the ground, instead of ``iou``.
        conf: Score threshold of the counts; None: all predictions.
        by_class: Compare classes, or ignore them; None: by the rule of ``match_layers``.

    Raises:
        LabelError: A layer has no extent, or the layers share none of their classes.
        GeoreferenceError: Only one of the layers has a CRS.
    """
    layers = align_layers(predictions, truth, by_centre=distance_m is not None)
    layer_matches = match_layers(layers, iou=iou, distance_m=distance_m, by_class=by_class)
    return compute_metrics(layer_matches, conf=conf, n_rows=(len(predictions), len(truth)))
