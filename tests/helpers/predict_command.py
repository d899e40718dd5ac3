"""The command ``predict`` on a raster, with a model that finds its squares."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from click.testing import Result

from tests.helpers.program import invoke
from tests.helpers.square_scenes import (
    grid_corners,
    square_boxes,
    squares_image,
    write_labels,
    write_raster,
)
from tests.helpers.tiny_model import save_tiny_model


@dataclass(frozen=True)
class Scene:
    """A raster and a model."""

    raster: Path
    model: Path


def predict(scene: Scene, *arguments: str | Path) -> Result:
    command = ["predict", scene.raster, "-m", scene.model, "--device", "cpu", *arguments]
    return invoke(*command, catch_exceptions=False)


def write_inputs(folder: Path, *, side: int = 100) -> Path:
    """Write scene.tif with squares, squares.safetensors that finds them, and layer.geojson."""
    corners = grid_corners(side)
    write_raster(folder / "scene.tif", squares_image(side, corners))
    save_tiny_model(folder / "squares.safetensors")
    return write_labels(folder / "layer.geojson", square_boxes(corners))
