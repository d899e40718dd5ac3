"""Checks that a vector file is complete, for damage that GDAL passes over without an error.

GDAL skips lines of newline-delimited GeoJSON that it cannot parse, returns records beyond the end
of a Shapefile as rows without a geometry, and an empty layer for FlatGeobuf or GML cut short.
Each check raises a ``ValueError``, for ``translate_errors`` at the border to GDAL.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import closing
from glob import escape
from pathlib import Path
from typing import Any
from xml.parsers import expat

import geopandas as gpd
import numpy as np
import pyogrio

from geodetect.errors import GeodetectWarning, error_text
from geodetect.io.vector.archive import GZIP, open_text
from geodetect.io.vector.geojson import LINES
from geodetect.types import AnyArray

_MANY_ROWS = 20
_RECORD_SEPARATOR = b"\x1e"  # in front of each feature of a sequence, RFC 8142
_GEOMETRIES = frozenset(
    ("Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon")
) | {"GeometryCollection", "Feature"}
_COUNTED = frozenset(("FlatGeobuf", "GPKG", "OpenFileGDB", "MapInfo File", "SQLite"))
_DATABASES = frozenset(("GPKG", "SQLite"))
_SHAPEFILE_HEADER = 100  # bytes, of .shp and .shx; ESRI Shapefile Technical Description (1998)
_DATABASE_HEADER = 100
_WORD = 2  # bytes: lengths and offsets count these


def check_text(path: Path) -> None:
    """Check that XML is well-formed: GDAL reads the beginning of damaged GML as an empty layer.

    Raises:
        ValueError: It is not; other files pass.
    """
    with closing(open_text(path)) as stream:
        if not stream.read(256).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
            return
        stream.seek(0)
        try:
            expat.ParserCreate().ParseFile(stream)
        except expat.ExpatError as error:
            raise ValueError(f"damaged XML: {error}") from error


def check_lines(path: Path, n_rows: int) -> None:
    """Check that each feature of a newline-delimited GeoJSON file is a row.

    Lines are parsed only if their number is not that of the rows, or the last is cut short.

    Args:
        path: The file; RFC 8142 text sequences are split at record separators.
        n_rows: Number of rows that GDAL has read.

    Raises:
        ValueError: A line is no GeoJSON feature, or rows are missing.
    """
    n_records, line, last = 0, 0, b"{}"
    for line, last in _records(path):  # noqa: B007
        n_records += 1
    if n_records == n_rows and _is_json(last):  # GDAL completes a line that the file ends in
        if path.suffix.lower() != GZIP and n_rows:  # which has a checksum
            with path.open("rb") as stream:
                stream.seek(-1, 2)
                if stream.read() not in (b"\n", b"\r"):
                    warn_of_last_line(path, n_rows, line)
        return
    n_features = 0
    for line, record in _records(path):
        try:
            value = json.loads(record)
            is_collection = value["type"] == "FeatureCollection"
            if not is_collection and value["type"] not in _GEOMETRIES:
                raise ValueError(f"type {value['type']!r}")
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ValueError(
                f"line {line:,} is no GeoJSON feature: {error_text(error)}; GDAL reads {n_rows:,} "
                f"rows without it: the file is damaged"
            ) from error
        n_features += len(value["features"]) if is_collection else 1
    if n_features != n_rows:
        raise ValueError(f"GDAL reads {n_rows:,} of {n_features:,} features")


def warn_of_last_line(path: Path, n_rows: int, line: int) -> None:
    """Warn that a text file of many rows, as programs write, has no line break at its end."""
    if n_rows >= _MANY_ROWS:
        warnings.warn(
            f"{path}: the last line, {line:,}, has no line break; rows are missing if the file is "
            f"cut short",
            GeodetectWarning,
            stacklevel=2,
        )


def check_shapefile(path: Path) -> None:
    """Check that the geometries, index and attributes of a Shapefile have the same records.

    Raises:
        ValueError: A part is missing, cut short, or does not fit the others.
    """
    parts = {p.suffix.lower(): p for p in path.parent.glob(f"{escape(path.stem)}.*")}
    absent = [suffix for suffix in (".shx", ".dbf") if suffix not in parts]
    if absent:
        raise ValueError(
            f"{path.stem}{absent[0]} is missing beside it; a Shapefile is its .shp, .shx, .dbf and "
            f".prj together"
        )
    for suffix in (".shp", ".shx"):
        size = parts[suffix].stat().st_size if suffix in parts else path.stat().st_size
        with parts.get(suffix, path).open("rb") as stream:
            stream.seek(24)
            promised = int.from_bytes(stream.read(4), "big") * _WORD
        if size < max(promised, _SHAPEFILE_HEADER):
            raise ValueError(
                f"{path.stem}{suffix} has {size:,} of the {promised:,} bytes that its header "
                f"promises; the file is cut short"
            )
    index = np.fromfile(parts[".shx"], ">i4", offset=_SHAPEFILE_HEADER).astype(np.int64)
    offsets, lengths = index[: len(index) // 2 * 2].reshape(-1, 2).T * _WORD
    _check_attributes(parts[".dbf"], len(offsets))
    _check_records(path, offsets, lengths)


def check_database(path: Path) -> None:
    """Check the size of a GeoPackage or another SQLite database (SQLite file format, clause 1.3).

    Raises:
        ValueError: It has fewer pages than its header states; other files pass.
    """
    with path.open("rb") as stream:
        header = stream.read(_DATABASE_HEADER)
    if len(header) < _DATABASE_HEADER or not header.startswith(b"SQLite format 3\0"):
        return
    page = int.from_bytes(header[16:18], "big")
    page_bytes = 65_536 if page == 1 else page
    is_stated = header[24:28] == header[92:96]  # else written before SQLite 3.7
    promised = int.from_bytes(header[28:32], "big") * page_bytes if is_stated else 0
    if path.stat().st_size < promised:
        raise ValueError(
            f"{path.name} has {path.stat().st_size:,} of the {promised:,} bytes that its header "
            f"promises; the file is cut short"
        )


def check_features(file: str, table: gpd.GeoDataFrame, layer: str | None) -> None:
    """Check the rows of a layer against the header or database of its file.

    Args:
        file: The file, as GDAL names it.
        table: Its rows as GDAL has read them.
        layer: Name of the layer; None: the first.

    Raises:
        ValueError: The header counts more features, or geometries of the database are not read.
    """
    info: dict[str, Any] = pyogrio.read_info(file, layer=layer)
    if info["driver"] not in _COUNTED:
        return
    if info["features"] > len(table):
        raise ValueError(
            f"the header promises {info['features']:,} features, the file holds {len(table):,}; "
            f"it is damaged or cut short"
        )
    n_missing = int(np.asarray(table.geometry.isna()).sum())
    if info["driver"] in _DATABASES and n_missing:
        name, column = (
            str(info[key]).replace('"', '""') for key in ("layer_name", "geometry_name")
        )
        query = f'SELECT count(*) AS n FROM "{name}" WHERE "{column}" IS NULL'
        n_null = int(pyogrio.read_dataframe(file, sql=query, read_geometry=False)["n"].iloc[0])
        if n_missing > n_null:
            raise ValueError(f"{n_missing - n_null:,} geometries are damaged")


def has_lines(path: Path) -> bool:
    """Return True if a file is newline-delimited GeoJSON, by its suffix or first line."""
    if path.with_suffix("" if path.suffix.lower() == GZIP else path.suffix).suffix.lower() in LINES:
        return True
    with closing(open_text(path)) as stream:
        first = stream.readline(1 << 20)
        if not first.startswith((b"{", b"\xef\xbb\xbf{", _RECORD_SEPARATOR)):
            return False
        if first.startswith(_RECORD_SEPARATOR):
            return True
        following = stream.read(256).lstrip()
    try:
        return following.startswith(b"{") and json.loads(first)["type"] in _GEOMETRIES
    except (ValueError, TypeError, KeyError, RecursionError):
        return False


def _is_json(record: bytes) -> bool:
    try:
        json.loads(record)
    except (ValueError, RecursionError):
        return False
    return True


def _records(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the records that are not blank, each with the number of its first line."""
    with closing(open_text(path)) as stream:
        if stream.read(1) != _RECORD_SEPARATOR:
            stream.seek(0)
            for number, line in enumerate(stream, start=1):
                if record := line.strip(b"\xef\xbb\xbf \t\r\n"):
                    yield number, record
            return
        number = 1
        for record in stream.read().split(_RECORD_SEPARATOR):
            if record.strip():
                yield number, record.strip()
            number += record.count(b"\n")


