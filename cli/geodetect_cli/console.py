"""Messages, errors, progress and tables in the terminal.

Messages go to the error stream; the output stream is for results.
"""

from __future__ import annotations

import io
import json
import logging
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import IO, Any, NoReturn, TextIO, cast

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from geodetect.errors import GeodetectError, GeodetectWarning, error_text
from geodetect.json_text import finite
from geodetect.progress import Progress as ProgressCall
from geodetect.progress import no_progress
from geodetect.redaction import redact, redact_all
from geodetect_cli.signals import begin_ending, catch_signals, has_interrupt, interrupt_code
from geodetect_cli.streams import (
    INTERRUPTED,
    EscapedStream,
    StreamError,
    drop_output,
    printable,
    printable_json,
)
from geodetect_cli.usage_error import UsageError

FAILURE, USAGE = 1, 2  # exit codes
NO_WRAP = 10_000  # columns of tables in pipes and files, whose lines stay whole
MIN_WIDTH, MAX_WIDTH = 80, 120  # columns of tables whose long values are wrapped


class SafeConsole(Console):
    """Console that shows names as they are: control characters escaped, and no markup."""

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
        with suppress(OSError) if self.stderr else _stream_errors():
            super().print(*objects, **options)

    def on_broken_pipe(self) -> None:
        """Raise the error instead of ending the program."""
        raise BrokenPipeError


stderr = SafeConsole(stderr=True)
_flags: ContextVar[Mapping[str, str]] = ContextVar("flags", default={})  # noqa: B039
_warning_texts: list[str] = []  # of the running command, from all of its threads


@contextmanager
def show_errors(flags: Mapping[str, str]) -> Iterator[None]:
    """Show each error raised on purpose as one line and exit; bugs show their traceback.

    Args:
        flags: Options of the running command by the parameters of the library that they set.
    """
    catch_signals()
    sys.unraisablehook = _show_unraisable
    _flags.set(flags)
    _collect_warnings(flags)
    if isinstance(sys.stdout, io.TextIOWrapper):  # names may hold what a console cannot show
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        yield
    except UsageError as error:
        _fail(str(error), code=USAGE)
    except GeodetectError as error:
        _fail(name_options(str(error)))
    except KeyboardInterrupt as error:
        _fail(name_options(str(error)) or INTERRUPTED, code=interrupt_code())
    except BrokenPipeError:  # the reader of the output has closed it
        drop_output()
        raise typer.Exit(FAILURE) from None
    except OSError as error:  # the system's, such as a full disk
        drop_output()
        _fail(f"{error.filename or 'cannot write'}: {error.strerror or error}")
    except Exception as error:
        if has_interrupt():  # a library may turn the interrupt of a callback into another error
            _fail(INTERRUPTED, code=interrupt_code())
        from geodetect.hardware.memory import is_out_of_memory

        if not is_out_of_memory(error):
            raise
        _fail(f"too little memory, or too few threads allowed ({error_text(error)})")


@contextmanager
def summary(outputs: Sequence[Path]) -> Iterator[None]:
    """Exit as the files of a command demand when its summary cannot be printed.

    Args:
        outputs: Files and folders that it has written so far.
    """
    try:
        yield
        with _stream_errors():
            sys.stdout.flush()
    except StreamError as error:
        drop_output()
        if not isinstance(error.__cause__, BrokenPipeError):  # else the reader wants no more
            text = f"the output stream cannot be written ({error})"
            if not outputs:
                _fail(text)
            print_message(f"Warning: {text}; all files are complete", style="yellow")
        raise typer.Exit(0 if outputs else FAILURE) from None


@contextmanager
def _stream_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StreamError(error.strerror) from error


def _collect_warnings(flags: Mapping[str, str]) -> None:
    """Show our own warnings only, one line each, and keep them for ``print_json``.

    GDAL's are in our error messages already.
    """
    logging.getLogger("rasterio").setLevel(logging.CRITICAL)
    logging.getLogger("pyogrio").setLevel(logging.CRITICAL)
    _warning_texts.clear()

    def show(message: Warning | str, *_: object, **__: object) -> None:
        text = name_options(str(message), flags)  # threads do not have the context's flags
        _warning_texts.append(text)
        print_message(f"Warning: {text}", style="yellow")

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


def print_message(text: str, *, style: str = "") -> None:
    """Print a line on the error stream, neither wrapped nor interpreted as markup."""
    line = " ".join(redact(text).split("\n"))  # a name cannot begin a line of its own
    stderr.print(line, style=style, markup=False, highlight=False, soft_wrap=True)


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
    return out if out.is_terminal else SafeConsole(file=out.file, width=NO_WRAP)


def print_json(values: Mapping[str, Any], *, caveats: Sequence[str] = ()) -> None:
    """Print values as a JSON object on the output stream, with the command's ``warnings``.

    Numbers that JSON does not have (RFC 8259, section 6) are null; secrets of addresses are left
    out.

    Args:
        values: The values.
        caveats: Further texts for ``warnings``, with parameters of the library in backticks.
    """
    texts = [*_warning_texts, *map(name_options, caveats)]
    values = redact_all(finite({**values, "warnings": list(dict.fromkeys(texts))}))
    text = printable_json(json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False))
    with _stream_errors():
        typer.echo(text, file=json_stream())


def json_stream() -> TextIO:
    """Return the output stream in UTF-8, whatever the terminal's (RFC 8259, clause 8.1)."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace", newline="\n")
    if sys.stdout.isatty():
        return cast("TextIO", EscapedStream(sys.stdout, printable_json))
    return sys.stdout


@contextmanager
def progress_bar(unit: str, *, quiet: bool) -> Iterator[ProgressCall]:
    """Show a progress bar with figures and the time left; only on a terminal, and not if quiet."""
    if quiet or not stderr.is_terminal:
        yield no_progress
        return
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=stderr, transient=True) as bar:
        task = bar.add_task("", total=None, figures="")

        def advance(completed: int, total: int, /, **figures: float) -> None:
            text = "  ".join(f"{value:,.4g} {name}" for name, value in figures.items())
            bar.update(task, completed=completed, total=total, figures=text)

        yield advance


def _show_unraisable(error: sys.UnraisableHookArgs) -> None:
    """Show an error that no caller gets, unless it is about a message of GDAL that is no UTF-8.

    rasterio raises it for its log, which nobody sees, when GDAL quotes a damaged file.
    """
    if not issubclass(error.exc_type, UnicodeDecodeError):
        sys.__unraisablehook__(error)


def _fail(message: str, *, code: int = FAILURE) -> NoReturn:
    begin_ending()
    print_message(f"Error: {' '.join(message.splitlines())}", style="red")
    raise typer.Exit(code)
