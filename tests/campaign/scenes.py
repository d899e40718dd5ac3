"""The scene of the campaign: squares, the model that finds them, and what is missing of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely

from tests.campaign import child
from tests.campaign.child import Outcome
from tests.campaign.seeds import vectors
from tests.campaign.seeds.rasters import BOXES, CORNERS, SIDE
from tests.helpers.square_scenes import (
    CRS,
    GSD_M,
    ORIGIN_M,
    grid_corners,
    squares_image,
    write_labels,
    write_raster,
)


@dataclass(frozen=True)
class Scene:
    """A raster of squares, the model that finds them, their outlines, and zones."""

    raster: Path
    model: Path
    truth: Path
    zones: Path


def prepare_scene(folder: Path, *, side: int = SIDE) -> Scene:
    """Write the files of a scene.

    Args:
        folder: Folder.
        side: Side of the raster in pixels; the squares beyond the usual one have no outlines.
    """
    zones = folder / "layer.gpkg"
    vectors.write_table(vectors.zones_table(), zones)
    image = squares_image(side, grid_corners(side))
    raster = write_raster(folder / "scene.tif", image, compress="deflate")
    return Scene(raster, warm_model(folder), write_truth(folder), zones)


def warm_model(folder: Path) -> Path:
    """Write the model that finds squares, and convert it once: cases find it in the cache."""
    from tests.helpers.tiny_model import save_tiny_model

    model = save_tiny_model(folder / "squares.safetensors")
    raster = write_raster(folder / "warm.tif", squares_image(SIDE, CORNERS[:1]))
    run_here("predict", raster, "-m", model, "-o", folder / "warm.geojson", "--device", "cpu", "-q")
    return model


def run_here(*arguments: object) -> None:
    """Run a command in this process, a child, to prepare files.

    Raises:
        SystemExit: It failed.
    """
    try:
        child.run_program([str(argument) for argument in arguments])
    except SystemExit as end:
        if end.code:
            raise


def write_truth(folder: Path) -> Path:
    """Write the squares as a layer of labels."""
    return write_labels(folder / "truth.geojson", BOXES.tolist())


def is_told(outcome: Outcome) -> bool:
    """Return True if a run that succeeded has told of something that it left out."""
    if "Warning:" in outcome.stderr or "left out" in outcome.stderr + outcome.stdout:
        return True
    try:
        summary = json.loads(outcome.stdout)
    except ValueError:
        return False
    return bool(summary.get("left_out") or summary.get("warnings"))


def missing_squares(output: Path, coverage: Path, expected: list[int]) -> int:
    """Return the number of expected squares that lie on searched ground and were not detected."""
    import geopandas as gpd

    if not expected:
        return 0
    detected, ground = gpd.read_file(output), gpd.read_file(coverage)
    boxes = BOXES[expected]
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    if detected.crs is not None:
        detected, ground = detected.to_crs(CRS), ground.to_crs(CRS)
        x, y = ORIGIN_M[0] + x * GSD_M, ORIGIN_M[1] - y * GSD_M
    centres = shapely.points(np.column_stack([x, y]))
    skipped = ground[ground["status"] != "searched"]
    covered = [shapely.intersects(centres, layer.union_all()) for layer in (skipped, detected)]
    return int((~np.logical_or(*covered)).sum())
