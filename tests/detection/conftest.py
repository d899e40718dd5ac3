"""Fixtures of several tests of detection."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Save
from tests.helpers.painted_scenes import mixed


@pytest.fixture
def painted(save: Save) -> Path:
    """A raster of 400 px, on which rectangles and ellipses are painted."""
    return save(mixed(400, seed=5, largest=30).pixels)
