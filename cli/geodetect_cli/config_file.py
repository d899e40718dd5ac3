"""Settings files: TOML with the names of the options of a command as keys."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from geodetect_cli.commands import COMMANDS
from geodetect_cli.usage_error import UsageError


@dataclass(frozen=True)
class ConfigFile:
    """Settings of one command, read from a file.

    Args:
        path: The file.
        command: Name of the command, and of its table.
        text: Content of the file.
        values: Values by key: those of the command's table, else those at the top level.
    """

    path: Path
    command: str
    text: str
    values: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path, command: str, *, keys: Collection[str]) -> ConfigFile:
        """Read a file and check its keys.

        Args:
            path: The file.
            command: Name of the running command; tables of other commands are skipped.
            keys: Keys that the command has.

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
        file = cls(path, command, text, values)
        for key in values:
            if key not in keys:
                nearest = get_close_matches(key, keys, n=1, cutoff=0)
                raise file.error(key, f"unknown key {key}; the nearest one is {nearest[0]}")
        return file

    def error(self, key: str, problem: str) -> UsageError:
        """Return the error of a key, with its line."""
        return UsageError(f"{self.path}, line {self.line(key)}: {problem}")

    def line(self, key: str) -> int:
        """Return the line on which a key is set, counted from 1; ``tomllib`` does not keep it."""
        table = self.command if key in _table(self.text, self.command) else ""
        for target in (f"{table}.{key}".strip("."), table):
            for number, path in _assignments(self.text):
                if path == target or path.startswith(f"{target}."):
                    return number
        return 1


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
