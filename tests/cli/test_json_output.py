"""``--json`` of every command, success and error, against the published schema."""

from __future__ import annotations

import json
import math
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest
import torch
from shapely.geometry import box

from geodetect_cli.commands import COMMANDS
from geodetect_cli.json_output.schema import OUTPUTS, schema_text
from tests.helpers.json_schema import PATH, check_json, validator
from tests.helpers.predict_command import write_inputs
from tests.helpers.program import ROOT, invoke, program_environment, run_program
from tests.helpers.quantizable_model import need_nncf, save_plain_model, write_squares
from tests.helpers.square_scenes import (
    CRS,
    GSD_M,
    ORIGIN_M,
    grid_corners,
    square_boxes,
    squares_image,
    write_labels,
    write_raster,
)
from tests.helpers.torchvision_networks import small_network

Run = Callable[[Path], tuple[object, ...]]

RUNS: dict[str, Run] = {
    "predict": lambda folder: (
        *("predict", folder / "scene.tif", "-m", folder / "squares.safetensors"),
        *("-o", folder / "out.gpkg", "--device", "cpu"),
    ),
    "predict --dry-run": lambda folder: (
        *("predict", folder / "scene.tif", "-m", folder / "squares.safetensors"),
        *("--device", "cpu", "--dry-run"),
    ),
    "plan": lambda folder: plan_run(folder),
    "predict --plan": lambda folder: compute_run(folder, "predict"),
    "status": lambda folder: compute_run(folder, "status"),
    "merge": lambda folder: compute_run(folder, "merge"),
    "train": lambda folder: (
        *("train", "--rasters", folder / "scene.tif", "--labels", folder / "layer.geojson"),
        *("--init", "none", "--chip-px", 64, "--batch-size", 2, "--device", "cpu", "--steps", 1),
        *("--val-share", 0, "-o", folder / "new.safetensors"),
    ),
    "check": lambda folder: (
        *("check", "--rasters", folder / "scene.tif", "--labels", folder / "layer.geojson"),
        *("-o", folder / "problems.gpkg"),
    ),
    "evaluate": lambda folder: (
        *("evaluate", folder / "scored.gpkg", folder / "layer.geojson", "--resamples", 20),
        *("--pick-threshold", "f1", "-o", folder / "errors.gpkg", "--plots", folder / "plots"),
    ),
    "compare": lambda folder: (
        *("compare", folder / "scored.gpkg", "--register", folder / "layer.geojson"),
        *("--parcels", folder / "zones.gpkg", "-o", folder / "changes.gpkg"),
    ),
    "summarize": lambda folder: (
        *("summarize", folder / "scored.gpkg", "--zones", folder / "zones.gpkg"),
        *("--precision", 0.9, "--recall", 0.8, "--support", 50, "-o", folder / "counts.gpkg"),
    ),
    "report": lambda folder: (
        *("report", folder / "scored.gpkg", "--raster", folder / "scene.tif"),
        *("-o", folder / "page.html"),
    ),
    "preview": lambda folder: ("preview", folder / "scene.tif", "-o", folder / "image.png"),
    "convert": lambda folder: (
        *("convert", folder / "three.pth", "-o", folder / "converted.safetensors"),
        *("--classes", "a,b,c"),
    ),
    "calibrate": lambda folder: (
        *("calibrate", folder / "squares.safetensors", "--rasters", folder / "large.tif"),
        *("--truth", folder / "half.geojson", "-o", folder / "calibrated.safetensors"),
    ),
    "export": lambda folder: (
        *("export", folder / "squares.safetensors", "-o", folder / "squares.mlm.json"),
        *("--for", "mlm"),
    ),
    "quantize": lambda folder: (
        *("quantize", folder / "plain.safetensors", "--rasters", folder / "large.tif"),
        *("-o", folder / "int8.safetensors", "--tiles", 2),
    ),
    "info": lambda folder: ("info", folder / "scene.tif"),
    "info of a model": lambda folder: ("info", folder / "squares.safetensors"),
    "models": lambda _: ("models",),
    "tile": lambda folder: (
        *("tile", folder / "scene.tif", "--labels", folder / "layer.geojson"),
        *("-o", folder / "chips", "--chip-px", 64),
    ),
}


