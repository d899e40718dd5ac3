"""One vocabulary: a name means the same in every command, and stands in the docs."""

from __future__ import annotations

import runpy
from collections.abc import Mapping

import pytest

from geodetect_cli.command_line.exit_codes import ExitCode
from geodetect_cli.command_line.option import Option
from tests.helpers.program import ROOT, invoke

Uses = Mapping[str, Option]  # options of one name by command

GENERATOR = runpy.run_path(str(ROOT / "docs/options_page.py"))
NAMES: Mapping[str, Uses] = GENERATOR["options_by_name"]()
VALUES = {  # names with several placeholders: arguments in some commands, options in others
    "--check": {"", "IMAGE"},
    "--format": {"NAME", "coco|yolo|voc"},
    "--model": {"NAME|FILE", "MODEL"},
    "--output": {"FILE", "FOLDER"},
    "--rasters": {"RASTER", "PATH"},
    "--shard": {"PIXELS", "I/N"},
    "--truth": {"TRUTH", "FILE"},
}
SWITCHES = {"--check"}  # in some commands, and options with a value in others
ENDS = {"field": "NAME", "crs": "CRS", "dir": "FOLDER", "iou": "IOU", "share": "FRACTION"}


def test_the_page_of_options_equals_the_settings() -> None:
    page = (ROOT / "docs/options.md").read_text(encoding="utf-8")
    assert page == GENERATOR["page_text"](), "run: python docs/options_page.py"


def test_every_option_every_value_and_every_exit_code_stands_on_the_page() -> None:
    page = (ROOT / "docs/options.md").read_text(encoding="utf-8")
    for name, uses in NAMES.items():
        assert f"`{name}`" in page
        for command, option in uses.items():
            if option.form.short:
                assert f"`-{option.form.short}` `{name}`" in page
            for former in option.former_names:
                flag = f"--{former.replace('_', '-')}"
                assert f"| `{flag}` | {command} |" in page or command in NAMES[flag]
            if option.metavar and "|".join(option.choices) != option.metavar:
                assert option.metavar in GENERATOR["VALUES"]
    for code in ExitCode:
        assert f"| {int(code)} | {code.meaning} |" in page


def test_a_placeholder_that_no_option_has_is_not_explained() -> None:
    placeholders = {option.metavar for uses in NAMES.values() for option in uses.values()}
    assert set(GENERATOR["VALUES"]) <= placeholders


def test_a_name_has_one_meaning() -> None:
    """Commands describe an option in the same words, or the page says what they share."""
    differing = {
        name
        for name, uses in NAMES.items()
        if len({option.field.description for option in uses.values()}) > 1
    }
    assert set(GENERATOR["MEANINGS"]) == differing


@pytest.mark.parametrize("name", NAMES)
def test_a_name_has_one_kind_of_value_and_one_short_form(name: str) -> None:
    options = list(NAMES[name].values())
    assert len({option.form.short for option in options}) == 1
    assert len({option.is_switch for option in options}) == 1 + (name in SWITCHES)
    assert len({option.field_name for option in options}) == 1
    assert {option.metavar for option in options} <= VALUES.get(name, {options[0].metavar})
    end = name.rpartition("-")[2]
    assert options[0].metavar == ENDS.get(end, options[0].metavar)


def test_a_short_form_belongs_to_one_name() -> None:
    short = [(o.form.short, name) for name, uses in NAMES.items() for o in uses.values()]
    by_letter: dict[str, set[str]] = {}
    for letter, name in short:
        by_letter.setdefault(letter, set()).add(name)
    assert all(len(names) == 1 for letter, names in by_letter.items() if letter)
    assert "h" not in by_letter  # --help


def test_the_help_lists_the_exit_codes() -> None:
    text = invoke("--help").output
    for code in ExitCode:
        assert f"{int(code)}  {code.meaning}" in text
