"""The help is complete, and asking for it costs nothing."""

from __future__ import annotations

import pytest

import geodetect
from geodetect_cli.app import load_command
from geodetect_cli.commands import COMMANDS
from tests.helpers.program import invoke, modules_after


def help_of(*command: str, columns: int = 80) -> str:
    result = invoke(*command, "--help", env={"COLUMNS": str(columns)})
    assert result.exit_code == 0
    return result.output


def test_the_help_names_every_command() -> None:
    text = help_of()
    for command, summary in COMMANDS.items():
        assert f"\n  {command:<9}  {summary}\n" in text


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
    assert "<str" not in options
    assert "<list" not in options


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_explained(command: str) -> None:
    for parameter in load_command(command).params:
        assert parameter.help, f"{command} {parameter.name}"  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_list_of_commands_and_the_help_of_a_command_say_the_same(command: str) -> None:
    help_text = load_command(command).help
    assert help_text is not None
    assert help_text.splitlines()[0] == COMMANDS[command]


def test_the_list_of_commands_is_shown_without_importing_them() -> None:
    modules = modules_after(
        "from geodetect_cli.app import app\ntry:\n    app(['--help'])\nexcept SystemExit:\n    pass"
    )
    assert not {name for name in modules if name.startswith("geodetect_cli.commands.")}
    assert not {"pydantic", "rich", "numpy"} & modules


def test_a_mistyped_command_is_answered_with_the_nearest_one() -> None:
    result = invoke("predcit")
    assert result.exit_code == 2
    assert result.stderr == "Error: no command predcit; did you mean predict?\n"


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
    result = invoke("--version")
    assert result.output == f"geodetect {geodetect.__version__}\n"


@pytest.mark.parametrize("command", [c for c in COMMANDS if c != "models"])
def test_a_command_without_arguments_shows_its_help(command: str) -> None:
    result = invoke(command)
    assert "Examples:" in result.output
