"""Progress of a running command: a bar on a terminal, else lines at intervals."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from threading import Event, RLock, Thread

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from geodetect.progress import PhaseProgress, format_duration, report_to
from geodetect_cli import console
from geodetect_cli.command_line.log_file import log_file

REFRESHES_PER_SECOND = 4.0
LONG_PHASE_S = 10.0  # from here on a phase gets a line of its own when it ends
SECONDS = "seconds"  # as the unit of a phase: what is left of them is the time left
BAR_WIDTH = 40  # columns, at most

FIGURES = {  # forms of the values beside the counts; others follow their name
    "objects": "{:,} objects",
    "boxes to merge": "{:,} boxes to merge",
    "step": "step {:,}",
    "loss": "loss {:.3f}",
    "lr": "LR {:.2g}",
    "chips_per_s": "{:.3g} chips/s",
    "best_ap50": "best AP50 {:.3f}",
    "best_ap30": "its AP30 {:.3f}",
}


@contextmanager
def show_progress(
    *,
    quiet: bool,
    line_seconds: float,
    announces: bool = True,
    out: Console = console.stderr,
) -> Iterator[None]:
    """Show the phases of the enclosed work, in the log file as lines.

    Args:
        quiet: Show nothing.
        line_seconds: Time between lines, if the console is no terminal.
        announces: Show lines about the work before it begins; results on the way are always shown.
        out: Console to write to.
    """
    if quiet:
        yield
        return
    is_terminal = out.is_terminal and not out.is_dumb_terminal and not log_file.mutes_messages
    with ExitStack() as stack:
        lines = None
        if not is_terminal or log_file.is_open:
            lines = ProgressLines(
                console.log if is_terminal else out,
                line_seconds=line_seconds,
                announces=announces,
            )
            stack.callback(lines.close)
        shown: PhaseProgress | None = lines
        if is_terminal:
            bars = ProgressBars(out, announces=announces)
            shown = bars if lines is None else LoggedBars(bars, lines)
        stack.enter_context(report_to(shown))
        yield


@dataclass
class Phase:
    """A phase of the work, with the counts so far.

    Args:
        name: Its name.
        unit: Units of its counts; empty: it is not counted.
        start: Time at which it began, in seconds.
        completed: Units that are completed.
        total: Units in all; 0: unknown.
        figures: Values to show beside the counts.
    """

    name: str
    unit: str = ""
    start: float = field(default_factory=time.monotonic)
    completed: int = 0
    total: int = 0
    figures: dict[str, float] = field(default_factory=dict)
    _first: tuple[int, float] | None = None  # of the units whose speed is measured
    _seconds_per_unit: float | None = None

    @property
    def seconds(self) -> float:
        """Duration so far."""
        return time.monotonic() - self.start

    @property
    def seconds_left(self) -> float | None:
        """Time left at the present speed; None: unknown."""
        left = self.total - self.completed
        if self.unit == SECONDS:
            return float(left)
        self._measure_speed()
        return None if self._seconds_per_unit is None else left * self._seconds_per_unit

    def count(self, completed: int, total: int, figures: dict[str, float]) -> None:
        """Take the counts of a call."""
        self.completed, self.total, self.figures = completed, total, figures
        self._first = self._first or (completed, time.monotonic())

    def restart_clock(self) -> None:
        """Measure the speed from now on: units that a journal holds are completed at once."""
        if self._measure_speed():
            self._first = self.completed, time.monotonic()

    def _measure_speed(self) -> bool:
        """Return False if no unit was completed since the measurement began."""
        if self._first is None or self.completed <= self._first[0]:
            return False
        completed, start = self._first
        self._seconds_per_unit = (time.monotonic() - start) / (self.completed - completed)
        return True

    def counts(self) -> str:
        """Return the counts as text: ``120 of 400 tiles``; empty without counts."""
        if not self.total:
            return ""
        if self.unit == SECONDS:
            return f"{format_duration(self.completed)} of {format_duration(self.total)}"
        return f"{self.completed:,} of {self.total:,} {self.unit}".rstrip()

    def time_left(self) -> str:
        """Return the time left as text, else the time so far."""
        left = self.seconds_left
        if not left:
            return f"{format_duration(self.seconds)} so far"
        return f"{format_duration(left)} left"

    def values(self) -> str:
        """Return the figures as text; those of validations have lines of their own."""
        is_step_counted = self.unit == "steps"
        return "  ".join(
            FIGURES.get(name, f"{name} {{:.4g}}").format(value)
            for name, value in self.figures.items()
            if not name.startswith("val_") and not (name == "step" and is_step_counted)
        )


class ProgressBars:
    """Bar of the innermost phase on a terminal, which is removed with the outermost one.

    Args:
        out: The terminal.
        announces: Show lines about the work before it begins.
    """

    def __init__(self, out: Console, *, announces: bool) -> None:
        self._out = out
        self._announces = announces
        self._phases: list[Phase] = []
        self._live: Live | None = None

    def __call__(self, completed: int, total: int, /, **figures: float) -> None:
        """Show counts."""
        if self._phases:
            self._phases[-1].count(completed, total, figures)

    def begin(self, phase: str, unit: str, /) -> None:
        """Show a phase."""
        self._phases.append(Phase(phase, unit))
        if self._live is None:
            self._live = Live(
                console=self._out,
                get_renderable=self._render,
                refresh_per_second=REFRESHES_PER_SECOND,
                transient=True,
                redirect_stdout=False,  # a result on the way to a file or another program
            )
            self._live.start()

    def end(self) -> None:
        """Show the surrounding phase; without one remove the bar."""
        if len(self._phases) == 1 and self._live is not None:
            self._live.stop()
            self._live = None
        self._phases.pop()

    def announce(self, line: str, /) -> None:
        """Print a line above the bar."""
        if self._announces or self._phases:
            for text in (*console.take_opening_lines(), line):
                console.print_message(text, out=self._out)

    def _render(self) -> Group:
        phase = self._phases[-1]
        texts = [text for text in (phase.counts(), phase.time_left()) if text]
        gaps = 2 * (1 + len(texts))
        width = min(BAR_WIDTH, self._out.width - gaps - sum(map(len, (phase.name, *texts))))
        bar = ProgressBar(
            total=phase.total or None,
            completed=phase.completed,
            pulse=not phase.total,
            width=max(width, 1),
        )
        row = Table.grid(padding=(0, 2, 0, 0))
        for _ in range(2 + len(texts)):
            row.add_column(no_wrap=True)
        row.add_row(Text(phase.name), bar, *map(Text, texts))
        values = phase.values()
        return Group(row, Text(values, style="dim", no_wrap=True)) if values else Group(row)


class LoggedBars:
    """Bars on a terminal, and lines in the log file, which repeats what the terminal is told.

    Args:
        bars: The bars.
        lines: The lines.
    """

    def __init__(self, bars: ProgressBars, lines: ProgressLines) -> None:
        self._bars, self._lines = bars, lines

    def __call__(self, completed: int, total: int, /, **figures: float) -> None:
        """Show counts."""
        self._bars(completed, total, **figures)
        self._lines(completed, total, **figures)

    def begin(self, phase: str, unit: str, /) -> None:
        """Begin a phase."""
        self._bars.begin(phase, unit)
        self._lines.begin(phase, unit)

    def end(self) -> None:
        """End a phase."""
        self._bars.end()
        self._lines.end()

    def announce(self, line: str, /) -> None:
        """Print a line above the bar, which is in the log then."""
        self._bars.announce(line)


class ProgressLines:
    """Lines about the phases: at intervals, and for each long phase that has ended.

    Args:
        out: Console to write to.
        line_seconds: Time between lines.
        announces: Show lines about the work before it begins.
    """

    def __init__(self, out: Console, *, line_seconds: float, announces: bool) -> None:
        self._out = out
        self._announces = announces
        self._line_seconds = line_seconds
        self._phases: list[Phase] = []
        self._lock = RLock()
        self._is_closed = Event()
        self._thread = Thread(target=self._print_regularly, name="geodetect-progress", daemon=True)
        self._thread.start()

    def __call__(self, completed: int, total: int, /, **figures: float) -> None:
        """Take counts, for the next line."""
        with self._lock:
            if self._phases:
                self._phases[-1].count(completed, total, figures)

    def begin(self, phase: str, unit: str, /) -> None:
        """Begin a phase."""
        with self._lock:
            self._phases.append(Phase(phase, unit))

    def end(self) -> None:
        """End a phase, with a line if it is not part of another one and was long."""
        with self._lock:
            phase = self._phases.pop()
            if not self._phases and phase.seconds >= min(LONG_PHASE_S, self._line_seconds):
                counts = "" if phase.unit == SECONDS else phase.counts()
                texts = filter(None, (counts, f"done in {format_duration(phase.seconds)}"))
                self._print(f"{phase.name}: {', '.join(texts)}")

    def announce(self, line: str, /) -> None:
        """Print a line."""
        if self._announces or self._phases:
            with self._lock:
                for text in (*console.take_opening_lines(), line):
                    self._print(text)

    def close(self) -> None:
        """Print no more."""
        self._is_closed.set()
        self._thread.join()

    def _print_regularly(self) -> None:
        while not self._is_closed.wait(self._line_seconds):
            with self._lock:
                if self._phases and not self._is_closed.is_set():
                    phase = self._phases[-1]
                    texts = (phase.counts(), phase.values().replace("  ", ", "), phase.time_left())
                    self._print(f"{phase.name}: {', '.join(filter(None, texts))}")
                    phase.restart_clock()

    def _print(self, line: str) -> None:
        console.print_message(line, out=self._out)
