"""Atomic writing of a page and the folder of its image tiles."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from geodetect.errors import OutputError
from geodetect.io.atomic import check_folder, check_overwrite, final_path, write_atomically

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
    final = final_path(page)
    check_folder(final)
    folder = files_folder(final)
    check_overwrite(final, overwrite=overwrite, is_part=lambda path: path == folder, marker=INDEX)


@contextmanager
def write_page(page: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield a temporary path for a page; its ``files_folder`` may be made too.

    When the block ends without an error, both move to their final paths, and an older folder is
    removed.

    Raises:
        OutputError: See `check_page`.
    """
    check_page(page, overwrite=overwrite)
    folder = files_folder(final_path(page))
    with write_atomically(
        page, overwrite=overwrite, is_part=lambda path: path == folder, marker=INDEX
    ) as temporary:
        yield temporary
