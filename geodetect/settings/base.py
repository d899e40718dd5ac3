"""Base class of settings, and the form that a setting has on a command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.fields import FieldInfo


class Settings(BaseModel):
    """Frozen settings; unknown names are refused, former names understood."""

    # most programs use one class of many: each is built when it is first used
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    section: ClassVar[str] = "Options"  # heading in help texts of the fields of this class

    @model_validator(mode="before")
    @classmethod
    def _read_former_names(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        values = dict(values)
        for name, field in cls.model_fields.items():
            for former in former_names(field):
                if former in values and former not in cls.model_fields:
                    if name in values:
                        raise ValueError(f"`{former}` is the former name of `{name}`; found both")
                    values[name] = values.pop(former)
        return values

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


@dataclass(frozen=True, init=False)
class FormerNames:
    """Names that a setting had in earlier versions, attached to its type with ``Annotated``.

    Args:
        names: The names; they are understood, and shown nowhere.
    """

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        object.__setattr__(self, "names", names)


def former_names(field: FieldInfo) -> tuple[str, ...]:
    """Return the names that a setting had in earlier versions."""
    return tuple(
        name for item in field.metadata if isinstance(item, FormerNames) for name in item.names
    )
