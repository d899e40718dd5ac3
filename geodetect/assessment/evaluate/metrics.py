"""How well a layer of detections agrees with a layer of truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import geopandas as gpd
import numpy as np
import shapely
from pyproj import CRS

from geodetect.assessment.evaluate.bootstrap import Blocks, ClassDraws, ClassIntervals, Interval
from geodetect.assessment.evaluate.precision_recall import (
    OperatingPoint,
    PrecisionRecallCurve,
    average_precision,
    precision_recall_curve,
)
from geodetect.assessment.evaluate.size_bins import SizeBin, bin_of, found_at, size_bins, size_edges
from geodetect.assessment.matching.alignment import align, centres_in, limited
from geodetect.assessment.matching.class_matching import (
    COCO_IOUS,
    ClassPairing,
    Criterion,
    Pairing,
    pair,
)
from geodetect.types import BoolArray, FloatArray, IntArray

__all__ = [
    "COCO_IOUS",
    "ClassMetrics",
    "DetectionMetrics",
    "OperatingPoint",
    "PrecisionRecallCurve",
    "average_precision",
    "evaluate_tables",
    "measure",
    "precision_recall_curve",
]


OUTSIDE = -2
COCO_75 = COCO_IOUS.index(0.75)
PRECISIONS = ("ap", "ap50", "ap75", "ap50_95")


@dataclass(frozen=True)
class ClassMetrics:
    """How well one class is detected.

    Args:
        class_name: Name of the class.
        n_predicted: Number of detections.
        n_truth: Number of objects.
        ap: Average precision by the criterion asked for; NaN without objects.
        ap50: Average precision at an IoU of 0.5; NaN without objects or where something has no
            extent. The same holds for the next two.
        ap75: Average precision at an IoU of 0.75.
        ap50_95: Mean of the average precisions at 0.50, 0.55, ... 0.95.
        at_threshold: Counts at the score threshold asked for.
        best_f1: Counts at the score threshold with the highest F1.
        curve: Precision and recall after each detection, by the criterion asked for.
        sizes: Recall by size at the score threshold asked for.
        intervals: 95 % intervals, if they were asked for.
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


@dataclass(frozen=True)
class DetectionMetrics:
    """How well detections agree with truth.

    Args:
        classes: Metrics by class, in alphabetical order; one entry if classes were ignored.
        overall: All classes: counts, rates and sizes of all detections together, matched within
            their classes; average precisions as means over the classes that have objects.
        criterion: When a detection can show an object.
        score_threshold: Least score of a detection that counts in ``at_threshold``.
        size_edges_m: Limits of the size bins.
        truth_of: ``int64[N]`` for each row of the predictions the row of the truth it matches;
            -1 for a false alarm, -2 for a row that does not count.
        truth_inside: ``bool[M]`` which rows of the truth count.
    """

    classes: tuple[ClassMetrics, ...]
    overall: ClassMetrics
    criterion: Criterion
    score_threshold: float
    size_edges_m: tuple[float, ...]
    truth_of: IntArray
    truth_inside: BoolArray

    @property
    def iou(self) -> float:
        """Least IoU of a match in counts, unless a distance decides."""
        return self.criterion.iou

    @property
    def mean_ap50(self) -> float:
        """Mean of ``ap50`` over the classes that have objects."""
        return self.overall.ap50

    @property
    def mean_ap50_95(self) -> float:
        """Mean of ``ap50_95`` over the classes that have objects."""
        return self.overall.ap50_95


