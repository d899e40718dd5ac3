"""Detection metrics of matched predictions, by class and of all classes together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from geodetect.assessment.evaluate.areas.outline_errors import (
    OutlineAccuracy,
    OutlineAreas,
    measure_outlines,
)
from geodetect.assessment.evaluate.bootstrap import (
    BootstrapBlocks,
    ClassDraws,
    ClassIntervals,
    Interval,
)
from geodetect.assessment.evaluate.precision_recall import (
    OperatingPoint,
    PrecisionRecallCurve,
    average_precision,
    precision_recall_curve,
)
from geodetect.assessment.evaluate.size_bins import (
    SizeBin,
    assign_bins,
    count_by_size,
    detected_mask,
    size_edges,
)
from geodetect.assessment.matching.class_matching import (
    COCO_IOUS,
    ClassMatches,
    LayerMatches,
)
from geodetect.types import BoolArray, FloatArray, IntArray

NOT_COUNTED = -2
COCO_75 = COCO_IOUS.index(0.75)
PRECISIONS = ("ap", "ap50", "ap75", "ap50_95")


@dataclass(frozen=True)
class ClassMetrics:
    """Detection metrics of one class.

    Args:
        class_name: Name of the class.
        n_predicted: Number of predictions.
        n_truth: Number of true objects.
        ap: Average precision at the IoU or distance of the evaluation; NaN without objects.
        ap50: Average precision at an IoU of 0.5; NaN without objects or where a row has no
            extent. The same holds for the next two.
        ap75: Average precision at an IoU of 0.75.
        ap50_95: Mean of the average precisions at 0.50, 0.55, ... 0.95.
        at_threshold: Counts at the score threshold of the evaluation.
        best_f1: Counts at the score threshold with the highest F1.
        curve: Precision and recall at each score, at the IoU or distance of ``ap``.
        sizes: Recall by size at the score threshold of the evaluation.
        intervals: 95 % intervals; None without a bootstrap.
        outlines: Errors of the outlines of its true positives; None: boxes or centres are matched.
    """

    class_name: str
    n_predicted: int
    n_truth: int
    ap: float
    ap50: float
    ap75: float
    ap50_95: float
    at_threshold: OperatingPoint
    best_f1: OperatingPoint
    curve: PrecisionRecallCurve
    sizes: tuple[SizeBin, ...] = ()
    intervals: ClassIntervals | None = None
    outlines: OutlineAccuracy | None = None


@dataclass(frozen=True)
class DetectionMetrics:
    """Detection metrics of all classes.

    Args:
        classes: Metrics by class, in alphabetical order; one entry if classes were ignored.
        overall: All classes: counts, rates and sizes of all predictions together, matched within
            their classes; average precisions as means over the classes that have objects.
        iou: Least IoU of a match in counts, unless a distance decided.
        score_threshold: Least score of a prediction that counts in ``at_threshold``.
        truth_of: ``int64[N]`` for each row of the predictions the row of the truth it matches;
            -1 for a false positive, -2 for a row that does not count.
        truth_inside: ``bool[M]`` rows of the truth that count.
    """

    classes: tuple[ClassMetrics, ...]
    overall: ClassMetrics
    iou: float
    score_threshold: float
    truth_of: IntArray
    truth_inside: BoolArray

    @property
    def class_rows(self) -> tuple[ClassMetrics, ...]:
        """Rows of tables and plots: all classes, and ``overall`` if there are several."""
        return self.classes if len(self.classes) == 1 else (*self.classes, self.overall)


def compute_metrics(
    layer_matches: LayerMatches,
    *,
    n_rows: tuple[int, int],
    conf: float | None = None,
    edges_m: Sequence[float] | None = None,
    blocks: BootstrapBlocks | None = None,
    resamples: int = 0,
    seed: int = 0,
    areas: OutlineAreas | None = None,
) -> DetectionMetrics:
    """Compute the metrics of matched predictions.

    Args:
        layer_matches: Matches of predictions and truth.
        n_rows: Number of rows of the two whole layers.
        conf: Score threshold of the counts; None: all predictions.
        edges_m: Limits between the size bins; None: see ``size_edges``.
        blocks: Blocks of ground; with at least two of them metrics get intervals.
        resamples: Number of draws of blocks for intervals.
        seed: Random seed.
        areas: Areas of all predictions and objects; None: outlines are not compared.
    """
    layers = layer_matches.layers
    scores = layers.predictions.scores
    threshold = conf if conf is not None else float(scores.min()) if len(scores) else 0.0
    sizes_m = np.full(len(layers.truth), np.nan)
    if layers.grid.crs is not None and not layers.truth.is_flat.any():
        sizes_m = layers.truth_sizes_m()
    edges = size_edges(sizes_m) if edges_m is None else (0.0, *edges_m, np.inf)
    bins = assign_bins(sizes_m, edges)

    entries, pooled = layer_matches.classes, layer_matches.pooled
    classes = [_compute_class_metrics(entry, threshold, bins, edges) for entry in entries]
    overall = classes[0]
    if len(classes) > 1:
        means: dict[str, Any] = {
            name: _mean([getattr(metrics, name) for metrics in classes]) for name in PRECISIONS
        }
        overall = replace(_compute_class_metrics(pooled, threshold, bins, edges), **means)
    weights = None
    if blocks is not None and blocks.count > 1 and resamples > 0:
        weights = blocks.draw(resamples, seed)
        draws = [ClassDraws.from_blocks(entry, blocks, weights) for entry in entries]
        precision_draws = [_resample_precisions(*row) for row in zip(draws, entries, strict=True)]
        mean_draws = {}
        for name in PRECISIONS:  # NaN in draws where a class has no objects
            by_class = np.array([precisions[name] for precisions in precision_draws])
            defined = by_class[~np.isnan(by_class).all(axis=1)]
            mean_draws[name] = defined.mean(axis=0) if len(defined) else by_class[0]
        pooled_draws = ClassDraws.from_blocks(pooled, blocks, weights)
        overall = _add_intervals(overall, pooled, pooled_draws, mean_draws, bins)
        classes = [
            _add_intervals(*row, bins)
            for row in zip(classes, entries, draws, precision_draws, strict=True)
        ]
    if areas is not None:
        measure = partial(
            measure_outlines,
            areas=areas,
            score_threshold=threshold,
            bins=bins,
            edges=edges,
            blocks=None if weights is None else blocks,
            weights=weights,
        )
        classes = [
            replace(metrics, outlines=measure(entry))
            for metrics, entry in zip(classes, entries, strict=True)
        ]
        overall = classes[0] if len(classes) == 1 else replace(overall, outlines=measure(pooled))

    truth_of = np.full(n_rows[0], NOT_COUNTED, dtype=np.int64)
    truth_row = np.append(layers.truth.rows, -1)  # -1, no match, picks the last
    truth_of[layers.predictions.rows] = truth_row[pooled.matches.truth_of]
    return DetectionMetrics(
        tuple(classes),
        overall,
        layer_matches.iou,
        threshold,
        truth_of,
        np.isin(np.arange(n_rows[1]), layers.truth.rows),
    )


def _compute_class_metrics(
    entry: ClassMatches, threshold: float, bins: IntArray, edges: tuple[float, ...]
) -> ClassMetrics:
    """Return the metrics of one class, without intervals."""
    # NaN where a row has no extent
    coco = [average_precision(matches) for matches in entry.coco] or [np.nan] * len(COCO_IOUS)
    curve = precision_recall_curve(entry.matches)
    return ClassMetrics(
        class_name=entry.name,
        n_predicted=len(entry.matches.scores),
        n_truth=entry.matches.n_truth,
        ap=average_precision(entry.matches),
        ap50=coco[0],
        ap75=coco[COCO_75],
        ap50_95=float(np.mean(coco)),
        at_threshold=curve.at(threshold),
        best_f1=curve.best_f1(),
        curve=curve,
        sizes=count_by_size(bins[entry.truth], detected_mask(entry.matches, threshold), edges),
    )


def _resample_precisions(draws: ClassDraws, entry: ClassMatches) -> dict[str, FloatArray]:
    """Return the average precisions in each draw of blocks, by name of the metric."""
    ap = draws.average_precisions(entry.matches)
    undefined = [np.full(len(ap), np.nan)] * len(COCO_IOUS)
    coco = [draws.average_precisions(matches) for matches in entry.coco] or undefined
    return {"ap": ap, "ap50": coco[0], "ap75": coco[COCO_75], "ap50_95": np.mean(coco, axis=0)}


def _add_intervals(
    metrics: ClassMetrics,
    entry: ClassMatches,
    draws: ClassDraws,
    precision_draws: dict[str, FloatArray],
    bins: IntArray,
) -> ClassMetrics:
    """Return the same metrics with intervals."""
    threshold = metrics.at_threshold.score_threshold
    is_detected = detected_mask(entry.matches, threshold)
    intervals = ClassIntervals(
        **{name: Interval.from_draws(values) for name, values in precision_draws.items()},
        at_threshold=draws.point_intervals(entry.matches, threshold),
        best_f1=draws.point_intervals(entry.matches, metrics.best_f1.score_threshold),
        sizes=tuple(
            draws.recall_interval(bins[entry.truth] == number, is_detected)
            for number in range(len(metrics.sizes))
        ),
    )
    return replace(metrics, intervals=intervals)


def _mean(values: Sequence[float]) -> float:
    """Return the mean of the values that are numbers; NaN if none is."""
    numbers = [value for value in values if not np.isnan(value)]
    return float(np.mean(numbers)) if numbers else float("nan")
