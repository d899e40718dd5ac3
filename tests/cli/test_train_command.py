"""``geodetect train``: from a drawn raster to a model that finds its squares."""

from __future__ import annotations

import csv
import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result

from geodetect.model.file import load_card, read_model_file
from geodetect.model.runtimes.stored_networks import NETWORK, holds_network
from geodetect_cli.command_line.exit_codes import ExitCode
from tests.helpers.program import invoke, program_environment, run_program
from tests.helpers.square_scenes import (
    LabelledScene,
    grid_corners,
    labelled_scene,
    write_labels,
)

SIDE = 640
STEPS = 4
OPTIONS = [
    "--init", "none", "--tile-size", "64", "--batch-size", "2", "--device", "cpu", "--seed", "3",
]  # fmt: skip

MEASURED = ["--val-every", "2", "--patience", "9"]
SAVING = """
from geodetect.training import learner
from geodetect.training import loop
from geodetect_cli.app import main
loop.CHECKPOINT_SECONDS = 0.0
train_step = learner.Learner.train_step
def print_step(self, chips, lr_factor):
    print(self.steps, flush=True)
    return train_step(self, chips, lr_factor)
learner.Learner.train_step = print_step
main()
"""


squares = labelled_scene(SIDE, grid_corners(SIDE, 40))


