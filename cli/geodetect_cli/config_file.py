"""Settings files: TOML with the names of the options of a command as keys."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from geodetect_cli.command_line.spelling import Spellings
from geodetect_cli.command_line.usage_error import UsageError
from geodetect_cli.commands import COMMANDS

CONFIG = "--config"


@dataclass(frozen=True)
class ConfigFile:
    """Settings of one command, read from a file.

    Args:
        path: The file.
        command: Name of the command, and of its table.
        text: Content of the file.
        values: Values by flag: those of the command's table, else those at the top level.
        keys: Keys in the file by flag.
    """

    path: Path
    command: str
    text: str
    values: Mapping[str, Any]
    keys: Mapping[str, str]

    @classmethod
    def read(cls, path: Path, command: str, *, spellings: Spellings) -> ConfigFile:
        """Read a file and check its keys.

        Args:
            path: The file.
            command: Name of the running command; tables of other commands are skipped.
            spellings: Flags of the command, whose names are the keys.

        Raises:
            UsageError: The file cannot be read, is not TOML, or has an unknown key.
        """
        try:
            text = path.read_text(encoding="utf-8")
            content = tomllib.loads(text)
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not in UTF-8"
            raise UsageError(f"{path} cannot be read ({reason})") from None
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"{path} is not TOML: {error}") from None
        values = {
            key: value
            for key, value in content.items()
            if not (key in COMMANDS and isinstance(value, dict))  # a setting is called check, too
        }
        values |= _table(text, command)
        keys: dict[str, str] = {}
        for key in values:
            flag = spellings.flag(f"--{key.replace('_', '-')}")
            if flag is None or flag == CONFIG:
                nearest = get_close_matches(key, _keys(spellings), n=1, cutoff=0)
                problem = f"unknown key {key}; the nearest one is {nearest[0]}"
            elif flag in keys:
                problem = f"{key} and {keys[flag]} are the same setting; state one"
            else:
                keys[flag] = key
                continue
            raise cls(path, command, text, values, {flag or "": key}).error(flag or "", problem)
        return cls(path, command, text, {f: values[key] for f, key in keys.items()}, keys)

    def error(self, flag: str, problem: str) -> UsageError:
        """Return the error of a setting, with its line."""
        return UsageError(f"{self.path}, line {self.line(self.keys[flag])}: {problem}")

    def line(self, key: str) -> int:
        """Return the line on which a key is set, counted from 1; ``tomllib`` does not keep it."""
        table = self.command if key in _table(self.text, self.command) else ""
        for target in (f"{table}.{key}".strip("."), table):
            for number, path in _assignments(self.text):
                if path == target or path.startswith(f"{target}."):
                    return number
        return 1


def _keys(spellings: Spellings) -> list[str]:
    return [flag[2:].replace("-", "_") for flag in spellings.flags if flag != CONFIG]


def _table(text: str, name: str) -> Mapping[str, Any]:
    table = tomllib.loads(text).get(name)
    return table if isinstance(table, dict) else {}


def _assignments(text: str) -> Iterator[tuple[int, str]]:
    """Yield line numbers and dotted paths of tables and keys, none inside of multi-line texts."""
    table, lines = "", text.splitlines()
    for number, line in enumerate(lines):
        match = re.match(r"\s*(?:\[+([^\[\]]+)\]|([^\s#=\[][^=]*)=)", line)
        if match is None or not _is_complete("\n".join(lines[:number])):
            continue
        path = re.sub(r"[\s\"']", "", match[1] or match[2])
        table, path = (path, path) if match[1] else (table, f"{table}.{path}".strip("."))
        yield number + 1, path


def _is_complete(text: str) -> bool:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True
