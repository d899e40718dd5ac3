"""A clock that moves only when a test moves it."""

from __future__ import annotations

import time

import pytest


class ManualClock:
    """Replaces ``time.monotonic``; ``now`` is in seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def wait(self, seconds: float) -> None:
        self.now += seconds
