"""Files in the user's cache folder that no other user can have written.

Whoever can write a file of the cache can change the results of a run. So files are read only from
folders that this user alone can change, and without a usable folder everything works, only slower.
"""

from __future__ import annotations

import os
import stat
import warnings
from contextlib import suppress
from pathlib import Path

from platformdirs import user_cache_path

from geodetect.errors import GeodetectWarning, InputError
from geodetect.io.atomic import staging_folder

FOLDER_VARIABLE = "GEODETECT_CACHE_DIR"
PRIVATE, PRIVATE_FILE = 0o700, 0o600


def cache_folder() -> Path | None:
    """Return the folder named by GEODETECT_CACHE_DIR, or the user's cache folder of the system.

    None if there is no such folder, as for a user without a home.
    """
    named = os.environ.get(FOLDER_VARIABLE)
    try:
        folder = (
            Path(named).expanduser() if named else user_cache_path("geodetect", appauthor=False)
        )
    except (RuntimeError, KeyError):  # no home
        return None
    # without a home the folder of the system starts with a "~" that nobody expands
    return folder.absolute() if named or folder.is_absolute() else None


def private_folder(kind: str, *, consequence: str) -> Path | None:
    """Return a subfolder of the cache that only this user can change; None if there is none.

    It is created if it is missing, and has the mode 700, so that others cannot list it either.

    Args:
        kind: Name of the subfolder.
        consequence: Clause that tells what follows if there is none, for the warning.

    Warns:
        GeodetectWarning: Others can change the folder.
    """
    root = cache_folder()
    if root is None:
        return None
    try:
        root.mkdir(PRIVATE, parents=True, exist_ok=True)
        folder = root.resolve() / kind
        with suppress(FileExistsError):
            folder.mkdir(PRIVATE)
        doubt = _find_doubt(folder)
        if not doubt and stat.S_IMODE(folder.lstat().st_mode) != PRIVATE:
            with suppress(OSError):  # on a read-only disk, or the administrator's
                folder.chmod(PRIVATE)
    except OSError:  # such as a read-only disk
        return None
    if doubt:
        warnings.warn(
            f"{doubt}; {consequence}: take the rights to write from others, or name a folder of "
            f"your own with the variable {FOLDER_VARIABLE}",
            GeodetectWarning,
            stacklevel=4,
        )
        return None
    return folder


def read_private(file: Path) -> bytes | None:
    """Read a file of the cache; None if there is none.

    Raises:
        InputError: It is a link or no file, or another user may have written it.
    """
    # a link is not followed, and a pipe does not block; Windows has neither flag
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(file, flags | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        return None
    except OSError as error:
        reason = "it is a link" if file.is_symlink() else error.strerror
        raise InputError(reason) from error
    with os.fdopen(descriptor, "rb") as opened:
        status = os.fstat(descriptor)  # of no link if another process has just replaced the file
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1 or not _is_private(status):
            raise InputError("it is no plain file, or others can change it")
        data = opened.read()
        if os.utime in os.supports_fd:
            with suppress(OSError):  # a cache on a read-only disk keeps its times
                os.utime(descriptor)
    return data


def write_private(file: Path, data: bytes) -> None:
    """Write a file of the cache atomically.

    Raises:
        OSError: It cannot be written.
    """
    with staging_folder(file) as folder:
        temporary = folder / file.name
        temporary.touch(PRIVATE_FILE)
        temporary.write_bytes(data)
        temporary.replace(file)  # in place of a link, not of its target


def _find_doubt(folder: Path) -> str:
    """Return why a folder is not private; empty: it is."""
    for path in (folder, folder.parent):
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode) or not _is_private(status):
            return f"{path}: others can change this folder, or it is a link"
    for path in folder.parent.parents:
        mode = path.stat().st_mode
        if os.name == "posix" and mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            return f"{path}: everybody can replace the folders in it"
    return ""


def _is_private(status: os.stat_result) -> bool:
    """Return True if only this user, or the administrator, can change a file or folder."""
    if os.name != "posix":  # elsewhere the folders of users are private, and modes say nothing
        return True
    # the group with the number of the user is the user's own on most systems
    groups_of_others = stat.S_IWGRP if status.st_gid not in (0, os.geteuid()) else 0
    is_writable = status.st_mode & (stat.S_IWOTH | groups_of_others)
    return status.st_uid in (0, os.geteuid()) and not is_writable
