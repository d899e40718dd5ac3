"""Stores of immutable objects, which processes on several machines share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from geodetect.errors import InputError, list_names
from geodetect.io.atomic import PREFIX, flush, output_errors, staging_folder
from geodetect.io.cloud_store import SCHEMES, CloudStore
from geodetect.redaction import redact
from geodetect.types import PathLike


class Store(Protocol):
    """Objects by name, such as ``shards/000017.shard``.

    An object appears complete or not at all, for all processes at once, and none is ever changed:
    there are no locks.
    """

    @property
    def location(self) -> str:
        """Folder or URL, for messages."""

    def put(self, name: str, data: bytes) -> None:
        """Write an object atomically; one of the same name is replaced as a whole.

        Raises:
            OutputError: It cannot be written.
        """

    def get(self, name: str) -> bytes:
        """Return the content of an object.

        Raises:
            FileNotFoundError: There is no such object.
            InputError: It cannot be read.
        """

    def delete(self, name: str) -> None:
        """Remove an object, if it exists.

        Raises:
            OutputError: It cannot be removed.
        """

    def names(self, prefix: str = "") -> list[str]:
        """List the names of the objects that begin with a prefix, in order.

        Raises:
            InputError: They cannot be listed.
        """


class FolderStore:
    """Folder as a store; objects are files in it and in its folders.

    Args:
        folder: The folder, which need not exist before the first ``put``.
    """

    def __init__(self, folder: PathLike) -> None:
        self.folder = Path(folder)

    @property
    def location(self) -> str:
        """Path of the folder."""
        return str(self.folder)

    def put(self, name: str, data: bytes) -> None:
        """Write a file beside its place, flush it to the disk, and move it there."""
        target = self.folder / name
        with output_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            with staging_folder(target) as folder:
                staged = folder / target.name
                staged.write_bytes(data)
                flush(staged)
                staged.replace(target)
                flush(target.parent)

    def get(self, name: str) -> bytes:
        """Read a file."""
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            raise
        except OSError as error:
            raise InputError(f"{self.folder / name}: cannot be read ({error.strerror})") from error

    def delete(self, name: str) -> None:
        """Remove a file."""
        with output_errors(self.folder / name):
            (self.folder / name).unlink(missing_ok=True)

    def names(self, prefix: str = "") -> list[str]:
        """List the files; none if the folder does not exist."""
        top = self.folder / prefix.rpartition("/")[0]
        names = []
        for folder, folders, files in os.walk(top, onerror=_raise_unless_missing):
            folders[:] = [name for name in folders if not name.startswith(PREFIX)]
            names += [(Path(folder) / file).relative_to(self.folder).as_posix() for file in files]
        return sorted(name for name in names if name.startswith(prefix))


def open_store(location: PathLike) -> Store:
    """Return the store at a place.

    Args:
        location: Folder, or the address of one in object storage: ``s3://bucket/folder``,
            ``gs://...`` or ``az://...``.

    Raises:
        InputError: It is another address, or one that cannot be used.
        MissingDependencyError: Object storage needs the extra ``cloud``.
    """
    text = os.fspath(location)
    if text.startswith(SCHEMES):
        return CloudStore(text)
    if "://" in text:
        raise InputError(
            f"{redact(text)}: no store; expected a folder, or an address that begins with "
            f"{list_names(SCHEMES)}"
        )
    return FolderStore(location)


def _raise_unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise InputError(f"{error.filename}: cannot be listed ({error.strerror})") from error
