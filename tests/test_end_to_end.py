"""The main job with the real model: what a person does first."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import geopandas as gpd

from tests.helpers.table_metrics import evaluate_tables

SAMPLE = Path(__file__).parents[1] / "sample_data/neighbourhood.tif"


def test_the_built_in_model_finds_the_pools_of_the_sample_scene(tmp_path: Path) -> None:
    output = tmp_path / "pools.geojson"
    command = [sys.executable, "-m", "geodetect_cli", "predict", str(SAMPLE), "-o", str(output)]
    run = subprocess.run([*command, "--json"], check=True, capture_output=True, text=True)
    detections = gpd.read_file(output)
    truth = gpd.read_file(SAMPLE.with_suffix(".geojson"))
    # in metres: boxes in degrees would be turned against the raster
    metres = "EPSG:2154"
    metrics = evaluate_tables(detections.to_crs(metres), truth.to_crs(metres), iou=0.5, conf=0.0)
    assert metrics.overall.at_threshold.f1 >= 0.9
    assert json.loads(run.stdout)["objects"] == len(detections) > 40
    assert detections["score"].between(0, 1).all()
    assert detections["area_m2"].between(4, 500).all()
