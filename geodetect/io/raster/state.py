"""State of the files of a raster, by which a change is noticed without reading them."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache
from http.client import HTTPException
from itertools import product
from typing import Any
from urllib.request import Request, urlopen

from rasterio.windows import Window

from geodetect.errors import GeodetectError
from geodetect.io.cloud_store import CloudStore
from geodetect.io.raster.dataset import root_cause, source_files
from geodetect.io.raster.georeference import GDAL_ERRORS
from geodetect.io.raster.remote import http_cause, is_remote

STATE_HEADERS = ("Content-Length", "ETag", "Last-Modified")
TIMEOUT_S = 20
SAMPLE_PX, SAMPLES = 64, 3  # windows of pixels along each axis
UNKNOWN = "unknown"
MAX_REQUESTS = 16  # to servers, at once
STATISTICS = ".aux.xml"  # written by a GIS when it displays a raster
_OBJECT = re.compile(r"((?:s3|gs|az)://|/vsi(?:s3|gs|az)/)([^/]+)/([^?]+)")
KEY_VARIABLES = {
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"),
    "gs": ("GOOGLE_APPLICATION_CREDENTIALS",),
    "az": ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_TOKEN"),
}
# files of metadata such as scene_rpc.txt belong to scene.tif
_METADATA_ENDING = re.compile(r"_(?:rpc|metadata|rpb|imd)$")


@dataclass(frozen=True)
class RasterState:
    """State of the files that a raster is read from.

    Args:
        files: Absolute paths of files, and addresses; of a VRT its sources, too.
        states: State of each of them, see ``file_state``.
        beside: Names of the files beside a local raster that belong to it.
        content: Digest of properties that the files do not tell; of files whose state is unknown,
            also of a sample of the pixels.
    """

    files: tuple[str, ...]
    states: tuple[str, ...]
    beside: str
    content: str

    @classmethod
    def from_dataset(cls, dataset: Any, *, external_sources: bool) -> RasterState:
        """Return the state of an open dataset of rasterio.

        Files are recognised by size and time of change, on a web server by its headers: reading
        them completely would take as long as the work that they save. If the server sends no size,
        ETag or date, a few sampled pixels are hashed.
        """
        names = source_files(dataset, external_sources=external_sources)
        files = tuple(sorted(map(absolute_path, names)))
        states = tuple(_file_states(files))
        values = [dataset.dtypes, dataset.nodatavals, dataset.mask_flag_enums, dataset.colorinterp]
        content = short_digest(repr(values))
        if UNKNOWN in states:
            content += f" {_hash_samples(dataset)}"
        return cls(files, states, list_files_beside(dataset.name), content)

    @property
    def is_certain(self) -> bool:
        """A change of any of the files is noticed by their states."""
        return UNKNOWN not in self.states

    @cached_property
    def digest(self) -> str:
        """Digest of the states, without that of statistics that a GIS has written."""
        states = (
            state
            for file, state in zip(self.files, self.states, strict=True)
            if not file.endswith(STATISTICS)
        )
        return short_digest(f"{', '.join(states)} {self.content}")


def changed_files(states: Sequence[RasterState]) -> list[str]:
    """Return the first file of each state that has another state now; empty: none.

    Servers are asked by several threads.
    """
    has_servers = any(is_remote(file) for state in states for file in state.files)
    if not has_servers:
        return list(map(_first_changed, states))
    with ThreadPoolExecutor(MAX_REQUESTS) as pool:
        return list(pool.map(_first_changed, states))


def _first_changed(state: RasterState) -> str:
    for file, recorded in zip(state.files, state.states, strict=True):
        if recorded == UNKNOWN or file_state(file) != recorded:
            return file
    return ""


def file_state(file: str) -> str:
    """Return size and time of change of a file, of one on a server what that says of it.

    Returns:
        The state; UNKNOWN of absent ones, of those in archives, and in object storage without the
        extra ``cloud`` or keys in the environment.
    """
    url = file.removeprefix("/vsicurl/")
    if url.startswith(("http://", "https://")):
        return _state_on_server(url)
    if match := _OBJECT.fullmatch(file):
        return _state_in_bucket(*match.groups())
    if _is_virtual(file):
        return UNKNOWN
    try:
        status = os.stat(file)  # noqa: PTH116 (a hundred thousand files: faster than Path)
    except (OSError, ValueError):
        return UNKNOWN
    return f"{status.st_size} bytes, changed {status.st_mtime_ns}"


def list_files_beside(path: str) -> str:
    """Return the names of the files beside a local raster that have its name, in one text.

    GDAL reads world files, masks and metadata with the raster, which itself does not change when
    one of them is added.
    """
    if _is_virtual(path):
        return ""
    folder, name = os.path.split(absolute_path(path))
    try:
        by_name = _files_by_name(folder, os.stat(folder).st_mtime_ns)  # noqa: PTH116
    except OSError:
        return ""
    lower = name.lower()
    names = by_name.get(lower, ()) + by_name.get(lower.rpartition(".")[0], ())
    return "/".join(sorted(set(names) - {name}))


@lru_cache(maxsize=64)
def _files_by_name(folder: str, changed_ns: int) -> dict[str, tuple[str, ...]]:
    """Return the files of a folder by the lower case names of rasters that they may belong to."""
    by_name: dict[str, tuple[str, ...]] = {}
    for name in os.listdir(folder):  # noqa: PTH208 (faster by far in large folders)
        lower = name.lower()
        stem = lower.removesuffix(STATISTICS) if lower.endswith(STATISTICS) else lower
        stem = lower.rpartition(".")[0] if stem == lower else stem
        stem = _METADATA_ENDING.sub("", stem)
        by_name[stem] = (*by_name.get(stem, ()), name)
    return by_name


def short_digest(text: str | bytes) -> str:
    """Return a short SHA-256."""
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()[:16]


def absolute_path(file: str) -> str:
    """Return a local file from the root on, links not followed; other names of GDAL as they are."""
    if _is_virtual(file) or not os.path.lexists(file):
        return file
    return os.path.abspath(file)  # noqa: PTH100 (Path.resolve follows links)


def _is_virtual(file: str) -> bool:
    """Return True for addresses and for names of GDAL's virtual file systems."""
    return file.startswith("/vsi") or "://" in file


