"""Inputs of the running work, which no output may replace."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote

from geodetect.errors import OutputError

# that GDAL reads with a raster: statistics, overviews, masks, world files, RPCs
SIDE_FILES = (".aux.xml", ".aux", ".ovr", ".msk", ".msk.ovr", ".rrd", ".wld", ".rpb", ".imd",
              "_rpb.txt", "_rpc.txt", ".hdr", ".clr", ".stx", ".vat.dbf")  # fmt: skip
SHAPEFILE_PARTS = (".shx", ".dbf", ".prj", ".cpg", ".sbn", ".sbx")
WITH_PRJ = (".asc", ".bil", ".bip", ".bsq", ".flt", ".hgt")  # rasters whose CRS is in a .prj
MAX_VRT_BYTES = 32 * 1024**2
_GDAL_PREFIXES = re.compile(r"(/vsi\w+/)+|[a-z+]+://|[A-Za-z0-9_]+:(?=[\"/.\w])")
_GDAL_SEPARATORS = re.compile(r"[|!?\"{},:]")


@dataclass(frozen=True)
class Inputs:
    """Files and folders that are read.

    Args:
        sources: Files as they are named: paths, URLs, ``FILE|layername=NAME``, ``/vsizip/...`` or
            subdatasets of GDAL.
        folders: Files, and folders of which all files are read.
        outputs: Files and folders that were written meanwhile.
    """

    sources: tuple[str, ...]
    folders: tuple[str, ...] = ()
    outputs: list[Path] = field(default_factory=list)

    def check_output(self, path: Path) -> None:
        """Raise an error if a file or folder that exists is, or holds, one of the inputs.

        Raises:
            OutputError: It does.
        """
        if not path.exists():
            return
        final, status = path.resolve(), path.stat()
        source = self._names.get((status.st_dev, status.st_ino))
        if source is None and path.is_dir():
            inside = (name for file, name in self._files.items() if file.is_relative_to(final))
            source = next(inside, None)
        elif source is None:
            source = next(
                (n for file, n in self._files.items() if _is_side_file(final, file)), None
            )
        if source is None:
            source = next((str(f) for f in self._folders if final.is_relative_to(f)), None)
        if source is not None:
            is_itself = Path(source).resolve() == final
            relation = "is an input" if is_itself else f"belongs to the input {source}"
            raise OutputError(f"{path} {relation} and is not replaced; choose another `output`")

    def check_not_read_next(self, path: Path) -> None:
        """Raise an error if the next execution would read a layer or data set as an input.

        Raises:
            OutputError: It lies in a folder that is read as a whole.
        """
        final = Path(os.path.realpath(path))  # of a loop of links, too
        folder = next((folder for folder in self._folders if final.is_relative_to(folder)), None)
        if folder is not None:
            raise OutputError(
                f"{path} lies in the folder {folder}, which is read as a whole: the next execution "
                f"would read its own output as an input; choose another `output`"
            )

    @cached_property
    def _files(self) -> dict[Path, str]:
        """Files on this machine with the names of their sources."""
        return {
            file.resolve(): source
            for source in (*self.sources, *self.folders)
            for file in local_files(source)
        }

    @cached_property
    def _names(self) -> dict[tuple[int, int], str]:
        """Names of the sources by device and inode, the same for all links to a file."""
        return {(s.st_dev, s.st_ino): n for file, n in self._files.items() for s in [file.stat()]}

    @cached_property
    def _folders(self) -> tuple[Path, ...]:
        return tuple(Path(name).resolve() for name in self.folders if Path(name).is_dir())


_running: ContextVar[tuple[Inputs, ...]] = ContextVar("running", default=())


@contextmanager
def protect_inputs(*sources: object, folders: object = ()) -> Iterator[Inputs]:
    """Yield inputs, and refuse outputs of the ``with`` block that would replace one of them.

    Args:
        sources: Files, or lists of them; tables, detectors and None are ignored.
        folders: Files and folders that are read as a whole.
    """
    inputs = Inputs(tuple(source_names(sources)), tuple(source_names(folders)))
    token = _running.set((*_running.get(), inputs))
    try:
        yield inputs
    finally:
        _running.reset(token)


def check_output(path: Path) -> None:
    """Raise an error if writing to a file or folder would replace an input of the running work.

    Raises:
        OutputError: It is, or holds, one of them.
    """
    for inputs in _running.get():
        inputs.check_output(path)


def record_output(path: Path) -> None:
    """Add a file or folder to the outputs of the running work."""
    for inputs in _running.get():
        inputs.outputs.append(path)


def check_not_read_next(path: Path) -> None:
    """Raise an error if the next execution of the running work would read a layer or data set.

    Raises:
        OutputError: It lies in a folder that is read as a whole.
    """
    for inputs in _running.get():
        inputs.check_not_read_next(path)


def source_names(sources: object) -> Iterator[str]:
    """Yield the paths and URLs among sources, nested lists flattened."""
    if isinstance(sources, str | os.PathLike):
        yield os.fspath(sources)
    elif isinstance(sources, list | tuple):
        for source in sources:
            yield from source_names(source)


def local_files(source: str) -> list[Path]:
    """List the files on this machine that a source names; also those that a VRT refers to.

    Args:
        source: Path or URL, with the prefixes, layers and options of GDAL and QGIS.
    """
    texts = [source]
    stripped = _GDAL_PREFIXES.sub("", unquote(source) if "://" in source else source)
    if stripped != source or _GDAL_SEPARATORS.search(source):
        prefix_only = re.sub(r"^((/vsi\w+/)+|[a-z+]+://)", "", unquote(source))
        texts += [prefix_only, stripped, *_GDAL_SEPARATORS.split(prefix_only)]
    files = [file for text in texts for file in _enclosing_file(text)]
    for file in files[:]:
        if file.suffix.lower() == ".vrt":
            files += _vrt_sources(file)
    return list(dict.fromkeys(files))


def _enclosing_file(text: str) -> Iterable[Path]:
    """Yield the file of that name, or the archive among its parents."""
    path = Path(text)
    try:
        return [next(p for p in (path, *path.parents) if p.exists() and p.is_file())]
    except (StopIteration, OSError, ValueError):
        return []


def _vrt_sources(vrt: Path) -> Iterator[Path]:
    try:
        with vrt.open("rb") as stream:
            text = stream.read(MAX_VRT_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return
    for name in re.findall(r"<Source(?:Filename|Dataset)[^>]*>([^<]+)<", text):
        for path in (vrt.parent / name.strip(), Path(name.strip())):
            yield from _enclosing_file(str(path))


def _is_side_file(path: Path, file: Path) -> bool:
    """Return True if ``path`` is read together with ``file``."""
    if path.parent != file.parent:
        return False
    suffix, name = file.suffix.lower(), path.name.lower()
    endings: tuple[str, ...] = SIDE_FILES
    if suffix == ".shp":
        endings += SHAPEFILE_PARTS
    elif suffix in WITH_PRJ:
        endings += (".prj",)
    if suffix:
        endings += (f"{suffix}w", f"{suffix[:2]}{suffix[-1]}w")  # world files: .tifw, .tfw
    return any(name in (file.stem.lower() + e, file.name.lower() + e) for e in endings)
