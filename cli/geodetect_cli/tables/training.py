"""How a training goes, while it does, and what it brought."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from geodetect.progress import Progress, duration, no_progress
from geodetect_cli import console

if TYPE_CHECKING:
    from geodetect.model.card import ModelCard
    from geodetect.training.run.summary import TrainingSummary

LINE_SECONDS = 30.0  # between plain lines
FRAMES_PER_SECOND = 4.0
TITLES = {"lr": "LR"}


@contextmanager
def shown(*, by_clock: bool, quiet: bool, out: Console = console.stderr) -> Iterator[Progress]:
    """Shows a training: a live table on a terminal, else a line now and then.

    Args:
        by_clock: Progress counts seconds, not steps.
        quiet: Show nothing.
        out: Where to.
    """
    if quiet:
        yield no_progress
    elif out.is_terminal:
        with Live(console=out, refresh_per_second=FRAMES_PER_SECOND, transient=True) as live:
            yield TrainingDisplay(out, by_clock=by_clock, live=live)
    else:
        yield TrainingDisplay(out, by_clock=by_clock)


class TrainingDisplay:
    """Shows how far a training is.

    Args:
        out: Where lines go.
        by_clock: Progress counts seconds, not steps.
        live: Where the table is; None: lines instead.
    """

    def __init__(self, out: Console, *, by_clock: bool, live: Live | None = None) -> None:
        self._out = out
        self._by_clock = by_clock
        self._live = live
        self._first: tuple[int, float] | None = None
        self._line_at = -math.inf

    def __call__(self, done: int, total: int, /, **figures: float) -> None:
        """Take note of a step."""
        now = time.monotonic()
        self._first = self._first or (done, now)
        values = self._values(done, total, figures)
        if self._live is not None:
            self._live.update(_picture(done, total, values))
        elif now - self._line_at >= LINE_SECONDS or done >= total:
            self._line_at = now
            self._say("  ".join(_in_words(name, value) for name, value in values.items()))
        if "val_ap50" in figures:
            best = " (best so far)" if figures["val_ap50"] >= figures["best_ap50"] else ""
            self._say(f"step {figures['step']:.0f}: AP50 {figures['val_ap50']:.3f}{best}")

    def _values(self, done: int, total: int, figures: dict[str, float]) -> dict[str, str]:
        """What is shown, by name."""
        step = f"{figures['step']:.0f}"
        values = {
            "step": step if self._by_clock else f"{step} of {total}",
            "loss": f"{figures['loss']:.3f}",
            "lr": f"{figures['lr']:.2g}",
            "chips/s": f"{figures['chips_per_s']:.3g}",
        }
        if "best_ap50" in figures:
            values["best AP50"] = f"{figures['best_ap50']:.3f}"
        left = self._left(done, total)
        if left:
            values["left"] = duration(left)
        return values

    def _left(self, done: int, total: int) -> float | None:
        """Seconds to go; None: not known yet."""
        if self._by_clock:
            return float(max(total - done, 0))
        assert self._first is not None
        since, began = self._first
        if done <= since:
            return None
        return (time.monotonic() - began) / (done - since) * (total - done)

    def _say(self, text: str) -> None:
        self._out.print(text, markup=False, highlight=False, soft_wrap=True)


def _picture(done: int, total: int, values: dict[str, str]) -> Group:
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
    for name in values:
        table.add_column(TITLES.get(name, name[0].upper() + name[1:]), no_wrap=True)
    table.add_row(*values.values())
    bar = Table.grid(expand=True)
    bar.add_row(ProgressBar(total=total, completed=done))
    return Group(bar, table)


def _in_words(name: str, value: str) -> str:
    return f"{value} {name}" if name in ("chips/s", "left") else f"{name} {value}"


def summarize(
    card: ModelCard,
    tally: TrainingSummary,
    output: Path,
    *,
    page: Path | None = None,
    as_json: bool,
    quiet: bool,
) -> None:
    """What ``train`` made."""
    if as_json:
        values = {"output": str(output), "page": None if page is None else str(page)}
        console.print_json(values | tally.as_dict() | {"card": card.model_dump(mode="json")})
    if as_json or quiet:
        return
    rows = [
        ("Model", str(output)),
        ("Classes", ", ".join(card.classes)),
        ("Resolution", f"{card.gsd_m:g} m per pixel"),
        ("Learned from", f"{card.training.objects:,} objects in {card.training.steps:,} steps"),
        ("Learning rate", f"{tally.lr:.2g}"),
        ("State kept", _kept(tally)),
        ("Default --conf", f"{card.conf:.2f}"),
    ]
    rows += [(name, f"{value:.3f}") for name, value in card.metrics.items() if name != "objects"]
    rows.append(("Time", duration(tally.seconds)))
    rows += [("Left out", reason) for reason in tally.left_out.values()]
    rows.append(("Run folder", tally.run_dir))
    if page is not None:
        rows.append(("Summary", str(page)))
    console.show_table("", rows)


def _kept(tally: TrainingSummary) -> str:
    if not tally.validations:
        return "the last; nothing was held out to measure"
    early = ", ended early" if tally.stopped_early else ""
    return (
        f"the {tally.kept}, of step {tally.kept_step:,}; {tally.validations} measured, "
        f"best AP50 {tally.best_ap50:.3f}{early}"
    )
