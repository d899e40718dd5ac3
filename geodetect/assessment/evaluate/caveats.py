"""Caveats of an evaluation: conditions that limit the meaning of its metrics."""

from __future__ import annotations

import math

import numpy as np

from geodetect.assessment.evaluate.metrics import DetectionMetrics
from geodetect.assessment.matching.alignment import AlignedLayers
from geodetect.assessment.matching.box_agreement import BoxAgreement, compare_boxes
from geodetect.assessment.matching.class_matching import LayerMatches
from geodetect.assessment.matching.layer_offset import estimate_offset
from geodetect.class_names import PLACEHOLDERS
from geodetect.errors import list_names
from geodetect.geo import boxes as box_ops
from geodetect.model.card import ModelCard
from geodetect.model.trained_ground import are_on_trained_ground
from geodetect.types import BoolArray, FloatArray

LEAST_CONF = 0.05  # curves of predictions down to such scores are taken as complete
MOST_LOWEST_SCORE = 0.1  # of such predictions, of which there may be few
IOU_MARGIN = 0.6  # least IoU of a match over that of boxes of different sizes, for other errors
SCORE_MARGIN, LEAST_SCORES = 0.05, 20  # of predictions that begin above the score threshold
MAX_OUTSIDE = 0.1  # fraction of predictions outside the extent of the truth
MAX_LEARNT = 0.02  # fraction of objects on training ground, which is known to a metre
PIECE_FRACTION = 0.5  # of a piece that lies on its object
MAX_PIECES = 0.01  # of the number of objects
MAX_BOXES = 0.1  # fraction of predicted outlines that are boxes: some objects are rectangles


def find_caveats(
    layer_matches: LayerMatches,
    metrics: DetectionMetrics,
    *,
    gap_m: float,
    is_truncated: BoolArray | None,
    has_scores: bool,
    truth_has_scores: bool,
    lowest_score: float | None,
    conf: float | None,
    distance_m: float | None,
    has_outlines: bool,
) -> tuple[str, ...]:
    """Return a sentence for each condition that limits the meaning of the metrics.

    Args:
        layer_matches: Matches of predictions and truth.
        metrics: Their metrics.
        is_truncated: ``bool[N]`` rows of the predictions that the edge of their raster cuts; None:
            not known.
        gap_m: Distance between the extents of the two layers.
        has_scores: True if the predictions have scores.
        truth_has_scores: True if the truth has a column of scores.
        lowest_score: Lowest score of predictions that may have been written from a threshold on;
            None: all predictions are known.
        conf: Score threshold that was asked for; None: all predictions count, or it was picked.
        distance_m: Greatest distance of a match; None: by IoU.
        has_outlines: True if most rows of both layers are outlines.
    """
    layers = layer_matches.layers
    predictions, truth = layers.predictions, layers.truth
    caveats = []
    if not has_scores:
        hint = "; the truth has scores: were they swapped?" if truth_has_scores else ""
        caveats.append(f"the predictions have no scores: all are taken as equally confident{hint}")
    if len(predictions) == 0:
        caveats.append("there are no detections")
    if len(truth) == 0:
        caveats.append("there are no objects")
    n_undetected = int((layer_matches.pooled.matches.prediction_of < 0).sum())
    if n_undetected and lowest_score is not None and MOST_LOWEST_SCORE < lowest_score <= 1:
        caveats.append(
            f"the lowest score is {lowest_score:.2g}: if predictions below it were left out, "
            f"average precision is a lower bound, as they may detect some of the {n_undetected:,} "
            f"objects that nothing detects; predict with `conf` {LEAST_CONF:g}, or evaluate the "
            f"`model`"
        )
    if has_scores and conf is not None and len(predictions):
        caveats += _find_threshold_caveats(predictions.scores, conf, lowest_score)
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
        if layers.grid.crs is not None and layers.has_flat:
            caveats += _find_point_caveats(layer_matches, distance_m or 0.0)
        elif layers.grid.crs is not None:
            caveats += _find_box_caveats(layer_matches, distance_m)
        caveats += _find_outline_caveats(layers)
        if is_truncated is not None:
            caveats += _find_piece_caveats(layer_matches, metrics, is_truncated)
    if has_outlines and distance_m is None and truth.outlines is None:
        caveats.append(
            "both layers hold outlines, of which the bounding boxes are compared; compare the "
            "outlines and their areas with `match` outline"
        )
    n_outside = int((~metrics.truth_inside).sum())
    if n_outside:
        caveats.append(
            f"{n_outside:,} of {len(metrics.truth_inside):,} objects do not count: they lie "
            f"outside the area or the imagery, or have no extent"
        )
    return tuple(caveats)


def find_ground_caveats(layers: AlignedLayers, card: ModelCard) -> list[str]:
    """Return a caveat on truth where the model was trained.

    Args:
        layers: Predictions of the model, and the truth.
        card: Card of the model.
    """
    count, crs = len(layers.truth), layers.grid.crs
    if not count or crs is None:
        return []
    centres = layers.grid.to_map(layers.truth.centres)
    learnt = int(are_on_trained_ground(card, centres, crs).sum())
    if learnt <= MAX_LEARNT * count:
        return []
    return [
        f"{learnt:,} of {count:,} objects lie on ground that model {card.name} was trained on, so "
        f"that metrics are better than on other ground; limit the comparison with `aoi` to ground "
        f"that it does not know, as split.geojson in its run folder shows it"
    ]


