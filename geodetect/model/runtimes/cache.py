"""On-disk cache of converted networks, shared by all processes of a user.

An entry is one safetensors file with a checksum. It is written atomically; a damaged entry counts
as missing, and without a usable folder everything works, only slower.

A checksum protects from damage, but whoever can write an entry can write its checksum, and so the
results of a run. So entries are read from folders and files only that this user alone can change,
see ``user_cache``.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeVar

import numpy as np
from safetensors.numpy import load, save

from geodetect.errors import (
    GeodetectWarning,
    InputError,
    ModelFileError,
    OutputError,
    translate_errors,
)
from geodetect.io.user_cache import private_folder, read_private, write_private
from geodetect.model.card import ModelCard
from geodetect.model.file import Weights
from geodetect.progress import phase
from geodetect.version import __version__

MAX_ENTRIES = 12  # the least recently used are deleted first
ARCHITECTURE = (  # all modules that determine the graph of a converted network
    "network/retinanet.py",
    "network/backbones.py",
    "network/resnet.py",
    "network/timm_backbone.py",
    "network/input_size.py",
    "network/loading.py",
    "network/outline_head.py",
    "runtimes/conversion.py",
    "runtimes/export.py",
    "runtimes/onnx.py",
)

CHECKSUM = "sha256"  # array of an entry

Entry = Mapping[str, bytes]
Network = TypeVar("Network")  # as the library holds it that runs it


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
    folder = private_folder(
        kind,
        consequence="converted networks are not cached there, so each run converts its model",
    )
    if folder is None:
        return read(convert())
    file = folder / f"{key}.safetensors"
    try:
        with translate_errors("it cannot be read", ModelFileError):
            entry = _read_entry(file)
            if entry is not None:
                return read(entry)
    except (InputError, ModelFileError) as error:
        warnings.warn(
            f"{file}: not the converted network that this program wrote there ({error}); it is "
            f"converted again",
            GeodetectWarning,
            stacklevel=2,
        )
    entry = convert()
    _write_entry(file, entry)
    return read(entry)


def _read_entry(file: Path) -> Entry | None:
    """Read an entry; None if there is none.

    Raises:
        InputError: It is a link or no file, or another user may have written it.
        ModelFileError: It is damaged.
    """
    data = read_private(file)
    if data is None:
        return None
    entry = {name: array.tobytes() for name, array in load(data).items()}
    if entry.pop(CHECKSUM, None) != _checksum(entry):
        raise ModelFileError("it is damaged")
    return entry


def _write_entry(file: Path, entry: Entry) -> None:
    """Write an entry and delete the least recently used ones; errors are no harm."""
    arrays = {CHECKSUM: _checksum(entry), **entry}
    with suppress(OutputError, OSError):
        write_private(file, save({k: np.frombuffer(v, np.uint8) for k, v in arrays.items()}))
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
