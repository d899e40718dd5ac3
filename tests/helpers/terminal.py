"""The program in a pseudo-terminal, and the lines that stay on the screen."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.program import PROGRAM, program_environment

CODE = re.compile(r"\x1b\[([\d;?]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)")


@dataclass(frozen=True)
class Screen:
    """Output of a program in a terminal.

    Args:
        history: All that was written, with control codes.
        returncode: Exit code.
    """

    history: str
    returncode: int

    @property
    def text(self) -> str:
        """Lines that stay, after cursor movements and deletions of lines."""
        lines, row, column = [""], 0, 0
        for number, code, newline, text in CODE.findall(self.history):
            if code == "A":
                row = max(row - int(number or 1), 0)
            elif code == "K":
                lines[row] = ""
            elif newline == "\r":
                column = 0
            elif newline == "\n":
                row += 1
                lines += [""] * (row - len(lines) + 1)
            elif text:
                lines[row] = lines[row][:column].ljust(column) + text
                column += len(text)
        return "\n".join(map(str.rstrip, lines))


def run_in_terminal(*arguments: str | Path, cwd: Path, columns: int, **environment: str) -> Screen:
    """Run the program with all its streams in a terminal of so many columns."""
    variables = program_environment(TERM="xterm-256color", **environment)
    variables.pop("COLUMNS")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    with subprocess.Popen(
        [*PROGRAM, *map(str, arguments)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=cwd,
        env=variables,
    ) as process:
        os.close(theirs)
        output = bytearray()
        while chunk := _read(ours):
            output += chunk
    os.close(ours)
    return Screen(output.decode(errors="replace"), process.returncode)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # on Linux, once the program has closed its end
        return b""
