"""The program ``geodetect``: one module per command, imported when the command runs."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, cast

import typer
from typer.core import TyperCommand, TyperGroup

from geodetect.version import __version__
from geodetect_cli.command_line.ending import ending
from geodetect_cli.command_line.exit_codes import ExitCode
from geodetect_cli.command_line.log_file import log_file
from geodetect_cli.command_line.mistakes import check_command
from geodetect_cli.command_line.usage_error import UsageError
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

if TYPE_CHECKING:
    from geodetect_cli.derived_options import SectionedCommand

TYPER_INTERRUPT = 130  # exit code of typer after an interrupt, which it shows no line about
PLAIN: dict[str, Any] = {  # help and errors without frames: one line that starts with "Error:"
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}
# ClickException, of click or of typer's copy of it
PARSE_ERROR = cast("type[typer.BadParameter]", typer.BadParameter.__mro__[2])
NAMED = {"prog_name": "geodetect"}  # also as `python -m geodetect`
EPILOG = """\b
Start with:  geodetect predict scene.tif
More about a command:  geodetect help predict

\b
Exit codes:
""" + "\n".join(f"  {code:>3}  {code.meaning}" for code in ExitCode)


def print_json_error(arguments: Sequence[str], exit_code: int, kind: str, message: str) -> None:
    """Print an error outside of a command as JSON if its arguments ask for it."""
    if "--json" in arguments:
        from geodetect_cli.json_output.printing import json_printer

        command = next((argument for argument in arguments if argument in COMMANDS), None)
        json_printer.start(command, is_active=True)
        json_printer.print_error(exit_code, kind, " ".join(message.split()))


def _show_usage_error(arguments: Sequence[str], message: str) -> ExitCode:
    """Show an error in one line; the help that stands for missing arguments as it is."""
    typer.echo(message if "\n" in message else f"Error: {message}", err=True)
    print_json_error(arguments, ExitCode.USAGE, "UsageError", message)
    return ExitCode.USAGE


def load_command(name: str) -> SectionedCommand:
    """Import a command."""
    from geodetect_cli.derived_options import SectionedCommand

    module = import_module(f"geodetect_cli.commands.{name}")
    program = typer.Typer(add_completion=False, **PLAIN)
    program.command(
        name, cls=SectionedCommand, epilog=module.EXAMPLES, no_args_is_help=name != "models"
    )(module.command)
    command = typer.main.get_command(program)
    assert isinstance(command, SectionedCommand)
    command.options = module.command.options
    return command


class LazyGroup(TyperGroup):
    """A group that imports a command when it is called, and lists all without importing them."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, summary in COMMANDS.items():
            self.add_command(TyperCommand(name, help=summary))

    def main(self, args: Sequence[str] | None = None, **options: Any) -> NoReturn:  # type: ignore[override]
        """Run the program without control characters of names in its errors."""
        ending.start()
        arguments = sys.argv[1:] if args is None else list(args)
        code: int | None = ExitCode.FAILED
        with escaped_errors():
            try:
                code = super().main(arguments, **NAMED | options | {"standalone_mode": False})
            except OSError as error:  # of help texts; those of commands are shown already
                drop_output()
                typer.echo(f"Error: cannot write: {error.strerror}", err=True)
                code = ExitCode.FAILED
            except typer.Abort:
                code = ExitCode.FAILED
            except UsageError as error:
                code = _show_usage_error(arguments, str(error))
            except PARSE_ERROR as error:
                code = _show_usage_error(arguments, error.format_message())
            finally:
                log_file.close(code or ExitCode.DONE)
        sys.exit(code or ExitCode.DONE)

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Parse the words up to the command; ``help predict`` is ``predict --help``."""
        if args and not ctx.resilient_parsing:
            args = [*args[1:2], "--help"] if args[0] == "help" else args
            flags = [name for parameter in self.get_params(ctx) for name in parameter.opts]
            check_command(args, flags)
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the name, the command and the rest of the arguments."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if name else command, rest


app = typer.Typer(
    cls=LazyGroup,
    name="geodetect",
    help="Object detection on aerial imagery: GeoTIFF in, map layer out.",
    epilog=EPILOG,
    no_args_is_help=True,
    **PLAIN,
)


def _show_version(is_set: bool) -> None:
    if is_set:
        typer.echo(f"geodetect {__version__}")
        raise typer.Exit


def _show_json_schema(is_set: bool) -> None:
    if is_set:
        from geodetect_cli.json_output.schema import schema_text

        typer.echo(schema_text(), nl=False)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show version.")
    ] = False,
    json_schema: Annotated[
        bool,
        typer.Option(
            "--json-schema",
            callback=_show_json_schema,
            is_eager=True,
            help="Print the JSON Schema of what --json prints.",
        ),
    ] = False,
) -> None:
    """Object detection on aerial imagery: GeoTIFF in, map layer out."""


def main() -> None:
    """Run the program; Ctrl-C and SIGTERM end it with one line, also before a command runs."""
    try:
        with _interrupts_as_exits():
            catch_signals()
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
        print_json_error(sys.argv[1:], interrupt_code(), "Interrupted", INTERRUPTED)
        raise SystemExit(interrupt_code()) from end