def plan_run(folder: Path) -> tuple[object, ...]:
    """Arguments that plan a run."""
    inputs = folder / "scene.tif", "-m", folder / "squares.safetensors"
    return ("plan", *inputs, "-o", folder / "run", "--overwrite")


def compute_run(folder: Path, command: str) -> tuple[object, ...]:
    """Plan a run and compute it, if need be, for a command; its arguments."""
    predict = ("predict", "--plan", folder / "run", "--device", "cpu")
    invoke(*plan_run(folder))
    if command == "merge":
        invoke(*predict)
        return ("merge", folder / "run", "-o", folder / "merged.gpkg", "--overwrite")
    return predict if command == "predict" else ("status", folder / "run")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inputs")
    write_inputs(path)
    layer = gpd.read_file(path / "layer.geojson")
    layer.assign(score=0.9).to_file(path / "scored.gpkg")
    left, top = ORIGIN_M
    side = 50 * GSD_M
    zones = [box(left, top - 2 * side, left + side, top), box(left + side, top, left + 9, top + 9)]
    gpd.GeoDataFrame({"name": ["a", None], "people": [7, 8]}, geometry=zones, crs=CRS).to_file(
        path / "zones.gpkg"
    )
    return path


def run(run_name: str, folder: Path, *options: object) -> dict[str, Any]:
    if run_name == "convert":
        torch.save(small_network(classes=3).state_dict(), folder / "three.pth")
    if run_name == "calibrate":
        corners = grid_corners(480)
        write_raster(folder / "large.tif", squares_image(480, corners))
        write_labels(folder / "half.geojson", square_boxes(corners[::2]).tolist())
    if run_name == "quantize":
        need_nncf()
        save_plain_model(folder / "plain.safetensors")
        write_squares(folder / "large.tif")
    result = invoke(*RUNS[run_name](folder), "--json", *options)
    assert result.exit_code == 0, result.stderr
    return check_json(result.stdout)


def walk(values: Any) -> Iterator[tuple[str, Any]]:
    """Keys and values of objects, also of those inside of others."""
    if isinstance(values, dict):
        for key, value in values.items():
            yield key, value
            yield from walk(value)
    elif isinstance(values, list):
        for value in values:
            yield from walk(value)


def test_the_published_schema_is_that_of_the_classes() -> None:
    assert PATH.read_text(encoding="utf-8") == schema_text(), "run: python docs/json_schema.py"


def test_the_program_prints_the_published_schema() -> None:
    assert invoke("--json-schema").stdout == schema_text()


def test_the_schema_is_valid_and_describes_every_key() -> None:
    schema = validator().schema
    validator().check_schema(schema)
    for name, definition in schema["$defs"].items():
        for key, values in definition.get("properties", {}).items():
            assert values.get("description"), f"{name}.{key}"
            assert values["description"].endswith("."), f"{name}.{key}"


def test_every_key_that_is_an_amount_names_its_unit_in_its_description() -> None:
    units = {
        "_m": ("metres",), "_km2": ("square kilometres",), "_m2": ("square metres",),
        "_px": ("pixels",), "_bytes": ("bytes",), "_mb": ("megabytes",), "seconds": ("seconds",),
    }  # fmt: skip
    for name, definition in validator().schema["$defs"].items():
        for key, values in definition.get("properties", {}).items():
            for ending, words in units.items():
                if key.endswith(ending) and not key.startswith(("mean_", "density")):
                    assert any(word in values["description"] for word in words), f"{name}.{key}"


def test_every_object_refuses_keys_that_are_not_declared() -> None:
    for name, definition in validator().schema["$defs"].items():
        if "properties" in definition and name != "ZoneValues":  # columns of the zones
            assert definition["additionalProperties"] is False, name
            assert definition["required"] == list(definition["properties"]), name


def test_a_key_has_one_type_in_all_commands() -> None:
    types: dict[str, set[str]] = {}
    for definition in validator().schema["$defs"].values():
        for key, values in definition.get("properties", {}).items():
            for kind in values.get("anyOf", [values]):
                name = kind.get("type", kind.get("$ref", "any"))
                types.setdefault(key, set()).add("number" if name == "integer" else name)
    several = {key for key, names in types.items() if len(names - {"null"}) > 1}
    assert several <= {"nodata"}, "a number, or nan as text"


