"""On-disk cache of converted networks, shared by all processes of a user.

An entry is one safetensors file with a checksum. It is written atomically; a damaged entry counts
as missing, and without a usable folder everything works, only slower.

A checksum protects from damage, but whoever can write an entry can write its checksum, and so the
results of a run. So entries are read from folders and files only that this user alone can change.
"""

from __future__ import annotations

import hashlib
import os
import stat
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeVar

import numpy as np
from platformdirs import user_cache_path
from safetensors.numpy import load, save

from geodetect.errors import GeodetectWarning, ModelFileError, OutputError, translate_errors
from geodetect.io.atomic import staging_folder
from geodetect.model.card import ModelCard
from geodetect.model.file import Weights
from geodetect.progress import phase
from geodetect.version import __version__

FOLDER_VARIABLE = "GEODETECT_CACHE_DIR"
MAX_ENTRIES = 12  # the least recently used are deleted first
ARCHITECTURE = (  # all modules that determine the graph of a converted network
    "network/retinanet.py",
    "network/backbones.py",
    "network/resnet.py",
    "network/timm_backbone.py",
    "network/input_size.py",
    "network/loading.py",
    "runtimes/export.py",
    "runtimes/onnx.py",
    "runtimes/openvino.py",
)

PRIVATE, PRIVATE_FILE = 0o700, 0o600
CHECKSUM = "sha256"  # array of an entry

Entry = Mapping[str, bytes]
Network = TypeVar("Network")  # as the library holds it that runs it


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


def cached(
    kind: str, key: str, *, make: Callable[[], Entry], read: Callable[[Entry], Network]
) -> Network:
    """Return what ``read`` makes of an entry of the cache; make the entry if there is none.

    An entry that another user may have written, or that cannot be loaded, is made again with a
    ``GeodetectWarning``. If the folder is not private, nothing is read or written there.

    Args:
        kind: Subfolder, such as the name of the runtime.
        key: Name of the file, derived from everything that the entry depends on.
        make: Makes the entry.
        read: Reads the network in an entry; any error means that the entry cannot be used.
    """
    convert = phase(f"Converting the model for {kind}, once")(make)
    folder = _private_folder(kind)
    if folder is None:
        return read(convert())
    file = folder / f"{key}.safetensors"
    try:
        with translate_errors("it cannot be read", ModelFileError):
            entry = _read_entry(file)
            if entry is not None:
                return read(entry)
    except ModelFileError as error:
        warnings.warn(
            f"{file}: not the converted network that this program wrote there ({error}); it is "
            f"converted again",
            GeodetectWarning,
            stacklevel=2,
        )
    entry = convert()
    _write_entry(file, entry)
    return read(entry)


def _private_folder(kind: str) -> Path | None:
    """Return a subfolder of the cache that only this user can change; None if there is none.

    It is created if it is missing. A ``GeodetectWarning`` names the folder that others can change.
    """
    root = cache_folder()
    if root is None:
        return None
    try:
        root.mkdir(PRIVATE, parents=True, exist_ok=True)
        folder = root.resolve() / kind
        with suppress(FileExistsError):
            folder.mkdir(PRIVATE)
        for path in (folder, folder.parent):
            if not stat.S_ISDIR(path.lstat().st_mode) or not _is_private(path.lstat()):
                raise ModelFileError(f"{path}: others can change this folder, or it is a link")
        for path in folder.parent.parents:
            mode = path.stat().st_mode
            if os.name == "posix" and mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
                raise ModelFileError(f"{path}: everybody can replace the folders in it")
    except OSError:  # such as a read-only disk
        return None
    except ModelFileError as error:
        warnings.warn(
            f"{error}; converted networks are not cached there, so each run converts its model: "
            f"take the rights to write from others, or name a folder of your own with the variable "
            f"{FOLDER_VARIABLE}",
            GeodetectWarning,
            stacklevel=3,
        )
        return None
    return folder


def _is_private(status: os.stat_result) -> bool:
    """Return True if only this user, or the administrator, can change a file or folder."""
    if os.name != "posix":  # elsewhere the folders of users are private, and modes say nothing
        return True
    # the group with the number of the user is the user's own on most systems
    groups_of_others = stat.S_IWGRP if status.st_gid not in (0, os.geteuid()) else 0
    is_writable = status.st_mode & (stat.S_IWOTH | groups_of_others)
    return status.st_uid in (0, os.geteuid()) and not is_writable


def _read_entry(file: Path) -> Entry | None:
    """Read an entry; None if there is none.

    Raises:
        ModelFileError: It is a link or no file, another user may have written it, or it is damaged.
    """
    # a link is not followed, and a pipe does not block; Windows has neither flag
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(file, flags | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        return None
    except OSError as error:
        reason = "it is a link" if file.is_symlink() else error.strerror
        raise ModelFileError(reason) from error
    with os.fdopen(descriptor, "rb") as opened:
        status = os.fstat(descriptor)  # of no link if another process has just replaced the entry
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1 or not _is_private(status):
            raise ModelFileError("it is no plain file, or others can change it")
        arrays = load(opened.read())
        if os.utime in os.supports_fd:
            with suppress(OSError):  # a cache on a read-only disk keeps its times
                os.utime(descriptor)
    entry = {name: array.tobytes() for name, array in arrays.items()}
    if entry.pop(CHECKSUM, None) != _checksum(entry):
        raise ModelFileError("it is damaged")
    return entry


def _write_entry(file: Path, entry: Entry) -> None:
    """Write an entry atomically and delete the least recently used ones; errors are no harm."""
    arrays = {CHECKSUM: _checksum(entry), **entry}
    with suppress(OutputError, OSError):
        with staging_folder(file) as folder:
            temporary = folder / file.name
            temporary.touch(PRIVATE_FILE)
            temporary.write_bytes(save({k: np.frombuffer(v, np.uint8) for k, v in arrays.items()}))
            temporary.replace(file)  # in place of a link, not of its target
        entries = sorted(file.parent.glob("*.safetensors"), key=lambda path: path.lstat().st_mtime)
        for old in entries[:-MAX_ENTRIES]:
            old.unlink(missing_ok=True)


def network_key(card: ModelCard, weights: Weights, *versions: str) -> str:
    """Return the key of a converted network: digest of weights, card, code and versions."""
    folder = Path(__file__).parents[1]
    code = [(folder / module).read_bytes() for module in ARCHITECTURE]
    if card.network is not None and card.network.backbone.startswith("timm:"):
        with suppress(PackageNotFoundError):  # the conversion raises the error
            versions = (*versions, version("timm"))
    return digest(__version__, *versions, card.model_dump_json(), *code, *array_parts(weights))


def array_parts(arrays: Weights) -> list[str | memoryview]:
    """Return names, types and shapes, then contents, of arrays, as parts of a ``digest``."""
    names = sorted(arrays)
    headers = [f"{name} {arrays[name].dtype} {arrays[name].shape}" for name in names]
    return [*headers, *(np.ascontiguousarray(arrays[name]).data for name in names)]


def digest(*parts: str | bytes | memoryview) -> str:
    """Return a SHA-256 that depends on every part and on the boundaries between them."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(hashlib.sha256(data).digest())
    return total.hexdigest()


def _checksum(entry: Entry) -> bytes:
    parts = (part for name in sorted(entry) for part in (name, entry[name]))
    return digest(*parts).encode()
