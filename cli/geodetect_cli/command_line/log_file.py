"""Log file: the messages of runs of the program, each line with its time."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import TextIO

from geodetect.errors import OutputError
from geodetect.redaction import redact
from geodetect.training.distributed import is_main_process
from geodetect.version import __version__
from geodetect_cli.streams import printable

HEAD = re.compile(rb"\d{4}-\d\d-\d\dT\S+ geodetect \d")  # of the first line of a log


class LogFile:
    """Text stream that appends to a log, if one is open.

    Attributes:
        mutes_messages: The terminal shows warnings and errors only.
    """

    encoding = "utf-8"

    def __init__(self) -> None:
        self._stream: TextIO | None = None
        self._lock = Lock()  # progress is written by a thread
        self.mutes_messages = False

    @property
    def is_open(self) -> bool:
        """True between ``open`` and ``close``."""
        return self._stream is not None

    def open(self, path: Path, command_line: Sequence[str], *, mutes_messages: bool) -> None:
        """Begin the part of a run; of several processes only the main one writes.

        Args:
            path: The log, which is created if it does not exist.
            command_line: Arguments of the program.
            mutes_messages: Show messages nowhere else, but for warnings and errors.

        Raises:
            OutputError: The file cannot be written, or is something else than a log.
        """
        if not is_main_process():
            return
        try:
            is_appendable = not path.is_file() or _is_log(path)
            if is_appendable:
                self._stream = path.open("a", encoding=self.encoding, errors="backslashreplace")
        except OSError as error:
            text = f"cannot write {path} ({error.strerror}); choose another `log_file`"
            raise OutputError(text) from error
        if not is_appendable:
            raise OutputError(
                f"{path} is no log of geodetect, and nothing is appended to it; choose another "
                f"`log_file`"
            )
        self.mutes_messages = mutes_messages
        command = printable(redact(shlex.join(["geodetect", *command_line])))
        self.write(f"geodetect {__version__} in {Path.cwd()}: {command}")

    def write(self, text: str) -> int:
        """Append lines; a log that can no longer be written is closed."""
        time = datetime.now().astimezone().isoformat(timespec="seconds")
        lines = [f"{time} {line.rstrip()}\n" for line in text.splitlines() if line.strip()]
        with self._lock:
            if self._stream is not None:
                try:
                    self._stream.writelines(lines)
                    self._stream.flush()
                except OSError:
                    self._stream = None
        return len(text)

    def flush(self) -> None:
        """Do nothing: all lines are in the file."""

    def close(self, exit_code: int) -> None:
        """End the part of a run."""
        self.write(f"exit code {exit_code}")
        if self._stream is not None:
            self._stream.close()
        self._stream, self.mutes_messages = None, False


def _is_log(path: Path) -> bool:
    with path.open("rb") as file:
        line = file.readline(200)
    return not line or HEAD.match(line) is not None


log_file = LogFile()
