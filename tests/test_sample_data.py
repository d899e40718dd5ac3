"""The generator of drawn scenes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
import shapely
from affine import Affine
from rasterio.features import geometry_mask
from shapely import affinity

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


def test_pools_are_drawn_on_lawns_away_from_labelled_ones(tmp_path: Path) -> None:
    lawn = np.random.default_rng(0).normal((110, 130, 90), 3, (1024, 1100, 3)).round()
    photo, labels, copy = tmp_path / "photo.tif", tmp_path / "pools.gpkg", tmp_path / "more.tif"
    profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "width": 1100, "height": 1024}
    place = {"crs": "EPSG:2154", "transform": Affine(0.2, 0, 1_020_000, 0, -0.2, 6_285_000)}
    with rasterio.open(photo, "w", **profile, **place) as new:
        new.write(lawn.astype(np.uint8).transpose(2, 0, 1))
    labelled = shapely.box(1_020_010, 6_284_900, 1_020_090, 6_284_980)
    gpd.GeoDataFrame(geometry=[labelled], crs="EPSG:2154").to_file(labels)

    draw = [sys.executable, str(ROOT / "sample_data/draw_into.py"), str(photo), str(labels)]
    options = ["--columns", "0", "1100", "--north", "1000", "-o", str(copy)]
    subprocess.run([*draw, *options], check=True, capture_output=True)

    pools = gpd.read_file(copy.with_suffix(".gpkg"))
    drawn, copied = pools[pools["drawn"]], pools[~pools["drawn"]]
    with rasterio.open(copy) as raster:
        pixels = raster.read().astype(int)
        assert raster.bounds == (1_020_000, 6_285_795.2, 1_020_204.8, 6_286_000)
        outside = geometry_mask(drawn.buffer(-0.5), pixels.shape[1:], raster.transform)
    assert len(drawn)
    assert tuple(copied.geometry.iloc[0].bounds) == affinity.translate(labelled, 0, 1000).bounds
    assert drawn.distance(copied.geometry.iloc[0]).min() > 2
    red, _, blue = pixels.reshape(3, -1)
    water = ~outside.ravel()
    assert (blue - red)[water].mean() > 20
    assert (blue - red)[~water].mean() < -15
