"""Errors in the use of a command."""


class UsageError(Exception):
    """A command that is called in a wrong way: one line, exit code 2."""
