"""``geodetect predict --coverage`` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest

from tests.helpers.predict_command import Scene, predict
from tests.helpers.program import invoke
from tests.helpers.square_scenes import GSD_M, grid_corners, squares_image, write_raster
from tests.helpers.tiny_model import save_tiny_model

SIDE = 200


@pytest.fixture(scope="module")
def half_scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("scene")
    image = squares_image(SIDE, grid_corners(SIDE))
    image[:, :, :56] = 0
    raster = write_raster(folder / "scene.tif", image, nodata=0)
    return Scene(raster, save_tiny_model(folder / "squares.safetensors"))


def area_by_status(table: gpd.GeoDataFrame) -> dict[str, float]:
    return dict(zip(table["status"], table["area_m2"], strict=True))


def check(table: gpd.GeoDataFrame) -> None:
    areas = area_by_status(table)
    assert set(areas) == {"searched", "no imagery"}
    ground_m2 = SIDE * SIDE * GSD_M**2
    assert sum(areas.values()) == pytest.approx(ground_m2, rel=2e-3)
    assert areas["no imagery"] == pytest.approx(ground_m2 * 56 / SIDE, rel=2e-3)


def test_the_coverage_is_a_second_layer_of_the_output(half_scene: Scene, tmp_path: Path) -> None:
    path = tmp_path / "out.gpkg"
    result = predict(half_scene, "-o", path, "--coverage", path, "--style")
    assert result.exit_code == 0, result.output
    names = [name for name, _ in pyogrio.list_layers(path)]
    assert names == ["detections", "coverage", "layer_styles"]
    check(gpd.read_file(path, layer="coverage"))
    assert len(gpd.read_file(path, layer="detections")) > 0
    assert "out.gpkg" in result.stderr


@pytest.mark.parametrize("suffix", ["geojson", "fgb", "gpkg", "parquet"])
def test_the_coverage_goes_into_a_file_of_its_own(
    suffix: str, half_scene: Scene, tmp_path: Path
) -> None:
    path = tmp_path / f"ground.{suffix}"
    result = predict(half_scene, "-o", tmp_path / "out.csv", "--coverage", path, "--json")
    assert json.loads(result.stdout)["coverage"] == str(path)
    read = gpd.read_parquet(path) if suffix == "parquet" else gpd.read_file(path)
    check(read)


def test_a_geopackage_has_the_coverage_as_its_second_layer(
    half_scene: Scene, tmp_path: Path
) -> None:
    path = tmp_path / "out.gpkg"
    result = predict(half_scene, "-o", path, "--json")
    assert json.loads(result.stdout)["coverage"] == str(path)
    assert [name for name, _ in pyogrio.list_layers(path)] == ["detections", "coverage"]
    check(gpd.read_file(path, layer="coverage"))


def test_a_coverage_in_a_file_of_its_own_is_in_no_other(half_scene: Scene, tmp_path: Path) -> None:
    path = tmp_path / "out.gpkg"
    predict(half_scene, "-o", path, "--coverage", tmp_path / "ground.geojson")
    assert [name for name, _ in pyogrio.list_layers(path)] == ["detections"]


@pytest.mark.parametrize("output", ["out.geojson", "out.parquet", "-"])
def test_other_formats_have_a_coverage_only_if_asked(
    output: str, half_scene: Scene, tmp_path: Path
) -> None:
    name = output if output == "-" else tmp_path / output
    result = predict(half_scene, "-o", name)
    assert result.exit_code == 0
    assert "coverage" not in result.output
    assert [p.name for p in tmp_path.iterdir()] == [output] * (output != "-")


def test_only_a_geopackage_takes_a_second_layer(half_scene: Scene, tmp_path: Path) -> None:
    path = tmp_path / "out.geojson"
    result = predict(half_scene, "-o", path, "--coverage", path)
    assert result.exit_code == 1
    assert "only a GeoPackage (.gpkg) holds a second layer" in " ".join(result.stderr.split())
    assert not path.exists()


def test_a_coverage_that_exists_is_found_before_anything_is_run(
    half_scene: Scene, tmp_path: Path
) -> None:
    path = tmp_path / "ground.gpkg"
    path.write_text("something")
    result = predict(half_scene, "-o", tmp_path / "out.gpkg", "--coverage", path)
    assert result.exit_code == 1
    assert "ground.gpkg already exists" in result.stderr
    assert list(tmp_path.iterdir()) == [path]


def test_a_lost_mask_is_blank_ground_in_coverage_summary_and_density(
    half_scene: Scene, tmp_path: Path
) -> None:
    side, path = 800, tmp_path / "lost.tif"
    image = squares_image(side, grid_corners(side))
    rng = np.random.default_rng(0)
    image = np.minimum(image + rng.integers(0, 9, image.shape), 255).astype(np.uint8)
    image[:, :, : side // 2] = 0
    scene = Scene(write_raster(path, image), half_scene.model)
    output = tmp_path / "out.gpkg"
    result = predict(scene, "-o", output, "--json")
    summary = json.loads(result.stdout)
    assert summary["blank"] == {"lost.tif": pytest.approx(0.5, abs=0.05)}
    assert "lost.tif (" in result.stderr
    assert "lost mask" in result.stderr
    ground = gpd.read_file(output, layer="coverage")
    assert set(ground["status"]) == {"searched", "blank"}
    gpd.GeoDataFrame(geometry=[ground.union_all()], crs=ground.crs).to_file(tmp_path / "zone.gpkg")
    counts = invoke("summarize", output, "--zones", tmp_path / "zone.gpkg", "--json")
    (zone,) = json.loads(counts.stdout)["by_zone"]
    assert zone["searched"] == "part"
    assert zone["covered_fraction"] == pytest.approx(0.5, abs=0.05)
    text = predict(scene, "-o", output, "--overwrite").stderr
    assert "Blank imagery" in text


def test_the_value_range_is_in_plan_and_summary(half_scene: Scene, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(300, 4000, (3, SIDE, SIDE)).astype(np.uint16)
    image[:, ::9, ::9] = 65_535
    scene = Scene(write_raster(tmp_path / "deep.tif", image), half_scene.model)
    low, high = np.percentile(image[image < 65_535].astype(float), [0.5, 99.5])
    ends = [pytest.approx(low, abs=5), pytest.approx(high, abs=5)]
    result = predict(scene, "-o", tmp_path / "out.csv", "--json")
    assert json.loads(result.stdout)["value_ranges"] == {"deep.tif": ends}
    assert "65535, far from all others; --value-range is estimated as 3" in result.stderr
    plan = json.loads(predict(scene, "--dry-run", "--json").stdout)
    assert plan["by_raster"][0]["value_range"] == ends
    assert f"values {low:g} to {high:g}" in predict(scene, "--dry-run").stdout
    assert f"{low:g} to {high:g} of deep.tif" in predict(scene, "-o", tmp_path / "b.csv").stderr
