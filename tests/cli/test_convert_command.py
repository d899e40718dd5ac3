"""``geodetect convert``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from geodetect.model.file import read_model_file
from tests.conftest import Save
from tests.helpers.onnx_detectors import (
    paint_objects,
    write_constant_outputs,
    write_painted_detector,
)
from tests.helpers.program import invoke, run_command
from tests.helpers.torchvision_networks import small_network

pytestmark = pytest.mark.usefixtures("no_stored_networks")


@pytest.fixture(scope="module")
def network_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "three.pth"
    torch.save(small_network(classes=3).state_dict(), path)
    return path


def convert_file(*arguments: object) -> tuple[int, str, str]:
    return run_command("convert", *arguments)


def test_the_card_of_the_new_model_is_printed_as_json(network_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    options = ("--classes", "car, bus", "--gsd", "25cm", "--name", "cars", "--json")
    code, out, err = convert_file(network_file, "-o", path, *options)
    assert (code, err) == (0, "")
    assert json.loads(out)["output"] == str(path)
    values = json.loads(out)["card"]
    assert values["network"] == read_model_file(path)[0].model_dump(mode="json")["network"]
    assert (values["name"], values["classes"], values["gsd_m"]) == ("cars", ["car", "bus"], 0.25)
    assert (values["tile_px"], values["input_scale"]) == (512, 800 / 512)


def test_the_table_states_the_size_at_which_tiles_enter_the_network(
    network_file: Path, tmp_path: Path
) -> None:
    path = tmp_path / "m.safetensors"
    options = ("--classes", "a,b,c")
    _, out, err = convert_file(network_file, "-o", path, *options)
    assert out == ""
    assert "512 px, enlarged to 800 px for the network" in err
    assert "3: a, b, c" in err
    _, _, err = convert_file(network_file, "-o", path, *options, "--no-resize", "--overwrite")
    assert "Tiles" in err
    assert "enlarged" not in err
    info = invoke("info", path).stdout
    assert "input_scale" in info
    assert convert_file(network_file, "-o", path, *options, "--overwrite", "--quiet")[1:] == (
        "",
        "",
    )


def test_options_reach_the_card(network_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    options = ("--tile-size", 640, "--resize", 960, "--norm-eps", 0.001)
    code, out, _ = convert_file(
        network_file,
        "-o",
        path,
        "--classes",
        "a,b",
        "--anchor-sizes",
        "8,16,32,64,128",
        *options,
        "--json",
    )
    assert code == 0
    values = json.loads(out)["card"]
    assert (values["tile_px"], values["input_scale"]) == (640, 1.5)
    assert values["network"]["norm_eps"] == 0.001
    assert values["network"]["anchor_sizes_px"][0] == [8, 10, 12]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "its head has 3 outputs, found no names; name them with --classes"),
        (("--classes", "a"), "found 1 names (a)"),
    ],
)
def test_names_that_do_not_fit_are_one_line(
    network_file: Path, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    code, out, err = convert_file(network_file, "-o", tmp_path / "m.safetensors", *options)
    assert (code, out) == (1, "")
    assert err.startswith("Error: ")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "options", [("--anchor-sizes", "32,64"), ("--tile-size", "0"), ("--gsd", "ten")]
)
def test_values_that_cannot_be_are_usage_errors(
    network_file: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    code, _, err = convert_file(network_file, "-o", tmp_path / "m.safetensors", *options)
    assert code == 2
    assert options[0] in err


def test_a_file_that_is_no_checkpoint_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "page.pth").write_text("<html>")
    code, _, err = convert_file(tmp_path / "page.pth", "-o", tmp_path / "m.safetensors")
    assert code == 1
    assert "not a checkpoint of PyTorch" in err
    assert err.count("\n") == 1


def test_converting_twice_gives_the_same_weights(network_file: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        convert_file(network_file, "-o", tmp_path / f"{name}.safetensors", "--classes", "x,y")
    first, second = (read_model_file(tmp_path / f"{name}.safetensors")[1] for name in ("a", "b"))
    for key, value in first.items():
        np.testing.assert_array_equal(value, second[key])


def test_an_onnx_file_is_checked_on_a_picture(tmp_path: Path, save: Save) -> None:
    scene = save(paint_objects(100, 100, [(20.5, 20.5, 15), (60.5, 50.5, 31)]))
    source = write_painted_detector(tmp_path / "m.onnx")
    path, drawing = tmp_path / "m.safetensors", tmp_path / "m_check.png"
    options = ("--classes", "small,large", "--gsd", "20cm", "--check", scene)
    code, out, err = convert_file(source, "-o", path, *options, "--json")
    assert code == 0, err
    values = json.loads(out)
    assert values["drawing"] == str(drawing)
    assert values["by_class"] == {"small": 1, "large": 1}
    assert values["card"]["imported"]["layout"] == "yolov8"
    assert drawing.read_bytes().startswith(b"\x89PNG")
    path.unlink()
    code, _, err = convert_file(source, "-o", path, *options)
    assert code == 1
    assert "m_check.png" in err
    assert not path.exists()
    code, _, err = convert_file(source, "-o", path, *options, "--overwrite")
    assert (code, "small 1, large 1, drawn in" in " ".join(err.split())) == (0, True)


def test_a_photograph_without_georeference_is_a_picture_to_check_on(tmp_path: Path) -> None:
    picture = tmp_path / "photo.png"
    Image.fromarray(paint_objects(64, 64, []).transpose(1, 2, 0)).save(picture)
    source = write_painted_detector(tmp_path / "m.onnx", metadata={"names": "['a', 'b']"})
    code, _, err = convert_file(source, "-o", tmp_path / "m.safetensors", "--check", picture)
    assert code == 0
    assert "nothing found at a score of 0.25 and more" in " ".join(err.split())


def test_an_ambiguous_layout_is_asked_for_by_its_option(tmp_path: Path) -> None:
    rows = {"output": np.full((1, 84 + 1, 37), 0.5, np.float32)}
    source = write_constant_outputs(tmp_path / "m.onnx", rows, operators=("Neg",))
    code, _, err = convert_file(source, "-o", tmp_path / "m.safetensors", "--classes", "a")
    assert code == 1
    assert "--layout" in err
    code, _, err = convert_file(source, "-o", tmp_path / "m.safetensors", "--layout", "yolo8")
    assert code == 2
    assert "did you mean yolov8?" in " ".join(err.split())


def test_a_picture_that_cannot_be_read_is_told_before_the_conversion(tmp_path: Path) -> None:
    source, target = write_painted_detector(tmp_path / "m.onnx"), tmp_path / "m.safetensors"
    options = ("--classes", "small,large", "--check", tmp_path / "absent.png")
    code, _, err = convert_file(source, "-o", target, *options)
    assert code == 1
    assert "absent.png: no such file" in err
    assert not target.exists()
