"""``geodetect check``."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import pytest
from click.testing import Result

from tests.helpers.program import invoke
from tests.helpers.square_scenes import (
    SQUARE_PX,
    grid_corners,
    square_raster,
    write_labels,
)

SIDE = 320
CORNERS = grid_corners(SIDE, 40)
SQUARES = [(x, y, x + SQUARE_PX, y + SQUARE_PX) for x, y in CORNERS]


raster = square_raster(SIDE, CORNERS)


def checked(raster: Path, labels: Path, *arguments: str | Path) -> Result:
    command = ["check", "--rasters", raster, "--labels", labels, "--no-shift", *arguments]
    return invoke(*command)


def test_the_tables_say_what_was_found(raster: Path, tmp_path: Path) -> None:
    labels = write_labels(tmp_path / "labels.geojson", [*SQUARES, SQUARES[0]])
    result = checked(raster, labels)
    assert result.exit_code == 0, result.output
    for part in (
        "1, in WGS 84 / UTM zone 32N",
        "Sizes of boxes",
        "16 to 24 px",
        "warning: duplicates: 1 labels lie on another one",
    ):
        assert part in result.stdout
    *_, next_command = result.stderr.splitlines()
    assert next_command.startswith("geodetect train --rasters ")


def test_good_labels_are_said_to_be_good(raster: Path, tmp_path: Path) -> None:
    result = checked(raster, write_labels(tmp_path / "labels.geojson", SQUARES))
    assert result.stdout.endswith("no findings\n")


def test_the_tables_fit_80_columns(raster: Path, tmp_path: Path) -> None:
    from rich.console import Console

    from geodetect.label_check.check import check
    from geodetect_cli.tables import label_check as check_tables

    report = check(raster, write_labels(tmp_path / "labels.geojson", SQUARES))
    for table in (check_tables.size_table(report), check_tables.recall_table(report)):
        assert Console(width=80).measure(table).maximum <= 80


def test_json_holds_the_whole_report(raster: Path, tmp_path: Path) -> None:
    labels = write_labels(tmp_path / "labels.geojson", [*SQUARES, SQUARES[0]])
    output = tmp_path / "problems.geojson"
    result = checked(raster, labels, "--json", "-o", output)
    values = json.loads(result.stdout)
    assert values["labels_on_imagery"] == len(SQUARES) + 1
    assert values["problems"] == {"duplicate": 1}
    assert values["output"] == str(output)
    assert list(gpd.read_file(output).reason) == ["duplicate"]


def test_quiet_says_nothing(raster: Path, tmp_path: Path) -> None:
    assert checked(raster, write_labels(tmp_path / "a.geojson", SQUARES), "-q").output == ""


def test_pointless_labels_are_shown_and_end_with_one_line_of_error(
    raster: Path, tmp_path: Path
) -> None:
    labels = write_labels(tmp_path / "labels.geojson", [(9000, 0, 9016, 16)])
    output = tmp_path / "problems.gpkg"
    result = checked(raster, labels, "-o", output)
    assert result.exit_code == 1
    assert "error: place: none of the 1 labels lies on any" in result.stdout
    assert result.stderr.startswith("Error: none of the 1 labels")
    assert result.stderr.count("\n") == 1
    assert list(gpd.read_file(output, layer="problems").reason) == ["off the imagery"]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--class-field", "kind"], "only class; set --class-field to the column of classes"),
        (["--labels-crs", "nonsense"], "--labels-crs"),
        (["--bands", "1,2"], "--bands"),
        (["-o", "problems.doc"], ".doc"),
        (["--labels", "absent.gpkg"], "absent.gpkg does not exist"),
        (["--rasters", "folder"], "no raster in this folder"),
    ],
)
def test_a_value_that_cannot_be_used_is_one_line(
    raster: Path, tmp_path: Path, arguments: list[str], word: str
) -> None:
    (tmp_path / "folder").mkdir()
    arguments = [str(tmp_path / a) if a == "folder" else a for a in arguments]
    labels = write_labels(tmp_path / "labels.geojson", SQUARES)
    result = checked(raster, labels, *arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert word in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    "arguments", [["--gsd", "0"], ["--tile-size", "8"], ["--point-size", "-1"], ["--far", "0"]]
)
def test_a_usage_error_has_exit_code_2(raster: Path, tmp_path: Path, arguments: list[str]) -> None:
    result = checked(raster, write_labels(tmp_path / "labels.geojson", SQUARES), *arguments)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith("Error: ")
