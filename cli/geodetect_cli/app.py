"""The program ``geodetect``: one module per command, imported when the command runs."""

from __future__ import annotations

import os
import signal
import sys
import threading
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from geodetect.version import __version__
from geodetect_cli.commands import COMMANDS
from geodetect_cli.processes import silence_other_ranks
from geodetect_cli.streams import (
    INTERRUPTED,
    drop_output,
    escape_errors,
    escaped_errors,
    open_closed_streams,
)

INTERRUPT_CODE = 130  # exit code of typer after an interrupt, which it shows no line about
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
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        open_closed_streams()
        escape_errors()
        with silence_other_ranks():
            _run_app()
    except KeyboardInterrupt:
        typer.echo(f"Error: {INTERRUPTED}", err=True)
        raise SystemExit(1) from None
    finally:  # all files are whole: the interpreter ends in a moment, without a traceback
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)


def _run_app() -> None:
    try:
        app()
    except (SystemExit, KeyboardInterrupt) as end:
        code = end.code if isinstance(end, SystemExit) else INTERRUPT_CODE
        if code == INTERRUPT_CODE:
            typer.echo(f"Error: {INTERRUPTED}", err=True)
            code = 1
        if code and threading.active_count() > 1:  # do not wait for threads that hang
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code if isinstance(code, int) else 1)
        raise SystemExit(code) from end
