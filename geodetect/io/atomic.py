"""Atomic writes: files and folders appear under their name complete or not at all."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import psutil
from filelock import BaseFileLock

from geodetect.errors import OutputError
from geodetect.io.inputs import check_output

IsPart = Callable[[Path], bool]

PREFIX, SUFFIX = ".geodetect-", ".tmp"  # of temporary folders


class FileIdentity(NamedTuple):
    """Path and state of a file, to recognise it later if it has not changed.

    Args:
        path: Absolute path, links resolved.
        device: Device that holds the file.
        inode: Number of the file on that device; it stays when the file is moved there.
        size: Bytes.
        mtime_ns: Time of the last change in nanoseconds.
    """

    path: str
    device: int
    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def from_file(cls, file: Path, *, path: Path | None = None) -> FileIdentity:
        """Return the identity of a file, or the one it will have once it is moved to ``path``."""
        status = file.stat()
        final = str((path or file).resolve())
        return cls(final, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def check_folder(target: Path) -> None:
    """Check that files can be created beside ``target``, by creating one.

    Raises:
        OutputError: The folder does not exist or cannot be written to.
    """
    folder = target.parent
    if not folder.is_dir():
        raise OutputError(f"cannot write {target}: the folder {folder} does not exist; create it")
    try:
        os.rmdir(tempfile.mkdtemp(SUFFIX, PREFIX, folder))  # noqa: PTH106 (mkdtemp gives a str)
    except OSError as error:
        raise OutputError(
            f"cannot write {target}: no files can be made in {folder} ({error.strerror}); "
            f"choose another `output`"
        ) from error


def check_overwrite(
    target: Path,
    *,
    overwrite: bool,
    replaceable: Collection[FileIdentity] = (),
    is_part: IsPart = lambda _: False,
    marker: str = "",
) -> None:
    """Check that ``target`` and its parts do not exist or may be replaced.

    Args:
        target: File or folder.
        overwrite: Replace what exists.
        replaceable: Files that may be replaced without ``overwrite``.
        is_part: Predicate of files and folders beside ``target``: True for parts of it.
        marker: Name of a file that folders of this kind hold: only folders with it are replaced.
            Empty folders count as absent.

    Raises:
        OutputError: It, or a part of it, exists and must not be replaced, or is an input of the
            running work.
    """
    for path in [target, *filter(is_part, target.parent.iterdir())]:
        check_output(path)
        if not path.exists() or (marker and path.is_dir() and not any(path.iterdir())):
            continue
        if path.is_dir() and marker and not (path / marker).is_file():
            raise OutputError(
                f"{path} holds no {marker}, so it was not made by this command and is not "
                f"replaced; choose another `output`"
            )
        if not path.is_file() and not (path.is_dir() and marker):
            raise OutputError(f"cannot write {path}: it exists and is not a plain file")
        if not overwrite and FileIdentity.from_file(path) not in replaceable:
            raise OutputError(
                f"{path} already exists; set `overwrite` to replace it, or choose another `output`"
            )


@contextmanager
def write_atomically(
    target: Path,
    *,
    overwrite: bool,
    replaceable: Collection[FileIdentity] = (),
    is_part: IsPart = lambda _: False,
    marker: str = "",
) -> Iterator[Path]:
    """Yield a path to write a file or folder to, which replaces ``target`` after the block.

    The path has the name of ``target`` and lies in a temporary folder beside it. Everything that
    was written to that folder is flushed to disk (not the files inside folders) and moved beside
    ``target``, ``target`` itself last. When the block raises, or is interrupted, nothing remains.
    Leftovers of a process that was killed are removed when the next one writes the same target.

    Args:
        target: The final path. A symbolic link is followed.
        overwrite: Replace what exists.
        replaceable: Files that may be replaced without ``overwrite``.
        is_part: Predicate of files and folders beside ``target``: True for parts of it, which
            are replaced with it or removed.
        marker: Name of a file in folders that may be replaced, see ``check_overwrite``.

    Raises:
        OutputError: The folder or the target cannot be used.
    """
    final = target.resolve()
    check_folder(final)
    check = partial(check_overwrite, overwrite=overwrite, replaceable=replaceable, marker=marker)
    check(final, is_part=is_part)
    with staging_folder(final) as folder:
        yield folder / final.name
        staged = sorted(folder.iterdir(), key=lambda path: (path.name == final.name, path.name))
        check(final, is_part=is_part)
        for path in staged:
            check(final.with_name(path.name))
            _flush(path)
        _move(staged, final, replaced=Path(tempfile.mkdtemp(dir=folder)), is_part=is_part)
        _flush(final.parent)


@contextmanager
def staging_folder(final: Path) -> Iterator[Path]:
    """Yield a temporary folder beside a path, so that moves from it are renames.

    It is removed after the block, as are those of processes of this machine that were killed.
    """
    prefix = staging_prefix(final)
    for leftover in final.parent.glob(f"{prefix}*{SUFFIX}"):
        process = leftover.name.removeprefix(prefix).partition("-")[0]
        if process.isdecimal() and not psutil.pid_exists(int(process)):
            shutil.rmtree(leftover, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(SUFFIX, f"{prefix}{os.getpid()}-", final.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def staging_prefix(final: Path) -> str:
    """Return the prefix of the staging folders of a path on this machine; a process id follows."""
    name = f"{platform.node()} {final.name}"
    return f"{PREFIX}{hashlib.sha256(name.encode()).hexdigest()[:12]}-"


def staged_files(path: Path) -> list[FileIdentity]:
    """Return the files that will appear when the block of ``write_atomically`` ends.

    Args:
        path: The path that ``write_atomically`` yielded.
    """
    final = path.parent.parent
    return [FileIdentity.from_file(file, path=final / file.name) for file in path.parent.iterdir()]


def release_lock(lock: BaseFileLock) -> None:
    """Release a lock and remove its file, in the order that the system allows."""
    file = Path(lock.lock_file)
    if os.name != "nt":  # unlinked before others can lock it: they will create a new file
        file.unlink(missing_ok=True)
    lock.release()
    if os.name == "nt":
        with suppress(OSError):
            file.unlink(missing_ok=True)


def _move(staged: list[Path], final: Path, *, replaced: Path, is_part: IsPart) -> None:
    """Move files and folders beside ``final``, which comes last; an error undoes all moves.

    A file ``final`` exists at all times: the rename replaces it. Its old parts are moved to the
    folder ``replaced`` first, as a journal or index of the old file would spoil the new one.
    """
    targets = [final.with_name(path.name) for path in staged]
    parts = filter(is_part, final.parent.iterdir())
    old = [*parts, *(path for path in targets[:-1] if path.exists())]
    if final.is_dir():  # a rename replaces no folder that holds files
        old.append(final)
    removed: list[Path] = []
    moved: list[Path] = []
    try:
        for path in dict.fromkeys(old):
            path.replace(replaced / path.name)
            removed.append(path)
        for path, target in zip(staged, targets, strict=True):
            path.replace(target)
            moved.append(target)
    except BaseException:
        if staged[-1].exists():  # else all moves are complete
            for path in moved:
                path.replace(staged[-1].with_name(path.name))
            for path in removed:
                (replaced / path.name).replace(path)
        raise


def _flush(path: Path) -> None:
    """Flush a file or the entries of a folder to disk; Windows cannot flush folders."""
    is_folder = path.is_dir()
    if is_folder and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
