"""Summary that ``train`` prints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from geodetect.errors import list_names
from geodetect.progress import format_duration
from geodetect_cli import console

if TYPE_CHECKING:
    from geodetect.training.run.summary import TrainingSummary


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

        console.print_json(TrainOutput.from_values(page=page, **summary.as_dict()))
    if as_json or quiet:
        return
    card = summary.card
    kept_state = "the last; nothing was held out to validate on"
    if summary.validations:
        early = ", ended early" if summary.stopped_early else ""
        kept_state = (
            f"the {summary.kept_state}, of step {summary.kept_step:,}; {summary.validations} "
            f"validations, best AP50 {summary.best_ap50:.3f}{early}"
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
    rows += [(name, f"{value:.3f}") for name, value in card.metrics.items() if name != "objects"]
    rows += [("Left out", reason) for reason in summary.left_out.values()]
    rows.append(("Run folder", str(summary.run_dir)))
    if page is not None:
        rows.append(("Report", str(page)))
    console.show_table("", rows)
