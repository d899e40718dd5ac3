"""Caveats of an evaluation: conditions that limit the meaning of its metrics."""

from __future__ import annotations

import numpy as np

from geodetect.assessment.evaluate.metrics import DetectionMetrics
from geodetect.assessment.matching.class_matching import PLACEHOLDERS, LayerMatches
from geodetect.errors import list_names

LEAST_CONF = 0.05  # curves of predictions down to such scores are taken as complete
MAX_OUTSIDE = 0.1  # fraction of predictions outside the extent of the truth


def find_caveats(
    layer_matches: LayerMatches,
    metrics: DetectionMetrics,
    *,
    gap_m: float,
    has_scores: bool,
    lowest_score: float | None,
) -> tuple[str, ...]:
    """Return a sentence for each condition that limits the meaning of the metrics.

    Args:
        layer_matches: Matches of predictions and truth.
        metrics: Their metrics.
        gap_m: Distance between the extents of the two layers.
        has_scores: True if the predictions have scores.
        lowest_score: Lowest score of predictions that may have been written from a threshold on;
            None: all predictions are known.
    """
    layers = layer_matches.layers
    predictions, truth = layers.predictions, layers.truth
    caveats = (
        [] if has_scores else ["the predictions have no scores: all are taken as equally confident"]
    )
    if len(predictions) == 0:
        caveats.append("there are no detections")
    if len(truth) == 0:
        caveats.append("there are no objects")
    elif lowest_score is not None and LEAST_CONF < lowest_score <= 1:
        caveats.append(
            f"the lowest score is {lowest_score:.2g}: if predictions below it were left out, "
            f"average precision is a lower bound; predict with a `conf` of 0.01, or evaluate the "
            f"`model`"
        )
    names, truth_names = (
        {name.lower() for name in layer.class_names} - set(PLACEHOLDERS)
        for layer in (predictions, truth)
    )
    if not layer_matches.by_class and names and truth_names and names != truth_names:
        caveats.append(
            f"classes are not compared: predictions have {list_names(sorted(names))}, "
            f"the truth has {list_names(sorted(truth_names))}"
        )
    if gap_m > 0:
        caveats.append(
            f"the predictions and the truth share no ground: they are {gap_m:,.0f} m apart"
        )
    elif len(predictions) and len(truth):
        caveats += _find_location_caveats(layer_matches, metrics)
    n_outside = int((~metrics.truth_inside).sum())
    if n_outside:
        caveats.append(
            f"{n_outside:,} of {len(metrics.truth_inside):,} objects do not count: they lie "
            f"outside the area or the imagery, or have no extent"
        )
    return tuple(caveats)


def _find_location_caveats(layer_matches: LayerMatches, metrics: DetectionMetrics) -> list[str]:
    """Return caveats on predictions outside the extent of the truth, or without any match."""
    layers = layer_matches.layers
    is_counted = layers.predictions.scores >= metrics.score_threshold
    low, high = layers.truth.boxes[:, :2].min(axis=0), layers.truth.boxes[:, 2:].max(axis=0)
    centres = layers.predictions.centres[is_counted]
    n_outside = int(((centres < low) | (centres > high)).any(axis=1).sum())
    caveats = []
    if n_outside > MAX_OUTSIDE * len(centres):
        caveats.append(
            f"{n_outside:,} of {len(centres):,} detections lie outside the extent of the truth; if "
            f"the truth is incomplete there, limit the comparison with `aoi`"
        )
    if not layer_matches.pooled.matches.is_tp.any() and layers.grid.crs is not None:
        from scipy.spatial import KDTree

        centres, truth_centres = layers.geocentric_centres()
        distance = float(np.median(KDTree(centres).query(truth_centres)[0]))
        caveats.append(
            f"no detection matches any object; the nearest detection to an object is "
            f"{distance:,.1f} m away (median)"
        )
    return caveats