def test_every_command_has_an_output_and_a_run_here() -> None:
    outputs = {output.model_fields["command"].default for output in OUTPUTS[:-1]}
    assert outputs == set(COMMANDS)
    assert {name.split()[0] for name in RUNS} == set(COMMANDS)


@pytest.mark.parametrize("run_name", RUNS)
def test_the_output_of_a_command_is_that_of_the_schema(run_name: str, folder: Path) -> None:
    values = run(run_name, folder)
    assert values["command"] == run_name.split()[0]
    assert (values["schema_version"], values["error"]) == (1, None)


def test_objects_are_the_detected_objects_in_the_output_of_every_command(folder: Path) -> None:
    predicted = run("predict", folder, "--overwrite")
    n_objects = len(gpd.read_file(folder / "out.gpkg"))
    assert predicted["objects"] == sum(predicted["by_class"].values()) == n_objects > 0
    out = folder / "out.gpkg"
    for arguments in (
        ("report", out, "--raster", folder / "scene.tif", "-o", folder / "again.html"),
        ("compare", out, "--register", folder / "layer.geojson"),
    ):
        assert check_json(invoke(*arguments, "--json").stdout)["objects"] == n_objects
    summary = check_json(
        invoke("summarize", out, "--zones", folder / "zones.gpkg", "--json").stdout
    )
    assert summary["objects"] == sum(zone["count"] or 0 for zone in summary["by_zone"])
    assert summary["predictions"] == n_objects
    texts = {
        values["description"].partition(":")[0].rstrip(".")
        for definition in validator().schema["$defs"].values()
        for key, values in definition.get("properties", {}).items()
        if key == "objects"
    }
    assert texts == {"Number of detected objects in the output"}


@pytest.mark.parametrize("run_name", [name for name in RUNS if name not in ("models", "train")])
def test_a_command_without_its_file_prints_an_error(run_name: str, tmp_path: Path) -> None:
    result = invoke(*RUNS[run_name](tmp_path), "--json")
    values = check_json(result.stdout)
    assert result.exit_code == values["error"]["exit_code"] == 1
    assert values["command"] == run_name.split()[0]
    assert f"Error: {values['error']['message']}" in result.stderr.splitlines()
    assert values["error"]["type"].endswith("Error")


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_option_is_an_error_in_json_too(command: str) -> None:
    result = invoke(command, "--colour-of-the-sea", "--json")
    values = check_json(result.stdout)
    assert result.exit_code == values["error"]["exit_code"] == 2
    assert (values["command"], values["error"]["type"]) == (command, "UsageError")
    assert "--colour-of-the-sea" in values["error"]["message"]
    assert values["error"]["message"] in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    "arguments",
    [("predict", "a.tif", "--gsd", "-1"), ("predict", "a.tif", "-o", "-"), ("report", "a.gpkg")],
)
def test_values_that_cannot_be_are_usage_errors_in_json(arguments: tuple[str, ...]) -> None:
    result = invoke(*arguments, "--json")
    values = check_json(result.stdout)
    assert result.exit_code == values["error"]["exit_code"] == 2
    assert result.stderr == f"Error: {values['error']['message']}\n"


def test_an_unknown_command_is_an_error_without_a_command() -> None:
    values = check_json(invoke("predcit", "a.tif", "--json").stdout)
    assert values["command"] is None
    assert "predict" in values["error"]["message"]


def test_an_error_without_json_prints_nothing_on_the_output_stream(folder: Path) -> None:
    assert invoke("predict", "--nope").stdout == ""
    assert invoke("info", folder / "nothing.tif").stdout == ""


def test_json_may_be_asked_for_in_a_settings_file(folder: Path) -> None:
    (folder / "json.toml").write_text("json = true\n")
    result = invoke("predict", folder / "no.tif", "--config", folder / "json.toml")
    assert check_json(result.stdout)["error"]["exit_code"] == 1


def test_a_check_that_finds_errors_prints_its_result_and_the_error(
    folder: Path, tmp_path: Path
) -> None:
    labels = write_labels(tmp_path / "far.geojson", square_boxes([(9000, 9000)]).tolist())
    result = invoke("check", "--rasters", folder / "scene.tif", "--labels", labels, "--json")
    values = check_json(result.stdout)
    assert result.exit_code == values["error"]["exit_code"] == 1
    assert values["error"]["type"] == "LabelError"
    assert (values["labels"], values["labels_on_imagery"]) == (1, 0)
    assert values["findings"][0]["severity"] == "error"


