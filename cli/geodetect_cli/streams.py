"""Standard streams of the program: open ones, which get no control characters from names."""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

INTERRUPTED = "interrupted; no result was written"

# controls, formats (such as the reversal of text, and characters of no width), lone halves of
# characters (of names that are not in UTF-8), and ends of lines and paragraphs
_UNPRINTABLE = ("Cc", "Cf", "Cs", "Zl", "Zp")
_LINE_LAYOUT = "\n\t"


class StreamError(Exception):
    """The output stream cannot be written; the cause is the error of the system."""


class EscapedStream:
    """Text stream that shows characters that cannot be printed by their numbers.

    Args:
        stream: The stream that it writes to.
        escape: Function of a text that replaces these characters.
    """

    def __init__(self, stream: TextIO, escape: Callable[[str], str]) -> None:
        self.rich_proxied_file = stream  # rich, whose consoles escape names themselves, uses it
        self._escape = escape

    def write(self, text: str) -> int:
        """Write a text."""
        return self.rich_proxied_file.write(self._escape(text))

    def writelines(self, lines: Iterator[str]) -> None:
        """Write texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


def printable(text: str) -> str:
    r"""Return a text with characters that cannot be printed as Python writes them, ``\x1b``.

    Line feeds and tabs stay.
    """
    return _escape_characters(text, lambda char: char.encode("unicode_escape").decode())


def printable_json(text: str) -> str:
    r"""Return JSON with characters that cannot be printed as its escapes, ``\u001b``."""
    return _escape_characters(text, lambda char: json.dumps(char)[1:-1])


def _escape_characters(text: str, escape: Callable[[str], str]) -> str:
    if text.isprintable():
        return text
    return "".join(
        escape(char)
        if not char.isprintable()
        and char not in _LINE_LAYOUT
        and unicodedata.category(char) in _UNPRINTABLE
        else char
        for char in text
    )


def escape_errors() -> None:
    """Escape all that is written to the error stream: usage errors of typer, and tracebacks."""
    if not isinstance(sys.stderr, EscapedStream):
        sys.stderr = cast("TextIO", EscapedStream(sys.stderr, printable))


@contextmanager
def escaped_errors() -> Iterator[None]:
    """Escape all that is written to the error stream in a ``with`` block."""
    stream = sys.stderr
    escape_errors()
    try:
        yield
    finally:
        sys.stderr = stream


def drop_output() -> None:
    """Keep Python from flushing the output stream, and failing again, at exit."""
    with suppress(OSError), open(os.devnull, "w") as nowhere:  # noqa: PTH123 (no path)
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def open_closed_streams() -> None:
    """Open standard streams that the caller has closed, before a file gets their number.

    Libraries write messages to these numbers. Writing to a closed output stream stays an error.
    """
    for number, flags in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
