"""References of raster files to other files: sources of VRTs, overviews and masks.

GDAL opens them with any of its drivers, wherever they lie: a VRT may show any file of the computer,
and an overview may be a web service in disguise. So they are checked before GDAL opens them, by
content and place, as no option of GDAL limits its drivers for them.
"""

from __future__ import annotations

import html
import os
import re
import struct
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from geodetect.errors import RasterError, error_text

HEAD_BYTES = 1024  # that drivers of GDAL identify a file by
# starts of image files, by which GDAL chooses a driver before any whose files refer to others
SIGNATURES = (
    *(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),  # TIFF, BigTIFF
    *(b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"EHFA_HEADER_TAG"),
    *(b"\0\0\0\x0cjP  \r\n", b"\xff\x4f\xff\x51", b"RIFF", b"SQLite format 3\0"),
)
TEXT_BYTES = 64  # GDAL searches a head for words up to its first zero byte; images have one here
SIDE_SUFFIXES = (".ovr", ".msk", ".aux.xml")
GDAL_METADATA, MAX_METADATA_BYTES = 42112, 1024**2  # TIFF tag
# elements, and keys of options and metadata, whose text names a file: SourceFilename, DEMPath, ...
FILE_ELEMENT = re.compile(r"file|dataset|dem|path")
TEXT_ELEMENTS = {"srs", "sourcesrs", "targetsrs", "description", "gcplist", "categorynames"}
SOURCE_NAMES = ("sourcefilename", "sourcedataset")
FILE_DOMAINS = {"geolocation", "overviews"}  # of metadata; others are text about the imagery
# GDAL reads what these hold in another way than an XML parser
UNCHECKED_MARKUP = re.compile(rb"<!(\[CDATA|DOCTYPE|ENTITY)", re.IGNORECASE)
# connection strings and text that GDAL takes for a file: vrt://, GPKG:FILE, /vsicurl/, XML
PATH_LIKE = re.compile(r"\s*([/\\<{]|\w[\w+.-]*:[^\d\s]|.*(://|\.\.|\bvsi))", re.IGNORECASE)
NOT_A_FILE = re.compile(r"\s*([<{]|/vsi|\w[\w+.-]+:)", re.IGNORECASE)
BASE = ":::BASE:::"  # stands for the folder of the raster in names of overviews
GDAL_MAX_LISTED = 1000  # its option GDAL_READDIR_LIMIT_ON_OPEN
ADVICE = "set `external_sources` to read it if you trust it"


def is_vrt(path: str) -> bool:
    """Return True if a local file is a VRT."""
    try:
        return _is_vrt(_read_head(Path(path)))
    except OSError:
        return False


def check_side_files(path: str) -> None:
    """Check overviews, masks and metadata beside a local raster.

    A raster without them costs a look at the time of its folder, which is listed once.

    Raises:
        RasterError: One of them names files elsewhere, or is no image.
    """
    file = Path(path)
    for side in _list_side_files(file):
        _check_side_file(side, file.parent.resolve(), path)


def is_in_large_folder(path: str) -> bool:
    """Return True for a local file in a folder with more files than GDAL lists to open one.

    GDAL looks for each side file by its name there, after it has listed as many for nothing.
    """
    try:
        return _list_folder(Path(path).parent).count > GDAL_MAX_LISTED
    except OSError:
        return False


def check_vrt(path: str) -> None:
    """Check that all files that a local VRT refers to are images beside or below it.

    Raises:
        RasterError: A file lies elsewhere or is no image, or the VRT cannot be parsed.
    """
    file = Path(path).resolve()  # from the folder of a link's target GDAL resolves names, too
    _check_xml(file, file.parent, path)


def check_overview_file(path: str, name: str) -> None:
    """Check the file that the metadata of a raster name as its overviews.

    Raises:
        RasterError: It does not lie beside or below a local raster, or is no image.
    """
    folder = Path(path).parent.resolve()
    _check_reference(name.replace(BASE, f"{folder}/"), Path(), folder, path)


def _check_xml(file: Path, root: Path, path: str) -> None:
    status = file.stat()
    _check_names(file, root, path, (status.st_mtime_ns, status.st_size))