def test_a_bug_is_an_error_with_its_class_and_its_traceback(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from geodetect.io.raster import info

    monkeypatch.setattr(info, "inspect_raster", lambda *_, **__: 1 / 0)
    result = invoke("info", folder / "scene.tif", "--json")
    assert isinstance(result.exception, ZeroDivisionError)
    assert check_json(result.stdout)["error"]["type"] == "ZeroDivisionError"


def test_numbers_that_json_does_not_have_are_null(folder: Path, tmp_path: Path) -> None:
    nothing = gpd.read_file(folder / "scored.gpkg").iloc[:0]
    nothing.to_file(tmp_path / "nothing.gpkg")
    arguments = ("evaluate", tmp_path / "nothing.gpkg", folder / "layer.geojson", "--resamples", 9)
    values = check_json(invoke(*arguments, "--json").stdout)
    assert values["overall"]["at_threshold"]["precision"] is None
    assert values["overall"]["at_threshold"]["precision_interval"] is None
    assert values["overall"]["by_size"]
    assert not any(isinstance(v, float) and not math.isfinite(v) for _, v in walk(values))


def test_a_model_card_with_every_part_is_valid(folder: Path, tmp_path: Path) -> None:
    path = save_plain_model(
        tmp_path / "m.safetensors",
        metrics={"objects": 43.0, "cannes_objects": 524.0, "recall": 0.5},
    )
    values = check_json(invoke("info", path, "--json").stdout)
    assert values["metrics"] == {"truth": 43, "cannes_truth": 524, "recall": 0.5}
    models = check_json(invoke("models", "--json").stdout)["models"]
    assert models[0]["int8"]["truth"] > 0
    assert "objects" not in dict(walk(models)), "of a card: labels or truth"


def test_the_program_ends_with_the_code_that_its_json_states(tmp_path: Path) -> None:
    process = run_program("info", tmp_path / "nothing.tif", "--json")
    assert json.loads(process.stdout)["error"]["exit_code"] == process.returncode == 1
    process = run_program("info", "--nothing", "--json")
    assert json.loads(process.stdout)["error"]["exit_code"] == process.returncode == 2


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_is_an_error_in_json_with_its_exit_code(
    name: str, code: int, folder: Path
) -> None:
    program = (
        "import signal\n"
        "from geodetect.io.raster import info\n"
        f"info.inspect_raster = lambda *_, **__: signal.raise_signal(signal.{name})\n"
        "from geodetect_cli.app import main\n"
        "main()"
    )
    process = subprocess.run(
        [sys.executable, "-c", program, "info", folder / "scene.tif", "--json"],
        capture_output=True,
        text=True,
        env=program_environment(),
        check=False,
    )
    error = check_json(process.stdout)["error"]
    assert process.returncode == error["exit_code"] == code
    assert error["type"] == "Interrupted"
    assert process.stderr == f"Error: {error['message']}\n"


def test_the_examples_of_the_page_are_what_the_program_prints(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = (ROOT / "docs/json.md").read_text(encoding="utf-8")
    examples = re.findall(
        r"```console\n\$ geodetect ([^\n]*)\n```\n+```json\n(.*?)```", page, re.DOTALL
    )
    assert len(examples) == page.count("```json\n") == 3
    monkeypatch.chdir(ROOT)
    for command, text in examples:
        shown = check_json(text)
        printed = check_json(invoke(*shlex.split(command)).stdout)
        assert printed | {"seconds": shown["seconds"]} == shown


def test_the_words_of_the_page_are_keys_of_the_schema() -> None:
    words = (ROOT / "docs/json.md").read_text(encoding="utf-8").partition("## Words")[2]
    rows = re.findall(r"^\| (`.*?) \|", words, re.MULTILINE)
    named = {word for row in rows for word in re.findall(r"`(\w+)`", row)} - {"NAME_interval"}
    keys = {
        key
        for values in validator().schema["$defs"].values()
        for key in values.get("properties", {})
    }
    assert named
    assert named <= keys
