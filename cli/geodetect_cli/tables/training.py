"""Summary that ``train`` prints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from geodetect.errors import list_names
from geodetect.progress import format_duration
from geodetect_cli import console

if TYPE_CHECKING:
    from geodetect.training.run.summary import TrainingSummary

METRIC_TITLES = {
    "ap50": "AP50",
    "ap30": "AP30",
    "ap50_95": "AP50:95",
    "f1": "F1",
    "precision": "Precision",
    "recall": "Recall",
    "ece": "Calibration error",
    "ece_uncalibrated": "Before calibration",
}


def show_summary(
    summary: TrainingSummary, page: Path | None = None, *, as_json: bool, quiet: bool
) -> None:
    """Show the summary of a training.

    Args:
        summary: The summary.
        page: HTML report of the training.
        as_json: Print JSON on the output stream instead of a table.
        quiet: Show no table.
    """
    if as_json:
        from geodetect_cli.json_output.models import TrainOutput

        values = summary.as_dict()
        for item in values["advice"]:
            item["text"] = console.name_options(item["text"])
        console.print_json(TrainOutput.from_values(page=page, **values))
    if as_json or quiet:
        return
    card = summary.card
    kept_state = "the last; nothing was held out to validate on"
    if summary.validations:
        early = ", ended early" if summary.stopped_early else ""
        kept_state = (
            f"the {summary.kept_state}, of step {summary.kept_step:,}; {summary.validations} "
            f"validations, best AP50 {summary.best_ap50:.3f} (AP30 {summary.best_ap30:.3f}){early}"
        )
    rows = [
        ("Model", str(summary.output)),
        ("Classes", list_names(card.classes)),
        ("Resolution", f"{card.gsd_m:g} m per pixel"),
        ("Trained on", f"{card.training.objects:,} objects"),
        ("Training", f"{summary.steps:,} steps, {format_duration(summary.seconds)}"),
        ("Learning rate", f"{summary.lr:.2g}"),
        ("State kept", kept_state),
        ("Default --conf", f"{card.conf:.2f}"),
    ]
    rows += _metric_rows(summary)
    rows += [("Left out", reason) for reason in summary.left_out.values()]
    rows.append(("Run folder", str(summary.run_dir)))
    if page is not None:
        rows.append(("Report", str(page)))
    console.show_table("", rows)
    for item in summary.advice:
        console.print_message(f"Advice: {console.name_options(item.text)}")


def _metric_rows(summary: TrainingSummary) -> list[tuple[str, str]]:
    """Return the figures of the model on the holdout, with intervals, beside those of its start."""
    metrics = summary.card.metrics
    rows = []
    if "objects" in metrics:
        rows.append(("Held-out objects", f"{metrics['objects']:,.0f}"))
    for name, value in metrics.items():
        if name == "objects":
            continue
        text = f"{value:.3f}"
        if name in summary.intervals:
            interval = summary.intervals[name]
            text += f" ({interval.low:.3f} to {interval.high:.3f})"
        if summary.gain is not None and name in summary.gain.start_metrics:
            text += f", start {summary.gain.start_metrics[name]:.3f}"
        rows.append((METRIC_TITLES.get(name, name), text))
    if summary.gain is not None:
        rows.append(("Start", f"{summary.gain.model}, validated before the first step"))
    if summary.intervals:
        rows.append(("In brackets", "95 % intervals, by a bootstrap over blocks of the holdout"))
    return rows
