"""What the program prints: no control characters of names, whatever happens to the streams."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import geopandas as gpd
import pytest

from geodetect.io.vector.write import write
from geodetect_cli import console
from tests.helpers.layers import square_layer
from tests.helpers.program import PROGRAM, check_one_line, invoke, program_environment, run_program

NAME = "a\x1b[31m\x07\x08\x9b\u202e\u200b\u2028\x7fö"  # the last one is a letter
SHOWN = r"a\x1b[31m\x07\x08\x9b\u202e\u200b\u2028\x7fö"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("streams")
    columns = {"class": [NAME, f"[bold]b[/] :warning: {NAME}"], "score": [0.01, 0.9]}
    table = square_layer((0, 0), (30, 0), **columns)
    write(table, folder / "pools.gpkg")
    write(table.drop(columns="score"), folder / "truth.gpkg")
    zones = table.assign(name=table["class"]).drop(columns=["class", "score"])
    write(zones, folder / "zones.gpkg")
    return folder


def check_shown(text: str) -> None:
    assert not set(text) & set(NAME[1:-1]) - set("[31m"), ascii(text)


def test_names_are_shown_with_their_control_characters_and_markup(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "400")
    evaluated = invoke("evaluate", "pools.gpkg", "truth.gpkg", "--resamples", 0)
    assert r"a\x1b[31m\x07\x08\x9b" in evaluated.stdout  # of a class only what is no blank stays
    assert "[bold]b[/] :warning:" in evaluated.stdout
    summarized = invoke("summarize", "pools.gpkg", "--zones", "zones.gpkg")
    assert SHOWN in summarized.stdout
    compared = invoke("compare", "pools.gpkg", "--register", "truth.gpkg", "-o", f"{NAME}.geojson")
    assert SHOWN in compared.stderr
    for result in (
        evaluated,
        summarized,
        compared,
        invoke("info", f"{NAME}.tif"),
        invoke("predict", f"{NAME}.tif", "-m", f"{NAME}.safetensors"),
        invoke("compare", "pools.gpkg", "--register", f"{NAME}.gpkg"),
        invoke(f"x{NAME}"),
        invoke("info", f"--{NAME}"),
        invoke("info", "a", f"b{NAME}"),
        invoke("predict", "a.tif", "--device", NAME),
        invoke("predict", "a.tif", "--conf", NAME),
        invoke("predict", "a.tif", "--config", f"{NAME}.toml"),
    ):
        check_shown(result.stdout)
        check_shown(result.stderr)


def test_json_escapes_control_characters_and_keeps_their_values(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    result = invoke("summarize", "pools.gpkg", "--zones", "zones.gpkg", "--json")
    check_shown(result.stdout)
    assert json.loads(result.stdout)["by_zone"][0]["name"] == NAME


def test_a_name_cannot_begin_a_line_of_a_message(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_message("Warning: a\nError: b\r\tc")
    assert capsys.readouterr().err == "Warning: a Error: b\\r   c\n"


def test_a_traceback_shows_no_control_characters() -> None:
    code = f"""
import geodetect_cli.app
def fail(): raise ValueError({NAME!r})
geodetect_cli.app.app = fail
geodetect_cli.app.main()
"""
    process = subprocess.run(
        [PROGRAM[0], "-c", code], capture_output=True, text=True, env=program_environment(),
        check=False,
    )  # fmt: skip
    assert f"ValueError: {SHOWN}" in process.stderr
    check_shown(process.stderr)


@pytest.mark.parametrize(
    ("streams", "command", "code"),
    [
        (">&-", "compare pools.gpkg --register truth.gpkg -o 1.geojson --json", 0),
        (">/dev/full", "compare pools.gpkg --register truth.gpkg -o 2.geojson --json", 0),
        ("2>&-", "compare pools.gpkg --register truth.gpkg -o 3.geojson", 0),
        ("2>/dev/full", "compare pools.gpkg --register truth.gpkg -o 4.geojson", 0),
        ("<&- >&- 2>&-", "compare pools.gpkg --register truth.gpkg -o 5.gpkg", 0),
        ("| true", "compare pools.gpkg --register truth.gpkg -o 6.geojson --json", 0),
        (">/dev/full", "evaluate pools.gpkg truth.gpkg --resamples 0 -o 7.gpkg", 0),
        (">/dev/full", "evaluate pools.gpkg truth.gpkg --resamples 0", 1),
        (">&-", "compare pools.gpkg --register truth.gpkg --json", 1),
        (">&-", "compare pools.gpkg --register truth.gpkg -o -", 1),
        (">&-", "--help", 1),
        (">/dev/full", "info --help", 1),
    ],
)
def test_the_exit_code_tells_if_the_file_is_there(
    folder: Path, streams: str, command: str, code: int
) -> None:
    script = f'set -o pipefail; "$@" {streams}'
    process = subprocess.run(
        ["bash", "-c", script, "bash", *PROGRAM, *command.split()],
        capture_output=True, text=True, cwd=folder, env=program_environment(), check=False,
    )  # fmt: skip
    assert process.returncode == code, process.stderr
    assert "Traceback" not in process.stderr
    assert "Exception" not in process.stderr
    if code:
        check_one_line(process.stderr, "writ")
    for name in [word for word in command.split() if word[0].isdigit() and "." in word]:
        assert len(gpd.read_file(folder / name)) > 0


def test_an_output_whose_name_is_not_in_utf_8_is_one_line(folder: Path) -> None:
    name = b"caf\xe9.geojson".decode("utf-8", "surrogateescape")
    result = run_program(
        "compare", "pools.gpkg", "--register", "truth.gpkg", "-o", name, cwd=folder
    )
    assert result.returncode == 1
    check_one_line(result.stderr, r"caf\udce9.geojson", "not in UTF-8")
    assert not (folder / name).exists()
