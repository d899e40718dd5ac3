"""The help is complete, and asking for it costs nothing."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

import geodetect
from geodetect_cli.app import app
from tests.helpers.tiny import modules_after

COMMANDS = (
    "predict",
    "train",
    "evaluate",
    "compare",
    "summarize",
    "report",
    "preview",
    "check",
    "convert",
    "quantize",
    "info",
    "models",
    "tile",
)
runner = CliRunner()


def help_of(*command: str, columns: int = 80) -> str:
    result = runner.invoke(app, [*command, "--help"], env={"COLUMNS": str(columns)})
    assert result.exit_code == 0
    return result.output


def test_the_help_names_every_command() -> None:
    text = help_of()
    assert all(f"\n  {command} " in text for command in COMMANDS)


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_examples_that_stay_on_their_lines(command: str, columns: int) -> None:
    text = help_of(command, columns=columns)
    examples = text.partition("Examples:\n")[2].strip().splitlines()
    assert len(examples) >= 2
    assert all(line.strip().startswith(f"geodetect {command}") for line in examples)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_fits_80_columns_without_type_noise(command: str) -> None:
    options, _, _ = help_of(command).partition("Examples:")
    assert max(map(len, options.splitlines())) <= 80
    assert "<bool>" not in options
    assert "<float" not in options
    assert "<str>" not in options.partition("Options:")[2]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_explained(command: str) -> None:
    from typer.main import get_command

    group = get_command(app)
    for parameter in group.commands[command].params:  # type: ignore[attr-defined]
        assert parameter.help, f"{command} {parameter.name}"


@pytest.mark.parametrize("arguments", [[], ["--help"], ["predict", "--help"], ["--version"]])
def test_help_imports_neither_torch_nor_geodata_libraries(arguments: list[str]) -> None:
    modules = modules_after(
        "from geodetect_cli.app import app\n"
        f"try:\n    app({arguments!r})\nexcept SystemExit:\n    pass"
    )
    for heavy in ("torch", "geopandas", "rasterio", "shapely", "pandas"):
        assert heavy not in modules


def test_info_of_a_raster_does_not_import_torch() -> None:
    modules = modules_after("import geodetect.io.raster.info")
    assert "torch" not in modules


def test_the_version_is_that_of_the_library() -> None:
    result = runner.invoke(app, ["--version"])
    assert result.output == f"geodetect {geodetect.__version__}\n"


@pytest.mark.parametrize("command", [c for c in COMMANDS if c != "models"])
def test_a_command_without_arguments_shows_its_help(command: str) -> None:
    result = runner.invoke(app, [command])
    assert "Examples:" in result.output
