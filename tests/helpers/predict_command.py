"""The command ``predict`` on a raster, with a model that finds its squares."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from click.testing import Result

from tests.helpers.program import invoke


@dataclass(frozen=True)
class Scene:
    """A raster and a model."""

    raster: Path
    model: Path


def predict(scene: Scene, *arguments: str | Path) -> Result:
    command = ["predict", scene.raster, "-m", scene.model, "--device", "cpu", *arguments]
    return invoke(*command, catch_exceptions=False)
