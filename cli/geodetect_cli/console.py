"""Messages, errors and tables in the terminal.

Messages go to the error stream; the output stream is for results.
"""

from __future__ import annotations

import io
import logging
import re
import sys
import traceback
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import IO, Any, NoReturn, cast

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.control import Control
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from geodetect.errors import GeodetectError, GeodetectWarning, IncompleteWarning, error_text
from geodetect.redaction import redact
from geodetect_cli.command_line.exit_codes import ExitCode
from geodetect_cli.command_line.log_file import log_file
from geodetect_cli.command_line.usage_error import UsageError
from geodetect_cli.json_output.envelope import JsonOutput
from geodetect_cli.json_output.events import event_lines
from geodetect_cli.json_output.printing import json_printer
from geodetect_cli.signals import (
    begin_ending,
    catch_signals,
    has_interrupt,
    interrupt_code,
    raise_again,
)
from geodetect_cli.streams import (
    INTERRUPTED,
    EscapedStream,
    StreamError,
    drop_output,
    printable,
)

WARNING, ERROR = "yellow", "red"  # styles
KINDS = {WARNING: "warning", ERROR: "error"}  # of messages, by style
NO_WRAP = 10_000  # columns of tables in pipes and files, whose lines stay whole
MIN_WIDTH, MAX_WIDTH = 80, 120  # columns of tables whose long values are wrapped


