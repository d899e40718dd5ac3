"""Other programs that predict on tiles, each run in a separate process and environment."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

WORKER = Path(__file__).with_name("worker.py")
YOLO_WORKER = Path(__file__).with_name("yolo_worker.py")
TITLES = {
    "deepforest": "DeepForest",
    "sahi": "SAHI",
    "geodeep": "GeoDeep",
    "ultralytics": "Ultralytics",
}
HELP = """\
Python of a virtual environment with other programs, which are no dependencies of geodetect; may be
given several times. To make one: python -m venv peers; peers/bin/pip install deepforest sahi
geodeep ultralytics onnx openvino. Programs that none of them holds are left out."""


@dataclass(frozen=True)
class Run:
    """Time, memory and predictions of one run of a program.

    Args:
        version: Of the program.
        seconds: From the opening of the model to the last box.
        cpu_s: CPU time in the same interval.
        peak_bytes: Largest resident set of the process.
        boxes: ``float64[N, 4]`` in pixel edges of the raster.
        scores: ``float32[N]``.
    """

    version: str
    seconds: float
    cpu_s: float
    peak_bytes: int
    boxes: NDArray[np.float64]
    scores: NDArray[np.float32]


def add_peers_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--peers-python``."""
    parser.add_argument("--peers-python", action="append", default=[], metavar="PATH", help=HELP)


def find_peers(pythons: Sequence[str], names: Collection[str]) -> dict[str, str]:
    """Return the Python in which each program is installed, by its name, and print those missing.

    Args:
        pythons: Of the option ``--peers-python``.
        names: Programs of ``TITLES`` to look for.
    """
    code = f"""\
import importlib.util, json
print(json.dumps([name for name in {list(names)} if importlib.util.find_spec(name)]))"""
    peers: dict[str, str] = {}
    for python in pythons:
        process = subprocess.run([python, "-c", code], check=True, capture_output=True)
        peers |= dict.fromkeys(json.loads(process.stdout), python)
    missing = [TITLES[name] for name in names if name not in peers]
    if missing:
        print(f"{', '.join(missing)} left out. --peers-python: {HELP}")
    return {name: peers[name] for name in names if name in peers}


def find_peer(pythons: Sequence[str], name: str) -> str:
    """Return the Python in which a program is installed that cannot be left out.

    Raises:
        SystemExit: It is in none.
    """
    peers = find_peers(pythons, [name])
    if name not in peers:
        raise SystemExit(f"{TITLES[name]} is needed")
    return peers[name]


def run_peer(name: str, task: Mapping[str, Any], *, python: str = sys.executable) -> Run:
    """Run a program in a separate process.

    Args:
        name: One of ``TITLES``, or ``geodetect``.
        task: See ``benchmarks.peers.worker``.
        python: The Python in which it is installed.
    """
    with TemporaryDirectory() as folder:
        target = Path(folder, "result.npz")
        _run_worker(name, task, target, python=python)
        with np.load(target) as result:
            return Run(
                version=str(result["version"]),
                seconds=float(result["seconds"]),
                cpu_s=float(result["cpu_s"]),
                peak_bytes=int(result["peak_bytes"]),
                boxes=result["boxes"],
                scores=result["scores"],
            )


@dataclass(frozen=True)
class Turn:
    """A program and its task.

    Args:
        name: Key of its runs.
        program: See ``run_peer``.
        task: See ``benchmarks.peers.worker``.
        python: The Python in which it is installed.
    """

    name: str
    program: str
    task: Mapping[str, Any]
    python: str = sys.executable


def run_in_turns(turns: Sequence[Turn], *, repeats: int = 1) -> dict[str, list[Run]]:
    """Return the runs of all turns by name, repeated one after the other."""
    runs: dict[str, list[Run]] = {}
    for turn in [*turns] * repeats:
        run = run_peer(turn.program, turn.task, python=turn.python)
        print(f"{turn.name}: {run.seconds:.1f} s, {run.cpu_s:.1f} CPU s", flush=True)
        runs.setdefault(turn.name, []).append(run)
    return runs


def median_seconds(runs: Sequence[Run]) -> float:
    """Return the median of the wall times."""
    return statistics.median(run.seconds for run in runs)


def median_cpu_s(runs: Sequence[Run]) -> float:
    """Return the median of the CPU times."""
    return statistics.median(run.cpu_s for run in runs)


def run_columns(runs: Sequence[Run]) -> dict[str, str]:
    """Return the cells of a table: time, memory and number of boxes."""
    seconds = [run.seconds for run in runs]
    return {
        "seconds": f"{median_seconds(runs):.1f}",
        "range": f"{min(seconds):.1f} to {max(seconds):.1f}",
        "CPU seconds": f"{median_cpu_s(runs):.1f}",
        "peak memory": f"{max(run.peak_bytes for run in runs) / 1e9:.2f} GB",
        "boxes": f"{len(runs[0].boxes)}",
    }


def run_sahi_nms(task: Mapping[str, Any], *, python: str) -> dict[str, float]:
    """Run SAHI's non-maximum suppression alone, see ``benchmarks.peers.worker``."""
    with TemporaryDirectory() as folder:
        target = Path(folder, "result.json")
        _run_worker("sahi_nms", task, target, python=python)
        result: dict[str, float] = json.loads(target.read_text(encoding="utf-8"))
    return result


def make_yolo(task: Mapping[str, Any], target: Path, *, python: str) -> Path:
    """Make a network of Ultralytics, see ``benchmarks.peers.yolo_worker``; return its file."""
    with TemporaryDirectory() as folder:
        made = Path(folder, target.name)
        _run_worker("yolo", task, made, python=python, worker=YOLO_WORKER)
        shutil.move(made, target)
    return target


def _run_worker(
    name: str, task: Mapping[str, Any], target: Path, *, python: str, worker: Path = WORKER
) -> None:
    file = target.with_name("task.json")
    file.write_text(json.dumps(dict(task)), encoding="utf-8")
    command = [python, str(worker), name, str(file), str(target)]
    variables = {"TORCH_HOME": str(task.get("torch_home", target.parent)), "HF_HUB_OFFLINE": "1"}
    variables |= {"YOLO_CONFIG_DIR": str(target.parent), "YOLO_OFFLINE": "1"}
    variables |= {"YOLO_AUTOINSTALL": "0"}
    process = subprocess.run(
        command, capture_output=True, text=True, cwd=target.parent, env={**os.environ, **variables}
    )
    if process.returncode != 0:
        raise SystemExit(f"{name} failed:\n{process.stderr[-3000:]}")
