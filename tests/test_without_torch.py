"""Commands that need no PyTorch: they never import it, and give the same where it is missing."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import geopandas as gpd
import pytest
import rasterio
from rasterio.windows import Window
from shapely import box

from geodetect.io.user_cache import FOLDER_VARIABLE
from geodetect.model.file import read_model_file
from geodetect.model.runtimes.stored_networks import NETWORK, holds_network
from tests.helpers.program import ROOT, program_environment
from tests.helpers.tiny_model import save_tiny_model

SAMPLE = ROOT / "sample_data"
CORNER, SIDE = (1750, 90), 320  # pixels: a part of the sample scene with five pools
RUN_COMMANDS = """
import json, sys
commands, is_missing = json.loads(sys.argv[1]), sys.argv[2] == "missing"
if is_missing:
    # imports of them fail
    sys.modules["torch"] = sys.modules["torchvision"] = sys.modules["matplotlib"] = None
from tests.helpers.program import invoke
results = []
for command in commands:
    result = invoke(*command)
    loaded = [name for name in ("torch", "torchvision") if sys.modules.get(name)]
    results.append([result.exit_code, result.stderr, loaded])
print(json.dumps(results))
"""
Outcome = tuple[int, str, list[str]]


def run_commands(folder: Path, commands: list[str], *, is_missing: bool) -> list[Outcome]:
    """Exit code, messages and parts of PyTorch that are loaded, after each command."""
    process = subprocess.run(
        [
            sys.executable,
            "-c",
            RUN_COMMANDS,
            json.dumps([command.split() for command in commands]),
            "missing" if is_missing else "installed",
        ],
        capture_output=True,
        text=True,
        cwd=folder,
        env=program_environment(**{FOLDER_VARIABLE: str(folder / "cache")}),
        check=True,
    )
    return [tuple(outcome) for outcome in json.loads(process.stdout.splitlines()[-1])]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A part of the sample scene, its pools, and a zone around them."""
    folder = tmp_path_factory.mktemp("lean")
    with rasterio.open(SAMPLE / "neighbourhood.tif") as source:
        window = Window(*CORNER, SIDE, SIDE)
        size = {"width": SIDE, "height": SIDE, "transform": source.window_transform(window)}
        with rasterio.open(folder / "scene.tif", "w", **source.profile | size) as target:
            target.write(source.read(window=window))
            bounds = target.bounds
    truth = gpd.read_file(SAMPLE / "neighbourhood.geojson").to_crs(target.crs)
    truth.clip(box(*bounds)).to_file(folder / "truth.gpkg")
    zone = gpd.GeoDataFrame({"name": ["all"]}, geometry=[box(*bounds)], crs=target.crs)
    zone.to_file(folder / "zones.gpkg")
    return folder


def test_commands_that_train_nothing_never_import_pytorch(folder: Path) -> None:
    commands = [
        "info scene.tif",
        "info pools",
        "models",
        "predict scene.tif -o pools.gpkg --device cpu",
        "evaluate pools.gpkg truth.gpkg -o errors.gpkg",
        "evaluate --model pools --rasters scene.tif --truth truth.gpkg --device cpu",
        "compare pools.gpkg --register truth.gpkg -o changes.gpkg",
        "summarize pools.gpkg --zones zones.gpkg -o zones_out.gpkg",
        "report pools.gpkg --raster scene.tif -o report.html",
        "preview scene.tif pools.gpkg -o overview.png",
        "tile scene.tif --labels truth.gpkg -o chips --format yolo",
        "check --rasters scene.tif --labels truth.gpkg",
        "plan scene.tif -o run --device cpu",
        "predict --plan run --device cpu",
        "merge run -o merged.gpkg",
    ]
    outcomes = run_commands(folder, commands, is_missing=False)
    assert {
        command: outcome
        for command, outcome in zip(commands, outcomes, strict=True)
        if outcome[0] != 0 or outcome[2]
    } == {}


def test_the_result_is_the_same_where_pytorch_is_missing_and_what_needs_it_says_so(
    folder: Path,
) -> None:
    old = save_tiny_model(folder / "old.safetensors")
    assert not holds_network(read_model_file(old)[1], NETWORK)
    (folder / "weights.pth").write_bytes(b"")
    install = "PyTorch, which is not installed; install it with: pip install torch torchvision"
    failing = {
        "train --rasters scene.tif --labels truth.gpkg -o m.safetensors": "training needs "
        + install,
        "evaluate truth.gpkg truth.gpkg --plots plots": "--plots needs Matplotlib, which is not "
        "installed; install it with: pip install matplotlib",
        "convert weights.pth -o m.safetensors": f"converting weights needs {install}",
        "predict scene.tif -o x.gpkg --runtime torch": "--runtime torch needs " + install,
        "predict scene.tif -o x.gpkg --device cuda": "--device cuda needs " + install,
        "predict scene.tif -o x.gpkg --runtime onnx": "--runtime onnx needs " + install,
        "predict scene.tif -o x.gpkg --model old.safetensors --device cpu": "holds no network in "
        "OpenVINO's form, as files of older versions: converting it needs " + install + ", or "
        "convert the file on a machine that has it: `geodetect convert old.safetensors -o "
        "new.safetensors`",
    }
    working = [f"predict scene.tif -o {name}.geojson --device cpu" for name in ("one", "two")]
    (first,) = run_commands(folder, working[:1], is_missing=False)
    second, *others = run_commands(folder, [working[1], *failing], is_missing=True)
    assert first[0] == second[0] == 0, (first, second)
    assert (folder / "one.geojson").read_bytes() == (folder / "two.geojson").read_bytes()
    for (command, message), (code, stderr, _) in zip(failing.items(), others, strict=True):
        assert code != 0, command
        lines = [line for line in stderr.splitlines() if line.startswith("Error:")]
        assert len(lines) == 1, (command, stderr)
        assert message in lines[0], command


def test_public_functions_that_need_pytorch_say_so(tmp_path: Path) -> None:
    (tmp_path / "weights.pth").write_bytes(b"PK")
    code = """
import sys
sys.modules["torch"] = sys.modules["torchvision"] = None
import geodetect
try:
    geodetect.train
except ImportError as error:
    print(error)
try:
    geodetect.convert("weights.pth", "m.safetensors")
except ImportError as error:
    print(error)
"""
    process = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=program_environment(),
        check=True,
        cwd=tmp_path,
    )
    remedy = "needs PyTorch, which is not installed; install it with: pip install torch torchvision"
    subjects = ("geodetect.train", "converting weights")
    assert process.stdout.splitlines() == [f"{subject} {remedy}" for subject in subjects]


def test_the_requirements_without_pytorch_are_those_of_the_package() -> None:
    lines = (ROOT / "requirements/predict.txt").read_text(encoding="utf-8").splitlines()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    left_out = ("torch", "matplotlib")
    expected = [text for text in project["dependencies"] if not text.startswith(left_out)]
    assert [line for line in lines if not line.startswith("#")] == expected
