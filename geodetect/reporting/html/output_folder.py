"""A page and the folder of its pictures, which appear together or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from geodetect.errors import OutputError
from geodetect.io.atomic import PREFIX, SUFFIX, check_folder, check_overwrite, write_atomically

INDEX = "imagery.json"  # tells our folders from those of others
SUFFIXES = (".html", ".htm")


def files_folder(page: Path) -> Path:
    """The folder with the pictures of a page: ``report_files`` of ``report.html``."""
    return page.with_name(f"{page.stem}_files")


def check_page(page: Path, *, overwrite: bool) -> None:
    """Raise now what `staged_page` would raise later.

    Raises:
        OutputError: No HTML file, it or its folder exists, or they cannot be made.
    """
    if page.suffix.lower() not in SUFFIXES:
        raise OutputError(f"{page.name}: a report is an HTML page; call --output report.html")
    final = page.resolve()
    check_folder(final)
    check_overwrite(final, overwrite=overwrite)
    files = files_folder(final)
    if files.exists() and not (files / INDEX).is_file():
        raise OutputError(
            f"{files} exists and was not made by this command, so it is not replaced; choose "
            f"another --output"
        )
    if files.exists() and not overwrite:
        raise OutputError(f"{files} already exists; replace it with --overwrite")


@contextmanager
def staged_page(page: Path, *, overwrite: bool) -> Iterator[Path]:
    """A path to write a page to; its ``files_folder`` there may be made too.

    When the block ends well, both take their final places; an older folder goes.

    Raises:
        OutputError: See `check_page`.
    """
    check_page(page, overwrite=overwrite)
    final = page.resolve()
    with ExitStack() as after, write_atomically(final, overwrite=overwrite) as path:
        yield path
        after.enter_context(_out_of_the_way(files_folder(final)))


@contextmanager
def _out_of_the_way(folder: Path) -> Iterator[None]:
    """Move a folder aside for the time of the block: back if it fails, away if it ends well."""
    if not folder.exists():
        yield
        return
    aside = Path(tempfile.mkdtemp(SUFFIX, PREFIX, folder.parent)) / folder.name
    folder.rename(aside)
    try:
        yield
    except BaseException:
        aside.rename(folder)
        raise
    finally:
        shutil.rmtree(aside.parent, ignore_errors=True)
