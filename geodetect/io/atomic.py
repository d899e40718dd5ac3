"""Atomic writes: files and folders appear under their name complete or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import secrets
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import psutil
from filelock import BaseFileLock

from geodetect.errors import GeodetectError, OutputError, error_text
from geodetect.io.inputs import check_output, record_output

IsPart = Callable[[Path], bool]

PREFIX, SUFFIX = ".geodetect-", ".tmp"  # of temporary folders
# of file systems that cannot flush, which some reached over a network and shared folders cannot
_CANNOT_FLUSH = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


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


def final_path(target: Path) -> Path:
    """Return the path that a file or folder gets when ``target`` is written, links followed.

    Raises:
        OutputError: There is no such path: a loop of links; a name that is too long or no UTF-8.
    """
    try:
        final = target.resolve()
        str(final).encode()  # as GDAL needs it
        final.lstat()
    except FileNotFoundError:
        return final
    except UnicodeEncodeError as error:
        raise OutputError(
            f"cannot write {target}: its name is not in UTF-8; choose another `output`"
        ) from error
    except (OSError, RuntimeError, ValueError) as error:  # a loop is a RuntimeError up to 3.12
        reason = getattr(error, "strerror", None) or error_text(error)
        raise OutputError(f"cannot write {target}: {reason}; choose another `output`") from error
    if final.is_symlink():
        raise OutputError(f"cannot write {target}: a loop of links; choose another `output`")
    return final


def check_folder(target: Path) -> None:
    """Check that files can be created beside ``target``, by creating one.

    Raises:
        OutputError: The folder does not exist or cannot be written to.
    """
    folder = target.parent
    if not folder.is_dir():
        raise OutputError(f"cannot write {target}: the folder {folder} does not exist; create it")
    try:
        with tempfile.TemporaryFile(dir=folder):  # without a name, so that nothing can remain
            pass
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
    final = final_path(target)
    check_folder(final)
    check = partial(check_overwrite, overwrite=overwrite, replaceable=replaceable, marker=marker)
    check(final, is_part=is_part)
    with output_errors(final), staging_folder(final) as folder:
        yield folder / final.name
        staged = sorted(folder.iterdir(), key=lambda path: (path.name == final.name, path.name))
        check(final, is_part=is_part)
        for path in staged:
            check(final.with_name(path.name))
            flush(path)
        _move(staged, final, replaced=Path(tempfile.mkdtemp(dir=folder)), is_part=is_part)
        flush(final.parent)
    record_output(final)


@contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Raise errors of the system in a ``with`` block, such as a full disk, as ``OutputError``."""
    try:
        yield
    except GeodetectError:
        raise
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: BaseException) -> OutputError:
    """Return the error of a file that could not be written, with the space where it would lie."""
    reason = getattr(error, "strerror", None) or error_text(error)
    try:
        free = f" ({shutil.disk_usage(path.parent).free / 1e6:.0f} MB free there)"
    except OSError:  # the folder is gone
        free = ""
    return OutputError(f"cannot write {path}: {reason}{free}; make room or choose another `output`")


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
    name = f"{prefix}{os.getpid()}-{secrets.token_hex(4)}{SUFFIX}"
    folder = final.with_name(name)  # not by mkdtemp: an interrupt within it would leave the folder
    try:
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a folder, to the end also when an interrupt comes meanwhile."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except KeyboardInterrupt:
        shutil.rmtree(folder, ignore_errors=True)
        raise


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


def acquire_lock(lock: BaseFileLock) -> None:
    """Acquire a lock.

    Raises:
        filelock.Timeout: Another process has it.
        OSError: The file system has no locks, or its file cannot be created.
    """
    try:
        lock.acquire()
    except NotImplementedError as error:
        raise OSError(errno.ENOTSUP, "files cannot be locked on this file system") from error


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
            _rename(path, replaced / path.name)
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


def flush(path: Path) -> None:
    """Flush a file, or the entries of a folder, to disk.

    Folders that cannot be flushed are passed over: on Windows, and on many file systems that are
    reached over a network or shared with a virtual machine.
    """
    if path.is_dir():
        with suppress(OSError):
            _synchronize(path, os.O_RDONLY)
        return
    try:
        _synchronize(path, os.O_RDWR)
    except OSError as error:
        if error.errno not in _CANNOT_FLUSH:
            raise


def _synchronize(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _rename(path: Path, target: Path) -> None:
    """Move a file or folder, also an old folder of a container's image, which no rename moves."""
    try:
        path.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.move(path, target)
