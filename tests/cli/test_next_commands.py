"""Last lines of commands: the duration, and a command that runs as it is printed."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from geodetect_cli.command_line.ending import Ending
from geodetect_cli.command_line.next_commands import free_name
from tests.helpers.predict_command import write_inputs
from tests.helpers.program import invoke, run_program
from tests.helpers.square_scenes import write_labels

MODEL = ("-m", "squares.safetensors")
COMMANDS = [  # each with the beginning of what is printed as the next one
    ("predict scene.tif -m squares.safetensors -o out.geojson", "report out.geojson --raster"),
    ("predict scene.tif -m squares.safetensors -o out.gpkg --pixel-coords", "report out.gpkg"),
    ("predict scene.tif -m squares.safetensors --dry-run", "predict scene.tif"),
    ("predict sheets 'a b.tif' -m squares.safetensors --dry-run", "predict sheets 'a b.tif'"),
    (
        "predict sheets -m squares.safetensors -o many.geojson",
        "report many.geojson --raster sheets",
    ),
    ("evaluate pools.geojson layer.geojson", "report pools.geojson"),
    ("evaluate pools.geojson layer.geojson --distance 3", "report pools.geojson"),
    ("evaluate pools.geojson layer.geojson --pick-threshold f1", "report pools.geojson"),
    (
        "evaluate --model squares.safetensors --rasters scene.tif --truth layer.geojson",
        "predict scene.tif --model squares.safetensors",
    ),
    ("compare pools.geojson --register layer.geojson", "compare pools.geojson --register"),
    ("compare pools.geojson --register layer.geojson -o c.gpkg", "report c.gpkg"),
    ("compare pools.geojson --register layer.geojson -o c.gpkg --parcels z.geojson", "report"),
    ("summarize pools.geojson --zones z.geojson", "summarize pools.geojson --zones"),
    ("summarize pools.geojson --zones z.geojson -o z.gpkg", "report pools.geojson -o pools.html"),
    ("report pools.geojson --raster scene.tif -o p.html", "preview scene.tif pools.geojson"),
    ("report pools.geojson --truth layer.geojson -o p.html", "evaluate pools.geojson"),
    ("report pools.geojson --zones z.geojson -o p.html", "summarize pools.geojson --zones"),
    ("preview scene.tif pools.geojson -o p.png", "report pools.geojson --raster scene.tif"),
    ("preview scene.tif -o p.png", "predict scene.tif"),
    ("tile scene.tif --labels layer.geojson -o chips --tile-size 64", "check --rasters chips"),
    ("tile scene.tif --labels layer.geojson -o y --tile-size 64 --format yolo", "check"),
    ("tile scene.tif --labels layer.geojson -o v --tile-size 64 --format voc", "check"),
    ("info scene.tif", "predict scene.tif"),
    ("info squares.safetensors", "predict --help"),
    ("models", "info pools"),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_inputs(tmp_path)
    shutil.copy("scene.tif", "a b.tif")
    (tmp_path / "sheets").mkdir()
    shutil.copy("scene.tif", "sheets/1.tif")
    write_labels(tmp_path / "z.geojson", [(0, 0, 80, 100)])
    layer = json.loads((tmp_path / "layer.geojson").read_text())
    for number, feature in enumerate(layer["features"], 1):
        feature["properties"]["score"] = 1 / number
    (tmp_path / "pools.geojson").write_text(json.dumps(layer))
    return tmp_path


def last_line(stderr: str) -> str:
    *_, duration, line = stderr.splitlines()
    assert re.fullmatch(r"Done in [\d.]+ s\. Next, for example:", duration)
    program, _, arguments = line.partition(" ")
    assert program == "geodetect"
    return arguments


@pytest.mark.parametrize(("command", "beginning"), COMMANDS, ids=[c for c, _ in COMMANDS])
def test_the_last_line_of_a_command_runs_as_it_is_printed(
    folder: Path, command: str, beginning: str
) -> None:
    result = invoke(*shlex.split(command), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    line = last_line(result.stderr)
    assert line.startswith(beginning)
    words = shlex.split(line)
    if words[0] == "predict" and "--help" not in words and "--model" not in words:
        words += [] if "-m" in words else MODEL  # the built-in one takes long to convert
    following = invoke(*words, catch_exceptions=False)
    assert following.exit_code == 0, following.output


def test_json_holds_the_next_command_and_the_time(folder: Path) -> None:
    result = invoke("compare", "pools.geojson", "--register", "layer.geojson", "--json")
    values = json.loads(result.stdout)
    assert values["next"] == (
        "geodetect compare pools.geojson --register layer.geojson --json -o changes.gpkg"
    )
    assert values["seconds"] > 0
    assert result.stderr == ""


def test_quiet_commands_say_nothing_at_their_end(folder: Path) -> None:
    result = invoke("compare", "pools.geojson", "--register", "layer.geojson", "-q")
    assert result.output == ""


def test_a_training_follows_a_check(folder: Path) -> None:
    check = ["check", "--rasters", "scene.tif", "--labels", "layer.geojson", "--class-field"]
    line = last_line(invoke(*check, "class").stderr)
    assert line == (
        "train --rasters scene.tif --labels layer.geojson -o layer.safetensors --class-field class"
    )


def test_errors_have_no_last_line_and_no_next_command(folder: Path) -> None:
    result = invoke("compare", "pools.geojson", "--register", "missing.gpkg", "--json")
    assert result.stderr.startswith("Error: ")
    assert json.loads(result.stdout)["next"] is None


def test_detections_on_the_output_stream_have_no_next_command(folder: Path) -> None:
    result = invoke("predict", "scene.tif", *MODEL, "-o", "-")
    assert re.fullmatch(r"Done in [\d.]+ s\.", result.stderr.splitlines()[-1])


def test_the_time_is_that_of_the_whole_command(folder: Path) -> None:
    process = run_program("models", cwd=folder)
    (line,) = re.findall(r"Done in ([\d.]+) s", process.stderr)
    assert 0 < float(line) < 60


def test_nothing_is_suggested_that_does_not_run_as_it_is_printed() -> None:
    ending = Ending()
    ending.suggest(["predict", "scene 1.tif"])
    assert ending.next_command == "geodetect predict 'scene 1.tif'"
    for name in ("https://user:secret@host/a.tif", "a\x1b[31m.tif", "a\nb.tif"):
        ending.suggest(["predict", name])
        assert ending.next_command is None


def test_names_of_outputs_are_free(tmp_path: Path) -> None:
    (tmp_path / "a_run").mkdir()
    (tmp_path / "a_2.safetensors").touch()
    assert free_name(tmp_path / "a.safetensors") == tmp_path / "a_3.safetensors"
    assert free_name(tmp_path / "b.html") == tmp_path / "b.html"
