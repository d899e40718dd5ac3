"""Progress of long work by phases, and durations as text.

Work that may take seconds is enclosed in a ``phase``. Whatever shows progress, such as the program
or a bar in a notebook, listens to all phases of the work that runs within ``report_to``. A plain
function as ``progress`` gets the counts of the longest phase only: of the tiles, or the steps.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, cast, runtime_checkable

if TYPE_CHECKING:
    from tqdm.auto import tqdm

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")


class Progress(Protocol):
    """Callback that reports how much of the work is completed."""

    def __call__(self, completed: int, total: int, /, **figures: float) -> None:
        """Report progress.

        Args:
            completed: Units of work that are completed.
            total: Units of work in all.
            figures: Values to show beside them, such as the number of detections.
        """


@runtime_checkable
class PhaseProgress(Progress, Protocol):
    """Progress of work in phases; calls count the units of the innermost phase."""

    def begin(self, phase: str, unit: str, /) -> None:
        """Begin a phase, within the one that has not ended yet, if there is one.

        Args:
            phase: Name of the phase, such as ``Detecting``.
            unit: Units that calls count, in the plural; empty: the phase is not counted.
        """

    def end(self) -> None:
        """End the innermost phase."""

    def announce(self, line: str, /) -> None:
        """Show a line about the work that stays."""


_listener: ContextVar[PhaseProgress | None] = ContextVar("_listener", default=None)


def no_progress(completed: int, total: int, /, **figures: float) -> None:
    """Ignore progress."""


@contextmanager
def report_to(progress: Progress | bool | None) -> Iterator[Progress]:
    """Have the phases of the enclosed work reported.

    Args:
        progress: True: to a bar, in notebooks and terminals; a ``PhaseProgress``: to it; anything
            else leaves the phases to the surrounding ``report_to``, if there is one.

    Yields:
        The callback that the work itself calls: a plain function, as it listens to no phases.
    """
    with ExitStack() as stack:
        if progress is True:
            progress = stack.enter_context(TqdmProgress())
        if isinstance(progress, PhaseProgress):
            stack.callback(_listener.reset, _listener.set(progress))
        if isinstance(progress, bool) or progress is None or progress is _listener.get():
            progress = no_progress
        yield progress


def reports_progress(function: Callable[Parameters, Returned]) -> Callable[Parameters, Returned]:
    """Let a function with the keyword ``progress`` report its phases as that demands.

    Its callers may give True (a bar), False and None, too, see ``report_to``.
    """

    @functools.wraps(function)
    def report(*arguments: Parameters.args, **keywords: Parameters.kwargs) -> Returned:
        with report_to(cast("Progress", keywords.get("progress"))) as progress:
            keywords["progress"] = progress
            return function(*arguments, **keywords)

    return report


@contextmanager
def phase(name: str, unit: str = "", *, progress: Progress = no_progress) -> Iterator[Progress]:
    """Report a phase of the work. Phases of other threads than that of ``report_to`` are ignored.

    Args:
        name: Name of the phase, such as ``Detecting``.
        unit: Units of work that are counted, in the plural; empty: nothing is counted.
        progress: Further callback for the counts.

    Yields:
        Callback to report the counts to.
    """
    listener = _listener.get()
    if listener is None:
        yield progress
        return
    shown = listener

    def report(completed: int, total: int, /, **figures: float) -> None:
        shown(completed, total, **figures)
        progress(completed, total, **figures)

    listener.begin(name, unit)
    try:
        yield report
    finally:
        listener.end()


def announce(*lines: str) -> None:
    """Show lines about the work that begins, or about a result on the way, where phases are."""
    listener = _listener.get()
    if listener is not None:
        for line in lines:
            listener.announce(line)


def as_progress(progress: Progress | bool | None) -> Progress:
    """Return the parameter ``progress`` of a function with ``reports_progress`` as a callback."""
    return no_progress if progress is None or isinstance(progress, bool) else progress


class TqdmProgress:
    """Progress as a tqdm bar, for notebooks and scripts.

    Use it as a context manager or call ``close``.

    Args:
        description: Text before the bar; empty: the phase.
        unit: Name of a unit of work, unless a phase states it.
    """

    def __init__(self, description: str = "", unit: str = "tile") -> None:
        with warnings.catch_warnings():  # a notebook without ipywidgets gets the bar as text
            warnings.simplefilter("ignore")
            from tqdm.auto import tqdm  # a tenth of a second, which other programs need not wait

        self._description = description
        self._phases: list[str] = []
        self._bar: tqdm[Any] = tqdm(desc=description, unit=unit, total=0)

    def __call__(self, completed: int, total: int, /, **figures: float) -> None:
        """Move the bar to ``completed`` of ``total``."""
        self._bar.total = total
        self._bar.set_postfix({k: f"{v:g}" for k, v in figures.items()}, refresh=False)
        self._bar.update(completed - self._bar.n)

    def begin(self, phase: str, unit: str, /) -> None:
        """Show the name of a phase, and count its units."""
        self._phases.append(phase)
        self._bar.set_description(self._description or phase)
        if unit:
            self._bar.unit = f" {unit}"
            self._bar.reset(total=0)

    def end(self) -> None:
        """Show the name of the surrounding phase."""
        self._phases.pop()
        self._bar.set_description(self._description or "".join(self._phases[-1:]))

    def announce(self, line: str, /) -> None:
        """Print a line above the bar."""
        self._bar.write(line)

    def close(self) -> None:
        """Close the bar and leave it on the screen."""
        self._bar.close()

    def __enter__(self) -> TqdmProgress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def format_duration(seconds: float) -> str:
    """Return seconds as ``48 s``, ``3 min 20 s`` or ``2 h 5 min``."""
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
