"""How far figures may be off by chance: a bootstrap over blocks of ground.

Neighbouring objects are alike: a street of pools under trees is missed together. Intervals that
take each object for an independent draw come out too narrow. So the ground is cut into square
blocks; blocks are drawn with replacement, as many as there are; the figures are computed from the
detections and objects of the drawn blocks; and the 2.5th and the 97.5th percentile of many such
figures make the interval. Score thresholds stay as they are in all draws.

Sources: Hall, P. (1985), Resampling a coverage pattern, Stochastic Processes and their
Applications 20, for blocks of the plane; Künsch, H. R. (1989), The jackknife and the bootstrap for
general stationary observations, Annals of Statistics 17, for why blocks; Efron, B. and Tibshirani,
R. J. (1993), An Introduction to the Bootstrap, chapter 13, for percentile intervals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from geodetect.assessment.evaluate.precision_recall import COCO_RECALLS
from geodetect.assessment.matching.alignment import Sides
from geodetect.assessment.matching.class_matching import ClassPairing, Pairing
from geodetect.assessment.matching.greedy_matching import Matches
from geodetect.errors import InputError
from geodetect.geo.grid import ground_distances_m
from geodetect.types import BoolArray, FloatArray, IntArray

BLOCK_M = 250.0  # unless that makes too few blocks, or too many
FEWEST_BLOCKS, MOST_BLOCKS = 25, 2500
FINEST = 5000  # more blocks than this take too much memory
STEPS = 1000  # into which curves are cut at most, for speed
PERCENTILES = (2.5, 97.5)


@dataclass(frozen=True)
class Interval:
    """A 95 % interval; NaN where there is none.

    Args:
        low: Lower end.
        high: Upper end.
    """

    low: float
    high: float

    @classmethod
    def of(cls, draws: FloatArray) -> Interval:
        """The interval of a figure in many draws, without those in which it is not defined.

        There is none if the draws all agree, as where every object is found: that is no certainty.
        """
        known = draws[np.isfinite(draws)]
        if len(known) < len(draws) / 2 or len(known) == 0 or np.ptp(known) == 0:
            return cls(float("nan"), float("nan"))
        low, high = np.percentile(known, PERCENTILES)
        return cls(float(low), float(high))


@dataclass(frozen=True)
class PointIntervals:
    """Intervals of an operating point.

    Args:
        precision: Of the share of detections that are right.
        recall: Of the share of objects that are found.
        f1: Of their harmonic mean.
        count_error: Of detections over objects, less 1.
    """

    precision: Interval
    recall: Interval
    f1: Interval
    count_error: Interval


@dataclass(frozen=True)
class ClassIntervals:
    """Intervals of the figures of ``ClassMetrics`` with the same names."""

    ap: Interval
    ap50: Interval
    ap75: Interval
    ap50_95: Interval
    at_threshold: PointIntervals
    best_f1: PointIntervals
    sizes: tuple[Interval, ...]


@dataclass(frozen=True)
class Blocks:
    """Square blocks of ground.

    Args:
        side_m: Their side.
        count: How many have detections or objects; the others change nothing.
        of_predicted: ``int64[N]`` block of each detection: that of its object, or its own.
        of_truth: ``int64[M]`` block of each object.
    """

    side_m: float
    count: int
    of_predicted: IntArray
    of_truth: IntArray

    def drawn(self, resamples: int, seed: int) -> FloatArray:
        """How often each block is drawn, ``float64[resamples, count]``."""
        shares = np.full(self.count, 1 / self.count)
        rng = np.random.default_rng(seed)
        return rng.multinomial(self.count, shares, size=resamples).astype(np.float64)


def ground_blocks(pairing: Pairing, side_m: float | None = None) -> Blocks:
    """Cut the ground under two layers into blocks.

    Args:
        pairing: The layers.
        side_m: Side of a block in metres (in units of the frame without a CRS); None: 250 m, but
            more or less if there would be more than 2500 or fewer than 25 blocks.

    Raises:
        InputError: There would be too many blocks.
    """
    sides = pairing.sides
    centres = np.concatenate([sides.predicted.centres, sides.truth.centres])
    if len(centres) == 0:
        nothing = np.empty(0, dtype=np.int64)
        return Blocks(side_m or BLOCK_M, 0, nothing, nothing)
    low, high = centres.min(axis=0), centres.max(axis=0)
    per_unit = _metres_per_unit(sides, (low + high) / 2)
    side = side_m or _good_side(float(np.prod((high - low) * per_unit)))
    cells = np.floor((centres - low) * per_unit / side).astype(np.int64)
    used, block = np.unique(cells, axis=0, return_inverse=True)
    if len(used) > FINEST:
        raise InputError(
            f"the ground has {len(used):,} blocks of {side:g} m; expected at most {FINEST:,}: "
            f"raise --block"
        )
    of_predicted, of_truth = np.split(block.reshape(-1), [len(sides.predicted)])
    shows = pairing.pooled.chosen.truth_of
    of_object = np.append(of_truth, -1)[shows]
    return Blocks(side, len(used), np.where(shows >= 0, of_object, of_predicted), of_truth)


def _good_side(extent_m2: float) -> float:
    """A side that makes neither too few nor too many blocks."""
    longest, shortest = (np.sqrt(extent_m2 / count) for count in (FEWEST_BLOCKS, MOST_BLOCKS))
    return float(max(min(BLOCK_M, longest), shortest)) if extent_m2 > 0 else BLOCK_M


def _metres_per_unit(sides: Sides, at: FloatArray) -> FloatArray:
    """Ground metres per unit along both axes of the frame, ``float64[2]``."""
    if sides.grid.crs is None:
        return np.ones(2)
    some = sides.truth if len(sides.truth) else sides.predicted
    step = float(np.median(some.boxes[:, 2:] - some.boxes[:, :2])) or 1e-5  # about one object
    ends = sides.grid.to_map(at + np.array([[0, 0], [step, 0], [0, step]]))
    return ground_distances_m(ends[[0, 0]], ends[1:], sides.grid.crs) / step


@dataclass(frozen=True)
class ClassDraws:
    """The detections and objects of one class in many draws of blocks.

    Args:
        weights: ``float64[B, K]`` how often each block is drawn.
        of_predicted: ``int64[N]`` block of each detection.
        of_truth: ``int64[M]`` block of each object.
    """

    weights: FloatArray
    of_predicted: IntArray
    of_truth: IntArray

    @classmethod
    def of(cls, one: ClassPairing, blocks: Blocks, weights: FloatArray) -> ClassDraws:
        """The draws of one class."""
        return cls(weights, blocks.of_predicted[one.predicted], blocks.of_truth[one.truth])

    def predictions(self, chosen: BoolArray) -> FloatArray:
        """How many of the chosen detections are drawn, ``float64[B]``."""
        return self._sums(self.of_predicted[chosen])

    def objects(self, chosen: BoolArray) -> FloatArray:
        """How many of the chosen objects are drawn, ``float64[B]``."""
        return self._sums(self.of_truth[chosen])

    def _sums(self, blocks: IntArray) -> FloatArray:
        return self.weights @ np.bincount(blocks, minlength=self.weights.shape[1])

    def point(self, matches: Matches, score_threshold: float) -> PointIntervals:
        """Intervals of the rates of detections with at least a score."""
        sure = matches.scores >= score_threshold
        right = self.predictions(sure & matches.correct)
        found, objects = self.predictions(sure), self.objects(np.ones(matches.n_truth, bool))
        return PointIntervals(
            Interval.of(_shares(right, found)),
            Interval.of(_shares(right, objects)),
            Interval.of(_shares(2 * right, found + objects)),
            Interval.of(_shares(found, objects) - 1),
        )

    def recall(self, objects: BoolArray, found: BoolArray) -> Interval:
        """Interval of the share of some objects that are found."""
        return Interval.of(_shares(self.objects(objects & found), self.objects(objects)))

    def average_precision(self, matches: Matches, value: float) -> FloatArray:
        """Average precision in each draw, ``float64[B]``; NaN in draws without objects.

        Curves with many right detections are followed in ``STEPS`` steps; what that costs in
        the average precision of all blocks is added to each draw.

        Args:
            matches: Of the class.
            value: Its average precision.
        """
        objects = self.objects(np.ones(matches.n_truth, bool))
        step, count = _steps(matches)
        found, right = (
            self._by_step(step[rows], self.of_predicted[rows], count)
            for rows in (np.ones(len(step), bool), matches.correct)
        )
        draws = _precisions(found @ self.weights.T, right @ self.weights.T, objects)
        whole = _precisions(
            found.sum(axis=1).reshape(-1, 1),
            right.sum(axis=1).reshape(-1, 1),
            np.array([float(matches.n_truth)]),
        )
        return np.clip(draws + (value - whole[0]), 0, 1)

    def _by_step(self, step: IntArray, block: IntArray, count: int) -> Any:
        """Number of detections by step and block, sparse ``[count, K]``."""
        from scipy.sparse import csr_array

        shape = count, self.weights.shape[1]
        return csr_array((np.ones(len(step)), (step, block)), shape=shape)


def _steps(matches: Matches) -> tuple[IntArray, int]:
    """The step of each detection, in descending score order, and their number.

    Steps end with a right detection, where precision is highest, so up to ``STEPS`` of them the
    curve loses nothing.
    """
    order = np.argsort(-matches.scores, kind="stable")
    right = matches.correct[order]
    before: IntArray = np.cumsum(right) - right
    size = max(1, -(-int(right.sum()) // STEPS))
    step = np.empty(len(order), dtype=np.int64)
    step[order] = before // size
    return step, int(before.max(initial=0)) // size + 1


def _precisions(found: FloatArray, right: FloatArray, objects: FloatArray) -> FloatArray:
    """Average precision (see ``average_precision``) of each column of counts by step."""
    found, right = np.cumsum(found, axis=0), np.cumsum(right, axis=0)
    precision = np.divide(right, found, out=np.zeros_like(right), where=found > 0)
    envelope = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    envelope = np.concatenate([envelope, np.zeros((1, envelope.shape[1]))])
    result = np.full(len(objects), np.nan)
    for column in np.flatnonzero(objects > 0):
        recall = right[:, column] / objects[column]
        result[column] = envelope[np.searchsorted(recall, COCO_RECALLS), column].mean()
    return result


def _shares(part: FloatArray, whole: FloatArray) -> FloatArray:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
