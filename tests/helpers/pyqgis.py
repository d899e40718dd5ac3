"""Scripts that run in the Python of QGIS, where QGIS is installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest


@cache
def qgis_python() -> str | None:
    """A Python that has PyQGIS: that of the system, as a rule."""
    candidates = ["/usr/bin/python3", shutil.which("python3"), shutil.which("python-qgis")]
    for python in filter(None, candidates):
        probe = [python, "-c", "import qgis.core"]
        if Path(python).exists() and run_clean(probe).returncode == 0:
            return python
    return None


def run_clean(command: list[str], folder: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run without the paths of this interpreter, and without a display."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment |= {"QT_QPA_PLATFORM": "offscreen"} | ({} if folder is None else {"HOME": folder})
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=120, check=False
    )


def run_in_qgis(script: str, folder: Path, *arguments: str | Path) -> dict[str, Any]:
    """Return the JSON that a script writes to its second argument; skip the test without QGIS."""
    if (python := qgis_python()) is None:
        pytest.skip("needs PyQGIS: no system Python can import qgis.core")
    facts = folder / "facts.json"
    source, *rest = map(str, arguments)
    process = run_clean([python, "-c", script, source, str(facts), *rest], str(folder))
    assert facts.exists(), process.stderr
    return json.loads(facts.read_text())
