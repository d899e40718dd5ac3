"""On-disk cache of converted networks, shared by all processes of a user.

An entry is one safetensors file with a checksum. It is written atomically; a damaged entry counts
as missing, and without a usable folder everything works, only slower.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from platformdirs import user_cache_path
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from geodetect.errors import OutputError
from geodetect.io.atomic import write_atomically
from geodetect.model.card import ModelCard
from geodetect.model.file import Weights
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

Entry = Mapping[str, bytes]


def cache_folder() -> Path:
    """Return the folder named by GEODETECT_CACHE_DIR, or the user's cache folder of the system."""
    folder = os.environ.get(FOLDER_VARIABLE)
    return Path(folder) if folder else user_cache_path("geodetect", appauthor=False)


def cached(kind: str, key: str, make: Callable[[], Entry]) -> Entry:
    """Return an entry of the cache; make it if there is none.

    Args:
        kind: Subfolder, such as the name of the runtime.
        key: Name of the file, derived from everything that the entry depends on.
        make: Makes the entry.
    """
    file = cache_folder() / kind / f"{key}.safetensors"
    with suppress(OSError, SafetensorError, ValueError):  # missing or damaged
        with safe_open(file, framework="numpy") as file_content:
            entry: Entry = {k: file_content.get_tensor(k).tobytes() for k in file_content.keys()}  # noqa: SIM118
            checksum = (file_content.metadata() or {}).get("sha256")
        with suppress(OSError):  # a cache on a read-only disk keeps its times
            os.utime(file)
        if checksum == _checksum(entry):
            return entry
    entry = make()
    with suppress(OutputError, OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        arrays = {name: np.frombuffer(data, np.uint8) for name, data in entry.items()}
        with write_atomically(file, overwrite=True) as path:
            path.write_bytes(save(arrays, metadata={"sha256": _checksum(entry)}))
        entries = sorted(file.parent.glob("*.safetensors"), key=lambda path: path.stat().st_mtime)
        for old in entries[:-MAX_ENTRIES]:
            old.unlink(missing_ok=True)
    return entry


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


def _checksum(entry: Entry) -> str:
    return digest(*(part for name in sorted(entry) for part in (name, entry[name])))
