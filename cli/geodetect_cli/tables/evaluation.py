"""Tables that ``evaluate`` prints."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from geodetect_cli import console

if TYPE_CHECKING:
    from geodetect.assessment.evaluate.areas.outline_errors import OutlineErrors, OutlineIntervals
    from geodetect.assessment.evaluate.bootstrap import Interval, PointIntervals
    from geodetect.assessment.evaluate.precision_recall import OperatingPoint
    from geodetect.assessment.evaluate.result import Evaluation

UNDEFINED = "-"
AP_COLUMNS = (0.5, 0.75)  # IoUs whose average precision always has a column


def show(
    result: Evaluation, *, errors: Path | None, plots: Path | None, as_json: bool, quiet: bool
) -> None:
    """Show the metrics of an evaluation on the output stream.

    Args:
        result: The evaluation.
        errors: GeoPackage that was written; None: none.
        plots: Folder of plots that was written; None: none.
        as_json: Print JSON instead of tables.
        quiet: Show nothing.
    """
    if as_json:
        from geodetect_cli.json_output.assessments import EvaluateOutput

        values = result.as_dict()
        caveats = values.pop("caveats")
        output = EvaluateOutput.from_values(output=errors, plots=plots, **values)
        console.print_json(output, caveats=caveats)
    if as_json or quiet:
        return
    out = console.result_console()
    out.print(_format_heading(result), highlight=False)
    tables = precision_table(result), point_table(result), size_table(result), area_table(result)
    for table in tables:
        if table is not None:
            out.print()
            out.print(table)
    out.print()
    for name, text in _list_remarks(result, errors, plots):
        out.print(Text.assemble((f"{name}: ", "bold"), text), soft_wrap=False)


def precision_table(result: Evaluation) -> Table | None:
    """Return the average precision of each class, and its mean; None without objects."""
    metrics, settings = result.metrics, result.settings
    if metrics.overall.n_truth == 0:
        return None
    has_extent = not math.isnan(metrics.overall.ap50)
    names = {"ap50": "AP50", "ap75": "AP75", "ap50_95": "AP50:95"} if has_extent else {}
    if settings.distance is not None:
        names = {"ap": f"AP {settings.distance:g} m"} | names
    elif settings.iou not in AP_COLUMNS:
        names = {"ap": f"AP at IoU {settings.iou:g}"} | names
    is_outline = settings.match == "outline"
    title = "Average precision of outlines" if is_outline else "Average precision"
    table = _make_table(title, "Objects", *names.values())
    for row in metrics.class_rows:
        cells = [
            _format_cell(_format_fraction(getattr(row, name)), getattr(row.intervals, name, None))
            for name in names
        ]
        is_mean = row is metrics.overall and len(metrics.classes) > 1
        table.add_row("mean" if is_mean else row.class_name, f"{row.n_truth:,}", *cells)
    return table


def point_table(result: Evaluation) -> Table:
    """Return counts and rates at the threshold, and at that of the highest F1."""
    rates = ("Precision", "Recall", "F1", "Count\nerror")
    table = _make_table("Counts", "Score ≥", "TP", "FP", "FN", *rates)
    for row in result.metrics.class_rows:
        intervals = getattr(row.intervals, "at_threshold", None)
        table.add_row(
            row.class_name, *_format_point(row.at_threshold, intervals, result.has_scores)
        )
        if result.has_scores:
            intervals = getattr(row.intervals, "best_f1", None)
            table.add_row("- best F1", *_format_point(row.best_f1, intervals, result.has_scores))
    return table


def size_table(result: Evaluation) -> Table | None:
    """Return the recall by size on the ground; None without sizes."""
    metrics = result.metrics
    if not metrics.overall.sizes:
        return None
    table = _make_table("Recall by size", "Side on the ground", "Objects", "TP", "Recall", "95 %")
    for row in metrics.classes:
        for number, size in enumerate(row.sizes):
            if size.n_truth:
                interval = None if row.intervals is None else row.intervals.sizes[number]
                table.add_row(
                    row.class_name,
                    _format_side(size.low_m, size.high_m),
                    f"{size.n_truth:,}",
                    f"{size.tp:,}",
                    _format_fraction(size.recall),
                    _format_interval(interval),
                )
    return table


def area_table(result: Evaluation) -> Table | None:
    """Return the errors of outlines and areas by size; None if outlines are not compared."""
    if result.metrics.overall.outlines is None:
        return None
    columns = ["Side on the ground", "Pairs", "IoU", "Area\nratio", "Area\nerror", "In m²"]
    if not math.isnan(result.metrics.overall.outlines.errors.interval_coverage):
        columns.append("In 95 %\ninterval")
    table = _make_table("Outlines and areas of true positives (medians)", *columns)
    for row in result.metrics.class_rows:
        accuracy = row.outlines
        if accuracy is None:
            continue
        entries = [("all", accuracy.errors, accuracy.intervals)]
        entries += [
            (_format_side(size.low_m, size.high_m), size.errors, None) for size in accuracy.sizes
        ]
        for side, errors, intervals in entries:
            if errors.pairs or side == "all":
                cells = [row.class_name, side, f"{errors.pairs:,}"]
                cells += _format_outline_errors(errors, intervals)
                table.add_row(*cells[: len(columns) + 1])
    return table


def _format_outline_errors(errors: OutlineErrors, intervals: OutlineIntervals | None) -> list[str]:
    """Return the cells of outline errors, without the number of pairs."""
    cells = [
        _format_cell(_format_fraction(getattr(errors, name)), getattr(intervals, name, None))
        for name in ("iou", "area_ratio")
    ]
    relative, interval = UNDEFINED, getattr(intervals, "relative_area_error", None)
    if not math.isnan(errors.relative_area_error):
        relative = f"{100 * errors.relative_area_error:.1f} %"
    if interval is not None and not math.isnan(interval.low):
        relative += f"\n{100 * interval.low:.1f}-{100 * interval.high:.1f}"
    absolute = (
        UNDEFINED
        if math.isnan(errors.absolute_area_error_m2)
        else f"{errors.absolute_area_error_m2:.3g}"
    )
    coverage = _format_cell(
        _format_fraction(errors.interval_coverage), getattr(intervals, "interval_coverage", None)
    )
    return [*cells, relative, absolute, coverage]


def _format_side(low_m: float, high_m: float) -> str:
    """Return the limits of a size bin."""
    if math.isinf(high_m):
        return f"{low_m:g} m or more"
    return f"{low_m:g} to {high_m:g} m" if low_m else f"below {high_m:g} m"


def _format_heading(result: Evaluation) -> str:
    overall = result.metrics.overall
    point = overall.at_threshold
    counted = point.tp + point.fp
    text = f"{overall.n_truth:,} objects, {overall.n_predicted:,} predictions"
    if counted < overall.n_predicted:
        text += f" ({counted:,} of score {point.score_threshold:g} or more)"
    return text


def _list_remarks(
    result: Evaluation, errors: Path | None, plots: Path | None
) -> list[tuple[str, str]]:
    remarks = []
    if result.picked is not None:
        remarks.append(("Threshold", picked_text(result, result.picked)))
    matches = f"IoU {result.settings.iou:g} or more of boxes along {result.grid_name}"
    if result.settings.match == "outline":
        matches = f"IoU {result.settings.iou:g} or more of outlines"
    if result.settings.distance is not None:
        matches = f"centres within {result.settings.distance:g} m, boxes along {result.grid_name}"
    remarks.append(("Matches", matches))
    if result.metrics.overall.intervals is not None:
        in_pixels = result.truth.crs is None
        side = f"{result.block_m:.0f} pixels" if in_pixels else f"{result.block_m:.0f} m"
        blocks = f"{result.blocks:,} blocks of ground of {side}"
        remarks.append(("Intervals", f"95 %, from {result.settings.resamples:,} draws of {blocks}"))
    accuracy = result.metrics.overall.outlines
    if accuracy is not None and (pairs := accuracy.errors.pairs):
        total = f"{accuracy.errors.total_ratio:.3f} of the true area"
        remarks.append(("Areas", f"{pairs:,} true positives together have {total}"))
    remarks += [("Note", console.name_options(caveat)) for caveat in result.caveats]
    if errors is not None:
        remarks.append(
            ("Layers", f"true_positives, false_positives and false_negatives in {errors}")
        )
    if plots is not None:
        remarks.append(("Plots", f"in {plots}"))
    return remarks


def picked_text(result: Evaluation, picked: OperatingPoint) -> str:
    """Return the option for the picked threshold, and the rates there."""
    counted = picked.tp + picked.fp
    objects = picked.tp + picked.fn
    return (
        f"--conf {picked.score_threshold:g} for {result.settings.pick_threshold}: precision "
        f"{picked.precision:.3f}, recall {picked.recall:.3f}, F1 {picked.f1:.3f}, {counted:,} "
        f"predictions for {objects:,} objects ({_format_percent(picked.count_error)})"
    )


def _make_table(title: str, *columns: str) -> Table:
    """Return a table whose first column, of class names, alone is folded in narrow windows."""
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("Class", overflow="fold")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _format_point(
    point: OperatingPoint, intervals: PointIntervals | None, has_scores: bool
) -> list[str]:
    return [
        f"{point.score_threshold:.4g}" if has_scores else UNDEFINED,
        f"{point.tp:,}",
        f"{point.fp:,}",
        f"{point.fn:,}",
        *(
            _format_cell(_format_fraction(getattr(point, rate)), getattr(intervals, rate, None))
            for rate in ("precision", "recall", "f1")
        ),
        _format_cell(
            _format_percent(point.count_error),
            getattr(intervals, "count_error", None),
            percent=True,
        ),
    ]


def _format_cell(value: str, interval: Interval | None, *, percent: bool = False) -> str:
    """Return a value with its interval below."""
    if interval is None or math.isnan(interval.low):
        return value
    return f"{value}\n{_format_interval(interval, percent=percent)}"


def _format_interval(interval: Interval | None, *, percent: bool = False) -> str:
    if interval is None or math.isnan(interval.low):
        return UNDEFINED
    if percent:
        return f"{100 * interval.low:+.0f}..{100 * interval.high:+.0f}"
    return f"{interval.low:.2f}-{interval.high:.2f}"


def _format_fraction(value: float) -> str:
    return UNDEFINED if math.isnan(value) else f"{value:.3f}"


def _format_percent(value: float) -> str:
    return UNDEFINED if math.isnan(value) else f"{100 * value:+.1f} %"
