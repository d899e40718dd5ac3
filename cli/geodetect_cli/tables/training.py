"""Progress of ``geodetect train`` on the console, and its summary."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from geodetect.errors import list_names
from geodetect.progress import Progress, format_duration, no_progress
from geodetect_cli import console

if TYPE_CHECKING:
    from geodetect.training.run.summary import TrainingSummary

LINE_SECONDS = 30.0  # between lines, if the console is no terminal
REFRESHES_PER_SECOND = 4.0
TITLES = {"lr": "LR"}


@contextmanager
def show_progress(
    *, by_clock: bool, quiet: bool, out: Console = console.stderr
) -> Iterator[Progress]:
    """Show the progress of a training: a live table on a terminal, else lines.

    Args:
        by_clock: Progress counts seconds, not steps.
        quiet: Show nothing.
        out: Console to write to.
    """
    if quiet:
        yield no_progress
    elif out.is_terminal:
        with Live(console=out, refresh_per_second=REFRESHES_PER_SECOND, transient=True) as live:
            yield TrainingDisplay(out, by_clock=by_clock, live=live)
    else:
        yield TrainingDisplay(out, by_clock=by_clock)


class TrainingDisplay:
    """Progress of a training on the console.

    Args:
        out: Console for lines.
        by_clock: Progress counts seconds, not steps.
        live: Display of the table; None: lines instead.
    """

    def __init__(self, out: Console, *, by_clock: bool, live: Live | None = None) -> None:
        self._print = partial(out.print, markup=False, highlight=False, soft_wrap=True)
        self._by_clock = by_clock
        self._live = live
        self._first: tuple[int, float] | None = None
        self._line_time = -math.inf

    def __call__(self, completed: int, total: int, /, **figures: float) -> None:
        """Show a step."""
        now = time.monotonic()
        self._first = self._first or (completed, now)
        values = self._format(completed, total, figures)
        if self._live is not None:
            self._live.update(_table(completed, total, values))
        elif now - self._line_time >= LINE_SECONDS or completed >= total:
            self._line_time = now
            words = (
                f"{value} {name}" if name in ("chips/s", "left") else f"{name} {value}"
                for name, value in values.items()
            )
            self._print("  ".join(words))
        if "val_ap50" in figures:
            best = " (best so far)" if figures["val_ap50"] >= figures["best_ap50"] else ""
            self._print(f"step {figures['step']:.0f}: AP50 {figures['val_ap50']:.3f}{best}")

    def _format(self, completed: int, total: int, figures: dict[str, float]) -> dict[str, str]:
        """Return the figures to show, by name."""
        step = f"{figures['step']:.0f}"
        values = {
            "step": step if self._by_clock else f"{step} of {total}",
            "loss": f"{figures['loss']:.3f}",
            "lr": f"{figures['lr']:.2g}",
            "chips/s": f"{figures['chips_per_s']:.3g}",
        }
        if "best_ap50" in figures:
            values["best AP50"] = f"{figures['best_ap50']:.3f}"
        left = float(max(total - completed, 0))  # in seconds, if progress counts them
        if not self._by_clock:
            assert self._first is not None
            first, start = self._first
            seconds_per_step = (time.monotonic() - start) / max(completed - first, 1)
            left = seconds_per_step * left if completed > first else 0.0
        if left:
            values["left"] = format_duration(left)
        return values


def _table(completed: int, total: int, values: dict[str, str]) -> Group:
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
    for name in values:
        table.add_column(TITLES.get(name, name[0].upper() + name[1:]), no_wrap=True)
    table.add_row(*values.values())
    bar = Table.grid(expand=True)
    bar.add_row(ProgressBar(total=total, completed=completed))
    return Group(bar, table)


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
        ("Trained on", f"{card.training.objects:,} objects in {card.training.steps:,} steps"),
        ("Learning rate", f"{summary.lr:.2g}"),
        ("State kept", kept_state),
        ("Default --conf", f"{card.conf:.2f}"),
    ]
    rows += [(name, f"{value:.3f}") for name, value in card.metrics.items() if name != "objects"]
    rows.append(("Time", format_duration(summary.seconds)))
    rows += [("Left out", reason) for reason in summary.left_out.values()]
    rows.append(("Run folder", str(summary.run_dir)))
    if page is not None:
        rows.append(("Report", str(page)))
    console.show_table("", rows)
