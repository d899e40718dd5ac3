"""What takes long to make and is needed again, in a folder of the user's.

An entry is one file with a checksum. It appears whole or not at all, so processes may share the
folder. A damaged entry counts as missing, and a folder that cannot be used is done without.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
from platformdirs import user_cache_path
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from geodetect.errors import OutputError
from geodetect.io.atomic import write_atomically

FOLDER_VARIABLE = "GEODETECT_CACHE_DIR"
KEPT = 12  # entries; those not used for longest go first

Entry = Mapping[str, bytes]


def cache_folder() -> Path:
    """The folder: what GEODETECT_CACHE_DIR says, else where the system keeps such things."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    return Path(chosen) if chosen else user_cache_path("geodetect", appauthor=False)


def cached(kind: str, key: str, make: Callable[[], Entry]) -> Entry:
    """An entry, made if there is none.

    Args:
        kind: Folder of entries of a kind.
        key: Tells what it was made from; a file name.
        make: Makes it.
    """
    file = cache_folder() / kind / f"{key}.safetensors"
    known = _read(file)
    if known is not None:
        return known
    entry = make()
    with suppress(OutputError, OSError):
        _write(file, entry)
    return entry


def digest(*parts: str | bytes | memoryview) -> str:
    """A key that differs when any of the parts does."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(hashlib.sha256(data).digest())
    return total.hexdigest()


def _read(file: Path) -> Entry | None:
    try:
        with safe_open(file, framework="numpy") as opened:
            names = opened.keys()
            entry = {name: opened.get_tensor(name).tobytes() for name in names}
            written = (opened.metadata() or {}).get("sha256")
    except (OSError, SafetensorError, ValueError):
        return None
    with suppress(OSError):  # a folder that is filled once for all may be read-only
        os.utime(file)
    return entry if _checksum(entry) == written else None


def _write(file: Path, entry: Entry) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: np.frombuffer(data, np.uint8) for name, data in entry.items()}
    with write_atomically(file, overwrite=True) as path:
        path.write_bytes(save(arrays, metadata={"sha256": _checksum(entry)}))
    entries = sorted(file.parent.glob("*.safetensors"), key=lambda one: one.stat().st_mtime)
    for old in entries[:-KEPT]:
        old.unlink(missing_ok=True)


def _checksum(entry: Entry) -> str:
    return digest(*(part for name in sorted(entry) for part in (name, entry[name])))
