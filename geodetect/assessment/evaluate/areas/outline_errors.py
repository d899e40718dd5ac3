"""Errors of the outlines of true positives: IoU, bias and error of the area, by size.

Boxes of the truth have no outline, so only pairs count whose true object has one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import geopandas as gpd
import numpy as np

from geodetect.assessment.evaluate.areas.area_error import measure_area_error
from geodetect.assessment.evaluate.bootstrap import BootstrapBlocks, Interval
from geodetect.assessment.matching.alignment import AlignedLayers
from geodetect.assessment.matching.class_matching import ClassMatches, LayerMatches
from geodetect.io.vector.features import read_area_limits
from geodetect.model.card import AreaError
from geodetect.types import BoolArray, FloatArray, IntArray

MEDIAN_STEPS = 1000  # most different values of which medians are resampled


@dataclass(frozen=True)
class OutlineErrors:
    """Errors of the outlines of some true positives; NaN without any.

    Args:
        pairs: Number of true positives.
        iou: Median IoU with the true outline.
        area_ratio: Median of predicted over true area.
        total_ratio: Sum of the predicted areas over that of the true ones.
        relative_area_error: Median of the absolute difference of the areas over the true area.
        absolute_area_error_m2: Median of the absolute difference of the areas, in square metres; in
            square units of the coordinates without a CRS.
        interval_coverage: Fraction of true areas within the 95 % interval of the prediction; NaN
            where predictions have none.
    """

    pairs: int
    iou: float
    area_ratio: float
    total_ratio: float
    relative_area_error: float
    absolute_area_error_m2: float
    interval_coverage: float


@dataclass(frozen=True)
class OutlineIntervals:
    """Intervals of ``OutlineErrors``, under the same names."""

    iou: Interval
    area_ratio: Interval
    total_ratio: Interval
    relative_area_error: Interval
    absolute_area_error_m2: Interval
    interval_coverage: Interval


@dataclass(frozen=True)
class OutlineSizeBin:
    """Errors of the outlines of objects of about one size.

    Args:
        low_m: Least side of the square with the area of an object, in metres.
        high_m: Upper limit of this side, excluded.
        errors: Errors of the true positives of this size.
        intervals: 95 % intervals of the errors; None without a bootstrap.
    """

    low_m: float
    high_m: float
    errors: OutlineErrors
    intervals: OutlineIntervals | None


@dataclass(frozen=True)
class OutlineAccuracy:
    """Errors of the outlines of one class.

    Args:
        errors: Errors of all its true positives.
        intervals: 95 % intervals of the errors; None without a bootstrap.
        sizes: Errors by size.
    """

    errors: OutlineErrors
    intervals: OutlineIntervals | None
    sizes: tuple[OutlineSizeBin, ...]


@dataclass(frozen=True)
class OutlineAreas:
    """Areas of all predictions and objects that are compared.

    Args:
        predicted_m2: ``float64[N]`` areas of the predictions.
        limits_m2: ``float64[N, 2]`` ends of their 95 % intervals; NaN where there is none.
        true_m2: ``float64[M]`` areas of the true objects.
        is_box: ``bool[M]`` true objects of which only a box is known.
    """

    predicted_m2: FloatArray
    limits_m2: FloatArray
    true_m2: FloatArray
    is_box: BoolArray

    @classmethod
    def from_layers(
        cls, layers: AlignedLayers, predictions: gpd.GeoDataFrame
    ) -> OutlineAreas | None:
        """Measure the areas of the outlines of two layers.

        Args:
            layers: Predictions and truth.
            predictions: Table of the predictions, perhaps with columns of intervals.

        Returns:
            None if outlines are not compared.
        """
        of_predictions, of_truth = layers.predictions.outlines, layers.truth.outlines
        if of_predictions is None or of_truth is None:
            return None
        limits = read_area_limits(predictions)
        if limits is None:
            limits = np.full((len(predictions), 2), np.nan)
        return cls(
            of_predictions.areas_m2(layers.grid),
            limits[layers.predictions.rows],
            of_truth.areas_m2(layers.grid),
            of_truth.is_box_among_outlines,
        )

    def area_error(self, layer_matches: LayerMatches, score_threshold: float) -> AreaError | None:
        """Return the error of the areas of all classes; None without a CRS or with few pairs.

        Args:
            layer_matches: Matches of predictions and truth.
            score_threshold: Least score of a prediction that counts.
        """
        if layer_matches.layers.grid.crs is None:
            return None
        predicted, truth = self.true_positives(layer_matches.pooled, score_threshold)
        return measure_area_error(self.predicted_m2[predicted], self.true_m2[truth])

    def true_positives(
        self, entry: ClassMatches, score_threshold: float
    ) -> tuple[IntArray, IntArray]:
        """Return pairs of predictions and objects with outlines, as positions in the layers.

        Args:
            entry: Matches of a class.
            score_threshold: Least score of a prediction that counts.

        Returns:
            Predictions ``int64[P]`` and their objects ``int64[P]``.
        """
        matches = entry.matches
        rows = np.flatnonzero(matches.is_tp & (matches.scores >= score_threshold))
        predicted, truth = entry.predicted[rows], entry.truth[matches.truth_of[rows]]
        has_areas = (self.true_m2[truth] > 0) & np.isfinite(self.predicted_m2[predicted])
        has_areas &= ~self.is_box[truth]
        return predicted[has_areas], truth[has_areas]


@dataclass(frozen=True)
class _Pairs:
    """True positives whose object has an outline.

    Args:
        iou: ``float64[P]``.
        predicted_m2: ``float64[P]``.
        true_m2: ``float64[P]``.
        is_covered: ``float64[P]`` 1 where the interval holds the true area, else 0; NaN without.
        block: ``int64[P]`` block of ground of each pair; -1 without a bootstrap.
    """

    iou: FloatArray
    predicted_m2: FloatArray
    true_m2: FloatArray
    is_covered: FloatArray
    block: IntArray

    def __len__(self) -> int:
        return len(self.iou)

    def __getitem__(self, mask: BoolArray) -> _Pairs:
        return _Pairs(*(getattr(self, field.name)[mask] for field in fields(self)))

    def _median_values(self) -> dict[str, FloatArray]:
        """Return the values whose medians are errors, by name of the error."""
        difference = np.abs(self.predicted_m2 - self.true_m2)
        return {
            "iou": self.iou,
            "area_ratio": self.predicted_m2 / self.true_m2,
            "relative_area_error": difference / self.true_m2,
            "absolute_area_error_m2": difference,
        }

    def errors(self) -> OutlineErrors:
        """Return the errors of these pairs."""
        if len(self) == 0:
            return OutlineErrors(0, *[float("nan")] * 6)
        medians = {name: float(np.median(v)) for name, v in self._median_values().items()}
        covered = self.is_covered[np.isfinite(self.is_covered)]
        return OutlineErrors(
            pairs=len(self),
            total_ratio=float(self.predicted_m2.sum() / self.true_m2.sum()),
            interval_coverage=float(covered.mean()) if len(covered) else float("nan"),
            **medians,
        )

    def intervals(self, weights: FloatArray) -> OutlineIntervals:
        """Return the intervals of the errors.

        Args:
            weights: ``float64[B, K]`` how often each block of ground is drawn.
        """

        def total(values: FloatArray) -> FloatArray:
            return weights @ np.bincount(self.block, values, minlength=weights.shape[1])

        has_interval = np.isfinite(self.is_covered)
        ratios = {
            "total_ratio": (total(self.predicted_m2), total(self.true_m2)),
            "interval_coverage": (
                total(np.nan_to_num(self.is_covered)),
                total(has_interval.astype(np.float64)),
            ),
        }
        draws = {
            name: np.divide(part, whole, out=np.full(len(weights), np.nan), where=whole > 0)
            for name, (part, whole) in ratios.items()
        }
        for name, values in self._median_values().items():
            draws[name] = weighted_medians(values, self.block, weights)
        return OutlineIntervals(**{k: Interval.from_draws(v) for k, v in draws.items()})


def measure_outlines(
    entry: ClassMatches,
    areas: OutlineAreas,
    *,
    score_threshold: float,
    bins: IntArray,
    edges: Sequence[float],
    blocks: BootstrapBlocks | None,
    weights: FloatArray | None,
) -> OutlineAccuracy:
    """Measure the errors of the outlines of the true positives of a class.

    Args:
        entry: Matches of the class, by the IoU of outlines.
        areas: Areas of all predictions and objects.
        score_threshold: Least score of a prediction that counts.
        bins: ``int64[M]`` size bin of each object, or -1.
        edges: Limits of the size bins, in metres.
        blocks: Blocks of ground; None: no intervals.
        weights: ``float64[B, K]`` how often each block is drawn; None: no intervals.
    """
    predicted, truth = areas.true_positives(entry, score_threshold)
    iou = np.zeros(len(areas.predicted_m2))
    iou[entry.predicted] = entry.matches.iou
    true_m2, limits = areas.true_m2[truth], areas.limits_m2[predicted]
    is_covered = ((limits[:, 0] <= true_m2) & (true_m2 <= limits[:, 1])).astype(np.float64)
    is_covered[~np.isfinite(limits).all(axis=1)] = np.nan
    no_block = np.full(len(truth), -1, dtype=np.int64)
    pairs = _Pairs(
        iou[predicted],
        areas.predicted_m2[predicted],
        true_m2,
        is_covered,
        no_block if blocks is None else blocks.of_truth[truth],
    )
    sizes = []
    for number in range(max(0, len(edges) - 1)):
        members = pairs[bins[truth] == number]
        sizes.append(
            OutlineSizeBin(
                float(edges[number]),
                float(edges[number + 1]),
                members.errors(),
                None if weights is None else members.intervals(weights),
            )
        )
    intervals = None if weights is None else pairs.intervals(weights)
    return OutlineAccuracy(pairs.errors(), intervals, tuple(sizes))


def weighted_medians(values: FloatArray, block: IntArray, weights: FloatArray) -> FloatArray:
    """Return the median of values in each draw of blocks.

    Of more than ``MEDIAN_STEPS`` values neighbours in ascending order count as one, the middle one
    of them: the median of a draw is then exact to a thousandth of the values.

    Args:
        values: ``float64[P]``.
        block: ``int64[P]`` block of each value.
        weights: ``float64[B, K]`` how often each block is drawn.

    Returns:
        ``float64[B]``; NaN for draws without values.
    """
    from scipy.sparse import csr_array

    if len(values) == 0:
        return np.full(len(weights), np.nan)
    order = np.argsort(values, kind="stable")
    size = -(-len(values) // MEDIAN_STEPS)
    step = np.arange(len(values)) // size
    middles = values[order][np.minimum(np.arange(step[-1] + 1) * size + size // 2, len(values) - 1)]
    shape = len(middles), weights.shape[1]
    counts = csr_array((np.ones(len(values)), (step, block[order])), shape=shape) @ weights.T
    below = np.cumsum(counts, axis=0)
    medians = middles[np.argmax(below >= below[-1] / 2, axis=0)]
    return np.where(below[-1] > 0, medians, np.nan)
