"""Result of an evaluation: metrics, matches and caveats, and their output as JSON and files."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas as gpd

from geodetect.assessment.evaluate import error_layers, plots
from geodetect.assessment.evaluate.areas.outline_errors import OutlineErrors, OutlineIntervals
from geodetect.assessment.evaluate.bootstrap import Interval, PointIntervals
from geodetect.assessment.evaluate.metrics import PRECISIONS, ClassMetrics, DetectionMetrics
from geodetect.assessment.evaluate.precision_recall import OperatingPoint
from geodetect.assessment.matching.class_matching import LayerMatches
from geodetect.display import Displayed, Rows
from geodetect.io.inputs import protect_inputs
from geodetect.io.vector.geopackage import write_layers
from geodetect.model.card import AreaError
from geodetect.progress import phase
from geodetect.settings import EvaluateSettings
from geodetect.types import PathLike

DECIMALS = 6

if TYPE_CHECKING:
    from geodetect.detection.run.description import RunDescription


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation(Displayed):
    """Result of an evaluation.

    Args:
        metrics: Metrics by class and of all classes together.
        predictions: Predictions as read; ``metrics.truth_of`` refers to its rows.
        truth: True objects as read; with ``truth_row``, the row of the file.
        layer_matches: Matches of predictions and truth.
        picked: Counts at the threshold that ``pick_threshold`` asked for.
        grid_name: Name of the grid along whose axes boxes were compared.
        block_m: Side of the blocks of ground behind the intervals; without a CRS in its units.
        blocks: Number of these blocks.
        caveats: Conditions that limit the meaning of the metrics.
        settings: Settings of the evaluation.
        lowest_score: Lowest score of predictions that were not made by the evaluation; None: they
            were, or have no scores.
        run: Run of the model that made the predictions; None: they are of a file.
        sources: Files that were read, which no output replaces.
        area_error: Error of the areas of outlines, as a model card has it; None: outlines are not
            compared, or too few match.
    """

    metrics: DetectionMetrics
    predictions: gpd.GeoDataFrame
    truth: gpd.GeoDataFrame
    layer_matches: LayerMatches
    picked: OperatingPoint | None
    grid_name: str
    block_m: float
    blocks: int
    caveats: tuple[str, ...]
    settings: EvaluateSettings
    lowest_score: float | None = None
    run: RunDescription | None = None
    sources: tuple[str, ...] = ()
    area_error: AreaError | None = None

    @property
    def has_scores(self) -> bool:
        """True if the predictions have scores; else all of them are taken to be 1."""
        return "score" in self.predictions

    def display_rows(self) -> Rows:
        """Return the counts and rates of all classes together."""
        overall, settings = self.metrics.overall, self.settings
        point, intervals = overall.at_threshold, overall.intervals
        yield "Objects", f"{overall.n_truth:,}"
        yield "Predictions", f"{overall.n_predicted:,}"
        if self.has_scores:
            yield "Score", f"at least {point.score_threshold:.4g}"
        yield "TP, FP, FN", f"{point.tp:,}, {point.fp:,}, {point.fn:,}"
        of_point = None if intervals is None else intervals.at_threshold
        for name in ("precision", "recall", "f1"):
            label = name.capitalize()
            yield label, _value_text(getattr(point, name), getattr(of_point, name, None))
        for name, label in (("ap50", "AP50"), ("ap75", "AP75")):
            if not math.isnan(getattr(overall, name)):
                yield label, _value_text(getattr(overall, name), getattr(intervals, name, None))
        if overall.outlines is not None:
            errors = overall.outlines.errors
            yield "Outlines", f"IoU {errors.iou:.3f} (median of {errors.pairs:,})"
            yield "Area", f"{errors.area_ratio:.3f} of the true one (median)"
            yield "Area error", f"{100 * errors.relative_area_error:.1f} % (median)"
        if settings.distance is not None:
            yield "Matches", f"centres within {settings.distance:g} m"
        else:
            kind = "outlines" if settings.match == "outline" else "boxes"
            yield "Matches", f"IoU of {kind} {settings.iou:g} or more"
        yield from (("Note", caveat) for caveat in self.caveats)

    def as_dict(self) -> dict[str, Any]:
        """Return the metrics for JSON; undefined values are None.

        Beside a metric, ``<name>_interval`` holds the ends of its 95 % interval.
        """
        metrics, settings = self.metrics, self.settings
        picked = None
        if self.picked is not None:
            picked = {"rule": settings.pick_threshold} | _point_as_dict(self.picked)
        return {
            "match": "distance" if settings.distance is not None else settings.match,
            "iou": settings.iou if settings.distance is None else None,
            "distance_m": settings.distance,
            "comparison_grid": self.grid_name,
            "has_scores": self.has_scores,
            "score_threshold": _round_or_none(metrics.score_threshold),
            "lowest_score": self.lowest_score and _round_or_none(self.lowest_score),
            "predictions": metrics.overall.n_predicted,
            "truth": metrics.overall.n_truth,
            "overall": _class_as_dict(metrics.overall),
            "metrics_by_class": [_class_as_dict(entry) for entry in metrics.classes],
            "picked_threshold": picked,
            "area_error": self.area_error and self.area_error.model_dump(mode="json"),
            "intervals": {
                "level": 0.95,
                "block_m": _round_or_none(self.block_m),
                "blocks": self.blocks,
                "resamples": settings.resamples,
                "seed": settings.seed,
            },
            "caveats": list(self.caveats),
            "run": None if self.run is None else self.run.as_dict(),
        }

    def error_tables(self) -> dict[str, gpd.GeoDataFrame]:
        """Return the tables of true positives, false positives and false negatives."""
        return error_layers.error_tables(
            self.layer_matches,
            self.predictions,
            self.truth,
            score_threshold=self.metrics.score_threshold,
            default_class=self.metrics.classes[0].class_name,
        )

    @phase("Writing the errors")
    def write_errors(self, path: PathLike, *, overwrite: bool = False) -> Path:
        """Write the ``error_tables``, each with a style for QGIS, to a GeoPackage.

        Raises:
            InputError: Not a GeoPackage.
            OutputError: The file exists, or it cannot be written.
        """
        layers = error_layers.style_error_tables(self.error_tables())
        with protect_inputs(self.sources):
            return write_layers(layers, path, overwrite=overwrite)

    @phase("Drawing the plots")
    def write_plots(self, folder: PathLike, *, overwrite: bool = False) -> list[Path]:
        """Write curves of precision, recall and F1 of each class as PNG.

        Raises:
            OutputError: The folder cannot be used, or holds such plots.
        """
        with protect_inputs(self.sources):
            return plots.write_plots(
                self.metrics, folder, has_scores=self.has_scores, overwrite=overwrite
            )


def _value_text(value: float, interval: Interval | None) -> str:
    """Return a rate, with its 95 % interval."""
    if math.isnan(value):
        return "-"
    if interval is None or math.isnan(interval.low):
        return f"{value:.3f}"
    return f"{value:.3f} ({interval.low:.2f}-{interval.high:.2f})"


def _class_as_dict(metrics: ClassMetrics) -> dict[str, Any]:
    intervals = metrics.intervals
    values: dict[str, Any] = {
        "class": metrics.class_name,
        "predictions": metrics.n_predicted,
        "truth": metrics.n_truth,
    }
    for name in PRECISIONS:
        values[name] = _round_or_none(getattr(metrics, name))
        values[f"{name}_interval"] = intervals and _interval_as_list(getattr(intervals, name))
    for name in ("at_threshold", "best_f1"):
        values[name] = _point_as_dict(getattr(metrics, name), getattr(intervals, name, None))
    values["by_size"] = [
        {
            "low_m": _round_or_none(size.low_m),
            "high_m": _round_or_none(size.high_m),
            "truth": size.n_truth,
            "tp": size.tp,
            "recall": _round_or_none(size.recall),
            "recall_interval": intervals and _interval_as_list(intervals.sizes[number]),
        }
        for number, size in enumerate(metrics.sizes)
    ]
    outlines = metrics.outlines
    values["outline_errors"] = outlines and _outlines_as_dict(outlines.errors, outlines.intervals)
    if outlines is not None:
        values["outline_errors"]["by_size"] = [
            {"low_m": _round_or_none(size.low_m), "high_m": _round_or_none(size.high_m)}
            | _outlines_as_dict(size.errors, size.intervals)
            for size in outlines.sizes
        ]
    return values


def _outlines_as_dict(errors: OutlineErrors, intervals: OutlineIntervals | None) -> dict[str, Any]:
    values: dict[str, Any] = {"pairs": errors.pairs}
    for field in fields(OutlineIntervals):
        values[field.name] = _round_or_none(getattr(errors, field.name))
        interval = getattr(intervals, field.name, None)
        values[f"{field.name}_interval"] = interval and _interval_as_list(interval)
    return values


def _point_as_dict(
    point: OperatingPoint, intervals: PointIntervals | None = None
) -> dict[str, Any]:
    values: dict[str, Any] = {
        "score_threshold": _round_or_none(point.score_threshold),
        "tp": point.tp,
        "fp": point.fp,
        "fn": point.fn,
        "precision": _round_or_none(point.precision),
        "recall": _round_or_none(point.recall),
        "f1": _round_or_none(point.f1),
        "count_error": _round_or_none(point.count_error),
    }
    for field in fields(PointIntervals) if intervals else ():
        values[f"{field.name}_interval"] = _interval_as_list(getattr(intervals, field.name))
    return values


def _interval_as_list(interval: Interval) -> list[float] | None:
    ends = [round(interval.low, DECIMALS), round(interval.high, DECIMALS)]
    return ends if all(map(math.isfinite, ends)) else None


def _round_or_none(value: float) -> float | None:
    """Round a number; None for NaN and infinity, which JSON lacks."""
    return round(value, DECIMALS) if math.isfinite(value) else None
