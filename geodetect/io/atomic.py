"""Files that appear under their name complete or not at all."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from filelock import BaseFileLock

from geodetect.errors import OutputError

Belongs = Callable[[Path], bool]
Replace = bool | Callable[[Path], bool]  # all files that exist, none, or some
Identity = tuple[int, int, int, int]  # device, number, size and time of change
Publishing = Callable[[Mapping[Path, Identity]], None]

PREFIX, SUFFIX = ".geodetect-", ".tmp"


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
    target: Path, *, overwrite: Replace, belongs: Belongs = lambda _: False
) -> None:
    """See whether ``target`` may be written.

    Args:
        target: The file.
        overwrite: Whether plain files may be replaced, or which.
        belongs: Which files beside ``target`` are parts of it.

    Raises:
        OutputError: It, or a part of it, exists and is not to be overwritten or is no plain file.
    """
    for file in [target, *_parts(target, belongs)]:
        if file.exists() and not file.is_file():
            raise OutputError(f"cannot write {file}: it exists and is not a plain file")
        if file.exists() and not (overwrite(file) if callable(overwrite) else overwrite):
            raise OutputError(
                f"{file} already exists; replace it with --overwrite or choose another --output"
            )


@contextmanager
def write_atomically(
    target: Path,
    *,
    overwrite: Replace,
    belongs: Belongs = lambda _: False,
    publishing: Publishing | None = None,
) -> Iterator[Path]:
    """A path to write to, whose file takes the place of ``target`` when the block ends well.

    The path lies in a temporary folder beside ``target`` and has its name. Everything written to
    that folder is flushed to disk and moved beside ``target``, and ``target`` itself last. When
    the block raises, or is interrupted, nothing of it remains. What is left of a process that was
    killed goes when the next one writes the same file.

    Args:
        target: The final name. A symbolic link is followed.
        overwrite: Replace files that exist, or which of them.
        belongs: Which files beside ``target`` are parts of it: they are replaced or go with it.
        publishing: Told, just before the files appear, which ones.

    Raises:
        OutputError: The folder or the target cannot be used.
    """
    final = target.resolve()
    check_folder(final)
    check_overwrite(final, overwrite=overwrite, belongs=belongs)
    _tidy(final)
    folder = Path(tempfile.mkdtemp(SUFFIX, f"{prefix_of(final)}{os.getpid()}-", final.parent))
    try:
        yield folder / final.name
        _publish(folder, final, overwrite=overwrite, belongs=belongs, publishing=publishing)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def identity_of(file: Path) -> Identity:
    """What a file keeps when it is moved, and no other file has; it changes with the file."""
    status = file.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


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
    overwrite: Replace,
    belongs: Belongs,
    publishing: Publishing | None,
) -> None:
    """Move all files of ``folder`` beside ``final``, that one last."""
    files = sorted(folder.iterdir(), key=lambda file: (file.name == final.name, file.name))
    check_overwrite(final, overwrite=overwrite, belongs=belongs)
    for file in files:
        check_overwrite(final.with_name(file.name), overwrite=overwrite)
        _flush(file)
    if publishing is not None:
        publishing({final.with_name(file.name): identity_of(file) for file in files})
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
