"""Keys that the JSON of all commands has, and the JSON of a command that fails."""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from geodetect.json_text import finite

SCHEMA_VERSION: Literal[1] = 1  # raised when a key is renamed, removed or changes its meaning

PathText = Annotated[
    str, BeforeValidator(lambda path: os.fspath(path) if isinstance(path, os.PathLike) else path)
]
Count = Annotated[int, Field(ge=0)]
Interval = Annotated[
    tuple[float, float] | None,
    Field(description="Ends of the 95 % interval of the value; null: undefined."),
]


class JsonValues(BaseModel):
    """Part of the JSON of a command: every key is declared, and printed even if it is null."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class ErrorValues(JsonValues):
    """Error that ended a command, or that its result has in spite of its output."""

    exit_code: int = Field(description="Exit code of the program; see docs/json.md.", ge=1, le=255)
    type: str = Field(
        description="Class of geodetect.errors, such as InputError; or UsageError, Incomplete (an "
        "input is left out, exit code 3), Interrupted, OSError (of the system), OutOfMemoryError, "
        "or the class of an error that is a bug."
    )
    message: str = Field(description="Text of the line on the error stream, without `Error: `.")


class JsonOutput(JsonValues):
    """Output of a command."""

    schema_version: Literal[1] = Field(
        SCHEMA_VERSION,
        description="Version of this schema; raised when a key is renamed, removed or changes its "
        "meaning.",
    )
    command: str | None = Field(description="Name of the command; null: none was named.")
    warnings: tuple[str, ...] = Field(
        (), description="Texts of the warnings on the error stream, without `Warning: `."
    )
    error: ErrorValues | None = Field(
        None, description="Error of the command; null: there was none, and the exit code is 0."
    )
    seconds: float = Field(
        0.0, description="Wall time of the command from its start, in seconds: all of its work."
    )
    next: str | None = Field(
        None, description="Command line that one would type next; null: there is none."
    )

    @classmethod
    def from_values(cls, **values: Any) -> JsonOutput:
        """Return the output with these values; NaN and infinity become null."""
        return cls.model_validate(finite(values))


class FailureOutput(JsonOutput):
    """A command that failed before it had a result."""

    error: ErrorValues = Field(description="Error of the command.")
