"""The program ``geodetect``: one module per command, imported when the command runs."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from geodetect.version import __version__
from geodetect_cli.commands import COMMANDS
from geodetect_cli.processes import silence_other_ranks
from geodetect_cli.signals import (
    begin_ending,
    catch_signals,
    has_interrupt,
    ignore_signals,
    interrupt_code,
    is_ending,
)
from geodetect_cli.streams import (
    INTERRUPTED,
    drop_output,
    escape_errors,
    escaped_errors,
    open_closed_streams,
)

TYPER_INTERRUPT = 130  # exit code of typer after an interrupt, which it shows no line about
PLAIN: dict[str, Any] = {  # help and errors without frames: one line that starts with "Error:"
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}


def load_command(name: str) -> TyperCommand:
    """Import a command."""
    from geodetect_cli.derived_options import SectionedCommand

    module = import_module(f"geodetect_cli.commands.{name}")
    program = typer.Typer(add_completion=False, **PLAIN)
    program.command(
        name, cls=SectionedCommand, epilog=module.EXAMPLES, no_args_is_help=name != "models"
    )(module.command)
    command = typer.main.get_command(program)
    assert isinstance(command, TyperCommand)
    return command


class LazyGroup(TyperGroup):
    """A group that imports a command when it is called, and lists all without importing them."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, summary in COMMANDS.items():
            self.add_command(TyperCommand(name, help=summary))

    def main(self, *args: Any, **options: Any) -> Any:
        """Run the program without control characters of names in its errors."""
        with escaped_errors():
            try:
                return super().main(*args, **options)
            except OSError as error:  # of help texts; those of commands are shown already
                drop_output()
                typer.echo(f"Error: cannot write: {error.strerror}", err=True)
                sys.exit(1)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the name, the command and the rest of the arguments."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if name else command, rest


app = typer.Typer(
    cls=LazyGroup,
    name="geodetect",
    help="Object detection on aerial imagery: GeoTIFF in, map layer out.",
    epilog="Start with:  geodetect predict scene.tif",
    no_args_is_help=True,
    **PLAIN,
)


def _show_version(is_set: bool) -> None:
    if is_set:
        typer.echo(f"geodetect {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show version.")
    ] = False,
) -> None:
    """Object detection on aerial imagery: GeoTIFF in, map layer out."""


def main() -> None:
    """Run the program; Ctrl-C and SIGTERM end it with one line, also before a command runs."""
    catch_signals()
    try:
        open_closed_streams()
        escape_errors()
        with silence_other_ranks(), _interrupts_as_exits():
            app()
    except SystemExit as end:
        # Do not wait for threads that hang. An interrupted interpreter may end itself by SIGINT:
        # it does if the interrupt came while a text of code ran, such as that of a dataclass.
        if end.code and (threading.active_count() > 1 or has_interrupt()):
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(end.code if isinstance(end.code, int) else 1)
        raise
    finally:  # the interpreter ends in a moment, without a traceback
        ignore_signals()


@contextmanager
def _interrupts_as_exits() -> Iterator[None]:
    """Exit after an interrupt, with one line if no command has shown it."""
    try:
        yield
    except (SystemExit, KeyboardInterrupt) as end:
        is_shown = is_ending()
        begin_ending()
        if is_shown or (isinstance(end, SystemExit) and end.code != TYPER_INTERRUPT):
            raise
        typer.echo(f"Error: {INTERRUPTED}", err=True)
        raise SystemExit(interrupt_code()) from end
