"""Plots of a training: loss and validation over the steps, and detections on the holdout."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from geodetect.assessment.evaluate import plots
from geodetect.assessment.evaluate.reliability import reliability
from geodetect.reporting.training_report.run import TrainingRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INCHES, DPI = (5.0, 4.2), 180  # letters large enough for a page on a phone
MIN_SCORE = 0.05  # the same as for the expected calibration error on the card
SMOOTHING = 50  # window of the moving average of the loss: 1/50 of the run
LOSSES = {
    "loss": ("Total", plots.VERMILLION),
    "class_loss": ("Classification", plots.BLUE),
    "box_loss": ("Box regression", plots.GREEN),
    "outline_loss": ("Outlines", plots.GREY),
}
VALIDATION = {
    "val_ap50": ("AP50", plots.VERMILLION),
    "val_f1": ("F1", plots.BLUE),
    "val_precision": ("Precision", plots.GREEN),
    "val_recall": ("Recall", plots.GREY),
}


def write_training_plots(run: TrainingRun, *, overwrite: bool) -> dict[str, Path]:
    """Write the plots of a run into its folder, as far as their data exist.

    Returns:
        The files by name: ``loss, validation, precision-recall, f1, reliability``.

    Raises:
        OutputError: A file exists, or cannot be written.
    """
    drawings: dict[str, plots.Draw] = {}
    if run.log is not None and has_values(run.log, LOSSES):
        drawings["loss"] = partial(draw_loss, run.log)
    if run.log is not None and has_values(run.log, VALIDATION):
        drawings["validation"] = partial(draw_validation, run.log)
    metrics = run.class_metrics()
    if metrics and len(metrics[-1].curve.scores) and metrics[-1].n_truth:
        drawings["precision-recall"] = partial(plots.draw_precision_recall, metrics[-1], "AP50")
        drawings["f1"] = partial(plots.draw_f1, metrics[-1])
        drawings["reliability"] = partial(draw_calibration, run)
    written = {}
    for name, draw in drawings.items():
        path = run.folder / f"{name}.png"
        written[name] = plots.save_plot(draw, path, overwrite=overwrite, inches=INCHES, dpi=DPI)
    return written


def draw_loss(log: pd.DataFrame, axes: Axes) -> None:
    """Draw the losses and the learning rate over the steps."""
    highest = []
    for name, (label, colour) in LOSSES.items():
        if not has_values(log, [name]):
            continue
        rows = log[log[name].notna()]
        highest.append(float(rows[name].quantile(0.99)))
        window = max(len(rows) // SMOOTHING, 1)
        smooth = rows[name].rolling(window, min_periods=1).mean()
        if window > 1:
            axes.plot(rows["step"], rows[name], color=colour, linewidth=0.5, alpha=0.3)
        axes.plot(rows["step"], smooth, color=colour, label=label, linewidth=1.6)
    plots.finish_axes(axes, "Loss", "Step", "")
    top = max(highest)  # cuts off the first few losses, which may be many times higher
    axes.set_ylim(0, 1.1 * top if np.isfinite(top) and top > 0 else 1.0)
    axes.locator_params(axis="x", integer=True)
    if has_values(log, ["lr"]):
        right = axes.twinx()
        right.plot(log["step"], log["lr"], color=plots.GREY, linestyle="--", linewidth=1)
        right.set_ylabel("Learning rate (dashed)", color=plots.GREY)
        right.set_ylim(bottom=0)
        right.ticklabel_format(axis="y", scilimits=(-2, 2))
        right.spines[["top"]].set_visible(False)


def draw_validation(log: pd.DataFrame, axes: Axes) -> None:
    """Draw the metrics on the holdout over the steps."""
    for name, (label, colour) in VALIDATION.items():
        if has_values(log, [name]):
            rows = log[log[name].notna()]
            axes.plot(rows["step"], rows[name], "o-", color=colour, markersize=3, label=label)
    plots.finish_axes(axes, "Validation on the holdout", "Step", "")
    axes.locator_params(axis="x", integer=True)


def draw_calibration(run: TrainingRun, axes: Axes) -> None:
    """Draw the precision over the score, before and after calibration."""
    assert run.detections is not None
    is_correct = run.detections["tp"].to_numpy(bool)
    columns = {"Before calibration": "raw_score", "Calibrated": "score"}
    if np.array_equal(run.detections["score"], run.detections["raw_score"]):
        columns = {"Not calibrated": "score"}
    curves = {
        name: reliability(run.detections[column].to_numpy(float), is_correct, least=MIN_SCORE)
        for name, column in columns.items()
    }
    count = int(list(curves.values())[-1].counts.sum())
    title = f"Reliability: {count:,} predictions with a score of {MIN_SCORE:g} or more"
    plots.draw_reliability(curves, title, axes)


def has_values(log: pd.DataFrame, columns: Iterable[str]) -> bool:
    """Return True if any of these columns exists and holds a number."""
    return any(name in log and log[name].notna().any() for name in columns)