@pytest.fixture(scope="module")
def trained(squares: LabelledScene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("trained") / "squares.safetensors"
    options = [*squares.options, *OPTIONS, *MEASURED, "--steps", str(STEPS), "-o", output]
    process = run_program("train", *options, "--json")
    assert process.returncode == 0, process.stderr
    summary = json.loads(process.stdout)
    (output.parent / "summary.json").write_text(process.stdout)
    assert summary["card"]["network"] == load_card(output).model_dump(mode="json")["network"]
    assert (summary["output"], summary["steps"]) == (str(output), STEPS)
    assert (summary["validations"], summary["left_out"]) == (STEPS // 2, {})
    assert Path(summary["page"]) == output.parent / "squares_run/index.html"
    assert summary["start"] is None, "random weights"
    assert summary["best_ap30"] >= summary["best_ap50"]
    return output


def test_train_writes_a_model_with_its_card(trained: Path) -> None:
    card = load_card(trained)
    assert card.name == "squares"
    assert card.classes == ("square",)
    assert card.gsd_m == pytest.approx(0.25, rel=0.01)
    assert card.training.steps in (2, 4), "the better of the two that were measured"
    assert card.training.initial_weights == "random weights"
    assert card.metrics["objects"] > 0
    assert {path.name for path in trained.parent.iterdir()} == {
        "squares.safetensors", "squares_run", "summary.json",
    }  # fmt: skip
    names = {file.name for file in (trained.parent / "squares_run").iterdir()}
    assert {"metrics.csv", "split.geojson", "labels.json", "validation.gpkg"} <= names
    assert "settings.toml" in names
    assert "checkpoint.pt" not in names, "it is removed"


def test_predict_takes_the_model_that_train_made_as_its_json_suggests(
    trained: Path, squares: LabelledScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    summary = json.loads((trained.parent / "summary.json").read_text())
    program, *command = shlex.split(summary["next"])
    assert program == "geodetect"
    assert command[:4] == ["predict", str(squares.raster), "--model", str(trained)]
    result = invoke(*command, "--device", "cpu", "--gsd", "0.5", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["tiles"] == 1
    assert Path(command[command.index("-o") + 1]).exists()


def test_a_training_is_described_before_its_first_step(trained: Path) -> None:
    summary = json.loads((trained.parent / "summary.json").read_text())
    model, data = summary["opening_lines"]
    assert model == "Model squares for square, from random weights, on cpu"
    assert data.startswith("1 raster of 0.25 m, trained at 0.25 m: ")
    assert data.endswith(" others to validate on; 4 steps of 2 chips of 64 px")
    assert summary["seconds"] > summary["training_seconds"]


def test_a_training_that_was_killed_and_resumed_gives_the_same_weights_to_the_bit(
    trained: Path, squares: LabelledScene, tmp_path: Path
) -> None:
    output = tmp_path / "squares.safetensors"
    command = [
        "train",
        *squares.options,
        *OPTIONS,
        *MEASURED,
        "--steps",
        str(STEPS),
        "-o",
        str(output),
    ]
    process = subprocess.Popen(
        [sys.executable, "-c", SAVING, *command],
        stdout=subprocess.PIPE,
        text=True,
        env=program_environment(),
    )
    assert process.stdout is not None
    for step in range(4):  # the first validation lies before the last of them
        assert process.stdout.readline() == f"{step}\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert (tmp_path / "squares_run/checkpoint.pt").exists()
    assert not output.exists()
    finished = invoke_with_one_thread(*command, "--resume", "-q")
    assert (finished.exit_code, finished.stdout, finished.stderr) == (0, "", "")
    assert_same_model(output, trained)
    logs = [folder / "squares_run/metrics.csv" for folder in (tmp_path, trained.parent)]
    ours, whole = (rows_without_time(log) for log in logs)
    assert ours == whole


KILLED_BY_ITSELF = """
import os, signal
from {module} import {owner}
from geodetect_cli.app import main
{owner}.{function} = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
main()
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="signals of POSIX")
@pytest.mark.parametrize(
    ("place", "warning"),
    [
        (("geodetect.training.learner", "Learner", "train_step"), "the training starts from"),
        (("geodetect.reporting.training_report", "page", "write_training_page"), ""),
    ],
)
def test_a_training_killed_before_its_first_checkpoint_or_after_its_model_is_resumed(
    trained: Path,
    squares: LabelledScene,
    tmp_path: Path,
    place: tuple[str, str, str],
    warning: str,
) -> None:
    output = tmp_path / "squares.safetensors"
    steps = ["--steps", str(STEPS), "-o", str(output)]
    command = ["train", *squares.options, *OPTIONS, *MEASURED, *steps, "-q"]
    script = KILLED_BY_ITSELF.format(
        **dict(zip(("module", "owner", "function"), place, strict=True))
    )
    process = subprocess.run([sys.executable, "-c", script, *command], env=program_environment())
    assert process.returncode == -signal.SIGKILL
    assert output.exists() == (not warning)
    finished = invoke_with_one_thread(*command, "--resume")
    assert finished.exit_code == 0, finished.stderr
    assert warning in finished.stderr
    assert_same_model(output, trained)
    files = {path.name for path in (tmp_path / "squares_run").iterdir()}
    assert {"index.html", "validation.gpkg"} <= files
    assert "checkpoint.pt" not in files


def invoke_with_one_thread(*arguments: object) -> Result:
    """Invoke the program with the sums of ``run_program``, whose PyTorch has one thread."""
    torch.set_num_threads(1)
    return invoke(*arguments)


def assert_same_model(path: Path, expected_path: Path) -> None:
    card, weights = read_model_file(path)
    expected_card, expected = read_model_file(expected_path)
    assert card == expected_card
    assert holds_network(weights, NETWORK)
    assert weights.keys() == expected.keys()
    assert all(np.array_equal(weights[key], expected[key]) for key in expected)


def test_the_settings_of_a_run_folder_repeat_the_training(trained: Path, tmp_path: Path) -> None:
    output = tmp_path / "squares.safetensors"
    settings = trained.parent / "squares_run/settings.toml"
    result = invoke_with_one_thread("train", "--config", settings, "-o", output, "-q")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    assert_same_model(output, trained)
    assert (tmp_path / "squares_run/settings.toml").read_bytes() == settings.read_bytes()


def test_a_model_is_named_as_the_first_labels_where_no_output_is_named(
    squares: LabelledScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = [
        "train",
        *squares.options,
        *OPTIONS,
        "--steps",
        "1",
        "--val-share",
        "0",
        "--no-check",
    ]
    result = invoke(*command)
    assert result.exit_code == 0, result.output
    assert without_phases(result.stderr)[0] == "The model is written to squares.safetensors"
    assert load_card(tmp_path / "squares.safetensors").name == "squares"
    result = invoke(*command)
    assert result.exit_code == 1
    assert "squares.safetensors" in result.stderr.splitlines()[-1]


def rows_without_time(log: Path) -> list[dict[str, str]]:
    """The rows of a log without what the clock decides."""
    with log.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in r.items() if k not in ("seconds", "chips_per_s")} for r in rows]


def without_phases(text: str) -> list[str]:
    """Lines of the error stream but for those of phases, which a busy machine has."""
    return [line for line in text.splitlines() if ": done in " not in line]


def refusal(*arguments: str) -> str:
    result = invoke("train", *arguments)
    assert result.exit_code == 1, result.output
    (line,) = without_phases(result.stderr)
    assert line.startswith("Error: ")
    return line


def test_a_model_that_exists_is_not_replaced_unasked(trained: Path, squares: LabelledScene) -> None:
    before = trained.read_bytes()
    assert "--overwrite" in refusal(*squares.options, *OPTIONS, "-o", str(trained))
    assert trained.read_bytes() == before


def test_overwrite_replaces_a_model(squares: LabelledScene, tmp_path: Path) -> None:
    output = tmp_path / "m.safetensors"
    output.write_text("old")
    (tmp_path / "m_run").mkdir()
    (tmp_path / "m_run/metrics.csv").write_text("old")
    (tmp_path / "m_run/false-negatives.png").write_text("old")
    options = [*squares.options, *OPTIONS, "--steps", "1", "-o", str(output), "--val-share", "0"]
    assert invoke("train", *options, "--overwrite", "-q").output == ""
    assert load_card(output).metrics == {}
    assert (tmp_path / "m_run/metrics.csv").read_text().startswith("step,seconds")
    assert not (tmp_path / "m_run/false-negatives.png").exists()
    if os.name == "posix":
        assert output.stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    current = os.umask(0o022)
    os.umask(current)
    return current


def test_an_unfinished_training_is_not_thrown_away_unasked(
    squares: LabelledScene, tmp_path: Path
) -> None:
    (tmp_path / "m_run").mkdir()
    (tmp_path / "m_run/checkpoint.pt").write_text("hours of work")
    message = refusal(*squares.options, *OPTIONS, "-o", str(tmp_path / "m.safetensors"))
    assert "--resume" in message
    assert (tmp_path / "m_run/checkpoint.pt").read_text() == "hours of work"


def test_labels_that_lie_elsewhere_are_refused(squares: LabelledScene, tmp_path: Path) -> None:
    labels = write_labels(tmp_path / "far.geojson", [(9000, 9000, 9016, 9016)])
    raster = ["--rasters", str(squares.raster), "--labels", str(labels)]
    assert "none of the 1 labels" in refusal(
        *raster, *OPTIONS, "-o", str(tmp_path / "m.safetensors")
    )


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--init", "no.safetensors"], "--init"),
        (["--class-field", "kind"], "kind"),
        (["--bands", "1,2"], "--bands"),
        (["--device", "cuda:999"], "--device"),
        (["--val-aoi", "no.gpkg"], "no.gpkg"),
        (["--val-rasters", "no.tif"], "no.tif"),
    ],
)
def test_a_value_that_cannot_be_used_is_one_line(
    squares: LabelledScene, tmp_path: Path, arguments: list[str], word: str
) -> None:
    output = tmp_path / "m.safetensors"
    assert word in refusal(*squares.options, *OPTIONS, *arguments, "-o", str(output))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["model.bin", "model"])
def test_a_model_file_has_the_suffix_of_one(
    squares: LabelledScene, tmp_path: Path, name: str
) -> None:
    assert ".safetensors" in refusal(*squares.options, *OPTIONS, "-o", str(tmp_path / name))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--steps", "0"],
        ["--lr", "0"],
        ["--val-share", "1"],
        ["--tile-size", "8"],
        ["--keep", "first"],
        ["--val-every", "0"],
        ["--val-aoi", "a.gpkg", "--val-rasters", "b.tif"],
        ["--val-labels", "a.gpkg"],
    ],
)
def test_a_usage_error_has_exit_code_2(
    squares: LabelledScene, tmp_path: Path, arguments: list[str]
) -> None:
    output = ["-o", str(tmp_path / "m.safetensors")]
    result = invoke("train", *squares.options, *arguments, *output)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith("Error: ")


def test_a_corrupt_sheet_is_named_and_counted(squares: LabelledScene, tmp_path: Path) -> None:
    (tmp_path / "corrupt.tif").write_text("no raster")
    output = tmp_path / "m.safetensors"
    options = [
        *squares.options,
        "--rasters",
        str(tmp_path / "corrupt.tif"),
        *OPTIONS,
        "--steps",
        "1",
    ]
    result = invoke("train", *options, "-o", output, "--val-share", "0")
    assert result.exit_code == ExitCode.INCOMPLETE, result.output
    assert result.stderr.count("Warning: left out: ") == 1
    assert "corrupt.tif" in result.stderr
    (left_out,) = [line for line in result.stderr.splitlines() if line.startswith("  Left out")]
    assert "corrupt.tif" in left_out


def test_a_loss_that_is_no_number_is_one_line_and_exit_code_1(
    squares: LabelledScene, tmp_path: Path
) -> None:
    output = tmp_path / "m.safetensors"
    result = invoke(
        "train", *squares.options, *OPTIONS, "--steps", "50", "--lr", "1e30", "-o", output
    )
    assert result.exit_code == 1, result.output
    assert "no longer a number at step" in result.stderr
    assert "--lr (now 1e+30)" in result.stderr.splitlines()[-1]
    assert not output.exists()