def evaluate_tables(
    predicted: gpd.GeoDataFrame,
    truth: gpd.GeoDataFrame,
    *,
    iou: float = 0.5,
    distance_m: float | None = None,
    conf: float | None = None,
    area: shapely.Geometry | None = None,
    area_crs: CRS | None = None,
    by_class: bool | None = None,
    crs: str | None = None,
) -> DetectionMetrics:
    """Compare two layers by the bounding boxes of their geometries; see ``evaluate`` for more.

    Args:
        predicted: Detections: geometry and, if present, ``score`` (else all are equally sure) and
            ``class``.
        truth: Objects: geometry and, if present, ``class``.
        iou: Least IoU of a match in counts.
        distance_m: Greatest distance of centres of a match on the ground, instead of ``iou``.
        conf: Score threshold of the counts; None: all detections.
        area: Count only what has its centre in or on this polygon.
        area_crs: CRS of the area; None: that of the predictions.
        by_class: Compare classes, or ignore them; None: by the rule of ``pair``.
        crs: CRS along whose axes boxes are drawn; None: see ``comparison_grid``.

    Raises:
        LabelError: A layer has no extent, or the layers share none of their classes.
        GeoreferenceError: Only one of the layers has a CRS.
    """
    criterion = Criterion(iou, distance_m)
    sides = align(predicted, truth, crs=crs, by_centre=distance_m is not None)
    if area is not None:
        inside = centres_in(sides, area, area_crs or predicted.crs)
        everything = pair(sides, criterion, by_class=by_class).pooled.chosen
        sides = limited(sides, everything.truth_of, inside=inside)
    pairing = pair(sides, criterion, by_class=by_class)
    return measure(pairing, conf=conf, rows=(len(predicted), len(truth)))


def measure(
    pairing: Pairing,
    *,
    rows: tuple[int, int],
    conf: float | None = None,
    edges_m: Sequence[float] | None = None,
    blocks: Blocks | None = None,
    resamples: int = 0,
    seed: int = 0,
) -> DetectionMetrics:
    """The figures of matched detections.

    Args:
        pairing: What was matched.
        rows: Number of rows of the two whole layers.
        conf: Score threshold of the counts; None: all detections.
        edges_m: Limits between the size bins; None: see ``size_edges``.
        blocks: Blocks of ground; with at least two of them figures get intervals.
        resamples: How often blocks are drawn for intervals.
        seed: Start of all randomness.
    """
    rules = _Rules.of(pairing, conf, edges_m, blocks=blocks, resamples=resamples, seed=seed)
    classes = [_of_class(one, rules) for one in pairing.classes]
    overall = classes[0]
    if len(classes) > 1:
        overall = replace(
            _of_class(pairing.pooled, rules),
            ap=_mean([one.ap for one in classes]),
            ap50=_mean([one.ap50 for one in classes]),
            ap75=_mean([one.ap75 for one in classes]),
            ap50_95=_mean([one.ap50_95 for one in classes]),
        )
    if rules.weights is not None:
        drawn = [_drawn_precisions(one, rules) for one in pairing.classes]
        together = {name: _mean_of_draws([one[name] for one in drawn]) for name in PRECISIONS}
        overall = _with_intervals(overall, pairing.pooled, rules, together)
        each = zip(classes, pairing.classes, drawn, strict=True)
        classes = [_with_intervals(c, one, rules, draws) for c, one, draws in each]
    return DetectionMetrics(
        tuple(classes),
        overall,
        pairing.criterion,
        rules.threshold,
        rules.edges,
        _in_table_rows(pairing, rows[0]),
        np.isin(np.arange(rows[1]), pairing.sides.truth.rows),
    )