def _file_states(files: Sequence[str]) -> list[str]:
    if not any(map(is_remote, files)):
        return list(map(file_state, files))
    with ThreadPoolExecutor(MAX_REQUESTS) as pool:
        return list(pool.map(file_state, files))


def _state_on_server(url: str) -> str:
    try:
        with urlopen(Request(url, method="HEAD"), timeout=TIMEOUT_S) as response:
            headers = [response.headers.get(name, "") for name in STATE_HEADERS]
    except (OSError, ValueError, HTTPException):  # some servers only allow reading
        return UNKNOWN
    # a digest, as a query may contain secrets
    return f"{short_digest(url)} {', '.join(headers)}" if any(headers) else UNKNOWN


def _state_in_bucket(system: str, bucket: str, name: str) -> str:
    scheme = system.removeprefix("/vsi").partition(":")[0].rstrip("/")
    if not any(variable in os.environ for variable in KEY_VARIABLES[scheme]):
        return UNKNOWN  # without keys, the servers of keys of all clouds would be asked for some
    try:
        return _open_bucket(f"{scheme}://{bucket}").state(name)
    except (GeodetectError, FileNotFoundError):
        return UNKNOWN


@lru_cache(maxsize=8)
def _open_bucket(url: str) -> CloudStore:
    return CloudStore(url)


def _hash_samples(dataset: Any) -> str:
    """Return a digest of small windows spread over a raster."""
    total = hashlib.sha256(dataset.name.encode())
    width, height = min(SAMPLE_PX, dataset.width), min(SAMPLE_PX, dataset.height)
    for column, row in product(range(SAMPLES), repeat=2):
        x = (dataset.width - width) * column // (SAMPLES - 1)
        y = (dataset.height - height) * row // (SAMPLES - 1)
        try:
            total.update(dataset.read(window=Window(x, y, width, height)).tobytes())
        except GDAL_ERRORS as error:  # perhaps outside the area of interest
            if http_cause([root_cause(error)]) is not None:
                raise
            total.update(b"unreadable")
    return f"pixels {total.hexdigest()[:16]}"
