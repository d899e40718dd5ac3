"""Commands that are functions of settings."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, get_type_hints

import typer

from geodetect.errors import SettingError
from geodetect.io.inputs import Inputs, protect_inputs
from geodetect.settings.base import Settings
from geodetect.settings.toml import toml_value
from geodetect_cli import console
from geodetect_cli.command_line.ending import ending
from geodetect_cli.command_line.log_file import log_file
from geodetect_cli.command_line.option import AS_OPTION, Option
from geodetect_cli.command_line.usage_error import UsageError
from geodetect_cli.command_line.values import check_files, similar_files, value_hint
from geodetect_cli.config_file import ConfigFile
from geodetect_cli.derived_options import list_options, spellings_of
from geodetect_cli.json_output.printing import json_printer
from geodetect_cli.options import ConsoleOptions
from geodetect_cli.tables.progress import show_progress

LOG_FILE = "log_file"  # the field


def settings_command(command: Callable[..., None]) -> Callable[..., None]:
    """Turn a function of settings into a command with one option per field.

    Values come from the command line, else from the settings file, else they are the defaults.

    Args:
        command: Function whose parameters are settings classes. Of a field that several of them
            have, the first one gets the option, and the others keep their default.
    """
    groups: dict[str, type[Settings]] = get_type_hints(command)
    del groups["return"]
    options = list_options(*groups.values())
    spellings = spellings_of(options)
    names = {option.long_flag: name for name, option in options.items()}
    flags = {name: o.flag for o in options.values() for name in o.former_names}
    flags |= {name: o.flag for o in options.values() for name in (o.field_name, o.key)}

    @functools.wraps(command)
    def run(context: typer.Context, **arguments: Any) -> None:
        as_json = bool(arguments.get("as_json"))
        with console.show_errors(flags, context.info_name, as_json=as_json):
            from_options = check_files(options, _stated_values(options, arguments))
            file, from_file = None, {}
            if "config" in from_options:
                file = ConfigFile.read(
                    Path(from_options["config"]),
                    str(context.info_name),
                    spellings=spellings,
                )
                from_file = {names[flag]: value for flag, value in file.values.items()}
            values = from_file | from_options
            json_printer.is_active = values.get("as_json") is True
            try:
                settings = _build_settings(groups, values)
            except SettingError as error:
                raise _usage_error(error, options, from_options, file) from None
            ending.command = str(context.info_name)
            ending.arguments = {n: o.arguments(from_options[n]) for n, o in options.items()
                                if n in from_options}  # fmt: skip
            settings = _open_log(options, settings)
            if values.get("verbose") and file is not None:
                for name in from_options.keys() & from_file.keys():
                    text = options[name].text(from_options[name])
                    replaced = f"{options[name].key} = {toml_value(from_file[name])}"
                    console.print_message(f"{text} replaces {replaced} of {file.path}")
            with (
                _show_ending(settings, as_json=json_printer.is_active),
                _protect_inputs(options, settings) as inputs,
                console.summary(inputs.outputs),
                _show_progress(settings, announces=not json_printer.is_active),
                similar_files(options, values),
            ):
                command(**settings)

    parameters = [p for option in options.values() for p in option.parameters(flags)]
    context = inspect.Parameter(
        "context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context
    )
    run.__signature__ = inspect.Signature([context, *parameters])  # type: ignore[attr-defined]
    run.options = options  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in (context, *parameters)}
    return run


def _stated_values(options: Mapping[str, Option], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values on the command line by field.

    An argument may also be stated as an option; the words in place of arguments are then those of
    the next ones. Of several files that a shell puts after an option, the first is the value of the
    option and the others are words, so words follow the values of the option.
    """
    stated = {name: value for name, value in arguments.items() if value not in (None, [])}
    positional = [option for option in options.values() if option.form.positional]
    words: list[str] = []
    for option in positional:
        value = stated.pop(option.field_name, [])
        words += value if isinstance(value, list) else [value]
    for option in positional:
        name = option.field_name
        value = stated.pop(f"{name}{AS_OPTION}", None)
        if option.form.repeatable and (words or value):
            stated[name] = [*(value or []), *words]
            words = []
        elif value is not None:
            stated[name] = value
        elif words:
            stated[name] = words.pop(0)
    if words:
        last = positional[-1]
        raise UsageError(f"unexpected argument {words[0]}: {last.long_flag} names {last.flag}")
    return stated


