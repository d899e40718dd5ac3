"""The command-line program as a user runs it, and interpreters of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from click.testing import Result
from typer.testing import CliRunner

from geodetect_cli.app import app
from tests.helpers.json_schema import check_json

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


def invoke(*arguments: object, **options: Any) -> Result:
    """Run a command in this process; options are those of ``CliRunner.invoke``.

    JSON that it prints for ``--json`` is checked against the published schema.
    """
    texts = list(map(str, arguments))
    result = CliRunner().invoke(app, texts, **options)
    if "--json" in texts and result.stdout:
        check_json(result.stdout)
    return result


def run_command(*arguments: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command in 80 columns."""
    result = invoke(*arguments, env={"COLUMNS": "80"})
    return result.exit_code, result.stdout, result.stderr


def check_one_line(stderr: str, *words: str) -> None:
    lines = [line for line in stderr.splitlines() if line.startswith("Error:")]
    assert len(lines) == 1, stderr
    assert stderr.rstrip("\n").endswith(lines[0]), stderr
    assert "Traceback" not in stderr
    for word in words:
        assert word in lines[0]


def check_failure(result: Result, *words: str) -> None:
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    check_one_line(result.stderr, *words)
    assert result.stderr.count("\n") == 1


def modules_after(code: str) -> set[str]:
    """Names of the modules that are loaded after some code ran in an interpreter of its own."""
    process = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport json, sys; print(json.dumps(list(sys.modules)))"],
        capture_output=True,
        text=True,
        env=program_environment(),
        check=True,
    )
    return set(json.loads(process.stdout.splitlines()[-1]))
