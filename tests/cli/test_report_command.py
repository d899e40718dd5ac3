"""``geodetect report`` and ``geodetect preview`` as programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

import geodetect
from tests.helpers.program import modules_after, run_command
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
