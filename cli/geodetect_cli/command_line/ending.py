"""End of a command: its duration, and the command line that a user types next."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Mapping, Sequence

from geodetect.progress import format_duration
from geodetect.redaction import redact
from geodetect_cli.streams import printable

PROGRAM = "geodetect"


class Ending:
    """Duration of the running command and the next one.

    Attributes:
        command: Name of the running command; empty: none was named.
        arguments: Its arguments by settings field, as they were stated.
        next_command: Command line to type next; None: none.
    """

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begin a run of the program."""
        self._start = time.monotonic()
        self.command = ""
        self.arguments: Mapping[str, Sequence[str]] = {}
        self.next_command: str | None = None

    @property
    def seconds(self) -> float:
        """Wall time since the start of the program."""
        return time.monotonic() - self._start

    def suggest(self, arguments: Sequence[str] | None) -> None:
        """Take the arguments of the next command; None: there is none.

        Nothing is suggested that would not run as it is printed: without the secrets of addresses,
        and without characters that cannot be printed.
        """
        line = None if arguments is None else shlex.join([PROGRAM, *arguments])
        is_typeable = line is not None and redact(line) == line == printable(line)
        self.next_command = line if is_typeable and line is not None and "\n" not in line else None

    def again(self, *, without: str = "", more: Sequence[str] = ()) -> list[str]:
        """Return the arguments of the running command, to run it again.

        Args:
            without: Settings field whose arguments are left out.
            more: Further arguments.
        """
        stated = (values for name, values in self.arguments.items() if name != without)
        return [self.command, *(value for values in stated for value in values), *more]

    def lines(self) -> Iterator[str]:
        """Yield the last lines of a command."""
        last_line = f"Done in {format_duration(self.seconds)}."
        if self.next_command is None:
            yield last_line
        else:
            yield f"{last_line} Next, for example:"
            yield self.next_command


ending = Ending()
