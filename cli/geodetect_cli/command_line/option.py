"""An option of a command, derived from the field of a settings class."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from geodetect.settings.base import CommandLine, former_names
from geodetect_cli.command_line.completion import value_completer
from geodetect_cli.console import name_options

AS_OPTION = "_as_option"  # ending of the parameter that states an argument as an option
SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


@dataclass(frozen=True)
class Option:
    """An option, or argument, of a command.

    Args:
        field_name: Name of the settings field.
        field: The field.
        section: Heading in the help.
    """

    field_name: str
    field: FieldInfo
    section: str

    @cached_property
    def metadata(self) -> list[Any]:
        """Metadata of the field's type, outermost last."""
        return [*_nested_metadata(self.field.annotation), *self.field.metadata]

    @cached_property
    def form(self) -> CommandLine:
        """Form on the command line."""
        forms = [item for item in self.metadata if isinstance(item, CommandLine)]
        return forms[-1] if forms else CommandLine()

    @property
    def key(self) -> str:
        """Name in settings files."""
        return self.form.name or self.field_name

    @property
    def flag(self) -> str:
        """Name on the command line: ``--tile-size``, or the placeholder of an argument."""
        return self.metavar if self.form.positional else self.long_flag

    @property
    def long_flag(self) -> str:
        """Name on the command line as an option, which arguments have too."""
        return f"--{self.key.replace('_', '-')}"

    @property
    def former_names(self) -> tuple[str, ...]:
        """Names in earlier versions."""
        return former_names(self.field)

    @property
    def metavar(self) -> str:
        """Placeholder of the value; for a ``Literal`` its values."""
        return self.form.metavar or "|".join(self.choices)

    @property
    def choices(self) -> tuple[str, ...]:
        """Values to choose from: those of a ``Literal``, which are all, or of its form."""
        if self.form.choices:
            return self.form.choices
        annotation = self.field.annotation
        members = (annotation, *get_args(annotation))
        return next((get_args(m) for m in members if get_origin(m) is Literal), ())

    @property
    def _completer(self) -> Callable[[str], list[str]] | None:
        return value_completer(self.choices, reads_model=self.form.reads == "model")

    @property
    def is_switch(self) -> bool:
        """True for an option without a value."""
        return self.field.annotation is bool

    def text(self, value: Any) -> str:
        """Return the option with a value, as on the command line."""
        if self.is_switch:
            return self.flag if value else f"--no-{self.flag[2:]}"
        return f"{self.flag} {' '.join(value) if isinstance(value, list) else value}"

    def arguments(self, value: Any) -> list[str]:
        """Return the option with a value as words of a command line."""
        values = list(map(str, value)) if isinstance(value, list) else [str(value)]
        if self.form.positional:
            return values
        if self.is_switch:
            return [self.text(value)]
        return [word for text in values for word in (self.flag, text)]

    def parameters(self, flags: Mapping[str, str]) -> Iterator[inspect.Parameter]:
        """Yield the parameter that Typer makes an option of; for an argument, both forms.

        It has no default, so that options on the command line can be told from defaults, and no
        type: texts and settings files are converted in one place, by the field.
        """
        yield self._parameter(self.field_name, self._info(flags))
        if self.form.positional:
            info = typer.Option(
                *self._names, help=self.flag, hidden=True, autocompletion=self._completer
            )
            yield self._parameter(f"{self.field_name}{AS_OPTION}", info)

    @property
    def _names(self) -> list[str]:
        names = [self.long_flag, *([f"-{self.form.short}"] if self.form.short else [])]
        if self.is_switch and self.field.default is True:
            names[0] += f"/--no-{self.flag[2:]}"
        return names

    def _info(self, flags: Mapping[str, str]) -> Any:
        text = name_options(self.field.description or "", flags)
        if self.details:
            text += f"  [{'; '.join(self.details)}]"
        if self.form.positional:
            return typer.Argument(
                metavar=self.metavar, help=text, show_default=False, autocompletion=self._completer
            )
        return typer.Option(
            *self._names,
            metavar=self.metavar or None,
            help=text,
            show_default=False,
            autocompletion=self._completer,
            rich_help_panel=self.section,
        )

    def _parameter(self, name: str, info: Any) -> inspect.Parameter:
        kind: Any = bool if self.is_switch else list[str] if self.form.repeatable else str
        return inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[kind | None, info],
        )

    @property
    def details(self) -> list[str]:
        """Default and range for the help."""
        also = [f"also {self.long_flag}"] if self.form.positional else []
        if self.field.is_required():
            return ["required", *also]
        default, details = self.field.default, also
        if default is True:
            details.append(f"default: {self.flag[2:]}")
        elif not self.is_switch and default not in (None, "", ()):
            values = default if isinstance(default, tuple) else (default,)
            texts = [f"{v:g}" if isinstance(v, float) else str(v) for v in values]
            details.append(f"default: {','.join(texts)}")
        limits = [(n, getattr(m, n)) for m in self.metadata for n in SIGNS if hasattr(m, n)]
        low = [limit for limit in limits if limit[0] in ("ge", "gt")][-1:]  # the outermost
        high = [limit for limit in limits if limit[0] in ("le", "lt")][-1:]
        if low and high:
            (low_name, least), (high_name, most) = *low, *high
            sign = SIGNS[low_name].replace(">", "<")
            details.append(f"{least:g}{sign}x{SIGNS[high_name]}{most:g}")
        else:
            details += [f"x{SIGNS[name]}{limit:g}" for name, limit in (*low, *high)]
        return details


def _nested_metadata(annotation: Any) -> Iterator[Any]:
    """Yield the metadata of a type and of the members of a union."""
    if get_origin(annotation) is Annotated:
        for item in annotation.__metadata__:
            yield from item.metadata if isinstance(item, FieldInfo) else [item]
    elif get_origin(annotation) in (Union, UnionType):
        for member in get_args(annotation):
            yield from _nested_metadata(member)
