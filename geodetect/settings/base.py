"""Base class of settings, and the form that a setting has on a command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Frozen settings; unknown names are refused."""

    # most programs use one class of many: each is built when it is first used
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    section: ClassVar[str] = "Options"  # heading in help texts of the fields of this class

    def stated_values(self) -> dict[str, Any]:
        """Return all values but None as JSON types: what repeats a run."""
        return self.model_dump(mode="json", exclude_none=True)


@dataclass(frozen=True)
class CommandLine:
    """Form of a setting on a command line, attached to its type with ``Annotated``.

    Args:
        metavar: Placeholder of the value in help texts.
        short: Letter of a short flag.
        name: Name of the option, where it differs from the field's.
        positional: An argument instead of an option.
        repeatable: One value of the tuple per occurrence, instead of all values in one text.
        reads: Kind of input that the value names, which no output may replace; empty: none.
    """

    metavar: str = ""
    short: str = ""
    name: str = ""
    positional: bool = False
    repeatable: bool = False
    reads: Literal["", "file", "rasters", "labels"] = ""
