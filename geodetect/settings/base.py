"""Base class of settings, and the form that a setting has on a command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.fields import FieldInfo

from geodetect.errors import InputError, SettingError, UnknownParameterError, short_repr

# phrases of pydantic, and what our messages say instead
PHRASES = {
    "Value error, ": "",
    "Input should be greater": "expected a number greater",
    "Input should be less": "expected a number less",
    "Input should be": "expected",
    "a valid tuple": "a list",
    "a valid number": "a number",
    "a valid integer": "a whole number",
}


class Settings(BaseModel):
    """Frozen settings; unknown names are refused, former names understood.

    Raises:
        SettingError: A setting has a value that it cannot have, or a required one is missing.
        UnknownParameterError: There is no setting of a name.
    """

    # most programs use one class of many: each is built when it is first used
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    section: ClassVar[str] = "Options"  # heading in help texts of the fields of this class

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _translate(error, type(self)) from None

    @classmethod
    def names(cls) -> dict[str, str]:
        """Return the names of all settings, and of each name that it had before, its name."""
        former = {old: n for n, field in cls.model_fields.items() for old in former_names(field)}
        return former | {name: name for name in cls.model_fields}

    @model_validator(mode="before")
    @classmethod
    def _read_former_names(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        names, renamed = cls.names(), {}
        for name, value in values.items():
            current = names.get(name, name)
            if current in renamed:
                former = next(old for old in values if names.get(old) == current != old)
                raise ValueError(f"`{former}` is the former name of `{current}`; found both")
            renamed[current] = value
        return renamed

    @classmethod
    def resolve(
        cls, settings: Settings | Mapping[str, Any] | None, keywords: Mapping[str, Any]
    ) -> Self:
        """Return the settings that a function is called with.

        Args:
            settings: Settings of this class or one of its bases, a dictionary, or None: defaults.
            keywords: Values by name, which win over ``settings``.

        Raises:
            SettingError: As of the class.
            UnknownParameterError: As of the class.
            InputError: ``settings`` is something else.
        """
        if isinstance(settings, cls) and not keywords:
            return settings
        if isinstance(settings, Settings) and issubclass(cls, type(settings)):
            settings = {name: getattr(settings, name) for name in settings.model_fields_set}
        if not isinstance(settings, Mapping | None):
            raise InputError(
                f"`settings`: expected {cls.__name__}, a dictionary or None; found "
                f"{short_repr(settings)}"
            )
        names = cls.names()
        values = [*(settings or {}).items(), *keywords.items()]
        return cls(**{names.get(name, name): value for name, value in values})

    def stated_values(self) -> dict[str, Any]:
        """Return all values but None as JSON types: what repeats a run."""
        return self.model_dump(mode="json", exclude_none=True)


@dataclass(frozen=True)
class Accepts:
    """Further types that a setting takes from Python, attached to its type with ``Annotated``.

    Args:
        types: A union, as code of ``geodetect.settings.keywords``.
    """

    types: str


@dataclass(frozen=True)
class CommandLine:
    """Form of a setting on a command line, attached to its type with ``Annotated``.

    Args:
        metavar: Placeholder of the value in help texts.
        short: Letter of a short flag.
        name: Name of the option, where it differs from the field's.
        positional: An argument instead of an option.
        repeatable: One value of the tuple per occurrence, instead of all values in one text.
        reads: Kind of input that the value names; empty: none.
        is_protected: No output may replace that input.
        choices: Values that are completed and suggested, where others are possible too.
    """

    metavar: str = ""
    short: str = ""
    name: str = ""
    positional: bool = False
    repeatable: bool = False
    reads: Literal[
        "", "file", "raster", "rasters", "layer", "labels", "model", "weights", "settings"
    ] = ""
    is_protected: bool = True
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, init=False)
class FormerNames:
    """Names that a setting had in earlier versions, attached to its type with ``Annotated``.

    Args:
        names: The names; they are understood, and stand in docs/options.md only.
    """

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        object.__setattr__(self, "names", names)


def former_names(field: FieldInfo) -> tuple[str, ...]:
    """Return the names that a setting had in earlier versions."""
    return tuple(
        name for item in field.metadata if isinstance(item, FormerNames) for name in item.names
    )


def _translate(error: ValidationError, owner: type[Settings]) -> InputError:
    """Return the first problem of an error of pydantic as an error of ours."""
    first = error.errors()[0]
    if not first["loc"]:  # of the settings as a whole
        return InputError(first["msg"].removeprefix("Value error, "))
    name = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        return UnknownParameterError(owner.__name__, name, owner.model_fields)
    if first["type"] == "missing":
        description = owner.model_fields[name].description or ""
        return SettingError(name, description, is_missing=True)
    problem = first["msg"].partition(", unable to parse")[0]
    for phrase, replacement in PHRASES.items():
        problem = problem.replace(phrase, replacement)
    return SettingError(name, problem, first["input"])