@lru_cache(maxsize=256)  # each thread opens a raster again
def _check_names(file: Path, root: Path, path: str, state: tuple[int, int]) -> None:
    for name, folder in sorted(_list_names(file, path)):
        _check_reference(name, folder, root, path)


def _check_reference(name: str, folder: Path, root: Path, path: str) -> None:
    """Check a file that the raster ``path`` names, relative to a folder."""
    has_drive = os.name == "nt" and re.match(r"[a-zA-Z]:[/\\]", name)
    if NOT_A_FILE.match(name) and not has_drive:
        raise RasterError(f"{path} refers to {name}, which is no file below its folder; {ADVICE}")
    file = folder / name
    resolved = Path(os.path.realpath(file))  # faster than Path.resolve
    if not resolved.is_relative_to(root):
        raise RasterError(
            f"{path} refers to {name}, which lies outside its folder {root}; {ADVICE}"
        )
    if resolved.exists():  # GDAL reports missing files where they are needed
        _check_file(resolved, root, path)
        for name_of_file in {str(file), str(resolved)}:
            for side in _list_side_files(Path(name_of_file)):
                _check_side_file(side, root, path)


def _check_side_file(side: Path, root: Path, path: str) -> None:
    if side.name.lower().endswith(".aux.xml"):
        with _reading(side, path):
            # others, with statistics and the like, may be damaged: GDAL ignores these
            if _names_overviews(side.read_bytes()):
                _check_xml(side.resolve(), root, path)
    else:
        _check_file(side, root, path)
        for side_of_side in _list_side_files(side, names=(side.name,)):  # scene.tif.ovr.ovr
            _check_side_file(side_of_side, root, path)


def _check_file(file: Path, root: Path, path: str) -> None:
    """Check the content of a file that GDAL opens for the raster ``path``."""
    with _reading(file, path):
        if not file.is_file():  # GDAL waits for a pipe
            raise RasterError(f"{path} refers to {file}, which is no file; {ADVICE}")
        with file.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
            names_overviews = head[:2] in (b"II", b"MM") and _may_name_overviews(stream, head)
        if _is_vrt(head):
            _check_xml(file.resolve(), root, path)
            return
    if not head.startswith(SIGNATURES) or b"\0" not in head[:TEXT_BYTES]:
        raise RasterError(
            f"{path} refers to {file}, which is no image such as GeoTIFF, JPEG or PNG; {ADVICE}"
        )
    if names_overviews:
        raise RasterError(f"{path} refers to {file}, which names a file of overviews; {ADVICE}")


@contextmanager
def _reading(file: Path, path: str) -> Iterator[None]:
    try:
        yield
    except RasterError:
        raise
    except (OSError, RecursionError) as error:
        raise RasterError(
            f"{path} refers to {file}, which cannot be read ({error_text(error)})"
        ) from error