class SafeConsole(Console):
    """Console that shows names as they are: control characters escaped, and no markup.

    Consoles of the standard streams print to the log file, too. Messages are lines of JSON where
    ``event_lines`` is active.
    """

    @property
    def file(self) -> IO[str]:
        """Stream that the console writes to, with its own control characters."""
        file = super().file
        while isinstance(file, EscapedStream):
            file = file.rich_proxied_file
        return file

    @file.setter
    def file(self, file: IO[str]) -> None:
        self._file = file

    def render_str(self, text: str, **options: Any) -> Text:
        """Convert a text, which is escaped before it is laid out."""
        return super().render_str(printable(text), **options | {"markup": False, "emoji": False})

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render anything; a styled text that must be escaped loses its styles."""
        if isinstance(renderable, Text) and renderable.plain != printable(renderable.plain):
            renderable = Text(printable(renderable.plain))
        return super().render(renderable, options)

    def print(self, *objects: Any, **options: Any) -> None:
        """Print objects.

        Raises:
            StreamError: The output stream cannot be written; messages are dropped then.
        """
        if self._file is None and log_file.is_open:
            if not isinstance(next(iter(objects), None), Control):  # movements of the cursor
                log.print(*objects, **options)
            if log_file.mutes_messages and options.get("style") not in (WARNING, ERROR):
                return
        if self._file is None and self.stderr and event_lines.is_active:
            text = io.StringIO()
            SafeConsole(file=text, width=NO_WRAP, color_system=None).print(*objects, **options)
            event_lines.write_messages(
                KINDS.get(options.get("style", ""), "message"), text.getvalue()
            )
            return
        with suppress(OSError) if self.stderr else _stream_errors():
            super().print(*objects, **options)

    def on_broken_pipe(self) -> None:
        """Raise the error instead of ending the program."""
        raise BrokenPipeError


stderr = SafeConsole(stderr=True)
log = SafeConsole(file=cast("IO[str]", log_file), width=NO_WRAP, color_system=None)
_flags: ContextVar[Mapping[str, str]] = ContextVar("flags", default={})  # noqa: B039
_opening_lines: list[str] = []  # of the running command, which are shown when its work begins
_holes: list[str] = []  # warnings of the running command about inputs that are left out


@contextmanager
def show_errors(
    flags: Mapping[str, str],
    command: str | None = None,
    *,
    as_json: bool = False,
    as_events: bool = False,
) -> Iterator[None]:
    """Show each error raised on purpose as one line and exit; bugs show their traceback.

    Args:
        flags: Options of the running command by the parameters of the library that they set.
        command: Name of the running command.
        as_json: Print errors as JSON, too.
        as_events: Write lines of JSON to the error stream.
    """
    json_printer.start(command, is_active=as_json)
    event_lines.start(command, is_active=as_events)
    catch_signals()
    sys.unraisablehook = _show_unraisable
    _flags.set(flags)
    _collect_warnings(flags)
    _opening_lines.clear()
    if isinstance(sys.stdout, io.TextIOWrapper):  # names may hold what a console cannot show
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        yield
    except UsageError as error:
        _fail(str(error), "UsageError", code=ExitCode.USAGE)
    except GeodetectError as error:
        _fail(name_options(str(error)), type(error).__name__)
    except KeyboardInterrupt as error:
        _fail(name_options(str(error)) or INTERRUPTED, "Interrupted", code=interrupt_code())
    except BrokenPipeError:  # the reader of the output has closed it
        drop_output()
        raise typer.Exit(ExitCode.FAILED) from None
    except OSError as error:  # the system's, such as a full disk
        drop_output()
        _fail(f"{error.filename or 'cannot write'}: {error.strerror or error}", "OSError")
    except Exception as error:
        if has_interrupt():  # a library may turn the interrupt of a callback into another error
            _fail(INTERRUPTED, "Interrupted", code=interrupt_code())
        from geodetect.hardware.memory import is_out_of_memory

        if isinstance(error, typer.Exit):
            raise
        if not is_out_of_memory(error):
            json_printer.print_error(ExitCode.FAILED, type(error).__name__, error_text(error))
            log_file.write(printable(traceback.format_exc()))
            raise
        text = f"too little memory, or too few threads allowed ({error_text(error)})"
        _fail(text, "OutOfMemoryError")


@contextmanager
def summary(outputs: Sequence[Path]) -> Iterator[None]:
    """Print the JSON of a command; exit as its files demand when its summary cannot be printed.

    Args:
        outputs: Files and folders that it has written so far.
    """
    try:
        yield
        if _holes:
            _fail(
                "finished with holes: what the warnings name is left out, all else is complete",
                "Incomplete",
                code=ExitCode.INCOMPLETE,
            )
        with _stream_errors():
            json_printer.print_output()
            sys.stdout.flush()
    except StreamError as error:
        drop_output()
        if not isinstance(error.__cause__, BrokenPipeError):  # else the reader wants no more
            text = f"the output stream cannot be written ({error})"
            if not outputs:
                _fail(text, "OSError")
            print_message(f"Warning: {text}; all files are complete", style=WARNING)
        raise typer.Exit(ExitCode.DONE if outputs else ExitCode.FAILED) from None


@contextmanager
def _stream_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StreamError(error.strerror) from error


def _collect_warnings(flags: Mapping[str, str]) -> None:
    """Show our own warnings only, one line each, and keep them for JSON.

    GDAL's are in our error messages already.
    """
    logging.getLogger("rasterio").setLevel(logging.CRITICAL)
    logging.getLogger("pyogrio").setLevel(logging.CRITICAL)
    _holes.clear()

    def show(message: Warning | str, *_: object, **__: object) -> None:
        text = name_options(str(message), flags)  # threads do not have the context's flags
        json_printer.warnings.append(text)
        if isinstance(message, IncompleteWarning):
            _holes.append(text)
        print_message(f"Warning: {text}", style=WARNING)

    warnings.simplefilter("ignore")
    warnings.simplefilter("always", GeodetectWarning)
    warnings.showwarning = show


def name_options(text: str, flags: Mapping[str, str] | None = None) -> str:
    """Replace parameters of the library in backticks by the options that set them.

    Args:
        text: Message or description: "`tile_size` must be positive".
        flags: Options by parameter; None: those of the running command. Other words in backticks
            stay as they are.
    """
    flags = _flags.get() if flags is None else flags
    return re.sub(r"`([a-z]\w*)`", lambda match: flags.get(match[1], match[0]), text)


def print_message(text: str, *, style: str = "", out: Console = stderr) -> None:
    """Print a line on the error stream, neither wrapped nor interpreted as markup."""
    line = " ".join(redact(text).split("\n"))  # a name cannot begin a line of its own
    out.print(line, style=style, markup=False, highlight=False, soft_wrap=True)


def print_at_begin(line: str) -> None:
    """Print a line before the first one about the work: not if an input cannot be used."""
    _opening_lines.append(line)


def take_opening_lines() -> list[str]:
    """Return the lines of ``print_at_begin`` that are not printed yet."""
    lines = _opening_lines[:]
    _opening_lines.clear()
    return lines


def show_table(
    title: str, rows: Sequence[tuple[str, str]], *, out: Console = stderr, wrap: bool = False
) -> None:
    """Print a table of names and values.

    Args:
        title: Title; empty: none.
        rows: Names and values.
        out: Console to print it on.
        wrap: Wrap long values in pipes and files, too.
    """
    table = Table(
        title=redact(title) or None,
        title_justify="left",
        show_header=False,
        box=None,
        padding=(0, 2),
    )
    for name, value in rows:
        table.add_row(name, redact(value), style=None)
    if out.is_terminal:
        out.print(table)
        return
    width = min(max(out.width, MIN_WIDTH), MAX_WIDTH) if wrap else NO_WRAP
    layout = io.StringIO()
    SafeConsole(file=layout, width=width).print(table)
    lines = layout.getvalue().splitlines()  # without the spaces that make all lines equally long
    out.print("\n".join(map(str.rstrip, lines)), highlight=False, soft_wrap=True)


def result_console() -> Console:
    """Return a console for the output stream, which does not wrap lines in pipes and files."""
    out = SafeConsole()
    return out if out.is_terminal else SafeConsole(width=NO_WRAP)


def print_json(output: JsonOutput, *, caveats: Sequence[str] = ()) -> None:
    """Have the JSON of the command printed on the output stream when it ends.

    Args:
        output: The output, without warnings.
        caveats: Texts for ``warnings`` beside those that were shown, with parameters of the library
            in backticks.
    """
    json_printer.hold(output, caveats=[name_options(caveat) for caveat in caveats])


def _show_unraisable(error: sys.UnraisableHookArgs) -> None:
    """Show an error that no caller gets, with two exceptions.

    An interrupt is raised again. A message of GDAL that is no UTF-8 is not shown: rasterio fails to
    write it to its log, which nobody sees, when GDAL quotes a damaged file.
    """
    if issubclass(error.exc_type, KeyboardInterrupt):
        raise_again()
    elif not issubclass(error.exc_type, UnicodeDecodeError):
        sys.__unraisablehook__(error)


def _fail(message: str, kind: str, *, code: int = ExitCode.FAILED) -> NoReturn:
    """Show an error as one line, and as JSON with the class ``kind``, and exit."""
    begin_ending()
    text = " ".join(message.splitlines())
    print_message(f"Error: {text}", style=ERROR)
    json_printer.print_error(code, kind, text)
    raise typer.Exit(code)
