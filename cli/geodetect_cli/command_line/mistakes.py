"""Mistakes on the command line, each answered in one line with what was meant."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from typer.core import TyperArgument, TyperOption

from geodetect_cli.command_line.file_kinds import file_kind
from geodetect_cli.command_line.other_names import command_meant, options_meant
from geodetect_cli.command_line.spelling import Spellings
from geodetect_cli.commands import COMMANDS
from geodetect_cli.usage_error import UsageError

SIMILAR = 0.7  # least similarity of two words (``difflib``)
NUMBER = re.compile(r"-?\d*\.?\d+")
WORD = re.compile(r"[^\W\d]\w*")
UNITS = ("m", "cm", "mm", "px", "%")
TRUTH_VALUES = ("yes", "no", "true", "false", "on", "off", "0", "1")
LONG_DASHES = "\u2012\u2013\u2014\u2015\u2212"  # that text programs make of two dashes
NOT_MERGED = "predict writes the objects of several rasters into one layer: predict *.tif -o FILE"
HINTS = {  # of names that no option has, because it is not needed
    "resume": "an interrupted run continues by itself when the command is repeated",
    "nproc": "processes are started by torchrun",
}


class CommandLineReader:
    """Reader of the words after the name of a command.

    Args:
        command: Name of the command.
        parameters: Its parameters.
        spellings: Spellings of its options.
        readable: Kinds of files by the flags that take them.
    """

    def __init__(
        self,
        command: str,
        parameters: Sequence[Any],
        spellings: Spellings,
        readable: dict[str, str],
    ) -> None:
        self._command, self._spellings, self._readable = command, spellings, readable
        self._options = {
            name: parameter
            for parameter in parameters
            if isinstance(parameter, TyperOption)
            for name in (*parameter.opts, *parameter.secondary_opts)
        }
        arguments = [p for p in parameters if isinstance(p, TyperArgument)]
        takes_all = any(argument.nargs < 0 for argument in arguments)
        self._max_arguments = None if takes_all else len(arguments)

    def read(self, words: Sequence[str]) -> list[str]:
        """Return the words with all options under their names.

        Raises:
            UsageError: An option that does not exist, or one without its value, or too many
                arguments.
        """
        result, arguments, pending = list[str](), list[str](), list(words)
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
            elif option is not None and not equals:
                result.append(self._value(name, option, pending))
        if self._max_arguments is not None and len(arguments) > self._max_arguments:
            raise UsageError(self._surplus(arguments[self._max_arguments]))
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
            raise UsageError(f"{name} takes one word, without blanks: {name} {joined}")
        return value

    def _check_switch(self, name: str, value: str | None, pending: Sequence[str]) -> None:
        """Raise an error if a value is stated for an option that has none."""
        following = pending[0] if pending else ""
        if value is None and name == "--json" and following.endswith(".json"):
            if not Path(following).exists():
                raise UsageError(f"--json has no value; to keep its output: --json > {following}")
        elif value is None and following.lower() in TRUTH_VALUES and not Path(following).exists():
            value = following
        if value is not None:
            raise UsageError(f"{name} has no value, found {value}; state it or leave it out")

    def _long_dash(self, word: str) -> str:
        name = word.lstrip(LONG_DASHES + "-")
        flag = self._spellings.flag(f"--{name}")
        meant = flag if flag is not None else f"-{name}" if len(name) == 1 else f"--{name}"
        return f"{word} begins with a long dash; did you mean {meant}?"

    def _check_argument(self, word: str) -> None:
        name, equals, value = word.partition("=")
        flag = self._spellings.flag(f"--{name}") if equals and name.isidentifier() else None
        if flag is not None and not Path(word).exists():
            raise UsageError(f"found {word}; an option is written {flag} {value}")

    def _surplus(self, word: str) -> str:
        kind = file_kind(word)
        flags = [flag for flag, readable in self._readable.items() if kind and readable == kind]
        hint = f"; name it with {' or '.join(flags)}" if flags else ""
        return f"unexpected argument {word}{hint}; see geodetect {self._command} --help"

    def _unknown(self, name: str) -> str:
        word = name.lstrip("-").lower().replace("_", "-")
        flags = self._spellings.flags
        if word in HINTS:
            return f"no option {name}: {HINTS[word]}"
        meant = [f"--{option}" for option in options_meant(word) if f"--{option}" in flags]
        meant = meant[:1] or get_close_matches(f"--{word}", flags, n=1, cutoff=SIMILAR)
        if meant:
            return f"no option {name}; did you mean {meant[0]}?"
        others = [c for c in _commands_with(f"--{word}") if c != self._command]
        if others:
            return f"{self._command} has no option {name}; {_listed(others)}"
        return f"no option {name}; see geodetect {self._command} --help"


def check_command(words: Sequence[str], options: Iterable[str]) -> None:
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
        raise UsageError(f"no option {name} of geodetect itself; name a command first")
    if first in COMMANDS:
        return
    if first == "merge":
        raise UsageError(f"no command merge: {NOT_MERGED}")
    nearest = get_close_matches(first.lower(), COMMANDS, n=1, cutoff=SIMILAR)
    meant = command_meant(first) or (nearest[0] if nearest else None)
    if meant is not None:
        raise UsageError(f"no command {first}; did you mean {meant}?")
    if file_kind(first) == "raster":
        raise UsageError(f"no command {first}; did you mean geodetect predict {first}?")
    raise UsageError(f"no command {first}; expected one of {', '.join(COMMANDS)}")


def _joined(value: str, placeholder: str, following: Sequence[str]) -> str | None:
    """Return a value and the words after it that belong to it; None: there are none."""
    first = following[0] if following else ""
    if NUMBER.fullmatch(value) and first.lower() in UNITS:
        return f"{value}{first}"
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
    from geodetect_cli.app import load_command

    for name in COMMANDS:
        if flag in load_command(name).spellings.flags:
            yield name


def _listed(commands: Sequence[str]) -> str:
    names = ", ".join(commands[:-1]) + (" and " if len(commands) > 1 else "") + commands[-1]
    return f"{names} {'has' if len(commands) == 1 else 'have'} it"
