"""Plots of precision, recall and F1, and reliability diagrams, as PNG."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from geodetect.assessment.evaluate.metrics import ClassMetrics, DetectionMetrics
from geodetect.assessment.evaluate.precision_recall import OperatingPoint
from geodetect.assessment.evaluate.reliability import Reliability
from geodetect.errors import MissingDependencyError, OutputError
from geodetect.io.atomic import check_folder, final_path, write_atomically
from geodetect.io.vector import qgis_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Draw = Callable[["Axes"], None]

PREFIXES = ("precision-recall", "f1")  # of file names
INCHES, DPI = (6.0, 5.0), 150
BLUE = qgis_style.hex_colour(qgis_style.BLUE)
GREEN = qgis_style.hex_colour(qgis_style.GREEN)
VERMILLION = qgis_style.hex_colour(qgis_style.VERMILLION)
GREY = qgis_style.hex_colour(qgis_style.GREY)
EQUAL_F1 = (0.2, 0.4, 0.6, 0.8)


def check_plots(folder: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Raise the errors of `write_plots` before all the work.

    Matplotlib is no part of the installation without PyTorch, as nothing else needs it there.

    Raises:
        MissingDependencyError: Matplotlib is not installed.
        OutputError: The folder cannot be made or used, or holds such plots.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingDependencyError(
            "`plots` needs Matplotlib, which is not installed; install it with: "
            "pip install matplotlib"
        )
    path = final_path(Path(folder))
    if path.exists() and not path.is_dir():
        raise OutputError(f"{path} is not a folder; choose another one as `plots`")
    check_folder(path / PREFIXES[0] if path.is_dir() else path)
    old = [file for name in PREFIXES for file in path.glob(f"{name}*.png")]
    if old and not overwrite:
        raise OutputError(f"{old[0]} already exists; set `overwrite` to replace it")


def write_plots(
    metrics: DetectionMetrics,
    folder: str | os.PathLike[str],
    *,
    has_scores: bool,
    overwrite: bool = False,
) -> list[Path]:
    """Write the curves of each class, and of all together if there are several.

    ``precision-recall-CLASS.png`` has precision over recall with lines of equal F1 and the
    threshold of the evaluation; ``f1-CLASS.png``, if there are scores, has precision, recall and F1
    over the threshold.

    Args:
        metrics: Metrics of an evaluation.
        folder: Created if it does not exist.
        has_scores: True if the predictions have scores; without them there are no curves.
        overwrite: Replace plots of earlier evaluations of the same classes.

    Returns:
        The files.

    Raises:
        OutputError: The folder cannot be used, or holds such plots.
    """
    check_plots(folder, overwrite=overwrite)
    path = Path(folder)
    path.mkdir(exist_ok=True)
    stems = _make_file_stems([row.class_name for row in metrics.class_rows])
    written = []
    for number, (row, stem) in enumerate(zip(metrics.class_rows, stems, strict=True)):
        average = "mean AP" if number == len(metrics.classes) else "AP"
        label = average if has_scores else None
        draws: dict[str, Draw] = {PREFIXES[0]: partial(draw_precision_recall, row, label)}
        if has_scores:
            draws[PREFIXES[1]] = partial(draw_f1, row)
        written += [
            save_plot(draw, path / f"{name}-{stem}.png", overwrite=overwrite)
            for name, draw in draws.items()
        ]
    return written


def draw_precision_recall(metrics: ClassMetrics, label: str | None, axes: Axes) -> None:
    """Draw precision over recall.

    Args:
        metrics: Metrics of a class.
        label: Label of its average precision; None: without scores there is only a point.
        axes: Axes to draw on.
    """
    for f1 in EQUAL_F1:
        recall = np.linspace(f1 / (2 - f1), 1, 200)
        axes.plot(recall, f1 * recall / (2 * recall - f1), color=GREY, linewidth=0.6, zorder=1)
        end = (1.02, f1 / (2 - f1))
        axes.annotate(f"F1 {f1:g}", end, color=GREY, fontsize=7, va="center", annotation_clip=False)
    curve = metrics.curve
    if label and metrics.n_truth:
        axes.plot(curve.recall, curve.precision, color=BLUE, label=f"{label} {metrics.ap:.3f}")
    best, at = metrics.best_f1, metrics.at_threshold
    if label:
        _draw_point(
            axes, best, f"{_format_point(best)}, the highest", colour=VERMILLION, marker="o"
        )
    text = _format_point(at) if label else f"F1 {at.f1:.3f}"
    _draw_point(axes, at, text, colour=GREEN, marker="D")
    finish_axes(axes, _format_title(metrics), "Recall", "Precision")
    axes.set_xlim(0, 1.01)


def draw_f1(metrics: ClassMetrics, axes: Axes) -> None:
    """Draw precision, recall and F1 over the score threshold."""
    curve, scores = metrics.curve, metrics.curve.scores
    for values, colour, width, label in (
        (curve.precision, BLUE, 1.0, "Precision"),
        (curve.tp / max(metrics.n_truth, 1), GREEN, 1.0, "Recall"),
        (curve.f1, VERMILLION, 2.0, "F1"),
    ):
        axes.plot(scores, values, color=colour, linewidth=width, label=label)
    best, at = metrics.best_f1, metrics.at_threshold
    axes.axvline(at.score_threshold, color=GREY, linewidth=1, label=_format_point(at))
    if best.tp:
        axes.axvline(
            best.score_threshold,
            color=VERMILLION,
            linewidth=1,
            linestyle="--",
            label=f"{_format_point(best)}, the highest",
        )
    finish_axes(axes, _format_title(metrics), "Score threshold", "")
    axes.set_xlim(min(0.0, scores.min(initial=0)), max(1.0, scores.max(initial=1)))


def draw_reliability(curves: Mapping[str, Reliability], title: str, axes: Axes) -> None:
    """Draw the precision of predictions over their score, with 95 % intervals (Wilson 1927).

    Args:
        curves: Up to three curves by their names; the last one in front and with intervals.
        title: Title of the diagram.
        axes: Axes to draw on.
    """
    from scipy.stats import binomtest

    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--", label="Perfect calibration")
    colours = dict(zip(curves, (GREY, BLUE, VERMILLION)[-len(curves) :], strict=True))
    for name, curve in curves.items():
        is_filled = curve.counts > 0
        text = f"{name}: error {curve.expected_calibration_error:.3f}"
        points = curve.scores[is_filled], curve.precision[is_filled]
        axes.plot(*points, "o-", color=colours[name], markersize=5, label=text)
    front = list(curves.values())[-1]
    for score, precision, count in zip(front.scores, front.precision, front.counts, strict=True):
        if count:
            test = binomtest(round(precision * count), int(count))
            interval = test.proportion_ci(method="wilson")
            axes.plot([score, score], [interval.low, interval.high], color=VERMILLION, linewidth=1)
            axes.annotate(f"{count:,}", (score, interval.high), (0, 3), textcoords="offset points",
                          fontsize=7, ha="center", color=GREY)  # fmt: skip
    finish_axes(axes, title, "Score", "Fraction of true positives")
    axes.set(xlim=(0, 1.01), ylim=(0, 1.06))


def _draw_point(axes: Axes, point: OperatingPoint, text: str, *, colour: str, marker: str) -> None:
    if point.tp:
        axes.plot(point.recall, point.precision, marker, color=colour, label=text, zorder=3)


def _format_point(point: OperatingPoint) -> str:
    return f"Score ≥ {point.score_threshold:.3g}: F1 {point.f1:.3f}"


def _format_title(metrics: ClassMetrics) -> str:
    return f"{metrics.class_name}: {metrics.n_truth:,} objects, {metrics.n_predicted:,} predictions"


def finish_axes(axes: Axes, title: str, x_label: str, y_label: str) -> None:
    """Add the labels, grid and legend of all plots, for values in 0..1."""
    axes.set_title(title, fontsize=10)
    axes.set(xlabel=x_label, ylabel=y_label, ylim=(0, 1.01))
    axes.grid(color=GREY, alpha=0.25, linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[1]:
        below, width = (0.5, -0.12), axes.figure.bbox.width / axes.figure.dpi
        columns = 3 if width >= INCHES[0] else 2
        axes.legend(
            loc="upper center", bbox_to_anchor=below, ncols=columns, fontsize=8, frameon=False
        )


def save_plot(
    draw: Draw,
    path: Path,
    *,
    overwrite: bool,
    inches: tuple[float, float] = INCHES,
    dpi: int = DPI,
) -> Path:
    """Write a PNG with one pair of axes, complete or not at all.

    Raises:
        OutputError: The file exists, or it cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # draws without any display
    from matplotlib.figure import Figure

    figure = Figure(figsize=inches, layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure.add_subplot())
    with write_atomically(path, overwrite=overwrite) as temporary:
        figure.savefig(temporary, dpi=dpi, format="png")
    return path


def _make_file_stems(names: list[str]) -> list[str]:
    """Return class names that any file system takes, all different."""
    stems = [re.sub(r"[^\w-]+", "_", name).strip("_").lower() or "class" for name in names]
    return [
        stem if stems.count(stem) == 1 else f"{stem}-{number}"
        for number, stem in enumerate(stems, start=1)
    ]
