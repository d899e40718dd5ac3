"""How work tells how far it is, and how long it took."""

from __future__ import annotations

from typing import Any, Protocol

from tqdm import tqdm


class Progress(Protocol):
    """Called with how much is done out of how much, and figures to show."""

    def __call__(self, done: int, total: int, /, **figures: float) -> None:
        """Take note."""


def no_progress(done: int, total: int, /, **figures: float) -> None:
    """Progress that nobody watches."""


class TqdmProgress:
    """A tqdm bar for notebooks and scripts; use as a context manager or call ``close``.

    Args:
        description: Text before the bar.
        unit: What is counted.
    """

    def __init__(self, description: str = "", unit: str = "tile") -> None:
        self._bar: tqdm[Any] = tqdm(desc=description, unit=unit, total=0)

    def __call__(self, done: int, total: int, /, **figures: float) -> None:
        """Move the bar to ``done`` of ``total``."""
        self._bar.total = total
        self._bar.set_postfix({k: f"{v:g}" for k, v in figures.items()}, refresh=False)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.close()

    def __enter__(self) -> TqdmProgress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def duration(seconds: float) -> str:
    """Seconds as ``48 s``, ``3 min 20 s`` or ``2 h 5 min``."""
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
