"""Other programs that predict on tiles: where they are, and running them, each by itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

WORKER = Path(__file__).with_name("worker.py")
TITLES = {"deepforest": "DeepForest", "sahi": "SAHI", "geodeep": "GeoDeep"}
HELP = """\
Python of a virtual environment with other programs, which are no dependencies of geodetect; may be
given several times. To make one: python -m venv peers; peers/bin/pip install deepforest sahi
geodeep. Programs that none of them holds are left out."""


@dataclass(frozen=True)
class Run:
    """What one run of a program took and found.

    Args:
        version: Of the program.
        seconds: From the opening of the model to the last box.
        load_s: Of it, opening the model.
        processor_s: Of all processors, in the same time.
        peak_bytes: Most memory of the process.
        boxes: ``float64[N, 4]`` in pixel edges of the raster.
        scores: ``float32[N]``.
    """

    version: str
    seconds: float
    load_s: float
    processor_s: float
    peak_bytes: int
    boxes: NDArray[np.float64]
    scores: NDArray[np.float32]


def find_peers(pythons: Sequence[str]) -> dict[str, str]:
    """The Python that each program is found in, by the program's name."""
    question = f"""\
import importlib.util, json
print(json.dumps([name for name in {list(TITLES)} if importlib.util.find_spec(name)]))"""
    found: dict[str, str] = {}
    for python in pythons:
        answer = subprocess.run([python, "-c", question], check=True, capture_output=True)
        found |= dict.fromkeys(json.loads(answer.stdout), python)
    return {name: found[name] for name in TITLES if name in found}


def run_program(name: str, task: Mapping[str, Any], *, python: str = sys.executable) -> Run:
    """Run a program in a process of its own.

    Args:
        name: One of ``TITLES``, or ``geodetect``.
        task: See ``benchmarks.peers.worker``.
        python: The Python it is installed in.
    """
    with TemporaryDirectory() as folder:
        target = Path(folder, "result.npz")
        _work(name, task, target, python=python)
        with np.load(target) as result:
            load_s = float(result["load_s"])
            return Run(
                version=str(result["version"]),
                seconds=load_s + float(result["predict_s"]),
                load_s=load_s,
                processor_s=float(result["processor_s"]),
                peak_bytes=int(result["peak_bytes"]),
                boxes=result["boxes"],
                scores=result["scores"],
            )


def run_sahi_merge(task: Mapping[str, Any], *, python: str) -> dict[str, float]:
    """SAHI's suppression alone, see ``benchmarks.peers.worker``."""
    with TemporaryDirectory() as folder:
        target = Path(folder, "result.json")
        _work("merge_with_sahi", task, target, python=python)
        result: dict[str, float] = json.loads(target.read_text(encoding="utf-8"))
    return result


def _work(name: str, task: Mapping[str, Any], target: Path, *, python: str) -> None:
    file = target.with_name("task.json")
    file.write_text(json.dumps(dict(task)), encoding="utf-8")
    command = [python, str(WORKER), name, str(file), str(target)]
    paths = {"TORCH_HOME": str(task.get("torch_home", target.parent)), "HF_HUB_OFFLINE": "1"}
    run = subprocess.run(
        command, capture_output=True, text=True, cwd=target.parent, env={**os.environ, **paths}
    )
    if run.returncode != 0:
        raise SystemExit(f"{name} failed:\n{run.stderr[-3000:]}")