def _find_threshold_caveats(
    scores: FloatArray, conf: float, lowest_score: float | None
) -> list[str]:
    """Return a caveat on a score threshold beyond the scores of the predictions."""
    if conf > scores.max():
        return [
            f"no detection has a score of `conf` {conf:g} or more; the highest is "
            f"{scores.max():.2g}"
        ]
    is_cut = lowest_score is not None and lowest_score > conf + SCORE_MARGIN
    if is_cut and len(scores) >= LEAST_SCORES:
        return [
            f"the lowest score is {lowest_score:.2g}: counts are those of this threshold, not of "
            f"`conf` {conf:g}; predict with `conf` {conf:g} or less"
        ]
    return []


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


def _find_piece_caveats(
    layer_matches: LayerMatches, metrics: DetectionMetrics, is_truncated: BoolArray
) -> list[str]:
    """Return a caveat on objects that the edges of rasters cut: pieces of them match nothing."""
    layers, matches = layer_matches.layers, layer_matches.pooled.matches
    threshold = metrics.score_threshold
    is_fp = (layers.predictions.scores >= threshold) & ~matches.is_tp
    is_missed = ~(matches.scores_of_truth >= threshold)
    boxes = layers.predictions.boxes[is_fp & is_truncated[layers.predictions.rows]]
    piece, truth_row = box_ops.overlap_pairs(boxes, layers.truth.boxes).T
    shared = box_ops.intersection(boxes[piece], layers.truth.boxes[truth_row])
    is_piece = shared >= PIECE_FRACTION * box_ops.area(boxes[piece])
    pieces = len(np.unique(piece[is_piece]))
    if pieces <= MAX_PIECES * len(layers.truth):
        return []
    cut = int(is_missed[np.unique(truth_row[is_piece])].sum())
    kind = "is a piece of an object" if pieces == 1 else "are pieces of objects"
    text = f"{pieces:,} of {is_fp.sum():,} false positives {kind} that the edge of a raster cuts"
    if cut:
        text += f", and so {'is' if cut == 1 else 'are'} {cut:,} of {is_missed.sum():,} misses"
    return [f"{text}: where rasters adjoin, predict on all of them in one run"]


def _find_point_caveats(layer_matches: LayerMatches, distance_m: float) -> list[str]:
    """Return a caveat on points of the truth that are shifted as a whole."""
    offset = estimate_offset(*layer_matches.layers.geocentric_centres())
    if offset is None or offset.most_m <= distance_m or offset.distance_m < distance_m / 2:
        return []
    return [
        f"the truth lies about {offset} of the predictions (median of {offset.pairs:,} pairs), so "
        f"that metrics are too low: move it back, or match with `distance` "
        f"{math.ceil(offset.most_m)}"
    ]


def _find_box_caveats(layer_matches: LayerMatches, distance_m: float | None) -> list[str]:
    """Return caveats on boxes of the truth that are shifted as a whole, loose or tight."""
    iou = layer_matches.iou
    agreement = compare_boxes(layer_matches.layers, iou=iou)
    caveats = []
    offset = agreement.offset
    if offset is not None and (distance_m is None or offset.most_m > distance_m):
        caveats.append(
            f"the truth lies about {offset} of the predictions (median of {offset.pairs:,} pairs), "
            f"so that metrics are too low: at an IoU of {iou:g}, {agreement.matches:,} objects "
            f"match, and {agreement.matches_without_offset:,} without this offset; compare the "
            f"labels with the imagery (`geodetect check`), or match centres with `distance` "
            f"{math.ceil(offset.most_m)}"
        )
    has_outlines = layer_matches.layers.truth.outlines is not None  # their areas are measured
    if agreement.ratio is not None and distance_m is None and not has_outlines:
        caveats.append(_ratio_text(agreement, agreement.ratio, iou))
    return caveats


def _find_outline_caveats(layers: AlignedLayers) -> list[str]:
    """Return caveats on boxes among outlines that are compared."""
    caveats = []
    of_predictions, of_truth = layers.predictions.outlines, layers.truth.outlines
    if of_predictions is not None and of_predictions.is_box.mean() > MAX_BOXES:
        caveats.append(
            f"{of_predictions.is_box.sum():,} of {len(of_predictions):,} predictions are boxes, "
            f"not outlines: their areas are those of the boxes; predict with `geometry` outline"
        )
    if of_truth is None or not len(of_truth):
        return caveats
    if of_truth.is_box.all():
        caveats.append(
            "all objects of the truth are boxes, not outlines: areas are compared with those of "
            "the boxes"
        )
    elif of_truth.is_box_among_outlines.any():
        caveats.append(
            f"{of_truth.is_box.sum():,} of {len(of_truth):,} objects of the truth are boxes, not "
            f"outlines: errors of outlines and areas are those of the other "
            f"{(~of_truth.is_box).sum():,}"
        )
    return caveats


def _ratio_text(agreement: BoxAgreement, ratio: float, iou: float) -> str:
    larger, smaller = "the truth", "the predictions"
    if ratio < 1:
        larger, smaller, ratio = smaller, larger, 1 / ratio
    best_iou = 1 / ratio**2
    text = (
        f"the boxes of {larger} are {ratio:.1f} times as wide and long as those of {smaller} "
        f"(median of {agreement.pairs:,} pairs), so that their IoU is about {best_iou:.1f} where "
        f"an object is detected exactly, and AP75 and AP50:95 say little"
    )
    suitable = max(math.floor(IOU_MARGIN * best_iou * 10) / 10, 0.1)
    if suitable < iou:
        text += f"; match with `iou` {suitable:g}, or centres with `distance`"
    return text
