"""95 % intervals of metrics by a bootstrap over blocks of ground.

Neighbouring objects are alike: a street of pools under trees is missed together. Intervals that
take each object for an independent draw come out too narrow. So the ground is cut into square
blocks; blocks are drawn with replacement, as many as there are; the metrics are computed from the
predictions and objects of the drawn blocks; and the 2.5th and the 97.5th percentile of many such
values are the ends of the interval. Score thresholds stay as they are in all draws.

Sources: Hall, P. (1985), Resampling a coverage pattern, Stochastic Processes and their
Applications 20, for blocks of the plane; Künsch, H. R. (1989), The jackknife and the bootstrap for
general stationary observations, Annals of Statistics 17, for why blocks; Efron, B. and Tibshirani,
R. J. (1993), An Introduction to the Bootstrap, chapter 13, for percentile intervals. Written here
because ``scipy.stats.bootstrap`` draws single observations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from geodetect.assessment.evaluate.precision_recall import COCO_RECALLS, average_precision
from geodetect.assessment.matching.alignment import AlignedLayers
from geodetect.assessment.matching.class_matching import ClassMatches, LayerMatches
from geodetect.assessment.matching.greedy_matching import Matches
from geodetect.errors import InputError
from geodetect.geo.geodesic import ground_distances_m
from geodetect.types import BoolArray, FloatArray, IntArray

BLOCK_M = 250.0  # unless that makes too few blocks, or too many
FEWEST_BLOCKS, MOST_BLOCKS = 25, 2500
MEMORY_LIMIT = 5000  # more blocks than this take too much memory
CURVE_STEPS = 1000  # most steps that precision-recall curves are cut into, for speed
PERCENTILES = (2.5, 97.5)


@dataclass(frozen=True)
class Interval:
    """A 95 % interval; NaN if undefined.

    Args:
        low: Lower end.
        high: Upper end.
    """

    low: float
    high: float

    @classmethod
    def from_draws(cls, draws: FloatArray) -> Interval:
        """Return the interval of a metric in many draws, without draws in which it is undefined.

        It is undefined if the draws all agree, as where every object is detected: that is no
        certainty.
        """
        values = draws[np.isfinite(draws)]
        if len(values) < len(draws) / 2 or len(values) == 0 or np.ptp(values) == 0:
            return cls(float("nan"), float("nan"))
        low, high = np.percentile(values, PERCENTILES)
        return cls(float(low), float(high))


@dataclass(frozen=True)
class PointIntervals:
    """Intervals of the metrics of an ``OperatingPoint``, under the same names."""

    precision: Interval
    recall: Interval
    f1: Interval
    count_error: Interval


@dataclass(frozen=True)
class ClassIntervals:
    """Intervals of the metrics of ``ClassMetrics``, under the same names."""

    ap: Interval
    ap50: Interval
    ap75: Interval
    ap50_95: Interval
    at_threshold: PointIntervals
    best_f1: PointIntervals
    sizes: tuple[Interval, ...]


@dataclass(frozen=True)
class BootstrapBlocks:
    """Square blocks of the ground, the sampling units of the bootstrap.

    Args:
        side_m: Side of a block.
        count: Number of blocks with predictions or objects; empty blocks change nothing.
        of_predicted: ``int64[N]`` block of each prediction: that of its object if it has one.
        of_truth: ``int64[M]`` block of each object.
    """

    side_m: float
    count: int
    of_predicted: IntArray
    of_truth: IntArray

    def draw(self, resamples: int, seed: int) -> FloatArray:
        """Return how often each block is drawn, ``float64[resamples, count]``."""
        probabilities = np.full(self.count, 1 / self.count)
        rng = np.random.default_rng(seed)
        return rng.multinomial(self.count, probabilities, size=resamples).astype(np.float64)


def cut_blocks(layer_matches: LayerMatches, side_m: float | None = None) -> BootstrapBlocks:
    """Cut the ground of two layers into blocks.

    Args:
        layer_matches: Matches of predictions and truth.
        side_m: Side of a block in metres (in map units without a CRS); None: 250 m, but more or
            less if there would be more than 2500 or fewer than 25 blocks.

    Raises:
        InputError: There would be too many blocks.
    """
    layers = layer_matches.layers
    centres = np.concatenate([layers.predictions.centres, layers.truth.centres])
    if len(centres) == 0:
        empty = np.empty(0, dtype=np.int64)
        return BootstrapBlocks(side_m or BLOCK_M, 0, empty, empty)
    low, high = centres.min(axis=0), centres.max(axis=0)
    per_unit = _measure_unit(layers, (low + high) / 2)
    side = side_m
    if not side:
        extent_m2 = float(np.prod((high - low) * per_unit))
        longest, shortest = (np.sqrt(extent_m2 / count) for count in (FEWEST_BLOCKS, MOST_BLOCKS))
        side = float(max(min(BLOCK_M, longest), shortest)) if extent_m2 > 0 else BLOCK_M
    cells = np.floor((centres - low) * per_unit / side).astype(np.int64)
    used, block = np.unique(cells, axis=0, return_inverse=True)
    if len(used) > MEMORY_LIMIT:
        raise InputError(
            f"the ground has {len(used):,} blocks of {side:g} m; expected at most "
            f"{MEMORY_LIMIT:,}: raise `block_size`"
        )
    of_predicted, of_truth = np.split(block.reshape(-1), [len(layers.predictions)])
    truth_of = layer_matches.pooled.matches.truth_of
    of_object = np.append(of_truth, -1)[truth_of]
    return BootstrapBlocks(
        side, len(used), np.where(truth_of >= 0, of_object, of_predicted), of_truth
    )


def _measure_unit(layers: AlignedLayers, at: FloatArray) -> FloatArray:
    """Return the ground metres per unit along both axes of the comparison grid, ``float64[2]``."""
    if layers.grid.crs is None:
        return np.ones(2)
    layer = layers.truth if len(layers.truth) else layers.predictions
    step = float(np.median(layer.boxes[:, 2:] - layer.boxes[:, :2])) or 1e-5  # about one object
    ends = layers.grid.to_map(at + np.array([[0, 0], [step, 0], [0, step]]))
    return ground_distances_m(ends[[0, 0]], ends[1:], layers.grid.crs) / step


@dataclass(frozen=True)
class ClassDraws:
    """Predictions and objects of one class in many draws of blocks.

    Args:
        weights: ``float64[B, K]`` how often each block is drawn.
        of_predicted: ``int64[N]`` block of each prediction.
        of_truth: ``int64[M]`` block of each object.
    """

    weights: FloatArray
    of_predicted: IntArray
    of_truth: IntArray

    @classmethod
    def from_blocks(
        cls, class_matches: ClassMatches, blocks: BootstrapBlocks, weights: FloatArray
    ) -> ClassDraws:
        """Return the draws of one class."""
        return cls(
            weights,
            blocks.of_predicted[class_matches.predicted],
            blocks.of_truth[class_matches.truth],
        )

    def _count(self, blocks: IntArray) -> FloatArray:
        """Return the number of predictions or objects in each draw by their blocks."""
        return self.weights @ np.bincount(blocks, minlength=self.weights.shape[1])

    def point_intervals(self, matches: Matches, score_threshold: float) -> PointIntervals:
        """Return the intervals of the metrics of the predictions with at least this score."""
        is_counted = matches.scores >= score_threshold
        tp = self._count(self.of_predicted[is_counted & matches.is_tp])
        predictions = self._count(self.of_predicted[is_counted])
        objects = self._count(self.of_truth)
        return PointIntervals(
            Interval.from_draws(_divide(tp, predictions)),
            Interval.from_draws(_divide(tp, objects)),
            Interval.from_draws(_divide(2 * tp, predictions + objects)),
            Interval.from_draws(_divide(predictions, objects) - 1),
        )

    def recall_interval(self, mask: BoolArray, is_detected: BoolArray) -> Interval:
        """Return the interval of the recall of masked objects."""
        detected = self._count(self.of_truth[mask & is_detected])
        return Interval.from_draws(_divide(detected, self._count(self.of_truth[mask])))

    def average_precisions(self, matches: Matches) -> FloatArray:
        """Return the average precision in each draw, ``float64[B]``; NaN in draws without objects.

        Curves with many true positives are computed at ``CURVE_STEPS`` steps only; the difference
        that this makes without draws is added to each draw.
        """
        objects = self._count(self.of_truth)
        step, n_steps = _assign_steps(matches)
        predictions, tp = (
            self._count_by_step(step[mask], self.of_predicted[mask], n_steps)
            for mask in (np.ones(len(step), bool), matches.is_tp)
        )
        draws = _average_precisions(predictions @ self.weights.T, tp @ self.weights.T, objects)
        in_steps = _average_precisions(
            predictions.sum(axis=1).reshape(-1, 1),
            tp.sum(axis=1).reshape(-1, 1),
            np.array([float(matches.n_truth)]),
        )
        return np.clip(draws + (average_precision(matches) - in_steps[0]), 0, 1)

    def _count_by_step(self, step: IntArray, block: IntArray, n_steps: int) -> Any:
        """Return the number of predictions by step and block, sparse ``[n_steps, K]``."""
        from scipy.sparse import csr_array

        shape = n_steps, self.weights.shape[1]
        return csr_array((np.ones(len(step)), (step, block)), shape=shape)


def _assign_steps(matches: Matches) -> tuple[IntArray, int]:
    """Return the step of each prediction, in descending score order, and the number of steps.

    Steps end with the scores of true positives, where precision is highest, so with no more true
    positives than ``CURVE_STEPS`` the curve loses nothing. No step parts predictions of one score.
    """
    scores, score = np.unique(-matches.scores, return_inverse=True)
    tp_of_score = np.bincount(score[matches.is_tp], minlength=len(scores))
    tp_above: IntArray = np.cumsum(tp_of_score) - tp_of_score
    size = max(1, -(-int(tp_of_score.sum()) // CURVE_STEPS))
    return tp_above[score] // size, int(tp_above.max(initial=0)) // size + 1


def _average_precisions(predictions: FloatArray, tp: FloatArray, objects: FloatArray) -> FloatArray:
    """Return the average precision (see ``average_precision``) of each column of counts by step."""
    predictions, tp = np.cumsum(predictions, axis=0), np.cumsum(tp, axis=0)
    precision = np.divide(tp, predictions, out=np.zeros_like(tp), where=predictions > 0)
    envelope = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    envelope = np.concatenate([envelope, np.zeros((1, envelope.shape[1]))])
    result = np.full(len(objects), np.nan)
    for column in np.flatnonzero(objects > 0):
        recall = tp[:, column] / objects[column]
        result[column] = envelope[np.searchsorted(recall, COCO_RECALLS), column].mean()
    return result


def _divide(part: FloatArray, whole: FloatArray) -> FloatArray:
    """Return the ratio, NaN where ``whole`` is 0."""
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
