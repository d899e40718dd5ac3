"""A page and the folder of its image tiles, which appear together or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from geodetect.errors import OutputError
from geodetect.io.atomic import PREFIX, SUFFIX, check_folder, check_overwrite, write_atomically

INDEX = "imagery.json"  # a folder that holds this file was made by an earlier report
SUFFIXES = (".html", ".htm")


def files_folder(page: Path) -> Path:
    """Return the folder with the image tiles of a page: ``report_files`` of ``report.html``."""
    return page.with_name(f"{page.stem}_files")


def check_page(page: Path, *, overwrite: bool) -> None:
    """Check before the work that `write_page` will be able to write.

    Raises:
        OutputError: The page is no HTML file, it or its folder exists, or they cannot be made.
    """
    if page.suffix.lower() not in SUFFIXES:
        raise OutputError(f"{page.name} is no HTML file; end `output` in .html")
    final = page.resolve()
    check_folder(final)
    check_overwrite(final, overwrite=overwrite)
    folder = files_folder(final)
    if folder.exists() and not (folder / INDEX).is_file():
        raise OutputError(
            f"{folder} exists and was not made by this command, so it is not replaced; choose "
            f"another `output`"
        )
    if folder.exists() and not overwrite:
        raise OutputError(f"{folder} already exists; set `overwrite` to replace it")


@contextmanager
def write_page(page: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield a temporary path for a page; its ``files_folder`` may be made too.

    When the block ends without an error, both move to their final paths, and an older folder is
    removed.

    Raises:
        OutputError: See `check_page`.
    """
    check_page(page, overwrite=overwrite)
    final = page.resolve()
    with ExitStack() as on_success, write_atomically(final, overwrite=overwrite) as path:
        yield path
        on_success.enter_context(_moved_aside(files_folder(final)))


@contextmanager
def _moved_aside(folder: Path) -> Iterator[None]:
    """Move a folder aside during the block; then remove it, or move it back after an error."""
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
