"""``geodetect info`` and ``geodetect models``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import Resampling

from geodetect.model.file import list_models
from tests.helpers.program import invoke
from tests.helpers.square_scenes import GSD_M, squares_image, write_raster
from tests.helpers.tiny_model import save_tiny_model, tiny_card


@pytest.fixture
def raster_with_overviews(tmp_path: Path) -> Path:
    path = write_raster(tmp_path / "scene.tif", squares_image(120, []), nodata=7)
    with rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2, 4], Resampling.average)
    return path


def test_a_raster_is_described_as_json(raster_with_overviews: Path) -> None:
    result = invoke("info", raster_with_overviews, "--json")
    values = json.loads(result.stdout)
    assert result.stderr == ""
    assert (values["width"], values["height"], values["dtype"]) == (120, 120, "uint8")
    assert values["gsd_m"] == pytest.approx(GSD_M, rel=0.01)
    assert (values["crs"], values["crs_name"]) == ("EPSG:32632", "WGS 84 / UTM zone 32N")
    assert values["nodata"] == 7
    assert values["overviews"] == [2, 4]
    assert [band["colour"] for band in values["bands"]] == ["red", "green", "blue"]


def test_the_table_of_a_raster_has_one_line_per_band(raster_with_overviews: Path) -> None:
    text = invoke("info", raster_with_overviews).stdout
    assert "band 2, dtype uint8, colour green, nodata 7" in text
    assert "{" not in text


def test_a_raster_without_crs_is_described_with_its_problem(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "scene.tif", squares_image(50, []), crs=None)
    values = json.loads(invoke("info", path, "--json").stdout)
    assert values["crs"] is None
    assert values["gsd_m"] is None
    assert "coordinate reference system" in values["problem"]


def test_nodata_that_is_no_number_is_valid_json(tmp_path: Path) -> None:
    image = np.ones((1, 20, 20), np.float32)
    path = write_raster(tmp_path / "dem.tif", image, nodata=float("nan"))
    values = json.loads(invoke("info", path, "--json").stdout, parse_constant=pytest.fail)
    assert values["nodata"] == "nan"


def test_a_model_file_is_described(tmp_path: Path) -> None:
    path = save_tiny_model(tmp_path / "squares.safetensors")
    values = json.loads(invoke("info", path, "--json").stdout)
    card = tiny_card().model_dump(mode="json")
    same = card.keys() - {"training"}  # its count of objects is called labels
    assert {name: values[name] for name in same} == {name: card[name] for name in same}
    assert values["training"]["labels"] == card["training"]["objects"]
    assert "network.backbone" in invoke("info", path).stdout
    assert (values["networks"], values["draws_outlines"]) == ([], False)
    assert "network" in json.loads(invoke("info", "pools", "--json").stdout)["networks"]


def test_long_values_of_a_model_are_broken_into_lines_in_a_pipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    data = [
        "Oslo, Norway: orthophoto of the city at 0.20 m, " + "every district " * 8,
        "drawn, too",
    ]
    path = save_tiny_model(tmp_path / "squares.safetensors", training={"data": data})
    lines = invoke("info", path).stdout.splitlines()
    assert 80 < max(map(len, lines)) <= 120
    assert [line for line in lines if line != line.rstrip()] == []
    first = next(n for n, line in enumerate(lines) if "training.data" in line)
    values = [line.split("  ")[-1].strip() for line in lines[first : first + 3]]
    assert " ".join(values[:2]) == data[0].strip()
    assert values[2] == data[1]


def test_a_crs_without_a_code_is_shown_by_its_name(tmp_path: Path) -> None:
    crs = "+proj=laea +lat_0=46 +lon_0=7 +ellps=GRS80 +units=m"
    path = write_raster(tmp_path / "scene.tif", squares_image(50, []), crs=crs)
    text = invoke("info", path).stdout
    assert "PROJCRS" not in text
    assert "crs_name" in text


@pytest.mark.parametrize("name", ["nothing.tif", "nothing.safetensors", "nothing"])
def test_a_missing_file_is_one_line(name: str) -> None:
    result = invoke("info", name)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    if name == "nothing":
        assert "neither a file nor a built-in model (pools)" in result.stderr
    assert result.stderr.count("\n") == 1


def test_models_lists_what_is_built_in() -> None:
    result = invoke("models", "--json")
    assert [card["name"] for card in json.loads(result.stdout)["models"]] == list_models()
    text = invoke("models")
    assert all(name in text.stdout for name in list_models())
    assert list_models() or "no built-in models" in text.stderr


def test_an_onnx_file_names_the_command_that_converts_it(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"\x08\x08")
    result = invoke("info", tmp_path / "m.onnx")
    assert result.exit_code == 1
    assert "an ONNX model; convert it with `geodetect convert`" in result.stderr
