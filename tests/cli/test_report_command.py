"""``geodetect report`` and ``geodetect preview`` as programs."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import pytest
import rasterio
import shapely
from affine import Affine
from PIL import Image

import geodetect
from tests.helpers.program import modules_after, run_command
from tests.helpers.report_pages import page_data
from tests.helpers.square_scenes import squares_image, write_labels, write_raster


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    write_raster(tmp_path / "scene.tif", squares_image(200, [(20, 20), (100, 140)]))
    write_labels(tmp_path / "found.geojson", [(20, 20, 36, 36), (100, 140, 116, 156)])
    return tmp_path


def test_a_report_is_summed_up_in_a_table(workdir: Path):
    page = workdir / "report.html"
    code, out, err = run_command(
        "report", workdir / "found.geojson", "-r", workdir / "scene.tif", "-o", page
    )
    assert (code, out) == (0, "")
    assert "Predictions" in err
    assert "inside the page" in err
    assert page.stat().st_size > 10_000


def test_a_report_is_summed_up_as_json(workdir: Path):
    page = workdir / "report.html"
    code, out, err = run_command(
        *("report", workdir / "found.geojson", "--raster", workdir / "scene.tif", "-o", page),
        *("--truth", workdir / "found.geojson", "--imagery", "beside", "--json"),
    )
    values = json.loads(out)
    assert (code, err) == (0, "")
    assert values["objects"] == 2
    assert values["folder"] == str(workdir / "report_files")
    assert values["page_bytes"] == page.stat().st_size


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["-o", "page.txt"], "end --output in .html"),
        (["-r", "nothing.tif"], "nothing.tif: no such file"),
        (["-t", "nothing.gpkg"], "nothing.gpkg does not exist"),
        (["--pred-crs", "EPSG:99"], "--pred-crs"),
        (["--pred-crs", "EPSG:2154"], "none of the 2 predictions lies on scene.tif"),
    ],
)
def test_what_cannot_be_used_is_one_line(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], problem: str
):
    monkeypatch.chdir(workdir)
    defaults = ["report", "found.geojson", "-o", "a.html", "-r", "scene.tif"]
    code, out, err = run_command(*defaults, *arguments)
    assert (code, out) == (1, "")
    assert err.startswith("Error: ")
    assert problem in err
    assert err.count("\n") == 1
    assert not (workdir / "a.html").exists()


def test_detections_without_a_crs_name_the_option(workdir: Path):
    table = geodetect.write(_bare(), workdir / "bare.gpkg")
    code, _, err = run_command(
        "report", table, "-r", workdir / "scene.tif", "-o", workdir / "a.html"
    )
    assert code == 1
    assert "--pred-crs" in err


def _bare() -> object:
    import geopandas as gpd
    import shapely

    return gpd.GeoDataFrame({"score": [0.5]}, geometry=[shapely.box(0, 0, 1, 1)])


@pytest.mark.parametrize(
    "arguments",
    [["--imagery", "somewhere"], ["--iou", "0"], ["--thumbnails", "-1"], ["--gsd", "x"]],
)
def test_an_option_that_cannot_be_is_a_usage_error(workdir: Path, arguments: list[str]):
    command = ["report", workdir / "found.geojson", "-o", workdir / "a.html"]
    code, _, err = run_command(*command, *arguments)
    assert code == 2
    assert arguments[0] in err


def test_a_preview_is_drawn(workdir: Path):
    target = workdir / "overview.png"
    code, out, err = run_command(
        "preview", workdir / "scene.tif", workdir / "found.geojson", "-o", target
    )
    with Image.open(target) as image:
        assert (code, out) == (0, "")
        assert f"{image.width} x {image.height} px" in err


def test_a_contact_sheet_of_detections_without_scores_is_refused(workdir: Path):
    command = ["preview", workdir / "scene.tif", workdir / "found.geojson", "--sheet", "best"]
    code, _, err = run_command(*command, "-o", workdir / "sheet.png")
    assert code == 1
    assert "--score-field" in err


def test_reports_are_imported_without_torch_and_templates():
    code = "import geodetect; geodetect.report; geodetect.preview"
    assert not modules_after(code) & {"torch", "matplotlib", "jinja2", "typer"}


@pytest.fixture
def two_sheets(workdir: Path) -> list[Path]:
    """A scene, and one of the same size to its right."""
    paths = [workdir / "scene.tif", workdir / "scene_b.tif"]
    with rasterio.open(paths[0]) as scene:
        transform = scene.transform @ Affine.translation(scene.width, 0)
        with rasterio.open(paths[1], "w", **(scene.profile | {"transform": transform})) as sheet:
            sheet.write(scene.read())
    return paths


@pytest.mark.parametrize("form", ["repeated", "shell", "folder", "pattern"])
def test_several_rasters_are_one_map(
    workdir: Path, two_sheets: list[Path], form: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(workdir)
    a, b = two_sheets
    rasters = {
        "repeated": ["--raster", a, "--raster", b],
        "shell": ["--raster", a, b],  # --raster *.tif
        "folder": ["-r", workdir],
        "pattern": ["--raster", "scene*.tif"],
    }[form]
    code, _, err = run_command("report", "found.geojson", *rasters, "-o", "page.html")
    assert code == 0, err
    assert page_data(workdir / "page.html")["grid"]["width"] == 400
    page = (workdir / "page.html").read_text("utf-8")
    assert "2 rasters, scene.tif to scene_b.tif" in page  # the first is on top


def test_a_preview_of_several_rasters_and_changes(workdir: Path, two_sheets: list[Path]):
    found = workdir / "found.geojson"
    changes = workdir / "changes.gpkg"
    run_command("compare", found, "--register", found, "-o", changes)
    commands = [
        ("preview", *two_sheets, changes, "-o", workdir / "a.png"),
        ("preview", changes, "--raster", *two_sheets, "-o", workdir / "b.png"),
    ]
    images = []
    for command in commands:
        code, _, err = run_command(*command)
        assert code == 0, err
        images.append(Path(command[-1]).read_bytes())
    assert images[0] == images[1]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["found.geojson"], "name its imagery with --raster"),
        (["scene.tif", "found.geojson", "other.gpkg"], "name one layer"),
    ],
)
def test_a_preview_needs_imagery_and_at_most_one_layer(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], problem: str
):
    monkeypatch.chdir(workdir)
    code, _, err = run_command("preview", *arguments, "-o", "a.png")
    assert code == 2
    assert problem in err
    assert err.count("\n") == 1


@pytest.fixture
def zones(workdir: Path) -> Path:
    """Two zones that cover the scene."""
    with rasterio.open(workdir / "scene.tif") as scene:
        left, bottom, right, top = scene.bounds
        middle, crs = (left + right) / 2, scene.crs
    halves = [shapely.box(left, bottom, middle, top), shapely.box(middle, bottom, right, top)]
    table = gpd.GeoDataFrame({"name": ["West", "East"]}, geometry=halves, crs=crs)
    table.to_file(workdir / "zones.gpkg")
    return workdir / "zones.gpkg"


def test_zones_are_counted_with_the_errors_of_the_detector(workdir: Path, zones: Path):
    code, out, err = run_command(
        *("report", workdir / "found.geojson", "-r", workdir / "scene.tif", "--zones", zones),
        *("--measured-precision", "0.8", "--measured-recall", "0.9", "--measured-on", "200"),
        *("-o", workdir / "a.html", "--json"),
    )
    assert (code, err) == (0, "")
    assert json.loads(out)["zones"] == 2
    listed = page_data(workdir / "a.html")["zones"]["list"]
    assert [(zone["name"], zone["count"]) for zone in listed] == [("West", 1), ("East", 1)]
    assert all(zone["low"] <= zone["expected"] <= zone["high"] for zone in listed)


def test_the_results_with_truth_are_summed_up(workdir: Path):
    code, out, _ = run_command(
        *("report", workdir / "found.geojson", "-r", workdir / "scene.tif", "--json"),
        *("--truth", workdir / "found.geojson", "--distance", "2", "-o", workdir / "a.html"),
    )
    values = json.loads(out)
    assert (code, values["results"]) == (0, {"tp": 2, "fp": 0, "fn": 0, "loose": 0})
    assert (values["rasters"], values["counts"], values["zones"]) == (1, None, None)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["found.geojson", "--zones", "found.geojson"], "expected polygons to count by"),
        (["found.geojson", "--zones", "scored.geojson"], "detections with 'score'"),
        (["found.geojson", "--coverage", "zones.gpkg"], "name --zones, too"),
        (["found.geojson", "--address-field", "home"], "--address-field"),
        (["zones.gpkg", "--zones", "./zones.gpkg"], "the zones are the layer of the predictions"),
    ],
)
def test_layers_in_the_wrong_place_are_one_line(
    workdir: Path, zones: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], problem: str
):
    monkeypatch.chdir(workdir)
    gpd.read_file("found.geojson").assign(score=0.5).to_file("scored.geojson")
    code, out, err = run_command("report", *arguments, "-o", "a.html")
    assert (code, out) == (1, "")
    assert problem in err
    assert err.count("\n") == 1


def test_a_pattern_that_no_raster_matches_is_a_usage_error(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(workdir)
    code, out, err = run_command("report", "found.geojson", "-r", "scene*.png", "-o", "a.html")
    assert (code, out) == (2, "")
    assert "scene*.png" in err
    assert err.count("\n") == 1
