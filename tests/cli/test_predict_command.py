"""``geodetect predict`` as a user runs it."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from click.testing import Result

from geodetect.detection import predict_to_file as run
from geodetect.detection.run.journal import Journal
from geodetect.io.atomic import SUFFIX, staging_prefix
from geodetect.io.vector import write as vector
from geodetect.settings.toml import to_toml
from geodetect_cli.command_line.exit_codes import ExitCode
from tests.helpers.predict_command import Scene, predict
from tests.helpers.program import invoke, run_program
from tests.helpers.square_scenes import (
    CRS,
    GSD_M,
    ORIGIN_M,
    SQUARE_PX,
    grid_corners,
    squares_image,
    write_labels,
    write_raster,
)
from tests.helpers.tiny_model import save_tiny_model

SIDE = 200
CORNERS = grid_corners(SIDE)


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("scene")
    raster = write_raster(folder / "scene.tif", squares_image(SIDE, CORNERS))
    return Scene(raster, save_tiny_model(folder / "squares.safetensors"))


def expected_bounds(corners: list[tuple[int, int]]) -> set[tuple[float, ...]]:
    x, y = ORIGIN_M
    return {
        (
            round(x + c * GSD_M, 2),
            round(y - (r + SQUARE_PX) * GSD_M, 2),
            round(x + (c + SQUARE_PX) * GSD_M, 2),
            round(y - r * GSD_M, 2),
        )
        for c, r in corners
    }


def bounds_of(table: gpd.GeoDataFrame) -> set[tuple[float, ...]]:
    return set(map(tuple, table.geometry.bounds.round(2).to_numpy().tolist()))


def test_the_output_is_named_as_the_raster_where_none_is_named(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = predict(scene)
    assert result.exit_code == 0
    assert result.stderr.splitlines()[0] == "Detections are written to scene.geojson"
    assert bounds_of(gpd.read_file("scene.geojson").to_crs(CRS)) == expected_bounds(CORNERS)
    result = predict(scene)
    assert result.exit_code == 1
    assert "scene.geojson already exists" in result.stderr
    assert result.stderr.count("\n") == 1
    assert predict(scene, "--overwrite", "--json").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((), "sheets.geojson"),
        (("--format", "gpkg"), "sheets.gpkg"),
        (("--format", "csv"), "sheets.csv"),
    ],
)
def test_the_output_of_a_folder_has_its_name_and_the_suffix_of_the_format(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], name: str
) -> None:
    folder = tmp_path / "sheets"
    folder.mkdir()
    shutil.copy(scene.raster, folder)
    monkeypatch.chdir(tmp_path)
    assert predict(Scene(folder, scene.model), *arguments, "-q").output == ""
    assert (tmp_path / name).exists()


def test_the_summary_holds_the_settings_that_repeat_the_run(scene: Scene, tmp_path: Path) -> None:
    arguments = ["--conf", "0.25", "--gsd", "25cm", "--bbox", "500000,5199960,500040,5200000"]
    first = tmp_path / "out.geojson"
    settings = json.loads(predict(scene, "-o", first, *arguments, "--json").stdout)["settings"]
    assert (settings["conf"], settings["gsd"], settings["model"]) == (0.25, 0.25, str(scene.model))
    (tmp_path / "run.toml").write_text(to_toml(settings))
    second = tmp_path / "again.geojson"
    command = ["predict", "--config", str(tmp_path / "run.toml"), "-o", str(second), "-q"]
    assert invoke(*command).output == ""
    assert second.read_bytes() == first.read_bytes()


def test_predict_writes_every_square_at_its_place(scene: Scene, tmp_path: Path) -> None:
    result = predict(scene, "-o", tmp_path / "out.gpkg")
    assert result.exit_code == 0
    assert result.stdout == ""
    table = gpd.read_file(tmp_path / "out.gpkg")
    assert len(table) == len(CORNERS)
    assert bounds_of(table) == expected_bounds(CORNERS)
    assert set(table["class"]) == {"square"}


def test_the_summary_says_what_was_found_and_where_it_is(scene: Scene, tmp_path: Path) -> None:
    result = predict(scene, "-o", tmp_path / "out.gpkg")
    assert f"{len(CORNERS)} square" in result.stderr
    assert "out.gpkg" in result.stderr


def test_a_dash_puts_geojson_and_nothing_else_on_the_output_stream(scene: Scene) -> None:
    process = run_program("predict", scene.raster, "-m", scene.model, "-o", "-")
    assert process.returncode == 0
    assert len(json.loads(process.stdout)["features"]) == len(CORNERS)
    assert "output stream" in process.stderr


@pytest.mark.parametrize("name", ["größe.tif", "日本.tif"])
def test_the_output_stream_holds_json_in_utf_8_whatever_the_console_writes(
    scene: Scene, tmp_path: Path, name: str
) -> None:
    raster = shutil.copy(scene.raster, tmp_path / name)
    old = {"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}
    process = run_program("predict", raster, "-m", scene.model, "-o", "-", **old)
    assert {f["properties"]["raster"] for f in json.loads(process.stdout)["features"]} == {name}
    assert json.loads(run_program("info", raster, "--json", **old).stdout)["path"].endswith(name)
    assert run_program("info", raster, **old).returncode == 0


def test_json_is_all_that_is_on_the_output_stream(scene: Scene, tmp_path: Path) -> None:
    process = run_program(
        "predict", scene.raster, "-m", scene.model, "-o", tmp_path / "out.fgb", "--json"
    )
    summary = json.loads(process.stdout)
    assert process.stderr == ""
    assert summary["objects"] == len(CORNERS)
    assert summary["by_class"] == {"square": len(CORNERS)}
    assert summary["output"] == str(tmp_path / "out.fgb")
    assert summary["left_out"] == {}


def test_quiet_says_nothing(scene: Scene, tmp_path: Path) -> None:
    process = run_program(
        "predict", scene.raster, "-m", scene.model, "-o", tmp_path / "o.csv", "-q"
    )
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")
    assert (tmp_path / "o.csv").exists()


def test_verbose_names_the_rasters(scene: Scene, tmp_path: Path) -> None:
    assert "scene.tif" in predict(scene, "-o", tmp_path / "out.gpkg", "-v").stderr


def test_a_dry_run_tells_the_plan_and_writes_nothing(scene: Scene, tmp_path: Path) -> None:
    result = predict(scene, "-o", tmp_path / "out.gpkg", "--dry-run", "--tile-size", 128)
    assert result.exit_code == 0
    for word in ("Tiles", "4 to search", "Ground", "skipped", "Time", "Memory", "ratio 1.00"):
        assert word in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_as_json_has_plain_values(scene: Scene, tmp_path: Path) -> None:
    result = predict(scene, "--dry-run", "--json", "--gsd", "50cm")
    plan = json.loads(result.stdout)
    assert plan["tiles"] == 1
    assert plan["by_raster"][0]["gsd_ratio"] == pytest.approx(2, rel=0.01)
    assert plan["by_raster"][0]["working_gsd_m"] == pytest.approx(0.5, rel=0.01)
    assert plan["area_km2"] == pytest.approx((SIDE * GSD_M / 1000) ** 2, rel=0.01)
    assert plan["skipped_km2"] == 0
    assert plan["memory_mb"] > 0
    assert plan["estimated_seconds"] >= 0


def test_a_dry_run_counts_ground_outside_the_area_as_skipped(scene: Scene) -> None:
    x, y = ORIGIN_M
    half = f"{x},{y - SIDE * GSD_M},{x + SIDE * GSD_M / 2},{y}"
    plan = json.loads(predict(scene, "--dry-run", "--json", "--bbox", half).stdout)
    assert plan["skipped_km2"] == pytest.approx(plan["area_km2"], rel=0.02)


def test_an_area_limits_the_search(scene: Scene, tmp_path: Path) -> None:
    area = write_labels(tmp_path / "area.geojson", [(0, 0, 50, 50)])
    predict(scene, "-o", tmp_path / "out.gpkg", "--aoi", area)
    inside = [(x, y) for x, y in CORNERS if x + 8 < 50 and y + 8 < 50]
    assert bounds_of(gpd.read_file(tmp_path / "out.gpkg")) == expected_bounds(inside)


def test_style_writes_a_style_for_qgis(scene: Scene, tmp_path: Path) -> None:
    predict(scene, "-o", tmp_path / "out.geojson", "--style")
    assert (tmp_path / "out.qml").read_text().startswith("<!DOCTYPE qgis")


def test_the_output_crs_can_be_chosen(scene: Scene, tmp_path: Path) -> None:
    predict(scene, "-o", tmp_path / "out.gpkg", "--crs", "EPSG:25832")
    assert gpd.read_file(tmp_path / "out.gpkg").crs.to_epsg() == 25832


def test_the_format_can_be_chosen_whatever_the_suffix(scene: Scene, tmp_path: Path) -> None:
    predict(scene, "-o", tmp_path / "out.txt", "--format", "geojson")
    assert json.loads((tmp_path / "out.txt").read_text())["type"] == "FeatureCollection"


def test_a_high_threshold_finds_nothing_and_still_writes_a_layer(
    scene: Scene, tmp_path: Path
) -> None:
    result = predict(scene, "-o", tmp_path / "out.gpkg", "--conf", "1")
    assert result.exit_code == 0
    assert "nothing" in result.stderr
    assert len(gpd.read_file(tmp_path / "out.gpkg")) == 0


def test_pixel_coordinates_need_no_crs(scene: Scene, tmp_path: Path) -> None:
    raster = write_raster(tmp_path / "plain.tif", squares_image(SIDE, CORNERS), crs=None)
    result = predict(Scene(raster, scene.model), "-o", tmp_path / "o.gpkg", "--pixel-coords")
    assert result.exit_code == 0
    bounds = gpd.read_file(tmp_path / "o.gpkg").geometry.bounds.to_numpy()
    assert bounds[:, 0].min() == CORNERS[0][0]
    assert np.ptp(bounds[:, [0, 2]], axis=1) == pytest.approx(SQUARE_PX)


def test_several_rasters_and_folders_make_one_layer(scene: Scene, tmp_path: Path) -> None:
    for number, name in enumerate(("a.tif", "b.tif"), 1):
        write_raster(tmp_path / name, squares_image(SIDE, CORNERS[:3]), left_px=number * SIDE)
    result = predict(Scene(tmp_path, scene.model), scene.raster, "-o", tmp_path / "o.gpkg")
    assert result.exit_code == 0
    counts = gpd.read_file(tmp_path / "o.gpkg")["raster"].value_counts().to_dict()
    assert counts == {"a.tif": 3, "b.tif": 3, "scene.tif": len(CORNERS)}


def test_of_several_rasters_a_damaged_one_is_left_out_with_a_warning(
    scene: Scene, tmp_path: Path
) -> None:
    damaged = write_raster(
        tmp_path / "damaged.tif", squares_image(SIDE, CORNERS), left_px=10 * SIDE
    )
    damaged.write_bytes(damaged.read_bytes()[:60_000])
    process = run_program(
        "predict", scene.raster, damaged, "-m", scene.model, "-o", tmp_path / "o.gpkg", "--json"
    )
    assert process.returncode == ExitCode.INCOMPLETE
    assert list(json.loads(process.stdout)["left_out"]) == [str(damaged)]
    warning, error = process.stderr.splitlines()
    assert warning.startswith("Warning: left out: ")
    assert error.startswith("Error: finished with holes")
    rasters = gpd.read_file(tmp_path / "o.gpkg")["raster"]
    assert sum(rasters == scene.raster.name) == len(CORNERS)
    coverage = gpd.read_file(tmp_path / "o.gpkg", layer="coverage")
    (reason,) = coverage[coverage["status"] == "not read"]["reason"]
    assert "damaged.tif: cannot read" in reason


def test_overwrite_replaces_an_output(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "out.geojson").write_text("mine")
    result = predict(scene, "-o", tmp_path / "out.geojson", "--overwrite")
    assert result.exit_code == 0
    assert len(gpd.read_file(tmp_path / "out.geojson")) == len(CORNERS)


@pytest.mark.parametrize("suffix", ["geojsonl", "parquet", "shp"])
def test_every_format_holds_all_squares(scene: Scene, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"out.{suffix}"
    assert predict(scene, "-o", out).exit_code == 0
    table = gpd.read_parquet(out) if suffix == "parquet" else gpd.read_file(out)
    assert len(table) == len(CORNERS)
    assert shapely.is_valid(table.geometry).all()


LONG = ("--tile-size", "64", "--overlap", "48")  # 10 x 10 tiles


def kill_after(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a run break off when some rows of tiles are written down."""
    add = Journal.add

    def adding(self: Journal, *arguments: object) -> None:
        add(self, *arguments)  # type: ignore[arg-type]
        if len(self) >= rows:
            raise KeyboardInterrupt

    monkeypatch.setattr(Journal, "add", adding)


