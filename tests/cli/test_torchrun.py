"""``geodetect train`` in two processes that ``torchrun`` starts."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from geodetect.model.file import read_model_file
from geodetect.model.runtimes.stored_networks import network_parameters
from geodetect.training.run.folder import RunFolder
from tests.helpers.program import program_environment
from tests.helpers.square_scenes import (
    LabelledScene,
    grid_corners,
    labelled_scene,
    write_labels,
)

SIDE = 384
PATIENCE_S = 240
TORCHRUN = (
    sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
)  # fmt: skip
PROGRAM = ("-m", "geodetect")
IN_SINGLE_PRECISION = """
from geodetect.training import learner
from geodetect_cli.app import main
learner.has_bf16_units = lambda device: False
main()
"""
OPTIONS = [
    "train", "--init", "none", "--tile-size", "64", "--batch-size", "3", "--device", "cpu",
    "--no-check",
]  # fmt: skip


squares = labelled_scene(SIDE, grid_corners(SIDE, 40))


def run_process(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        env=program_environment(),
        timeout=PATIENCE_S,
        check=False,
    )


def error_lines(stderr: str) -> list[str]:
    return [line for line in stderr.splitlines() if line.startswith("Error: ")]


def test_two_processes_give_the_model_of_one_and_speak_once(
    squares: LabelledScene, tmp_path: Path
) -> None:
    script = tmp_path / "program.py"
    script.write_text(IN_SINGLE_PRECISION)  # in bf16 the two differ in what is rounded when
    outputs = [tmp_path / name / "m.safetensors" for name in ("one", "two")]
    lines = []
    for output, start in zip(outputs, ([sys.executable], TORCHRUN), strict=True):
        output.parent.mkdir()
        chosen = ["--steps", "4", "--val-every", "2", "--keep", "last", "-o", output]
        process = run_process(*start, script, *OPTIONS, *squares.options, *chosen)
        assert process.returncode == 0, process.stderr
        assert process.stderr.count("State kept") == 1
        lines.append([line for line in process.stderr.splitlines() if line.startswith("step 2: ")])
    assert lines[0] == lines[1]
    assert len(lines[0]) == 1
    first, second = (
        sorted(path.relative_to(o.parent) for path in o.parent.rglob("*")) for o in outputs
    )
    assert first == second
    (card, alone), (shared, both) = (read_model_file(output) for output in outputs)
    assert shared.metrics["ap50"] == pytest.approx(card.metrics["ap50"], abs=1e-3)
    assert shared.training == card.training
    for key, weights in network_parameters(alone).items():
        np.testing.assert_allclose(both[key], weights, rtol=2**-9, atol=2e-5)  # of half precision


def test_labels_that_cannot_be_used_end_all_with_one_line(
    squares: LabelledScene, tmp_path: Path
) -> None:
    labels = write_labels(tmp_path / "far.geojson", [(9000, 9000, 9016, 9016)])
    output = tmp_path / "m.safetensors"
    process = run_process(
        *TORCHRUN, *PROGRAM, *OPTIONS, "--rasters", squares.raster, "--labels", labels, "-o", output
    )
    assert process.returncode != 0
    assert process.stdout == ""
    (line,) = error_lines(process.stderr)
    assert "none of the 1 labels" in line
    assert list(tmp_path.iterdir()) == [labels]


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_sigterm_ends_all_with_one_line_and_a_checkpoint_that_goes_on(
    squares: LabelledScene, tmp_path: Path
) -> None:
    output = tmp_path / "m.safetensors"
    process = subprocess.Popen(
        [*TORCHRUN, *PROGRAM, *OPTIONS, *squares.options, "--steps", "100000", "-o", str(output)],
        stderr=subprocess.PIPE,
        text=True,
        env=program_environment(),
    )
    assert process.stderr is not None
    watch = threading.Timer(PATIENCE_S, process.kill)
    watch.start()
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.startswith("step 1 of"):
            process.send_signal(signal.SIGTERM)
    process.wait()
    watch.cancel()
    (line,) = error_lines("".join(lines))
    step = re.search(r"interrupted at step (\d+); set --resume to continue from", line)
    assert step is not None, line
    assert "SIGKILL" not in "".join(lines), "all end by themselves"
    assert not output.exists()
    state = torch.load(tmp_path / "m_run/checkpoint.pt", weights_only=True)
    assert state["learner"]["steps"] == int(step[1])


DIES_ONCE = """
import os, signal
from geodetect.training.learner import Learner
from geodetect_cli.app import main
train_step = Learner.train_step

def train_step_or_die(learner, *arguments):
    is_first_start = os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
    if is_first_start and os.environ["RANK"] == "1" and learner.steps == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return train_step(learner, *arguments)

Learner.train_step = train_step_or_die
main()
"""


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_processes_that_torchrun_starts_again_continue_where_one_was_killed(
    squares: LabelledScene, tmp_path: Path
) -> None:
    script = tmp_path / "program.py"
    script.write_text(DIES_ONCE)
    output = tmp_path / "m.safetensors"
    chosen = ["--steps", "5", "--val-every", "2", "--keep", "last", "-o", output]
    process = run_process(
        *TORCHRUN, "--max-restarts", "1", script, *OPTIONS, *squares.options, *chosen
    )
    assert process.returncode == 0, process.stderr
    assert "resumed at step 3, after" in process.stderr
    card, _ = read_model_file(output)
    assert card.training.steps == 5
    rows = RunFolder(tmp_path / "m_run").metrics.rows()
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5]
