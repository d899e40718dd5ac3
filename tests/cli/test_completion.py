"""Completion in the shell: commands, options, and the values of every choice."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from geodetect.io.vector.write import FORMATS
from geodetect.model.file import list_models
from geodetect_cli.app import load_command
from geodetect_cli.command_line.option import Option
from geodetect_cli.commands import COMMANDS
from tests.helpers.program import PROGRAM, invoke, program_environment


def complete(*words: str) -> list[str]:
    """Completions of the last word."""
    result = invoke(
        env={
            "_GEODETECT_COMPLETE": "complete_bash",
            "COMP_WORDS": shlex.join(["geodetect", *words]),
            "COMP_CWORD": str(len(words)),
        }
    )
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return [line for line in result.stdout.splitlines() if line]


def choices() -> Iterator[tuple[str, Option]]:
    for command in COMMANDS:
        for option in load_command(command).options.values():
            if option.choices:
                yield command, option


@pytest.mark.parametrize(
    ("command", "option"), list(choices()), ids=lambda value: getattr(value, "long_flag", value)
)
def test_the_values_of_every_choice_are_completed(
    command: str, option: Option, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = list_models() if option.form.reads == "model" else []
    assert complete(command, option.long_flag, "") == [*option.choices, *names]
    first = option.choices[0]
    assert complete(command, option.long_flag, first[:2])[0] == first
    assert complete(command, option.long_flag, "no such value") == []


def test_every_option_with_values_to_choose_from_names_them() -> None:
    """Names are those to choose from, or those of a column or a new model."""
    for command in COMMANDS:
        for option in load_command(command).options.values():
            if option.metavar == "NAME" and not option.choices:
                is_free = option.field_name == "name" or option.field_name.endswith("_field")
                assert is_free, f"{command} {option.long_flag}"
            for choice in option.choices:
                assert option.metavar == "|".join(option.choices) or choice in (
                    option.field.description or ""
                ), f"the help of {command} {option.long_flag} does not name {choice}"


def test_the_formats_of_predict_are_those_that_can_be_written() -> None:
    assert load_command("predict").options["format"].choices == tuple(f.name for f in FORMATS)


@pytest.mark.parametrize("flags", [("predict", "--model"), ("train", "--init"), ("quantize",)])
def test_models_are_completed_by_name_and_by_file(
    flags: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    for name in ("mine.safetensors", "models/other.safetensors", "mine.txt"):
        (tmp_path / name).touch()
    values = complete(*flags, "")
    assert {"pools", "mine.safetensors"} <= set(values)
    assert "mine.txt" not in values
    assert complete(*flags, "mi") == ["mine.safetensors"]
    assert complete(*flags, "models/o") == ["models/other.safetensors"]


def test_commands_and_options_are_completed() -> None:
    assert complete("pre") == ["predict", "preview"]
    assert complete("help", "tr") == ["train"]
    assert complete("predict", "--ov") == ["--overlap", "--overwrite"]
    assert complete("train", "--no") == ["--no-check", "--no-turn"]
    assert complete("predict", "a.tif", "--runtime=o")[-2:] == ["openvino", "onnx"]


@pytest.mark.parametrize("option", ["--aoi", "--bands", "--output", "--crs"])
def test_other_values_are_left_to_the_shell(option: str) -> None:
    assert complete("predict", option, "") == []


@pytest.mark.parametrize(
    ("shell", "variables"),
    [
        ("bash", {"COMP_WORDS": "geodetect preview --sheet ", "COMP_CWORD": "3"}),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "geodetect preview --sheet "}),
        (
            "fish",
            {
                "_TYPER_COMPLETE_ARGS": "geodetect preview --sheet ",
                "_TYPER_COMPLETE_FISH_ACTION": "get-args",
            },
        ),
    ],
)
def test_shells_get_the_values(shell: str, variables: dict[str, str]) -> None:
    process = subprocess.run(
        PROGRAM,
        capture_output=True,
        text=True,
        env=program_environment(_GEODETECT_COMPLETE=f"complete_{shell}", **variables),
        check=True,
    )
    assert all(value in process.stdout for value in ("best", "worst", "uncertain"))


@pytest.mark.skipif(os.name == "nt", reason="a shell of POSIX")
def test_the_script_for_bash_completes(tmp_path: Path) -> None:
    """The script asks a program called geodetect, as it would once installed."""
    program = tmp_path / "geodetect"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(PROGRAM)} "$@"\n')
    program.chmod(0o755)
    environment = program_environment(PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    script = subprocess.run(
        PROGRAM,
        capture_output=True,
        text=True,
        env=environment | {"_GEODETECT_COMPLETE": "source_bash"},
        check=True,
    ).stdout
    asked = "COMP_WORDS=(geodetect tile --format '') COMP_CWORD=3; _geodetect_completion geodetect"
    process = subprocess.run(
        ["bash", "-c", f'{script}\n{asked}\necho "${{COMPREPLY[@]}}"'],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    assert process.stdout.split() == ["coco", "yolo", "voc"], process.stderr
