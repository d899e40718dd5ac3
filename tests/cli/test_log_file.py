"""The log file: all messages of runs, with their times, wherever else they are shown."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from geodetect.version import __version__
from tests.helpers.predict_command import write_inputs
from tests.helpers.program import (
    check_failure,
    check_one_line,
    invoke,
    program_environment,
    run_program,
)
from tests.helpers.terminal import run_in_terminal

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d ")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_inputs(folder)
    return folder


@pytest.fixture
def folder(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for file in inputs.iterdir():
        (tmp_path / file.name).symlink_to(file)
    monkeypatch.chdir(tmp_path)
    return tmp_path


PREDICT = ("predict", "scene.tif", "-m", "squares.safetensors", "-o", "out.gpkg")
COMPARE = ("compare", "layer.geojson", "--register", "layer.geojson")


def log_lines(path: Path) -> list[str]:
    """Lines of a log without their times."""
    lines = path.read_text(encoding="utf-8").splitlines()
    assert all(TIME.match(line) for line in lines), lines
    return [TIME.sub("", line, count=1) for line in lines]


def test_the_log_holds_the_command_line_all_messages_and_the_exit_code(folder: Path) -> None:
    result = invoke(*PREDICT, "--log-file", "run.log")
    assert result.exit_code == 0, result.stderr
    first, *messages, last = log_lines(folder / "run.log")
    assert first == (
        f"geodetect {__version__} in {folder}: geodetect predict scene.tif --output out.gpkg "
        f"--model squares.safetensors --log-file run.log"
    )
    assert messages == [line.rstrip() for line in result.stderr.splitlines() if line.strip()]
    assert last == "exit code 0"


def test_a_quiet_run_shows_nothing_and_logs_everything(folder: Path) -> None:
    loud = invoke(*COMPARE, "--log-file", "loud.log")
    quiet = invoke(*COMPARE, "--log-file", "quiet.log", "-q")
    assert (quiet.stdout, quiet.stderr) == ("", "")
    assert loud.stderr.count("\n") > 5
    duration = re.compile(r"[\d.]+ s\b")
    messages = [
        [duration.sub("", line) for line in log_lines(folder / name)[1:]]
        for name in ("loud.log", "quiet.log")
    ]
    assert messages[0][:-2] == messages[1][:-2]  # the last but one repeats --log-file


def test_tables_of_results_are_logged_whole(folder: Path) -> None:
    layers = ("layer.geojson", "layer.geojson")
    result = invoke("evaluate", *layers, "--resamples", 0, "--log-file", "run.log")
    assert result.exit_code == 0, result.stderr
    shown = [line.rstrip() for line in result.stdout.splitlines() if line.strip()]
    assert len(shown) > 5
    assert set(shown) <= set(log_lines(folder / "run.log"))


def test_runs_are_appended(folder: Path) -> None:
    for _ in range(2):
        invoke(*COMPARE, "--log-file", "run.log")
    assert log_lines(folder / "run.log").count("exit code 0") == 2


def test_errors_are_logged_with_their_exit_code(folder: Path) -> None:
    check_failure(invoke("preview", "no.tif", "-o", "image.png", "--log-file", "run.log"), "no.tif")
    _, message, code = log_lines(folder / "run.log")
    assert message == "Error: no.tif: no such file"
    assert code == "exit code 1"


def test_the_traceback_of_a_bug_is_logged(folder: Path) -> None:
    code = (
        "from geodetect_cli.app import main\n"
        "import geodetect.assessment.compare.comparison as module\n"
        "module.compare = lambda *_, **__: 1 / 0\n"
        "main()"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, *COMPARE, "--log-file", "run.log"],
        capture_output=True, text=True, env=program_environment(), check=False,
    )  # fmt: skip
    assert process.returncode == 1
    logged = log_lines(folder / "run.log")
    assert "Traceback (most recent call last):" in logged
    assert "ZeroDivisionError: division by zero" in logged
    assert logged[-1] == "exit code 1"


def test_a_log_in_a_terminal_holds_lines_in_place_of_the_bar(folder: Path) -> None:
    screen = run_in_terminal(
        *("check", "--rasters", "scene.tif", "--labels", "layer.geojson"),
        *("--log-file", "run.log", "--progress-every", "0.02"),
        cwd=folder,
        columns=100,
    )
    assert screen.returncode == 0, screen.text
    text = (folder / "run.log").read_text(encoding="utf-8")
    assert "\x1b" not in text
    assert any(re.search(r"(so far|left|done in)", line) for line in log_lines(folder / "run.log"))
    assert "so far" not in screen.text


def test_secrets_of_addresses_are_not_logged(folder: Path) -> None:
    invoke(
        "preview", "/vsicurl/http://u:geheim@127.0.0.1:9/a.tif", "-o", "a.png", "--log-file", "l"
    )
    assert "geheim" not in (folder / "l").read_text()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("scene.tif", ["scene.tif is no log of geodetect", "another --log-file"]),
        ("no/run.log", ["cannot write no/run.log", "--log-file"]),
        (".", ["cannot write .", "--log-file"]),
    ],
)
def test_a_file_that_is_no_log_is_not_touched(folder: Path, name: str, words: list[str]) -> None:
    before = (folder / "scene.tif").read_bytes()
    check_failure(invoke(*PREDICT, "--log-file", name), *words)
    assert (folder / "scene.tif").read_bytes() == before
    assert not (folder / "out.gpkg").exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("out.gpkg", ["--log-file and --output are both out.gpkg"]),
        ("-", ["--log-file names a file"]),
    ],
)
def test_a_log_is_a_file_of_its_own(folder: Path, name: str, words: list[str]) -> None:
    result = invoke(*PREDICT, "--log-file", name, "--overwrite")
    assert result.exit_code == 2
    check_one_line(result.stderr, *words)
    assert not (folder / name).exists()


def test_json_is_the_same_with_a_log(folder: Path) -> None:
    process = run_program(*COMPARE, "--json", "--log-file", "run.log", "-q", cwd=folder)
    assert process.returncode == 0
    assert process.stdout.startswith("{")
    assert process.stderr == ""
    assert log_lines(folder / "run.log")[-1] == "exit code 0"
