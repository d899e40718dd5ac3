"""True positives, false positives and false negatives of the predictions on a canvas."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from geodetect.assessment.evaluate.metrics import DetectionMetrics, compute_metrics
from geodetect.assessment.matching.alignment import AlignedLayers, align_layers
from geodetect.assessment.matching.class_matching import match_layers as match_aligned_layers
from geodetect.geo import boxes as box_ops
from geodetect.io.vector.qgis_style import (
    FALSE_NEGATIVE,
    FALSE_POSITIVE,
    SKY_BLUE,
    TRUE_POSITIVE,
    Colour,
)
from geodetect.reporting.drawing.layers import CanvasLayer
from geodetect.reporting.drawing.shapes import Shapes
from geodetect.types import FloatArray, IntArray

LOOSE_IOU = 0.1  # least IoU of a box that is off: a localization error of TIDE (Bolya et al. 2020)
LOOSE: Colour = SKY_BLUE  # of such boxes


@dataclass(frozen=True)
class LoosePairs:
    """Predictions of true objects whose boxes are off: their IoU is below that of a match.

    Args:
        predictions: ``int64[K]`` rows of the predictions, ascending.
        truth: ``int64[K]`` rows of their objects.
        iou: ``float64[K]`` IoU of the two boxes.
    """

    predictions: IntArray = field(default_factory=lambda: np.empty(0, np.int64))
    truth: IntArray = field(default_factory=lambda: np.empty(0, np.int64))
    iou: FloatArray = field(default_factory=lambda: np.empty(0))

    def __len__(self) -> int:
        return len(self.iou)


@dataclass(frozen=True)
class MatchResult:
    """Predictions matched with the ground truth.

    Matches are by IoU, or by the distance of centres. By IoU, a loose pair is a false positive and
    a false negative; by distance it is a match.

    Args:
        predictions: Predictions in descending order of their scores.
        truth: Objects of the ground truth.
        truth_rows: ``int64[N]`` row of the object that each prediction matches; -1: a false
            positive.
        prediction_rows: ``int64[M]`` row of the prediction that matches each object; -1: none.
        metrics: The metrics of all predictions.
        loose: Pairs whose boxes are off.
        distance_m: Greatest distance of the centres of a match; None: the IoU decides.
    """

    predictions: CanvasLayer
    truth: CanvasLayer
    truth_rows: IntArray
    prediction_rows: IntArray
    metrics: DetectionMetrics
    loose: LoosePairs = field(default_factory=LoosePairs)
    distance_m: float | None = None

    @property
    def by_class(self) -> bool:
        """True if predictions match objects of their own class only."""
        return len(self.metrics.classes) > 1

    def loose_pairs(self, count: int) -> LoosePairs:
        """Return the loose pairs among the first ``count`` predictions.

        A pair of an object that another of these predictions matches does not count.
        """
        prediction_rows = self.prediction_rows[self.loose.truth]
        is_loose = self.loose.predictions < count
        is_loose &= (
            (prediction_rows < 0)
            | (prediction_rows >= count)
            | (prediction_rows == self.loose.predictions)
        )
        return LoosePairs(
            self.loose.predictions[is_loose], self.loose.truth[is_loose], self.loose.iou[is_loose]
        )

    def count_results(self, count: int) -> dict[str, int]:
        """Return the numbers of results of the first ``count`` predictions.

        Returns:
            ``tp``, ``fp`` and ``fn`` as ``evaluate`` counts them, and ``loose``, the loose pairs
            among these.
        """
        tp = int((self.truth_rows[:count] >= 0).sum())
        return {
            "tp": tp,
            "fp": count - tp,
            "fn": len(self.truth) - tp,
            "loose": len(self.loose_pairs(count)),
        }

    def false_positives(self, count: int) -> IntArray:
        """Return rows of the false positives among the first ``count`` predictions, none loose."""
        rows = np.flatnonzero(self.truth_rows[:count] < 0)
        return np.setdiff1d(rows, self.loose_pairs(count).predictions)

    def false_negatives(self, count: int) -> IntArray:
        """Return rows of the objects that none of the first ``count`` predictions matches.

        Those of loose pairs are left out; see `rank_false_negatives` for their order.
        """
        ranks = np.where(self.prediction_rows < 0, np.nan, -self.prediction_rows)
        rows = rank_false_negatives(ranks, self.truth.boxes, threshold=1 - count)
        return rows[~np.isin(rows, self.loose_pairs(count).truth)]

    def coloured_shapes(self, count: int) -> list[tuple[Shapes, Colour]]:
        """Return shapes and colour of misses, true positives, false positives and loose boxes.

        Args:
            count: Number of predictions, from the first on, that reach the score threshold.
        """
        shapes, rows = self.predictions.shapes, np.arange(count)
        loose, false = self.loose_pairs(count), self.false_positives(count)
        correct = np.setdiff1d(rows, np.append(loose.predictions, false))
        return [
            (self.truth.shapes[np.sort(self.false_negatives(count))], FALSE_NEGATIVE),
            (self.truth.shapes[np.sort(loose.truth)], FALSE_NEGATIVE),
            (shapes[correct], TRUE_POSITIVE),
            (shapes[false], FALSE_POSITIVE),
            (shapes[loose.predictions], LOOSE),
        ]


def rank_false_negatives(scores: FloatArray, boxes: FloatArray, *, threshold: float) -> IntArray:
    """Return rows of the objects without a prediction at a score threshold, the worst first.

    Objects without any prediction come first, the largest of them before the others; then those
    with a prediction of a lower score, the lowest first.

    Args:
        scores: ``float64[M]`` score of the prediction that matches each object; NaN: none does.
        boxes: ``float64[M, 4]`` of the objects.
        threshold: The score threshold.
    """
    rows = np.flatnonzero(~(scores >= threshold))
    has_prediction = ~np.isnan(scores[rows])
    area = box_ops.area(boxes[rows])
    return rows[np.lexsort((-area, np.where(has_prediction, scores[rows], 0), has_prediction))]


def match_layers(
    predictions: CanvasLayer,
    truth: CanvasLayer,
    *,
    iou: float,
    distance_m: float | None = None,
    by_class: bool | None = None,
) -> MatchResult:
    """Match predictions, those of higher scores first, with the ground truth.

    Args:
        predictions: Predictions in descending order of their scores.
        truth: Objects on the same canvas.
        iou: Least intersection over union of a match, and of a box that is not off.
        distance_m: Greatest distance of the centres of a match on the ground, instead of ``iou``.
        by_class: Match within classes only; None: if the layers share some.

    Raises:
        LabelError: A geometry has no extent, or the layers share none of their classes.
        GeoreferenceError: A distance on the ground between layers without a CRS.
    """
    layers = align_layers(predictions.table, truth.table, by_centre=distance_m is not None)
    matches = match_aligned_layers(layers, iou=iou, distance_m=distance_m, by_class=by_class)
    metrics = compute_metrics(matches, n_rows=(len(predictions), len(truth)))
    truth_rows = metrics.truth_of
    prediction_rows = np.full(len(truth), -1, dtype=np.int64)
    matched = np.flatnonzero(truth_rows >= 0)
    prediction_rows[truth_rows[matched]] = matched
    loose = LoosePairs()
    if not layers.has_flat:
        loose = _find_loose_pairs(
            layers, truth_rows, prediction_rows, iou=iou, by_class=matches.by_class,
            by_distance=distance_m is not None,
        )  # fmt: skip
    return MatchResult(predictions, truth, truth_rows, prediction_rows, metrics, loose, distance_m)


def _find_loose_pairs(
    layers: AlignedLayers,
    truth_rows: IntArray,
    prediction_rows: IntArray,
    *,
    iou: float,
    by_class: bool,
    by_distance: bool,
) -> LoosePairs:
    """Return the pairs of a prediction and its object whose boxes are off.

    By distance they are the matches of a low IoU. By IoU, each false positive, the highest score
    first, takes the object that it overlaps most, if no prediction of a higher score matches it:
    so the pairs of the predictions above a score are those that these alone would get.
    """
    predictions, truth = layers.predictions, layers.truth
    if by_distance:
        positions = np.flatnonzero(truth_rows[predictions.rows] >= 0)
        objects = np.searchsorted(truth.rows, truth_rows[predictions.rows[positions]])
        pairs = np.stack([positions, objects], axis=1)
    else:
        pairs = box_ops.overlap_pairs(predictions.boxes, truth.boxes)
    overlap = box_ops.iou(predictions.boxes[pairs[:, 0]], truth.boxes[pairs[:, 1]])
    rows, objects = predictions.rows[pairs[:, 0]], truth.rows[pairs[:, 1]]
    is_candidate = overlap < iou
    if not by_distance:
        is_free = (prediction_rows[objects] < 0) | (prediction_rows[objects] > rows)
        is_candidate &= (overlap >= LOOSE_IOU) & (truth_rows[rows] < 0) & is_free
        if by_class:
            names, truth_names = (
                np.array([name.lower() for name in layer.class_names], dtype=object)
                for layer in (predictions, truth)
            )
            is_candidate &= names[pairs[:, 0]] == truth_names[pairs[:, 1]]
    rows, objects, overlap = rows[is_candidate], objects[is_candidate], overlap[is_candidate]
    accepted, taken = dict[int, int](), set[int]()
    order = np.lexsort((objects, -overlap, rows))
    for position in order.tolist():
        row, target = int(rows[position]), int(objects[position])
        if row not in accepted and target not in taken:
            accepted[row] = position
            taken.add(target)
    positions = np.array(list(accepted.values()), dtype=np.int64)
    return LoosePairs(rows[positions], objects[positions], overlap[positions])
