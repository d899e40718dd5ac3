"""``geodetect quantize``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers.program import run_command
from tests.helpers.quantizable_model import CORNERS, need_nncf, save_plain_model, write_squares


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("quantize")
    save_plain_model(path / "full.safetensors")
    write_squares(path / "scene.tif")
    return path


@pytest.fixture(scope="module")
def quantize_output(model_folder: Path) -> str:
    """Return the summary of a model that is quantized into the folder."""
    need_nncf()
    code, out, err = run_command(
        *("quantize", model_folder / "full.safetensors", "--rasters", model_folder / "scene.tif"),
        *("-o", model_folder / "both.safetensors", "--tiles", 8, "--min-ap", 0.9),
    )
    assert (code, out) == (0, "")
    return err


def test_the_table_states_how_close_it_is_and_how_to_use_it(quantize_output: str) -> None:
    assert "Calibrated on" in quantize_output
    assert "4 other tiles with" in quantize_output
    assert "at IoU 0.5, " in quantize_output
    assert "predict --model FILE --precision int8" in quantize_output


def test_predict_takes_the_network_in_8_bit(quantize_output: str, model_folder: Path) -> None:
    code, out, err = run_command(
        *("predict", model_folder / "scene.tif", "-o", "-", "--device", "cpu"),
        *("-m", model_folder / "both.safetensors", "--precision", "int8"),
    )
    assert (code, err.count("Error")) == (0, 0)
    assert len(json.loads(out)["features"]) == len(CORNERS)


def test_the_dry_run_and_the_card_name_8_bit(quantize_output: str, model_folder: Path) -> None:
    options = ("-m", model_folder / "both.safetensors", "--precision", "int8", "--dry-run")
    assert "OpenVINO int8 on cpu" in run_command("predict", model_folder / "scene.tif", *options)[1]
    assert "int8.ap50" in run_command("info", model_folder / "both.safetensors")[1]


def test_a_model_without_8_bit_is_one_line_that_names_the_command(model_folder: Path) -> None:
    code, out, err = run_command(
        *("predict", model_folder / "scene.tif", "-o", "-", "--device", "cpu"),
        *("-m", model_folder / "full.safetensors", "--precision", "int8"),
    )
    assert (code, out) == (1, "")
    assert err.startswith("Error: --precision int8: model squares holds no int8-quantized network")
    assert "`geodetect quantize`" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "options", [("--tiles", "1"), ("--min-ap", "2"), ("--bands", "red"), ("--value-range", "1")]
)
def test_values_that_cannot_be_are_usage_errors(
    model_folder: Path, options: tuple[str, ...]
) -> None:
    code, _, err = run_command(
        *("quantize", model_folder / "full.safetensors", "--rasters", model_folder / "scene.tif"),
        *("-o", model_folder / "new.safetensors", *options),
    )
    assert code == 2
    assert options[0] in err
