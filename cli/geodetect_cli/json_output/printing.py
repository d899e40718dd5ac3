"""Printing of JSON on the output stream: one object for each run of the program."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TextIO, cast

import typer

from geodetect.json_text import finite
from geodetect.redaction import redact_all
from geodetect_cli.command_line.ending import ending
from geodetect_cli.json_output.envelope import ErrorValues, FailureOutput, JsonOutput
from geodetect_cli.streams import EscapedStream, printable_json


class JsonPrinter:
    """Printer of the JSON of a command.

    The object is printed when the command ends, so that its warnings and its error are in it.
    """

    def __init__(self) -> None:
        self.start(None, is_active=False)

    def start(self, command: str | None, *, is_active: bool) -> None:
        """Begin the output of a command.

        Args:
            command: Name of the command; None: none was named.
            is_active: ``--json`` is stated; else nothing is printed.
        """
        self.command, self.is_active = command, is_active
        self.warnings: list[str] = []  # from all threads
        self._output: JsonOutput | None = None

    def hold(self, output: JsonOutput, *, caveats: Sequence[str] = ()) -> None:
        """Keep the output of the command until ``print_output`` or ``print_error``.

        Args:
            output: The output, without warnings.
            caveats: Further warnings, which are not on the error stream.
        """
        self._output = output
        self.warnings += caveats

    def print_output(self) -> None:
        """Print the output of the command, if it has any.

        Raises:
            OSError: The output stream cannot be written.
        """
        if self._output is not None:
            self._print(self._output)

    def print_error(self, exit_code: int, kind: str, message: str) -> None:
        """Print an error, with the output of the command if it had one already.

        Args:
            exit_code: Exit code of the program.
            kind: Class of the error.
            message: Text without line ends.
        """
        if not self.is_active:
            return
        error = ErrorValues(exit_code=exit_code, type=kind, message=message)
        output = self._output or FailureOutput(command=self.command, error=error)
        with suppress(OSError):  # the exit code still tells of the error
            self._print(output.model_copy(update={"error": error}))

    def _print(self, output: JsonOutput) -> None:
        """Print an object without secrets of addresses; numbers that JSON lacks are null."""
        warnings = tuple(dict.fromkeys(self.warnings))
        update: dict[str, object] = {"warnings": warnings, "seconds": round(ending.seconds, 2)}
        if output.error is None:
            update["next"] = ending.next_command
        values = output.model_copy(update=update).model_dump(mode="json", by_alias=True)
        self.is_active, self._output = False, None  # a run prints one object
        text = json.dumps(redact_all(finite(values)), indent=2, ensure_ascii=False, allow_nan=False)
        typer.echo(printable_json(text), file=json_stream())


json_printer = JsonPrinter()


def json_stream() -> TextIO:
    """Return the output stream in UTF-8, whatever the terminal's (RFC 8259, clause 8.1)."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace", newline="\n")
    if sys.stdout.isatty():
        return cast("TextIO", EscapedStream(sys.stdout, printable_json))
    return sys.stdout
