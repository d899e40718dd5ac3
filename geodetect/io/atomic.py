"""Files that appear under their name complete or not at all."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import psutil
from filelock import BaseFileLock

from geodetect.errors import OutputError

Belongs = Callable[[Path], bool]

PREFIX, SUFFIX = ".geodetect-", ".tmp"


class FileIdentity(NamedTuple):
    """Path and state of a file: no other file has the same, nor the file itself once it changed.

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
        """Identity of a file, or the one that it will have when it is moved to ``path``."""
        status = file.stat()
        final = str((path or file).resolve())
        return cls(final, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def check_folder(target: Path) -> None:
    """See whether files can be made beside ``target``, by making one.

    Raises:
        OutputError: The folder is missing or cannot be written to.
    """
    folder = target.parent
    if not folder.is_dir():
        raise OutputError(f"cannot write {target}: the folder {folder} does not exist; create it")
    try:
        os.rmdir(tempfile.mkdtemp(SUFFIX, PREFIX, folder))  # noqa: PTH106 (mkdtemp gives a str)
    except OSError as error:
        raise OutputError(
            f"cannot write {target}: no files can be made in {folder} ({error.strerror}); "
            f"choose another folder with --output"
        ) from error


def check_overwrite(
    target: Path,
    *,
    overwrite: bool,
    replaceable: Collection[FileIdentity] = (),
    belongs: Belongs = lambda _: False,
) -> None:
    """See whether ``target`` may be written.

    Args:
        target: The file.
        overwrite: Replace plain files.
        replaceable: Files that may be replaced without ``overwrite``.
        belongs: Which files beside ``target`` are parts of it.

    Raises:
        OutputError: It, or a part of it, exists and is not to be overwritten or is no plain file.
    """
    for file in [target, *_parts(target, belongs)]:
        if file.exists() and not file.is_file():
            raise OutputError(f"cannot write {file}: it exists and is not a plain file")
        if file.exists() and not overwrite and FileIdentity.from_file(file) not in replaceable:
            raise OutputError(
                f"{file} already exists; replace it with --overwrite or choose another --output"
            )


@contextmanager
def write_atomically(
    target: Path,
    *,
    overwrite: bool,
    replaceable: Collection[FileIdentity] = (),
    belongs: Belongs = lambda _: False,
) -> Iterator[Path]:
    """A path to write to, whose file takes the place of ``target`` when the block ends well.

    The path lies in a temporary folder beside ``target`` and has its name. Everything written to
    that folder is flushed to disk and moved beside ``target``, and ``target`` itself last. When
    the block raises, or is interrupted, nothing of it remains. What is left of a process that was
    killed goes when the next one writes the same file.

    Args:
        target: The final name. A symbolic link is followed.
        overwrite: Replace files that exist.
        replaceable: Files that may be replaced without ``overwrite``.
        belongs: Which files beside ``target`` are parts of it: they are replaced or go with it.

    Raises:
        OutputError: The folder or the target cannot be used.
    """
    final = target.resolve()
    check_folder(final)
    check_overwrite(final, overwrite=overwrite, replaceable=replaceable, belongs=belongs)
    _tidy(final)
    folder = Path(tempfile.mkdtemp(SUFFIX, f"{prefix_of(final)}{os.getpid()}-", final.parent))
    try:
        yield folder / final.name
        _publish(folder, final, overwrite=overwrite, replaceable=replaceable, belongs=belongs)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def staged_files(path: Path) -> list[FileIdentity]:
    """Return the files that will appear when the block of ``write_atomically`` ends.

    Args:
        path: The path that ``write_atomically`` yielded.
    """
    final = path.parent.parent
    return [FileIdentity.from_file(file, path=final / file.name) for file in path.parent.iterdir()]


def _tidy(final: Path) -> None:
    """Remove what processes of this machine that are no more had begun to write for a file."""
    begin = prefix_of(final)
    for begun in final.parent.glob(f"{begin}*{SUFFIX}"):
        number = begun.name.removeprefix(begin).partition("-")[0]
        if number.isdecimal() and not psutil.pid_exists(int(number)):
            shutil.rmtree(begun, ignore_errors=True)


def release(lock: BaseFileLock) -> None:
    """Let go of a lock and remove its file, in the order that the system allows."""
    file = Path(lock.lock_file)
    if os.name != "nt":  # a file that is open stays there, and whoever waits for it gets another
        file.unlink(missing_ok=True)
    lock.release()
    if os.name == "nt":
        with suppress(OSError):
            file.unlink(missing_ok=True)


def prefix_of(final: Path) -> str:
    """How the names begin of the temporary folders in which this machine writes a file.

    The number of the process follows.
    """
    name = f"{platform.node()} {final.name}"
    return f"{PREFIX}{hashlib.sha256(name.encode()).hexdigest()[:12]}-"


def _publish(
    folder: Path,
    final: Path,
    *,
    overwrite: bool,
    replaceable: Collection[FileIdentity],
    belongs: Belongs,
) -> None:
    """Move all files of ``folder`` beside ``final``, that one last."""
    files = sorted(folder.iterdir(), key=lambda file: (file.name == final.name, file.name))
    check_overwrite(final, overwrite=overwrite, replaceable=replaceable, belongs=belongs)
    for file in files:
        place = final.with_name(file.name)
        check_overwrite(place, overwrite=overwrite, replaceable=replaceable)
        _flush(file)
    _move(files, final, replaced=Path(tempfile.mkdtemp(dir=folder)), belongs=belongs)
    _flush(final.parent)


def _move(files: list[Path], final: Path, *, replaced: Path, belongs: Belongs) -> None:
    """Move files beside ``final``, the last of them onto it; if that fails all is as it was.

    Args:
        files: They lie on the disk of ``final``.
        final: It is there at all times, where it is already.
        replaced: A folder for what goes: a journal or index of the old file would spoil the new.
        belongs: Which files beside ``final`` are parts of it.
    """
    places = [final.with_name(file.name) for file in files]
    old = [*_parts(final, belongs), *(place for place in places[:-1] if place.exists())]
    gone: list[Path] = []
    moved: list[Path] = []
    try:
        for place in dict.fromkeys(old):
            place.replace(replaced / place.name)
            gone.append(place)
        for file, place in zip(files, places, strict=True):
            file.replace(place)
            moved.append(place)
    except BaseException:
        if files[-1].exists():  # else all is done, and whoever interrupts comes too late
            for place in moved:
                place.unlink(missing_ok=True)
            for place in gone:
                (replaced / place.name).replace(place)
        raise


def _parts(target: Path, belongs: Belongs) -> list[Path]:
    return [file for file in target.parent.iterdir() if belongs(file)]


def _flush(path: Path) -> None:
    """Have the disk take what the system holds back; folders cannot be flushed everywhere."""
    is_folder = path.is_dir()
    if is_folder and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
