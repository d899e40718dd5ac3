"""``geodetect compare`` as a user runs it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import shapely
from click.testing import Result

from tests.helpers.layers import square_layer
from tests.helpers.program import invoke

METRES = "EPSG:2154"


def pool_row(*places: float, **columns: Any) -> gpd.GeoDataFrame:
    """Squares of 8 m along a line."""
    corners = ((x, 0) for x in places)
    return square_layer(*corners, side_m=8, crs=METRES, origin_m=(700_000, 6_600_000), **columns)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    predictions = pool_row(0, 100, 200, score=[0.9, 0.8, 0.4], **{"class": ["pool"] * 3})
    predictions.to_file(tmp_path / "found.gpkg", layer="detections")
    register = pool_row(0.5, 103, 300, owner=["Müller", "Rossi", "Petit"])
    register.to_crs("EPSG:4326").to_file(tmp_path / "register.geojson")
    lots = gpd.GeoDataFrame(
        {"lot": ["A", "B"]},
        geometry=shapely.box([699_950, 700_090], 6_599_900, [700_090, 700_250], 6_600_100),
        crs=METRES,
    )
    lots.to_file(tmp_path / "lots.gpkg")
    return tmp_path


def compare(folder: Path, *arguments: str | Path) -> Result:
    command = ["compare", folder / "found.gpkg", "-o", folder / "changes.gpkg", *arguments]
    return invoke(*command, catch_exceptions=False)


def test_changes_and_parcels_are_written_with_their_styles(folder: Path) -> None:
    result = compare(
        folder, "--register", folder / "register.geojson", "--parcels", folder / "lots.gpkg",
        "--parcel-field", "lot",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    path = folder / "changes.gpkg"
    changes = gpd.read_file(path, layer="changes")
    assert changes["status"].tolist() == ["confirmed", "moved", "new", "missing"]
    assert changes["owner"].tolist()[:2] == ["Müller", "Rossi"]
    assert changes["parcel"].tolist()[:3] == ["A", "B", "B"]
    assert changes.crs.to_epsg() == 2154
    parcels = gpd.read_file(path, layer="parcels")
    assert parcels[["confirmed", "moved", "new", "missing"]].to_numpy().tolist() == [
        [1, 0, 0, 0],
        [0, 1, 1, 0],
    ]
    with closing(sqlite3.connect(path)) as database:
        styled = database.execute("SELECT f_table_name FROM layer_styles").fetchall()
    assert styled == [("changes",), ("parcels",)]


def test_the_summary_names_counts_and_what_lies_in_no_parcel(folder: Path) -> None:
    result = compare(
        folder, "--register", folder / "register.geojson", "--parcels", folder / "lots.gpkg"
    )
    lines = [" ".join(line.split()) for line in result.stderr.splitlines()]
    for line in (
        "New 1 only in the predictions",
        "Confirmed 1 in both, less than 2 m apart",
        "Moved 1 in both, up to 5 m apart",
        "Missing 1 only in the register",
        "Classes ignored",
        "Parcels 2, 1 of them with changes",
        "In no parcel 1 missing (id 4)",
    ):
        assert line in lines
    assert next(line for line in lines if line.startswith("Written to")).endswith("changes.gpkg")


def test_json_is_all_that_is_on_the_output_stream(folder: Path) -> None:
    result = compare(folder, "--register", folder / "register.geojson", "--json", "--conf", "0.5")
    assert result.stderr == ""
    values = json.loads(result.stdout)
    assert values["counts"] == {"new": 0, "confirmed": 1, "moved": 1, "missing": 1}
    assert values["pairs"] == 2


def test_the_column_of_scores_can_be_named(folder: Path) -> None:
    predictions = gpd.read_file(folder / "found.gpkg")
    predictions["quality"] = [0.1, 0.2, 0.9]
    predictions.to_file(folder / "found.gpkg", layer="detections")
    arguments = ["--register", folder / "register.geojson", "--score-field", "quality"]
    result = compare(folder, *arguments, "--conf", "0.5", "--json")
    assert json.loads(result.stdout)["counts"]["new"] == 1
    assert json.loads(result.stdout)["counts"]["confirmed"] == 0


def test_quiet_says_nothing(folder: Path) -> None:
    result = compare(folder, "--register", folder / "register.geojson", "-q")
    assert (result.exit_code, result.output) == (0, "")


def test_two_years_are_compared_in_words_of_their_own(folder: Path) -> None:
    pool_row(100, 900, score=[0.7, 0.6]).to_file(folder / "before.gpkg", layer="detections")
    result = compare(folder, "--before", folder / "before.gpkg", "--distance", "3")
    assert result.exit_code == 0, result.output
    changes = gpd.read_file(folder / "changes.gpkg", layer="changes")
    assert changes["status"].tolist() == ["appeared", "confirmed", "appeared", "gone"]
    assert "only in the earlier predictions" in result.stderr


@pytest.mark.parametrize("suffix", ["geojson", "fgb", "parquet", "csv", "shp"])
def test_one_layer_goes_into_any_format(suffix: str, folder: Path) -> None:
    path = folder / f"out.{suffix}"
    result = compare(folder, "--register", folder / "register.geojson", "-o", path)
    assert result.exit_code == 0, result.output
    read = gpd.read_parquet(path) if suffix == "parquet" else pyogrio.read_dataframe(path)
    by_id = read.sort_values("id")["status"].tolist()  # FlatGeobuf is ordered by place
    assert by_id == ["confirmed", "moved", "new", "missing"]


def test_two_layers_need_a_geopackage(folder: Path) -> None:
    result = compare(
        folder, "--register", folder / "register.geojson", "--parcels", folder / "lots.gpkg",
        "-o", folder / "out.geojson",
    )  # fmt: skip
    assert result.exit_code == 1
    assert "holds one layer, but there are 2 to write; choose a GeoPackage" in result.stderr
    assert not (folder / "out.geojson").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--register", "absent.gpkg"), "absent.gpkg does not exist"),
        (("--register", "{}/plain.csv"), "name it with --register-crs"),
    ],
)
def test_what_is_wrong_is_one_line(arguments: tuple[str, ...], message: str, folder: Path) -> None:
    (folder / "plain.csv").write_text('WKT,owner\n"POINT (700004 6600004)",x\n')
    result = compare(folder, *(text.format(folder) for text in arguments))
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_stated_crs_makes_a_plain_table_a_register(folder: Path) -> None:
    (folder / "plain.csv").write_text('WKT,owner\n"POINT (700004 6600004)",x\n')
    result = compare(folder, "--register", folder / "plain.csv", "--register-crs", METRES)
    assert result.exit_code == 0, result.output
    changes = gpd.read_file(folder / "changes.gpkg", layer="changes")
    assert changes["status"].tolist() == ["confirmed", "new", "new"]


def compare_only(folder: Path, *arguments: str | Path) -> Result:
    """Without -o."""
    command = ["compare", folder / "found.gpkg", *arguments]
    return invoke(*command, catch_exceptions=False)


def test_without_an_output_the_counts_are_shown_and_nothing_is_written(folder: Path) -> None:
    before = set(folder.iterdir())
    result = compare_only(folder, "--register", folder / "register.geojson")
    assert result.exit_code == 0, result.output
    assert "Missing 1 only in the register" in " ".join(result.stderr.split())
    as_json = compare_only(folder, "--register", folder / "register.geojson", "--json")
    values = json.loads(as_json.stdout)
    assert values["output"] is None
    assert values["counts"] == {"new": 1, "confirmed": 1, "moved": 1, "missing": 1}
    assert set(folder.iterdir()) == before


def test_the_changes_go_to_the_output_stream_as_geojson(folder: Path) -> None:
    result = compare_only(folder, "--register", folder / "register.geojson", "-o", "-")
    features = json.loads(result.stdout)["features"]
    statuses = [feature["properties"]["status"] for feature in features]
    assert statuses == ["confirmed", "moved", "new", "missing"]
    assert "output stream" in result.stderr


def test_an_earlier_year_may_be_the_second_file(folder: Path) -> None:
    pool_row(100, 900, score=[0.7, 0.6]).to_file(folder / "before.gpkg", layer="detections")
    result = compare_only(folder, folder / "before.gpkg", "--distance", "3", "--json")
    assert json.loads(result.stdout)["counts"] == {
        "appeared": 2, "confirmed": 1, "moved": 0, "gone": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--register", "a.gpkg", "--before", "b.gpkg"),
        ("b.gpkg", "--register", "a.gpkg"),
        ("--register", "a.gpkg", "-o", "-", "--json"),
        ("--register", "a.gpkg", "-o", "-", "--parcels", "b.gpkg"),
    ],
)
def test_files_and_options_that_do_not_go_together_are_a_usage_error(
    arguments: tuple[str, ...], folder: Path
) -> None:
    result = compare_only(folder, *arguments)
    assert result.exit_code == 2
    assert "Error: " in result.stderr


def test_an_empty_register_makes_everything_new_and_no_detections_everything_missing(
    folder: Path,
) -> None:
    predictions, register = (gpd.read_file(folder / n) for n in ("found.gpkg", "register.geojson"))
    register.assign(**{"class": "pool"}).iloc[:0].to_file(folder / "none.gpkg")
    assert compare(folder, "--register", folder / "none.gpkg").exit_code == 0
    changes = gpd.read_file(folder / "changes.gpkg", layer="changes")
    assert changes["status"].tolist() == ["new"] * 3
    predictions.iloc[:0].to_file(folder / "found.gpkg", layer="detections")
    result = compare(folder, "--register", folder / "register.geojson", "--overwrite")
    assert result.exit_code == 0, result.output
    changes = gpd.read_file(folder / "changes.gpkg", layer="changes")
    assert changes["status"].tolist() == ["missing"] * 3


@pytest.mark.parametrize("option", ["--distance", "--moved-from"])
def test_a_distance_below_zero_is_a_usage_error(option: str, folder: Path) -> None:
    result = compare(folder, "--register", folder / "register.geojson", option, "-1")
    assert result.exit_code == 2
    assert option in result.stderr


def test_the_offset_of_a_register_is_shown_and_taken_out_by_align(tmp_path: Path) -> None:
    places = np.cumsum(np.random.default_rng(0).uniform(15, 60, 30))
    pool_row(*places).to_file(tmp_path / "found.gpkg", layer="detections")
    pool_row(*(places + 3.1)).to_file(tmp_path / "register.geojson")
    arguments = ("--register", tmp_path / "register.geojson")
    result = compare(tmp_path, *arguments)
    assert "Warning: the register lies about 3.1 m to the east" in result.stderr
    assert "with --align, or try --moved-from 5" in result.stderr
    summary = " ".join(result.stderr.split())
    assert "Offset the register 3.1 m to the east, in the distances" in summary
    result = compare(tmp_path, *arguments, "--align", "--overwrite")
    assert "Warning" not in result.stderr
    assert "the register 3.1 m to the east, taken out" in " ".join(result.stderr.split())
    values = json.loads(compare(tmp_path, *arguments, "--align", "--overwrite", "--json").stdout)
    assert values["counts"] == {"new": 0, "confirmed": 30, "moved": 0, "missing": 0}
    assert values["offset"]["taken_out"]
    assert values["warnings"] == []