def _list_names(file: Path, path: str) -> set[tuple[str, Path]]:
    """List the names in a VRT or ``.aux.xml`` that GDAL may open, each with its folder.

    GDAL takes elements and attributes in any case, and unknown elements may come with any version.
    So a text is a name if its element or key says so, or if it looks like one.
    """
    data = file.read_bytes()
    # comments stay, as they divide a text for GDAL; GDAL ignores the declared encoding
    builder = ET.TreeBuilder(insert_comments=True, insert_pis=True)
    try:
        root = ET.fromstring(data, ET.XMLParser(target=builder, encoding="utf-8"))
        if UNCHECKED_MARKUP.search(data):
            raise ValueError("CDATA or DOCTYPE")
    except (ET.ParseError, ValueError) as error:
        raise RasterError(
            f"{path}: the XML of {file.name} cannot be checked ({error_text(error)}); {ADVICE}"
        ) from error
    names: set[tuple[str, Path]] = set()
    elements = [root]
    while elements:
        element = elements.pop()
        if not isinstance(element.tag, str):  # a comment
            continue
        tag = element.tag.lower()
        attributes = {name.lower(): value for name, value in element.items()}
        domain = attributes.get("domain", "").lower()
        if tag in TEXT_ELEMENTS or (tag == "metadata" and domain not in FILE_DOMAINS):
            continue
        elements += element
        if "raw" in attributes.get("subclass", "").lower():
            raise RasterError(
                f"{path} has a raw band, which shows the bytes of a file as pixels; {ADVICE}"
            )
        for name, value in attributes.items():
            if value.isalnum() and name not in SOURCE_NAMES:  # most are numbers
                continue
            if PATH_LIKE.match(value) or name in SOURCE_NAMES:
                raise RasterError(
                    f"{path} names {value} in the attribute {name}, which cannot be checked; "
                    f"{ADVICE}"
                )
        key = attributes.get("key") or attributes.get("name") or ""
        is_named = FILE_ELEMENT.search(tag) or FILE_ELEMENT.search(key.lower())
        is_relative = re.match(r"\s*0*[1-9]", attributes.get("relativetovrt", ""))
        folder = file.parent if is_relative else Path()
        for text in (element.text, *[child.tail for child in element]):
            if text and not text.isspace() and (is_named or PATH_LIKE.match(text)):
                text = text.replace(BASE, f"{file.parent}/")
                names |= {(text, folder), (text.strip(), folder)}  # GDAL strips some
    return names


def _list_side_files(file: Path, names: tuple[str, ...] | None = None) -> list[Path]:
    """List the side files of a file, by its name with and without suffix."""
    try:
        listing = _list_folder(file.parent).side_files
    except OSError:  # not a local file
        return []
    names = names or (file.name, file.stem)
    return [file.parent / side for name in names for side in listing.get(name.lower(), ())]


@dataclass(frozen=True)
class _Listing:
    """Listing of a folder.

    Args:
        count: Number of files and folders.
        side_files: Names of side files by that of their raster, in lower case.
    """

    count: int
    side_files: dict[str, list[str]]


def _list_folder(folder: Path) -> _Listing:
    return _list_unchanged(folder, folder.stat().st_mtime_ns)


@lru_cache(maxsize=64)
def _list_unchanged(folder: Path, changed_ns: int) -> _Listing:
    names = os.listdir(folder)  # noqa: PTH208 (faster by far in large folders)
    sides: dict[str, list[str]] = {}
    for name in names:
        lower = name.lower()
        for suffix in SIDE_SUFFIXES:
            if lower.endswith(suffix):
                sides.setdefault(lower.removesuffix(suffix), []).append(name)
    return _Listing(len(names), sides)


def _read_head(file: Path) -> bytes:
    with file.open("rb", buffering=0) as stream:
        return stream.read(HEAD_BYTES)


def _is_vrt(head: bytes) -> bool:
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(b"<vrtdataset")


def _may_name_overviews(stream: BinaryIO, head: bytes) -> bool:
    """Return True if the metadata inside a TIFF may name another file as its overviews.

    GDAL reads this tag; to open each source of a VRT with it would take 20 times as long.
    """
    order = "<" if head[:2] == b"II" else ">"
    is_big = head[2:4] in (b"+\0", b"\0+")
    number, count, entry = (
        f"{order}{types}" for types in (("Q", "Q", "HHQ8s") if is_big else ("I", "H", "HHI4s"))
    )
    try:
        stream.seek(*struct.unpack(number, head[8:16] if is_big else head[4:8]))
        (entries,) = struct.unpack(count, stream.read(struct.calcsize(count)))
        size = struct.calcsize(entry)
        data = stream.read(size * min(entries, MAX_METADATA_BYTES // size))
        tags = struct.iter_unpack(entry, data[: len(data) // size * size])
        for _, _, length, value in (tag for tag in tags if tag[0] == GDAL_METADATA):
            stream.seek(*struct.unpack(number, value))
            text = stream.read(min(length, MAX_METADATA_BYTES))
            return length > MAX_METADATA_BYTES or _names_overviews(text)
    except (struct.error, OverflowError):  # damaged: GDAL does not open it either
        pass
    return False


def _names_overviews(xml: bytes) -> bool:
    return "overview_file" in html.unescape(xml.decode("latin-1")).lower()