def _build_settings(
    groups: Mapping[str, type[Settings]], values: Mapping[str, Any]
) -> dict[str, Settings]:
    """Return settings by parameter; a value goes to the first class that has its field."""
    settings, names = {}, set(values)
    for parameter, group in groups.items():
        group_names = names & group.model_fields.keys()
        names -= group.model_fields.keys()
        settings[parameter] = group.resolve({name: values[name] for name in group_names}, {})
    return settings


def _open_log(
    options: Mapping[str, Option], settings: Mapping[str, Settings]
) -> dict[str, Settings]:
    """Open the log file, if there is one; messages that only it gets are not quiet then.

    Raises:
        UsageError: Another option names the same file.
        OutputError: The file cannot be used.
    """
    opened = dict(settings)
    for parameter, group in settings.items():
        if isinstance(group, ConsoleOptions) and group.log_file is not None:
            _check_log_name(group.log_file, options, settings)
            log_file.open(group.log_file, ending.again(), mutes_messages=group.quiet)
            opened[parameter] = group.model_copy(update={"quiet": False})
    return opened


def _check_log_name(
    log: Path, options: Mapping[str, Option], settings: Mapping[str, Settings]
) -> None:
    if str(log) == "-":
        raise UsageError("--log-file names a file; without it messages go to the error stream")
    for group in settings.values():
        for name, value in group:
            is_other = name != LOG_FILE and value and options[name].metavar in ("FILE", "FOLDER")
            if is_other and os.path.realpath(value) == os.path.realpath(log):
                raise UsageError(f"--log-file and {options[name].flag} are both {log}; rename one")


@contextmanager
def _show_ending(settings: Mapping[str, Settings], *, as_json: bool) -> Iterator[None]:
    """Show the duration of a command and the next one, unless messages are not to be shown."""
    is_quiet = any(isinstance(g, ConsoleOptions) and g.quiet for g in settings.values())
    yield
    if not (as_json or is_quiet):
        for line in ending.lines():
            console.print_message(line)


def _show_progress(
    settings: Mapping[str, Settings], *, announces: bool
) -> AbstractContextManager[None]:
    """Return a context that shows the phases of a command, unless it is always short."""
    for group in settings.values():
        if isinstance(group, ConsoleOptions):
            return show_progress(
                quiet=group.quiet, line_seconds=group.progress_every, announces=announces
            )
    return nullcontext()


def _protect_inputs(
    options: Mapping[str, Option], settings: Mapping[str, Settings]
) -> AbstractContextManager[Inputs]:
    """Return a context in which no output replaces a file that an option names as an input."""
    stated = {
        name: value
        for group in settings.values()
        for name, value in group
        if name in group.model_fields_set and value is not None
    }
    inputs: dict[str, list[Any]] = {"file": [], "rasters": [], "labels": []}
    for name, value in stated.items():
        form = options[name].form
        if form.reads == "rasters" and any(map(os.path.isdir, value)):
            from geodetect.io.sources.find import find_rasters

            value = find_rasters(value, quiet=True)
        if form.reads and form.is_protected:
            inputs[form.reads if form.reads in inputs else "file"].append(value)
    return protect_inputs(inputs["file"], inputs["rasters"], folders=inputs["labels"])


def _usage_error(
    error: SettingError,
    options: Mapping[str, Option],
    from_options: Collection[str],
    file: ConfigFile | None,
) -> UsageError:
    """Return an error of a setting as one of its option, or of the line of the file."""
    option = options[error.parameter]
    if error.is_missing:
        return UsageError(f"{option.flag} is missing: {console.name_options(error.problem)}")
    if file is not None and option.field_name not in from_options:
        problem = f"{error.problem}; found {toml_value(error.value)}"
        return file.error(option.long_flag, f"{option.key}: {problem}")
    problem = console.name_options(error.problem)
    if problem == "expected a number" and option.choices:
        problem += f" or {', '.join(option.choices)}"
    hint = value_hint(option, error.value)
    return UsageError(f"Invalid value for {option.flag}: {problem}; found {error.value!r}{hint}")
