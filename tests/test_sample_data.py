"""The generator of drawn scenes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import geopandas as gpd
import rasterio
import shapely

ROOT = Path(__file__).parent.parent


def test_scenes_lie_apart_so_that_labels_of_one_never_lie_on_another(tmp_path: Path) -> None:
    generator = [sys.executable, str(ROOT / "sample_data/generate.py")]
    options = ["--count", "2", "--size", "400", "--seed", "3", "--classes", "pool,car,tree"]
    subprocess.run([*generator, *options, "-o", str(tmp_path)], check=True, capture_output=True)
    frames = []
    for raster in sorted(tmp_path.glob("*.tif")):
        with rasterio.open(raster) as scene:
            frames.append(shapely.box(*scene.bounds))
            labels = gpd.read_file(raster.with_suffix(".geojson")).to_crs(scene.crs)
        assert len(labels)
        assert labels.within(frames[-1].buffer(0.01)).all()
    assert len(frames) == 2
    assert shapely.distance(*frames) > 50
