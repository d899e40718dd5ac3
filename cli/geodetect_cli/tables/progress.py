"""Progress of a running command: a bar on a terminal, else lines at intervals, of text or JSON."""

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
from geodetect_cli.json_output.events import PRINTED_FIGURES, event_lines

REFRESHES_PER_SECOND = 4.0
LONG_PHASE_S = 10.0  # from here on a phase gets a line of its own when it ends
SECONDS = "seconds"  # as the unit of a phase: what is left of them is the time left
BAR_WIDTH = 40  # columns, at most

FIGURES = {  # forms of the values beside the counts; others follow their name
    "shards": "{:,} shards",
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

    Where the error stream holds lines of JSON, so do the phases.

    Args:
        quiet: Show nothing, but for lines of JSON.
        line_seconds: Time between lines, if the console is no terminal.
        announces: Show lines about the work before it begins; results on the way are always shown.
        out: Console to write to.
    """
    as_json = event_lines.is_active
    if quiet and not as_json:
        yield
        return
    is_terminal = out.is_terminal and not out.is_dumb_terminal and not log_file.mutes_messages
    with ExitStack() as stack:
        lines = None
        has_screen = is_terminal or as_json
        if not has_screen or log_file.is_open:
            lines = ProgressLines(
                console.log if has_screen else out,
                line_seconds=line_seconds,
                announces=announces,
            )
            stack.callback(lines.close)
        shown: PhaseProgress | None = lines
        if has_screen:
            screen: PhaseProgress
            if as_json:
                screen = ProgressEvents(
                    out, line_seconds=line_seconds, announces=announces, quiet=quiet
                )
                stack.callback(screen.close)
            else:
                screen = ProgressBars(out, announces=announces)
            shown = screen if lines is None else LoggedProgress(screen, lines)
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
        hidden = {"shards_total", *(["step"] if self.unit == "steps" else [])}
        texts = {
            name: FIGURES.get(name, f"{name} {{:.4g}}").format(value)
            for name, value in self.figures.items()
            if not name.startswith("val_") and name not in hidden
        }
        if "shards_total" in self.figures:
            total = self.figures["shards_total"]
            texts["shards"] = f"{self.figures['shards']:,} of {total:,} shards"
        return "  ".join(texts.values())


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


class LoggedProgress:
    """Progress on the screen, and lines in the log file, which repeats what the screen is told.

    Args:
        screen: Bars, or lines of JSON.
        lines: Lines of the log.
    """

    def __init__(self, screen: PhaseProgress, lines: ProgressLines) -> None:
        self._screen, self._lines = screen, lines

    def __call__(self, completed: int, total: int, /, **figures: float) -> None:
        """Show counts."""
        self._screen(completed, total, **figures)
        self._lines(completed, total, **figures)

    def begin(self, phase: str, unit: str, /) -> None:
        """Begin a phase."""
        self._screen.begin(phase, unit)
        self._lines.begin(phase, unit)

    def end(self) -> None:
        """End a phase."""
        self._screen.end()
        self._lines.end()

    def announce(self, line: str, /) -> None:
        """Print a line on the screen, which is in the log then."""
        self._screen.announce(line)


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
            self._show_begin(self._phases[-1])

    def end(self) -> None:
        """End a phase."""
        with self._lock:
            self._show_end(self._phases.pop())

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
                    self._show_counts(self._phases[-1])
                    self._phases[-1].restart_clock()

    def _show_begin(self, phase: Phase) -> None:
        """Print nothing: most phases are short."""

    def _show_counts(self, phase: Phase) -> None:
        texts = (phase.counts(), phase.values().replace("  ", ", "), phase.time_left())
        self._print(f"{phase.name}: {', '.join(filter(None, texts))}")

    def _show_end(self, phase: Phase) -> None:
        """Print a line if the phase is not part of another one and was long."""
        if not self._phases and phase.seconds >= min(LONG_PHASE_S, self._line_seconds):
            counts = "" if phase.unit == SECONDS else phase.counts()
            texts = filter(None, (counts, f"done in {format_duration(phase.seconds)}"))
            self._print(f"{phase.name}: {', '.join(texts)}")

    def _print(self, line: str) -> None:
        console.print_message(line, out=self._out)


class ProgressEvents(ProgressLines):
    """Lines of JSON about the phases: when they begin, at intervals, and when they end.

    Args:
        out: Console to write messages to.
        line_seconds: Time between lines.
        announces: Show lines about the work before it begins.
        quiet: Show no other lines.
    """

    def __init__(
        self, out: Console, *, line_seconds: float, announces: bool, quiet: bool = False
    ) -> None:
        self._is_quiet = quiet
        super().__init__(out, line_seconds=line_seconds, announces=announces)

    def announce(self, line: str, /) -> None:
        """Print a message."""
        if not self._is_quiet:
            super().announce(line)

    def _show_begin(self, phase: Phase) -> None:
        _write_event("begin", phase)

    def _show_counts(self, phase: Phase) -> None:
        _write_event("progress", phase)

    def _show_end(self, phase: Phase) -> None:
        _write_event("end", phase)


def _write_event(event: str, phase: Phase) -> None:
    left = 0.0 if event == "end" else phase.seconds_left
    counts = {name: phase.figures.get(name) for name in PRINTED_FIGURES}
    event_lines.write_progress(
        event,
        phase=phase.name,
        unit=phase.unit,
        completed=phase.completed,
        total=phase.total,
        figures={n: v for n, v in phase.figures.items() if n not in PRINTED_FIGURES},
        seconds=round(phase.seconds, 3),
        seconds_left=None if left is None else round(left, 3),
        **counts,
    )
