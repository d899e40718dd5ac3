"""The command-line program as a user runs it, and interpreters of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = (sys.executable, "-c", "from geodetect_cli.app import main; main()")


def program_environment(**variables: str) -> dict[str, str]:
    """The environment of the program under test: this checkout, one thread, no terminal."""
    paths = [str(ROOT), str(ROOT / "cli"), os.environ.get("PYTHONPATH", "")]
    fixed = {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"}
    return os.environ | fixed | {"COLUMNS": "100"} | variables


def run_program(
    *arguments: str | Path, cwd: Path | None = None, timeout: float = 120, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        cwd=cwd,
        env=program_environment(**environment),
        timeout=timeout,
        check=False,
    )


def modules_after(code: str) -> set[str]:
    """Names of the modules that are loaded after some code ran in an interpreter of its own."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport json, sys; print(json.dumps(list(sys.modules)))"],
        capture_output=True,
        text=True,
        env=program_environment(),
        check=True,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))
