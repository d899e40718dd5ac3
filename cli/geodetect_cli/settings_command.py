"""Commands that are functions of settings."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_type_hints

import typer
from pydantic import ValidationError

from geodetect.settings.base import Settings
from geodetect.settings.toml import toml_value
from geodetect_cli import console
from geodetect_cli.config_file import ConfigFile
from geodetect_cli.derived_options import Option, list_options
from geodetect_cli.usage_error import UsageError


def settings_command(command: Callable[..., None]) -> Callable[..., None]:
    """Turn a function of settings into a command with one option per field.

    Args:
        command: Function whose parameters are settings classes. Of a field that several of them
            have, the first one gets the option, and the others keep their default.
    """
    groups: dict[str, type[Settings]] = get_type_hints(command)
    groups.pop("return", None)
    options = list_options(*groups.values())
    flags = {name: o.flag for o in options.values() for name in (o.field_name, o.key)}

    def run(context: typer.Context, **arguments: Any) -> None:
        with console.show_errors(flags):
            stated = {name: value for name, value in arguments.items() if value not in (None, [])}
            file = None
            if "config" in stated:
                file = _read_config(Path(stated["config"]), context, options)
            from_file = {} if file is None else _file_values(file, options)
            values = from_file | stated
            settings, unclaimed = {}, set(options)
            for parameter, group in groups.items():
                names = unclaimed & group.model_fields.keys()
                unclaimed -= names
                group_values = {name: values[name] for name in names & values.keys()}
                try:
                    settings[parameter] = group.model_validate(group_values)
                except ValidationError as error:
                    raise _usage_error(error, options, flags, stated, file) from None
            if values.get("verbose"):
                for name in stated.keys() & from_file.keys():
                    console.print_message(
                        _replacement(options[name], stated[name], from_file[name], file)
                    )
            command(**settings)

    parameters = [option.parameter(flags) for option in options.values()]
    context = inspect.Parameter(
        "context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context
    )
    run.__signature__ = inspect.Signature([context, *parameters])  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in (context, *parameters)}
    run.__doc__, run.__name__ = command.__doc__, command.__name__
    run.groups = tuple(groups.values())  # type: ignore[attr-defined]  # for tests of the options
    return run


def _read_config(path: Path, context: typer.Context, options: Mapping[str, Option]) -> ConfigFile:
    keys = [option.key for name, option in options.items() if name != "config"]
    program = context.find_root().command
    return ConfigFile.read(
        path, str(context.info_name), keys=keys, commands=list(getattr(program, "commands", ()))
    )


def _file_values(file: ConfigFile, options: Mapping[str, Option]) -> dict[str, Any]:
    names = {option.key: name for name, option in options.items()}
    return {names[key]: value for key, value in file.values.items()}


def _replacement(option: Option, value: Any, replaced: Any, file: ConfigFile | None) -> str:
    """Return the message on an option that replaces a setting of the file."""
    assert file is not None
    if option.is_switch:
        text = option.flag if value else f"--no-{option.flag[2:]}"
    else:
        text = f"{option.flag} {' '.join(value) if isinstance(value, list) else value}"
    return f"{text} replaces {option.key} = {toml_value(replaced)} of {file.path}"


def _usage_error(
    error: ValidationError,
    options: Mapping[str, Option],
    flags: Mapping[str, str],
    stated: Mapping[str, Any],
    file: ConfigFile | None,
) -> UsageError:
    """Return the first error of settings as one of the option, or of the line of the file."""
    first = error.errors()[0]
    option = options[str(first["loc"][0])]
    if first["type"] == "missing":
        return UsageError(f"{option.flag} is missing: {option.description(flags)}")
    problem = _expectation(first["msg"])
    if option.field_name in stated or file is None:
        problem = console.name_options(problem, flags)
        return UsageError(f"Invalid value for {option.flag}: {problem}; found {first['input']!r}")
    return file.error(option.key, f"{option.key}: {problem}; found {toml_value(first['input'])}")


def _expectation(message: str) -> str:
    """Return a message of pydantic in the words of all other errors."""
    text = message.removeprefix("Value error, ").partition(", unable to parse")[0]
    text = text.replace("Input should be greater", "Input should be a number greater")
    text = text.replace("Input should be less", "Input should be a number less")
    return text.replace("Input should be", "expected").replace("a valid tuple", "a list")