def _check_attributes(dbf: Path, n_records: int) -> None:
    """Check the records of a dBASE table (dBASE III file structure: bytes 4 to 11)."""
    with dbf.open("rb") as stream:
        header = stream.read(12)
    n_rows = int.from_bytes(header[4:8], "little")
    start, size = (int.from_bytes(header[i : i + 2], "little") for i in (8, 10))
    n_bytes = dbf.stat().st_size
    if n_bytes < start + n_rows * size:
        raise ValueError(
            f"{dbf.name} has {n_bytes:,} of {start + n_rows * size:,} bytes; the file is cut short"
        )
    if n_rows != n_records:
        raise ValueError(
            f"{dbf.name} has {n_rows:,} rows of attributes for {n_records:,} geometries; expected "
            f"files that belong together"
        )


def _check_records(shp: Path, offsets: AnyArray, lengths: AnyArray) -> None:
    """Check that each record of a Shapefile lies where its index says."""
    if len(offsets) == 0:
        return
    data = np.memmap(shp, np.uint8, mode="r")
    is_inside = (offsets >= _SHAPEFILE_HEADER) & (offsets + 8 + lengths <= len(data))
    is_inside &= lengths >= 4
    heads = data[np.where(is_inside, offsets, 0)[:, None] + np.arange(4, 12)]
    stated = heads[:, :4].copy().view(">i4")[:, 0]
    kinds = heads[:, 4:].copy().view("<i4")[:, 0]
    file_kind = data[32:36].copy().view("<i4")[0]
    is_right = (stated * _WORD == lengths) & ((kinds == 0) | (kinds == file_kind))
    is_damaged = ~(is_inside & is_right)
    if is_damaged.any():
        raise ValueError(
            f"{is_damaged.sum():,} of {len(offsets):,} geometries are damaged, the first in row "
            f"{np.flatnonzero(is_damaged)[0] + 1:,}"
        )
