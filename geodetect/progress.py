"""How long work tells how far it is."""

from __future__ import annotations

from typing import Any, Protocol

from tqdm import tqdm


class Progress(Protocol):
    """Called with how much is done out of how much, and figures to show."""

    def __call__(self, done: int, total: int, /, **figures: float) -> None:
        """Take note."""


def silent(done: int, total: int, /, **figures: float) -> None:
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
