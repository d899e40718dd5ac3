"""Mistakes on the command line, each answered in one line with what was meant."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

from typer.core import TyperArgument, TyperOption

from geodetect_cli.command_line.file_kinds import file_kind
from geodetect_cli.command_line.other_names import command_meant, options_meant
from geodetect_cli.command_line.spelling import Spellings
from geodetect_cli.command_line.usage_error import UsageError
from geodetect_cli.command_line.values import length_meant
from geodetect_cli.commands import COMMANDS

SIMILAR = 0.7  # least similarity of two words (``difflib``)
MOST_ALIKE = 3  # options that begin with one letter
VERY_SIMILAR = 0.8  # of names of other programs, which are many
NUMBER = re.compile(r"-?\d*\.?\d+")
WORD = re.compile(r"[^\W\d]\w*")
ONE_NUMBER = ("METRES", "PX", "PX|FRACTION", "SCORE", "IOU", "FRACTION", "AP", "N", "NUMBER",
              "RATE", "SECONDS", "MINUTES")  # fmt: skip
TRUTH_VALUES = ("yes", "no", "true", "false", "on", "off")
LONG_DASHES = "\u2012\u2013\u2014\u2015\u2212"  # that text programs make of two dashes
NOT_MERGED = "predict writes the objects of several rasters into one layer: predict *.tif -o FILE"
HINTS = {  # of names that no option has, because it is not needed
    "resume": "an interrupted run continues by itself when the command is repeated",
    "nproc": "processes are started by torchrun",
    "version": "write geodetect --version",
    "v": "write geodetect --version",
}


class CommandLineReader:
    """Reader of the words after the name of a command.

    Args:
        command: Name of the command.
        parameters: Its parameters.
        spellings: Spellings of its options.
        readable: Kinds of files by the options that take them, in the order of the help.
        required: Options that must be stated.
    """

    def __init__(
        self,
        command: str,
        parameters: Sequence[Any],
        spellings: Spellings,
        *,
        readable: Mapping[str, str],
        required: Collection[str],
    ) -> None:
        self._command, self._spellings = command, spellings
        self._readable, self._required = readable, required
        self._options = {
            name: parameter
            for parameter in parameters
            if isinstance(parameter, TyperOption)
            for name in (*parameter.opts, *parameter.secondary_opts)
        }
        arguments = [p for p in parameters if isinstance(p, TyperArgument)]
        self._arguments = [argument.metavar or "" for argument in arguments]
        self._takes_all = any(argument.nargs < 0 for argument in arguments)

    def read(self, words: Sequence[str]) -> list[str]:
        """Return the words with all options under their names.

        Raises:
            UsageError: An option that does not exist, or one without its value, or too many
                arguments.
        """
        result, arguments, pending = list[str](), list[str](), list(words)
        names = dict[str, str]()  # first list of each option that takes one
        while pending:
            word = pending.pop(0)
            if word == "--":
                arguments += pending
                result += [word, *pending]
                break
            if word.startswith(tuple(LONG_DASHES)):
                raise UsageError(self._long_dash(word))
            if not word.startswith("-") or word == "-" or NUMBER.fullmatch(word):
                self._check_argument(word)
                arguments.append(word)
                result.append(word)
                continue
            name, equals, value = word.partition("=")
            flag = self._flag(name)
            result.append(f"{flag}{equals}{value}")
            option = self._options.get(flag)
            if option is not None and option.is_flag:
                self._check_switch(name, value if equals else None, pending)
            elif option is not None:
                if not equals:
                    value = self._value(name, option, pending)
                    result.append(value)
                if option.metavar == "NAME,NAME":
                    first = names.setdefault(str(option.name), value)
                    _check_repetition(option.opts[0], value, first)
        surplus = [] if self._takes_all else arguments[len(self._arguments) :]
        if surplus:
            raise UsageError(self._surplus(surplus[0], stated=result))
        return result

    def _flag(self, name: str) -> str:
        if name in self._options:
            return name
        if name.startswith("--"):
            flag = self._spellings.flag(name)
            if flag is None:
                raise UsageError(self._unknown(name))
            return flag
        flag = self._spellings.flag(f"-{name}") if len(name) > 2 else None
        if flag is not None:
            raise UsageError(f"no option {name}; did you mean {flag}, with two dashes?")
        if name[:2] not in self._options:
            raise UsageError(self._unknown(name if len(name) > 2 else name[:2]))
        return name  # several short flags, or one with its value: -qv, -oFILE

    def _value(self, name: str, option: TyperOption, pending: list[str]) -> str:
        placeholder = option.metavar or "a value"
        if not pending:
            raise UsageError(f"{name} is the last word; expected {placeholder} after it")
        value = pending.pop(0)
        if value.startswith("-") and (value in self._options or self._spellings.flag(value)):
            raise UsageError(f"{name} is followed by the option {value}; expected {placeholder}")
        joined = _joined(value, placeholder, pending)
        if joined is not None:
            raise UsageError(f"a value ends at a blank; did you mean {name} {joined}?")
        return value

    def _check_switch(self, name: str, value: str | None, pending: Sequence[str]) -> None:
        """Raise an error if a value is stated for an option that has none."""
        following = pending[0] if pending else ""
        if value is None and not Path(following).exists():
            if name == "--json" and following.endswith(".json"):
                raise UsageError(f"--json takes no value; to keep its output: --json > {following}")
            if following.lower() in TRUTH_VALUES or NUMBER.fullmatch(following):
                value = following
        if value is not None:
            raise UsageError(f"{name} takes no value, found {value}; leave {name} out for no")

    def _long_dash(self, word: str) -> str:
        name = word.lstrip(LONG_DASHES + "-")
        flag = self._spellings.flag(f"--{name}")
        meant = flag if flag is not None else f"-{name}" if len(name) == 1 else f"--{name}"
        return f"{word} begins with a long dash; did you mean {meant}?"

    def _check_argument(self, word: str) -> None:
        name, equals, value = word.partition("=")
        if word == "help" and not Path(word).exists():
            raise UsageError(f"found help; did you mean geodetect help {self._command}?")
        flag = self._spellings.flag(f"--{name}") if equals and name.isidentifier() else None
        if flag is not None and not Path(word).exists():
            raise UsageError(f"found {word}; an option is written {flag} {value}")

    def _surplus(self, word: str, *, stated: Collection[str]) -> str:
        """Return the error of an argument that no place is left for, with the option to name it."""
        is_folder = word.endswith("/") or Path(word).is_dir()
        kind = "raster" if is_folder else file_kind(word)
        kinds = ("layer", "label") if kind == "layer" else (kind,)
        flags = [
            flag
            for flag, readable in self._readable.items()
            if readable in kinds and flag not in stated
        ]
        flags = [flag for flag in flags if flag in self._required] or flags
        places = " and ".join(self._arguments)
        hint = f"geodetect {self._command} takes {f'only {places}' if places else 'none'}"
        if flags:
            hint = f"did you mean {' or '.join(flags)} {word}?"
        elif not self._readable and not places:
            hint = f"did you mean geodetect info {word}?"
        return f"unexpected argument {word}; {hint}"

    def _unknown(self, name: str) -> str:
        word = name.lstrip("-").lower().replace("_", "-")
        if word in HINTS:
            return f"no option {name}: {HINTS[word]}"
        meant = self._options_meant().get(word)
        commands = [] if meant else [c for c in _commands_with(f"--{word}") if c != self._command]
        if commands:
            *first, last = commands
            has = f"{', '.join(first)} and {last} have" if first else f"{last} has"
            return f"{self._command} has no option {name}; {has} it"
        meant = meant or self._similar_option(word)
        command = command_meant(word)
        if meant is None and command not in (None, self._command):
            meant = f"the command {command}"
        if meant is None:
            return f"no option {name}; see geodetect {self._command} --help"
        return f"no option {name}; did you mean {meant}?"

    def _options_meant(self) -> dict[str, str]:
        """Return the options that names of other programs, without dashes, mean."""
        return {
            other: f"--{option}"
            for other, options in options_meant().items()
            for option in options[::-1]
            if f"--{option}" in self._spellings.flags
        }

    def _similar_option(self, word: str) -> str | None:
        """Return the option that a misspelt name without dashes means."""
        flags, names, meant = self._spellings.flags, self._spellings.names, self._options_meant()
        if len(word) == 1:
            alike = [flag for flag in flags if flag.startswith(f"--{word}")]
            return " or ".join(alike) if 1 <= len(alike) <= MOST_ALIKE else None
        nearest = get_close_matches(f"--{word}", names, n=1, cutoff=SIMILAR)
        if nearest:
            return names[nearest[0]]
        nearest = get_close_matches(word, meant, n=1, cutoff=VERY_SIMILAR)
        return meant[nearest[0]] if nearest else None


def check_command(words: Sequence[str], options: Sequence[str]) -> None:
    """Check that the first word is a command.

    Args:
        words: Words after the name of the program.
        options: Options of the program itself.

    Raises:
        UsageError: It is none.
    """
    first = words[0]
    if first == "geodetect":
        raise UsageError(f"geodetect stands there twice; write {' '.join(words)}")
    if first.startswith("-"):
        name = first.partition("=")[0]
        if name in options:
            return
        command = next((word for word in words if word in COMMANDS), None)
        if command is not None:
            raise UsageError(
                f"{name} stands before the command; write geodetect {command} ... {name} ..."
            )
        nearest = get_close_matches(name.lower(), options, n=1, cutoff=SIMILAR)
        if name.lower() == "-v":
            nearest = ["--version"]
        if nearest:
            raise UsageError(f"no option {name} of geodetect itself; did you mean {nearest[0]}?")
        raise UsageError(f"no option {name} of geodetect itself; name a command first")
    if first == "merge" and any(file_kind(word) == "layer" for word in words[1:2]):
        raise UsageError(f"merge takes the folder of a planned run; {NOT_MERGED}")
    if first in COMMANDS:
        return
    if f"--{first.lower()}" in options:
        raise UsageError(f"no command {first}; did you mean geodetect --{first.lower()}?")
    nearest = get_close_matches(first.lower(), COMMANDS, n=1, cutoff=SIMILAR)
    meant = command_meant(first) or (nearest[0] if nearest else None)
    if meant is not None:
        raise UsageError(f"no command {first}; did you mean {meant}?")
    if file_kind(first) == "raster":
        raise UsageError(f"no command {first}; did you mean geodetect predict {first}?")
    raise UsageError(f"no command {first}; expected one of {', '.join(COMMANDS)}")


def _check_repetition(flag: str, value: str, first: str) -> None:
    """Raise an error if a list of names is stated twice; of other options the last one counts."""
    if value != first:
        joined = f"{first},{value}"
        raise UsageError(f"{flag} takes one list; did you mean {flag} {joined}?")


def _joined(value: str, placeholder: str, following: Sequence[str]) -> str | None:
    """Return a value and the words after it that belong to it; None: there are none."""
    first = following[0] if following else ""
    if NUMBER.fullmatch(value) and first in ("px", "%"):
        return f"{value}{first}"
    if placeholder == "METRES" and NUMBER.fullmatch(value) and first.isalpha():
        return length_meant(f"{value}{first}")
    if placeholder in ONE_NUMBER and NUMBER.fullmatch(value.strip(",")) and NUMBER.fullmatch(first):
        return " or ".join(dict.fromkeys((value.strip(","), first)))
    if "," in placeholder and NUMBER.fullmatch(value.rstrip(",")):
        numbers = [value, *_leading_numbers(following)]
        return ",".join(number.strip(",") for number in numbers) if len(numbers) > 1 else None
    if placeholder in ("NAME,NAME", "TEXT"):
        words = [value, *_leading_words(following)]
        text = " ".join(words) if placeholder == "TEXT" else ",".join(w.strip(",") for w in words)
        return shlex.quote(text) if len(words) > 1 else None
    return None


def _leading_numbers(words: Sequence[str]) -> Iterator[str]:
    for word in words:
        if not NUMBER.fullmatch(word.strip(",")):
            return
        yield word


def _leading_words(words: Sequence[str]) -> Iterator[str]:
    for word in words:
        if not WORD.fullmatch(word.strip(",")) or Path(word).exists():
            return
        yield word


def _commands_with(flag: str) -> Iterator[str]:
    for name in COMMANDS:
        options = import_module(f"geodetect_cli.commands.{name}").command.options
        if any(option.long_flag == flag for option in options.values()):
            yield name