def interrupted(scene: Scene, target: Path, *arguments: str | Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        kill_after(3, patch)
        assert predict(scene, "-o", target, *arguments).exit_code != 0


def resumed_tiles(result: Result) -> int:
    assert result.exit_code == 0, result.output
    return int(json.loads(result.stdout)["resumed_tiles"])


def test_a_run_of_100_tiles_goes_on_and_a_shorter_one_starts_again(
    scene: Scene, tmp_path: Path
) -> None:
    target = tmp_path / "found.geojson"
    journal = tmp_path / "found.geojson.journal"
    interrupted(scene, target, *LONG)
    assert journal.exists()
    before = journal.read_bytes()
    short = predict(scene, "-o", target, "--tile-size", "96", "--json")  # 9 tiles
    assert resumed_tiles(short) == 0
    assert journal.read_bytes() == before  # of the other run
    target.unlink()
    assert resumed_tiles(predict(scene, "-o", target, *LONG, "--json")) == 30
    assert not journal.exists()


@pytest.mark.parametrize(("option", "stays"), [("--restart", False), ("--no-journal", True)])
def test_the_work_of_an_earlier_run_can_be_given_up_or_left_alone(
    option: str, stays: bool, scene: Scene, tmp_path: Path
) -> None:
    target = tmp_path / "found.geojson"
    interrupted(scene, target, *LONG)
    assert resumed_tiles(predict(scene, "-o", target, *LONG, option, "--json")) == 0
    assert (tmp_path / "found.geojson.journal").exists() == stays


def test_a_run_that_dies_between_its_two_files_goes_on_and_replaces_its_own(
    scene: Scene, tmp_path: Path
) -> None:
    target, ground = tmp_path / "found.geojson", tmp_path / "ground.geojson"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vector, "staged_file", dying_at("found.geojson", vector.staged_file))
        assert predict(scene, "-o", target, "--coverage", ground, *LONG).exit_code != 0
    assert ground.exists()
    assert not target.exists()
    again = predict(scene, "-o", target, "--coverage", ground, *LONG, "--json")
    assert resumed_tiles(again) == 100
    other = predict(scene, "-o", tmp_path / "other.geojson", "--coverage", ground, *LONG)
    assert other.exit_code == 1
    assert "already exists" in other.output


