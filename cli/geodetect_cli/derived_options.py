"""Options of commands, derived from the fields of settings classes."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic.fields import FieldInfo
from typer.core import TyperArgument, TyperCommand

from geodetect.settings.base import CommandLine, Settings
from geodetect_cli.console import name_options

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
        return self.metavar if self.form.positional else f"--{self.key.replace('_', '-')}"

    @property
    def metavar(self) -> str:
        """Placeholder of the value; for a ``Literal`` its values."""
        annotation = self.field.annotation
        members = (annotation, *get_args(annotation))
        literals = [member for member in members if get_origin(member) is Literal]
        return self.form.metavar or "|".join(get_args(literals[0]) if literals else ())

    @property
    def is_switch(self) -> bool:
        """True for an option without a value."""
        return self.field.annotation is bool

    def text(self, value: Any) -> str:
        """Return the option with a value, as on the command line."""
        if self.is_switch:
            return self.flag if value else f"--no-{self.flag[2:]}"
        return f"{self.flag} {' '.join(value) if isinstance(value, list) else value}"

    def parameter(self, flags: Mapping[str, str]) -> inspect.Parameter:
        """Return the parameter that Typer makes an option of.

        It has no default, so that options on the command line can be told from defaults, and no
        type: texts and settings files are converted in one place, by the field.
        """
        text = name_options(self.field.description or "", flags)
        if self.details:
            text += f"  [{'; '.join(self.details)}]"
        if self.form.positional:
            info = typer.Argument(metavar=self.metavar, help=text, show_default=False)
        else:
            names = [self.flag, *([f"-{self.form.short}"] if self.form.short else [])]
            if self.is_switch and self.field.default is True:
                names[0] += f"/--no-{self.flag[2:]}"
            info = typer.Option(
                *names,
                metavar=self.metavar or None,
                help=text,
                show_default=False,
                rich_help_panel=self.section,
            )
        kind: Any = bool if self.is_switch else list[str] if self.form.repeatable else str
        return inspect.Parameter(
            self.field_name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[kind | None, info],
        )

    @property
    def details(self) -> list[str]:
        """Default and range for the help."""
        if self.field.is_required():
            return ["required"]
        default, details = self.field.default, []
        if default is True:
            details.append(f"default: {self.flag[2:]}")
        elif not self.is_switch and default not in (None, "", ()):
            values = default if isinstance(default, tuple) else (default,)
            texts = [f"{v:g}" if isinstance(v, float) else str(v) for v in values]
            details.append(f"default: {','.join(texts)}")
        limits = [
            (sign, getattr(item, name))
            for name, sign in SIGNS.items()
            for item in self.metadata
            if hasattr(item, name)
        ]
        if len(limits) == 2:
            (low_sign, low), (high_sign, high) = limits
            details.append(f"{low:g}{low_sign.replace('>', '<')}x{high_sign}{high:g}")
        else:
            details += [f"x{sign}{limit:g}" for sign, limit in limits]
        return details


class SectionedCommand(TyperCommand):
    """A command whose help lists options under the headings of their settings."""

    def format_options(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        """Write all sections; arguments first."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if isinstance(parameter, TyperArgument):
                sections["Arguments"].append((parameter.metavar or "", parameter.help or ""))
            elif record is not None:
                section = getattr(parameter, "rich_help_panel", None) or "General"
                sections.setdefault(section, []).append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def list_options(*groups: type[Settings]) -> dict[str, Option]:
    """Return the options of settings classes by field name, fields of base classes last."""
    options: dict[str, Option] = {}
    for group in groups:
        for base in group.__mro__:
            if issubclass(base, Settings):
                for name in base.__annotations__:
                    if name in group.model_fields and name not in options:
                        options[name] = Option(name, group.model_fields[name], base.section)
    return options


def _nested_metadata(annotation: Any) -> Iterator[Any]:
    """Yield the metadata of a type and of the members of a union."""
    if get_origin(annotation) is Annotated:
        for item in annotation.__metadata__:
            yield from item.metadata if isinstance(item, FieldInfo) else [item]
    elif get_origin(annotation) in (Union, UnionType):
        for member in get_args(annotation):
            yield from _nested_metadata(member)
