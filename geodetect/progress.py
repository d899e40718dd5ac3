"""Progress of long work, and durations as text."""

from __future__ import annotations

from typing import Any, Protocol

from tqdm import tqdm


class Progress(Protocol):
    """Callback that reports how much of the work is completed."""

    def __call__(self, completed: int, total: int, /, **figures: float) -> None:
        """Report progress.

        Args:
            completed: Units of work that are completed.
            total: Units of work in all.
            figures: Values to show beside them, such as the number of detections.
        """


def no_progress(completed: int, total: int, /, **figures: float) -> None:
    """Ignore progress."""


class TqdmProgress:
    """Progress as a tqdm bar, for notebooks and scripts.

    Use it as a context manager or call ``close``.

    Args:
        description: Text before the bar.
        unit: Name of a unit of work.
    """

    def __init__(self, description: str = "", unit: str = "tile") -> None:
        self._bar: tqdm[Any] = tqdm(desc=description, unit=unit, total=0)

    def __call__(self, completed: int, total: int, /, **figures: float) -> None:
        """Move the bar to ``completed`` of ``total``."""
        self._bar.total = total
        self._bar.set_postfix({k: f"{v:g}" for k, v in figures.items()}, refresh=False)
        self._bar.update(completed - self._bar.n)

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
