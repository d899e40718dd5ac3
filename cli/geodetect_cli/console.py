"""What a person sees: one line per error, a progress bar, tables.

Everything for people goes to the error stream; the output stream is for results.
"""

from __future__ import annotations

import functools
import json
import logging
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from geodetect.errors import GeodetectError, GeodetectWarning
from geodetect.progress import Progress as ProgressCall
from geodetect.progress import silent

P = ParamSpec("P")
R = TypeVar("R")

FAILURE, USAGE = 1, 2
people = Console(stderr=True)


def reports_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Turn every error raised on purpose into one line and an exit code; bugs show themselves."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        from pydantic import ValidationError

        signal.signal(signal.SIGTERM, _interrupt)
        quiet_libraries()
        try:
            return command(*args, **kwargs)
        except GeodetectError as error:
            _fail(str(error), FAILURE)
        except ValidationError as error:
            _fail(_option_error(error), USAGE)
        except KeyboardInterrupt:
            _fail("interrupted; nothing was written under the final name", FAILURE)
        except BrokenPipeError:
            sys.stderr.close()
            raise typer.Exit(FAILURE) from None

    return wrapped


def quiet_libraries() -> None:
    """Only our own warnings, one line each; GDAL's chatter is in our error messages already."""
    logging.getLogger("rasterio").setLevel(logging.CRITICAL)
    logging.getLogger("pyogrio").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")
    warnings.simplefilter("always", GeodetectWarning)
    warnings.showwarning = lambda message, *_, **__: say(f"Warning: {message}", style="yellow")


def say(text: str, *, style: str = "") -> None:
    """A line for people, never wrapped or interpreted."""
    people.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def show_table(title: str, rows: Sequence[tuple[str, str]], *, out: Console = people) -> None:
    """A table of names and values."""
    table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2))
    for name, value in rows:
        table.add_row(name, value, style=None)
    out.print(table)


def print_json(values: Mapping[str, Any] | Sequence[Any]) -> None:
    """Values as JSON on the output stream."""
    typer.echo(json.dumps(values, indent=2, ensure_ascii=False))


@contextmanager
def progress_bar(unit: str, *, quiet: bool) -> Iterator[ProgressCall]:
    """A bar with what is done, figures and the time left; nothing when quiet."""
    if quiet:
        yield silent
        return
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=people, transient=True) as bar:
        task = bar.add_task("", total=None, figures="")

        def advance(done: int, total: int, /, **figures: float) -> None:
            text = "  ".join(f"{value:,.4g} {name}" for name, value in figures.items())
            bar.update(task, completed=done, total=total, figures=text)

        yield advance


def _fail(message: str, code: int) -> NoReturn:
    say(f"Error: {message}", style="red")
    raise typer.Exit(code)


def _option_error(error: Any) -> str:
    """The first problem that pydantic found, under the name of its option."""
    first = error.errors()[0]
    name = str(first["loc"][0]).replace("_", "-") if first["loc"] else "settings"
    return f"--{name}: {first['msg']}; found {first['input']!r}"


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