@pytest.mark.parametrize("suffix", ["geojson", "gpkg", "shp"])
def test_a_run_that_dies_when_its_files_are_there_replaces_its_own(
    suffix: str, scene: Scene, tmp_path: Path
) -> None:
    target = tmp_path / f"found.{suffix}"
    style = ["--style"] if suffix == "geojson" else []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "discard", dying)
        assert predict(scene, "-o", target, *style, *LONG).exit_code != 0
    (before,) = [file for file in tmp_path.iterdir() if file == target]
    files, first = {file.name for file in tmp_path.iterdir()}, before.read_bytes()
    (tmp_path / f"{staging_prefix(target)}{nobody()}-begun{SUFFIX}").mkdir()
    assert resumed_tiles(predict(scene, "-o", target, *style, *LONG, "--json")) == 100
    assert target.read_bytes() == first
    assert {file.name for file in tmp_path.iterdir()} == files - {f"{target.name}.journal"}
    again = predict(scene, "-o", target, *style, *LONG)
    assert again.exit_code == 1
    assert "already exists" in again.output


def test_a_file_of_somebody_else_is_not_replaced_by_a_run_that_goes_on(
    scene: Scene, tmp_path: Path
) -> None:
    target = tmp_path / "found.geojson"
    interrupted(scene, target, *LONG)
    target.write_text("mine")
    assert predict(scene, "-o", target, *LONG).exit_code == 1
    assert target.read_text() == "mine"


