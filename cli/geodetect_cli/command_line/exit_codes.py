"""Exit codes of the program."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit code of the program, with its meaning in the help and the docs."""

    meaning: str

    DONE = 0, "done"
    FAILED = 1, "an error: nothing was written, or only what an earlier line names"
    USAGE = 2, "a command line or settings file that cannot be used; nothing was done"
    INCOMPLETE = 3, "finished with holes: an input that cannot be read is left out"
    INTERRUPTED = 130, "interrupted by Ctrl-C (SIGINT)"
    TERMINATED = 143, "ended by SIGTERM"

    def __new__(cls, code: int, meaning: str) -> ExitCode:
        """Return a code with its meaning."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member
