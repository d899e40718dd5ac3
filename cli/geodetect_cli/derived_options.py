"""Options of commands, derived from the fields of settings classes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any

import typer
from typer.core import TyperArgument, TyperCommand

from geodetect.settings.base import Settings
from geodetect_cli.command_line.mistakes import CommandLineReader
from geodetect_cli.command_line.option import Option
from geodetect_cli.command_line.spelling import Spellings


class SectionedCommand(TyperCommand):
    """A command whose help lists options under the headings of their settings.

    Options are understood in all spellings of ``options``, and mistakes are answered.
    """

    options: Mapping[str, Option] = MappingProxyType({})  # by field name

    @cached_property
    def spellings(self) -> Spellings:
        """Spellings of the options."""
        return spellings_of(self.options)

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Parse the words after the name of the command."""
        if not ctx.resilient_parsing:
            options = [o for o in self.options.values() if o.form.reads and not o.form.positional]
            reader = CommandLineReader(
                str(self.name),
                self.get_params(ctx),
                self.spellings,
                readable={option.long_flag: option.form.reads.rstrip("s") for option in options},
                required={o.long_flag for o in options if o.field.is_required()},
            )
            args = reader.read(args)
        return super().parse_args(ctx, args)

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


def spellings_of(options: Mapping[str, Option]) -> Spellings:
    """Return the spellings of options, those without a value included."""
    flags = {option.long_flag: option.former_names for option in options.values()}
    switched_on = [o for o in options.values() if o.is_switch and o.field.default is True]
    return Spellings(flags | {f"--no-{option.key}": () for option in switched_on})