@dataclass(frozen=True)
class _Rules:
    """What all classes are measured by."""

    threshold: float
    edges: tuple[float, ...]
    bins: IntArray  # of all objects
    blocks: Blocks | None
    weights: FloatArray | None  # how often blocks are drawn

    @classmethod
    def of(
        cls,
        pairing: Pairing,
        conf: float | None,
        edges_m: Sequence[float] | None,
        *,
        blocks: Blocks | None,
        resamples: int,
        seed: int,
    ) -> _Rules:
        sides = pairing.sides
        scores = sides.predicted.scores
        threshold = conf if conf is not None else float(scores.min()) if len(scores) else 0.0
        sizes_m = np.full(len(sides.truth), np.nan)
        if sides.grid.crs is not None and not sides.truth.flat.any():
            sizes_m = sides.truth_sizes_m()
        edges = size_edges(sizes_m) if edges_m is None else (0.0, *edges_m, np.inf)
        enough = blocks is not None and blocks.count > 1 and resamples > 0
        weights = blocks.drawn(resamples, seed) if blocks is not None and enough else None
        return cls(threshold, edges, bin_of(sizes_m, edges), blocks, weights)

    def draws(self, one: ClassPairing) -> ClassDraws:
        if self.blocks is None or self.weights is None:
            raise ValueError("there are no blocks to draw")
        return ClassDraws.of(one, self.blocks, self.weights)


def _of_class(one: ClassPairing, rules: _Rules) -> ClassMetrics:
    """Figures of one class from its matches, without intervals."""
    coco = _coco_precisions(one)
    curve = precision_recall_curve(one.chosen)
    found = found_at(one.chosen, rules.threshold)
    return ClassMetrics(
        class_name=one.name,
        n_predicted=len(one.chosen.scores),
        n_truth=one.chosen.n_truth,
        ap=average_precision(one.chosen),
        ap50=coco[0],
        ap75=coco[COCO_75],
        ap50_95=float(np.mean(coco)),
        at_threshold=curve.at(rules.threshold),
        best_f1=curve.best_f1(),
        curve=curve,
        sizes=size_bins(rules.bins[one.truth], found, rules.edges),
    )


def _coco_precisions(one: ClassPairing) -> list[float]:
    return [average_precision(matches) for matches in one.coco] or [float("nan")] * len(COCO_IOUS)


def _drawn_precisions(one: ClassPairing, rules: _Rules) -> dict[str, FloatArray]:
    """Average precisions in each draw of blocks, by name of the figure."""
    draws = rules.draws(one)
    ap = draws.average_precision(one.chosen, average_precision(one.chosen))
    coco = [
        draws.average_precision(matches, value)
        for matches, value in zip(one.coco, _coco_precisions(one), strict=False)
    ] or [np.full(len(ap), np.nan)] * len(COCO_IOUS)
    return {"ap": ap, "ap50": coco[0], "ap75": coco[COCO_75], "ap50_95": np.mean(coco, axis=0)}


def _with_intervals(
    figures: ClassMetrics, one: ClassPairing, rules: _Rules, drawn: dict[str, FloatArray]
) -> ClassMetrics:
    """The same figures with intervals."""
    draws, bins = rules.draws(one), rules.bins[one.truth]
    found = found_at(one.chosen, rules.threshold)
    intervals = ClassIntervals(
        **{name: Interval.of(values) for name, values in drawn.items()},
        at_threshold=draws.point(one.chosen, figures.at_threshold.score_threshold),
        best_f1=draws.point(one.chosen, figures.best_f1.score_threshold),
        sizes=tuple(draws.recall(bins == i, found) for i in range(len(figures.sizes))),
    )
    return replace(figures, intervals=intervals)


def _in_table_rows(pairing: Pairing, count: int) -> IntArray:
    """Matches as rows of the two whole layers."""
    sides = pairing.sides
    rows = np.full(count, OUTSIDE, dtype=np.int64)
    table_row = np.append(sides.truth.rows, -1)  # -1, no match, picks the last
    rows[sides.predicted.rows] = table_row[pairing.pooled.chosen.truth_of]
    return rows


def _mean(values: Sequence[float]) -> float:
    """Mean of the values that are numbers; NaN if none is."""
    numbers = [value for value in values if not np.isnan(value)]
    return float(np.mean(numbers)) if numbers else float("nan")


def _mean_of_draws(values: Sequence[FloatArray]) -> FloatArray:
    """Mean over classes in each draw; NaN in draws where a class has no objects."""
    known = [one for one in values if not np.isnan(one).all()]
    return np.mean(known, axis=0) if known else values[0]
