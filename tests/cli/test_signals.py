"""Ctrl-C and SIGTERM while a server stalls: the program ends at once, wherever it is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import geodetect
import geodetect_cli
from tests.conftest import Save
from tests.helpers.raster_server import STALL, STALL_IN_BODY, RasterServer, serve_rasters

MAX_S = 2.0
PATHS = [str(Path(package.__path__[0]).parent) for package in (geodetect, geodetect_cli)]
PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs start without one
from geodetect_cli.app import main
main()
"""
COMMANDS = {
    "info": ["info"],
    "plan": ["predict", "--dry-run"],
    "predict": ["predict", "--work-dir", ".", "-o", "objects.gpkg"],
    "preview": ["preview", "-o", "preview.png"],
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RasterServer]:
    folder = tmp_path_factory.mktemp("served")
    with serve_rasters(folder, folder / "requests.log") as running:
        yield running


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize(
    ("command", "number", "fault", "sent"),
    [
        ("info", 1, STALL, signal.SIGINT),
        ("info", 2, STALL_IN_BODY, signal.SIGTERM),
        ("plan", 2, STALL, signal.SIGTERM),
        ("plan", 3, STALL, signal.SIGINT),
        ("predict", 1, STALL, signal.SIGINT),
        ("predict", 3, STALL_IN_BODY, signal.SIGTERM),
        ("predict", 2, STALL, signal.SIGTERM),
        ("preview", 3, STALL, signal.SIGINT),
    ],
)
def test_a_signal_ends_a_run_that_waits_for_a_server(
    server: RasterServer,
    save: Save,
    tmp_path: Path,
    command: str,
    number: int,
    fault: int,
    sent: signal.Signals,
) -> None:
    """GDAL reads directories of overviews and masks late, where they lie behind the pixels."""
    pixels = np.random.default_rng(0).integers(1, 255, (3, 900, 900)).astype(np.uint8)
    plain = save(pixels, "plain.tif", tiled=True, blockxsize=32, blockysize=32)
    (server.folder / "scene.tif").write_bytes(plain.read_bytes())
    name, *options = COMMANDS[command]
    server.fail(fault, first=number)
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, name, f"{server.url}/scene.tif", *options],
        cwd=tmp_path,
        env=os.environ
        | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "PYTHONPATH": os.pathsep.join(PATHS)},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            server.wait_for_request(number)
            time.sleep(0.2)
            start = time.monotonic()
            process.send_signal(sent)
            _, messages = process.communicate(timeout=30)
            assert time.monotonic() - start < MAX_S
        finally:
            process.kill()
    assert process.returncode == 128 + sent
    assert messages.splitlines()[-1].startswith("Error: interrupted")
    assert {path.name for path in tmp_path.iterdir()} <= {"plain.tif"}


@pytest.mark.skipif(sys.platform == "win32", reason="signals and pipes of POSIX")
def test_a_signal_ends_a_run_that_reads_from_a_file_that_never_answers(
    save: Save, tmp_path: Path
) -> None:
    save(np.full((3, 64, 64), 9, np.uint8), "plain.tif")
    os.mkfifo(tmp_path / "hangs.tif")
    arguments = ("predict", "plain.tif", "hangs.tif", "-o", "o.gpkg")
    progress = ("--progress", "json", "--progress-every", "0.5")
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments, *progress],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(PATHS)},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                event = json.loads(line)
                if event.get("phase") == "Reading headers" and event["event"] == "progress":
                    break
            start = time.monotonic()
            process.send_signal(signal.SIGTERM)
            events = list(map(json.loads, process.stderr))
            assert time.monotonic() - start < 2 * MAX_S
        finally:
            process.kill()
    assert process.wait() == 128 + signal.SIGTERM
    assert events[-1]["event"] == "error"
    assert events[-1]["text"].startswith("interrupted")
    assert not (tmp_path / "o.gpkg").exists()


SWALLOWED = """
import signal, sys, time, typer
from geodetect_cli.console import show_errors

class Finalized:
    def __del__(self):
        signal.raise_signal(signal.{name})

try:
    with show_errors({{}}):
        Finalized()
        time.sleep(20)
except typer.Exit as end:
    sys.exit(end.exit_code)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_that_a_finalizer_swallows_is_raised_again(sent: signal.Signals) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SWALLOWED.format(name=sent.name)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(PATHS)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.stderr.splitlines() == ["Error: interrupted; no result was written"]
    assert ended.returncode == 128 + sent


EARLY = """
import signal
from geodetect_cli import app
app.{function} = lambda: signal.raise_signal(signal.SIGTERM)
app.main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize(
    "function", ["open_closed_streams", "escape_errors", "silence_other_ranks"]
)
def test_an_interrupt_before_a_command_runs_is_one_line(function: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", EARLY.format(function=function)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(PATHS)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.stderr.splitlines() == ["Error: interrupted; no result was written"]
    assert ended.returncode == 128 + signal.SIGTERM
