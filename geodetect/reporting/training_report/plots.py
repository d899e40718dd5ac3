"""Plots of a training: loss, validation over steps, and its detections on held-out ground."""

from __future__ import annotations

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
LEAST_SCORE = 0.05  # as that of the expected calibration error on the card
SMOOTHED = 50  # part of a run that the loss is averaged over
LOSSES = {
    "loss": ("Loss", plots.VERMILLION),
    "class_loss": ("of classes", plots.BLUE),
    "box_loss": ("of boxes", plots.GREEN),
}
VALIDATION = {
    "val_ap50": ("AP50", plots.VERMILLION),
    "val_f1": ("F1", plots.BLUE),
    "val_precision": ("Precision", plots.GREEN),
    "val_recall": ("Recall", plots.GREY),
}


def write_training_plots(run: TrainingRun, *, overwrite: bool) -> dict[str, Path]:
    """Write the plots of a run into its folder, as far as there is something to draw.

    Returns:
        The files by name: ``loss, validation, precision-recall, f1, reliability``.

    Raises:
        OutputError: A file exists, or cannot be written.
    """
    draws: dict[str, plots.Draw] = {}
    if run.history is not None and has_values(run.history, LOSSES):
        draws["loss"] = partial(draw_loss, run.history)
    if run.history is not None and has_values(run.history, VALIDATION):
        draws["validation"] = partial(draw_validation, run.history)
    figures = run.class_figures()
    if figures and len(figures[-1].curve.scores) and figures[-1].n_truth:
        draws["precision-recall"] = partial(plots.draw_precision_recall, figures[-1], "AP50")
        draws["f1"] = partial(plots.draw_f1, figures[-1])
        draws["reliability"] = partial(draw_calibration, run)
    written = {}
    for name, draw in draws.items():
        path = run.folder / f"{name}.png"
        written[name] = plots.save_plot(draw, path, overwrite=overwrite, inches=INCHES, dpi=DPI)
    return written


def draw_loss(history: pd.DataFrame, axes: Axes) -> None:
    """Draw the losses and the learning rate over the steps."""
    for name, (label, colour) in LOSSES.items():
        if not has_values(history, [name]):
            continue
        known = history[history[name].notna()]
        window = max(len(known) // SMOOTHED, 1)
        smooth = known[name].rolling(window, min_periods=1).mean()
        if window > 1:
            axes.plot(known["step"], known[name], color=colour, linewidth=0.5, alpha=0.3)
        axes.plot(known["step"], smooth, color=colour, label=label, linewidth=1.6)
    plots.finish(axes, "Loss", "Step", "")
    axes.set_ylim(0, _top(history))
    axes.locator_params(axis="x", integer=True)
    if has_values(history, ["lr"]):
        right = axes.twinx()
        right.plot(history["step"], history["lr"], color=plots.GREY, linestyle="--", linewidth=1)
        right.set_ylabel("Learning rate (dashed)", color=plots.GREY)
        right.set_ylim(bottom=0)
        right.ticklabel_format(axis="y", scilimits=(-2, 2))
        right.spines[["top"]].set_visible(False)


def draw_validation(history: pd.DataFrame, axes: Axes) -> None:
    """Draw the figures on held-out ground over the steps."""
    for name, (label, colour) in VALIDATION.items():
        if has_values(history, [name]):
            known = history[history[name].notna()]
            axes.plot(known["step"], known[name], "o-", color=colour, markersize=3, label=label)
    plots.finish(axes, "On held-out ground", "Step", "")
    axes.locator_params(axis="x", integer=True)


def draw_calibration(run: TrainingRun, axes: Axes) -> None:
    """Draw the share of right detections over the score, before and after calibration."""
    assert run.detections is not None
    correct = run.detections["correct"].to_numpy(bool)
    names = {"Before calibration": "raw_score", "Calibrated": "score"}
    if np.array_equal(run.detections["score"], run.detections["raw_score"]):
        names = {"Not calibrated": "score"}
    curves = {
        name: reliability(run.detections[column].to_numpy(float), correct, least=LEAST_SCORE)
        for name, column in names.items()
    }
    count = int(list(curves.values())[-1].counts.sum())
    title = f"Reliability: {count:,} detections with a score of {LEAST_SCORE:g} or more"
    plots.draw_reliability(curves, title, axes)


def has_values(history: pd.DataFrame, names: dict[str, tuple[str, str]] | list[str]) -> bool:
    """Whether any of these columns has a number."""
    return any(name in history and history[name].notna().any() for name in names)


def _top(history: pd.DataFrame) -> float:
    """Upper end of the axis: all but the first few losses, which may be many times higher."""
    known = [history[name].dropna() for name in LOSSES if has_values(history, [name])]
    highest = max(float(values.quantile(0.99)) for values in known)
    return 1.1 * highest if np.isfinite(highest) and highest > 0 else 1.0
