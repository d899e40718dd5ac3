"""Benchmarks: documented, and in step with the constants of the library that they replace."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_contributing_guide_lists_every_benchmark() -> None:
    modules = {
        ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for file in ROOT.glob("benchmarks/*/*.py")
        if "def main()" in file.read_text(encoding="utf-8") and file.parent.name != "harness"
    }
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `python -m ([\w.]+)", guide, re.MULTILINE)
    workers = {"benchmarks.peers.worker", "benchmarks.peers.yolo_worker"}  # run by other Pythons
    assert listed == sorted(modules - workers)


def test_every_change_of_the_ablation_can_be_applied() -> None:
    ablation = importlib.import_module("benchmarks.training.ablation")
    for change in ablation.CHANGES.values():
        with change.applied():
            pass
