"""``geodetect summarize`` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from click.testing import Result

from tests.helpers.program import invoke
from tests.helpers.tiny_model import save_tiny_model

METRES = "EPSG:2154"
X, Y = 700_000, 6_600_000


@pytest.fixture
def zones_dir(tmp_path: Path) -> Path:
    x = np.array([100, 200, 1500]) + X
    predictions = gpd.GeoDataFrame(
        {"class": "square", "score": [0.9, 0.6, 0.5]},
        geometry=shapely.box(x, Y + 100, x + 8, Y + 108),
        crs=METRES,
    )
    predictions.to_file(tmp_path / "found.gpkg", layer="detections")
    zones = gpd.GeoDataFrame(
        {"name": ["west", "east", "both"]},
        geometry=shapely.box([X, X + 1000, X], Y, [X + 1000, X + 2000, X + 2000], Y + 1000),
        crs=METRES,
    )
    zones.to_crs("EPSG:4326").to_file(tmp_path / "zones.geojson")
    return tmp_path


def summarize(folder: Path, *arguments: str | Path) -> Result:
    command = ["summarize", folder / "found.gpkg", "--zones", folder / "zones.geojson",
               "-o", folder / "out.gpkg", *arguments]  # fmt: skip
    return invoke(*command, catch_exceptions=False)


def read_zones(folder: Path) -> gpd.GeoDataFrame:
    return gpd.read_file(folder / "out.gpkg", layer="zones")


def in_lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_zones_are_written_with_their_counts(zones_dir: Path) -> None:
    result = summarize(zones_dir)
    assert result.exit_code == 0, result.output
    table = read_zones(zones_dir)
    assert table["name"].tolist() == ["west", "east", "both"]
    assert table["count"].tolist() == [2, 1, 3]
    np.testing.assert_allclose(table["area_km2"], [1, 1, 2], rtol=2e-3)
    lines = in_lines(result.stderr)
    assert "Predictions 3" in lines
    assert "Ground taken as searched everywhere (no --coverage)" in lines
    assert "Objects expected not corrected; see --metrics and --model" in lines
    assert "Overlaps 2 pairs of zones; 3 predictions lie in several and count in each" in lines


def metrics_file(folder: Path) -> Path:
    point = {"score_threshold": 0.55, "tp": 80, "fp": 20, "fn": 20}
    path = folder / "metrics.json"
    path.write_text(json.dumps({"overall": {"at_threshold": point}}))
    return path


def rated_model(folder: Path) -> Path:
    figures = {"precision": 0.8, "recall": 0.8, "objects": 100.0}
    return save_tiny_model(folder / "m.safetensors", conf=0.55, metrics=figures)


@pytest.mark.parametrize("kind", ["metrics", "model", "numbers"])
def test_counts_are_corrected_by_any_source_of_rates(kind: str, zones_dir: Path) -> None:
    options: dict[str, list[Any]] = {
        "metrics": ["--metrics", metrics_file(zones_dir)],
        "model": ["--model", rated_model(zones_dir)],
        "numbers": [
            "--measured-precision",
            0.8,
            "--measured-recall",
            0.8,
            "--measured-on",
            100,
            "--conf",
            0.55,
        ],
    }
    result = summarize(zones_dir, *options[kind])
    assert result.exit_code == 0, result.output
    table = read_zones(zones_dir)
    assert table["count"].tolist() == [2, 0, 2]  # from the threshold of the rates on
    assert table["corrected_count"].tolist() == [2, 0, 2]
    assert (table["corrected_low"] <= 2).all()
    assert (table["corrected_high"] >= table["corrected_count"]).all()
    text = " ".join(result.stderr.split())
    assert "Predictions 2 with a score of at least 0.55" in text
    assert "precision 0.800, recall 0.800" in text


def test_columns_of_scores_and_classes_can_be_named(zones_dir: Path) -> None:
    squares = gpd.read_file(zones_dir / "found.gpkg")
    squares["quality"], squares["use"] = [0.1, 0.9, 0.9], ["pool", "pool", "tank"]
    squares.to_file(zones_dir / "found.gpkg", layer="detections")
    columns = ["--score-field", "quality", "--class-field", "use"]
    result = summarize(zones_dir, *columns, "--conf", "0.5", "--classes", "pool")
    assert result.exit_code == 0, result.output
    assert read_zones(zones_dir)["count"].tolist() == [1, 0, 1]


def test_zones_that_were_not_searched_have_no_count(zones_dir: Path) -> None:
    coverage = gpd.GeoDataFrame(
        {"status": ["searched"]}, geometry=[shapely.box(X, Y, X + 1000, Y + 1000)], crs=METRES
    )
    coverage.to_file(zones_dir / "seen.gpkg", layer="coverage")
    squares = gpd.read_file(zones_dir / "found.gpkg").iloc[:2]
    squares.to_file(zones_dir / "found.gpkg", layer="detections")
    result = summarize(zones_dir, "--coverage", zones_dir / "seen.gpkg")
    table = read_zones(zones_dir)
    assert table["searched"].tolist() == ["all", "none", "part"]
    assert table["count"].isna().tolist() == [False, True, False]
    assert "zones: 1 whole, 1 in part, 1 not at all" in " ".join(result.stderr.split())


def test_json_is_all_that_is_on_the_output_stream(zones_dir: Path) -> None:
    result = summarize(zones_dir, "--json", "--metrics", metrics_file(zones_dir))
    assert result.stderr == ""
    values = json.loads(result.stdout)
    assert (values["zones"], values["predictions"], values["score_threshold"]) == (3, 2, 0.55)
    assert values["corrected"]["count"] == 2
    low, high = values["corrected"]["count_interval"]
    assert low <= 2 <= high


def test_json_holds_every_zone(zones_dir: Path) -> None:
    values = json.loads(summarize(zones_dir, "--json", "--metrics", metrics_file(zones_dir)).stdout)
    west = values["by_zone"][0]
    assert (west["name"], west["count"], west["searched"]) == ("west", 2, "assumed")
    assert west["corrected_low"] <= west["corrected_count"] <= west["corrected_high"]


def summarize_only(folder: Path, *arguments: str | Path) -> Result:
    """Without -o."""
    command = ["summarize", folder / "found.gpkg", "--zones", folder / "zones.geojson", *arguments]
    return invoke(*command, catch_exceptions=False)


def test_without_an_output_zones_are_listed_and_nothing_is_written(zones_dir: Path) -> None:
    before = set(zones_dir.iterdir())
    result = summarize_only(
        zones_dir, "--measured-precision", "80%", "--measured-recall", "0.8", "--measured-on", "100"
    )
    assert result.exit_code == 0, result.output
    lines = in_lines(result.stdout)
    assert lines[0] == "Zone Count per km² Expected (95 %) Searched"
    assert lines[1].startswith("west 2 ")
    assert lines[1].endswith(" assumed")
    assert set(zones_dir.iterdir()) == before


def test_zones_go_to_the_output_stream_as_geojson(zones_dir: Path) -> None:
    features = json.loads(summarize_only(zones_dir, "-o", "-").stdout)["features"]
    assert [feature["properties"]["count"] for feature in features] == [2, 1, 3]
    assert summarize_only(zones_dir, "-o", "-", "--json").exit_code == 2


def test_the_ground_that_predict_wrote_beside_detections_counts(zones_dir: Path) -> None:
    coverage = gpd.GeoDataFrame(
        {"status": ["searched", "no imagery"]},
        geometry=shapely.box([X, X + 1000], Y, [X + 1000, X + 2000], Y + 1000),
        crs=METRES,
    )
    predictions = gpd.read_file(zones_dir / "found.gpkg").iloc[:2]
    predictions.to_file(zones_dir / "found.gpkg", layer="detections")
    coverage.to_file(zones_dir / "found.gpkg", layer="coverage")
    assert summarize(zones_dir).exit_code == 0
    assert read_zones(zones_dir)["searched"].tolist() == ["all", "none", "part"]
    listed = in_lines(summarize_only(zones_dir).stdout)
    assert listed[2].endswith("east - - none")
    assert listed[3].endswith("part (50%)")


def test_zones_elsewhere_are_a_warning(zones_dir: Path) -> None:
    zones = gpd.read_file(zones_dir / "zones.geojson").to_crs(METRES)
    zones.assign(geometry=zones.translate(50_000)).to_file(zones_dir / "zones.geojson")
    result = summarize(zones_dir)
    assert "the zones (around lon 3.665, lat 46.503) lie 49 km apart" in result.stderr


def test_quiet_says_nothing(zones_dir: Path) -> None:
    result = summarize(zones_dir, "-q")
    assert (result.exit_code, result.output) == (0, "")


def test_a_table_without_geometry_is_a_csv_file(zones_dir: Path) -> None:
    assert summarize(zones_dir, "-o", zones_dir / "out.csv").exit_code == 0
    first = (zones_dir / "out.csv").read_text().splitlines()
    assert first[0].startswith("name,count,density_per_km2,")
    assert first[1].startswith("west,2,")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--measured-precision", "0.9"), 2, "--measured-precision, --measured-recall and"),
        (("--model", "pools", "--precision", "0.9"), 2, "name one of --model, --metrics"),
        (("--metrics", "absent.json"), 1, "absent.json cannot be read"),
        (("--classes", "tree"), 1, "the predictions have no 'tree', only square"),
        (("--zones-crs", "nowhere"), 1, "--zones-crs: 'nowhere' is no coordinate"),
    ],
)
def test_what_is_wrong_is_said(
    arguments: tuple[str, ...], code: int, message: str, zones_dir: Path
) -> None:
    result = summarize(zones_dir, *arguments)
    assert result.exit_code == code
    assert message in " ".join(result.stderr.replace("│", " ").split())
    assert not (zones_dir / "out.gpkg").exists()