def test_a_file_that_somebody_makes_meanwhile_is_never_replaced(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "found.geojson"
    find = run.predict_layer

    def finding(*arguments: object, **options: object) -> object:
        result = find(*arguments, **options)
        target.write_text("mine")
        return result

    monkeypatch.setattr(run, "predict_layer", finding)
    for _ in range(2):
        result = predict(scene, "-o", target, *LONG)
        assert result.exit_code == 1
        assert "already exists" in result.output
        assert target.read_text() == "mine"


def test_a_result_that_somebody_changed_is_never_replaced(scene: Scene, tmp_path: Path) -> None:
    target = tmp_path / "found.gpkg"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "discard", dying)
        assert predict(scene, "-o", target, *LONG).exit_code != 0
    with closing(sqlite3.connect(target)) as database, database:
        database.execute("DELETE FROM detections WHERE id = 1")
    mine = target.read_bytes()
    for _ in range(2):
        result = predict(scene, "-o", target, *LONG)
        assert result.exit_code == 1
        assert "already exists" in result.output
        assert target.read_bytes() == mine
    assert resumed_tiles(predict(scene, "-o", target, *LONG, "--overwrite", "--json")) == 100


def test_a_journal_says_nothing_of_files_elsewhere(scene: Scene, tmp_path: Path) -> None:
    work, here, there = tmp_path / "work", tmp_path / "here", tmp_path / "there"
    for folder in (work, here, there):
        folder.mkdir()
    options = ("--work-dir", work, *LONG)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "discard", dying)
        assert predict(scene, "-o", here / "found.geojson", *options).exit_code != 0
    (there / "found.geojson").write_text("mine")
    assert predict(scene, "-o", there / "found.geojson", *options).exit_code == 1
    assert (there / "found.geojson").read_text() == "mine"


def nobody() -> int:
    """The number of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def dying(_: Journal) -> None:
    """A run that is interrupted when all is done but the journal."""
    raise KeyboardInterrupt


def dying_at(name: str, stage: Callable[..., Any]) -> Callable[..., Any]:
    """A writer that is interrupted before it writes this file."""

    def staging(target: Path, *arguments: object, **options: object) -> Any:
        if target.name == name:
            raise KeyboardInterrupt
        return stage(target, *arguments, **options)

    return staging
