"""Vector formats that are read, recognised by content before GDAL opens a file.

GDAL chooses a driver by the content of a file, whatever its name. Some of them follow names and
addresses in the file: OGR VRT, GDALG, WFS, CSW. pyogrio takes no list of drivers as rasterio does,
and to remove drivers from GDAL would remove them from the whole program. So a file must begin as
one of the formats below do, and hold no word by which GDAL recognises one of those drivers.
"""

from __future__ import annotations

import gzip
import json
import re
import shutil
import tempfile
import warnings
import xml.etree.ElementTree as ET
import zipfile
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

import pyogrio

from geodetect.errors import GeodetectWarning

HEAD_BYTES = 65_536  # more than GDAL's drivers look at
CHUNK_BYTES, OVERLAP_BYTES = 2**24, 2**14
TIMEOUT_S = 20  # of a server
# addresses that a user states, and files in memory
ADDRESS = re.compile(
    r"\b(https?|ftp|s3|gs|az|adls|oss|swift)://|/vsi(curl|s3|gs|az|adls|oss|swift|hdfs|webhdfs|mem)",
    re.IGNORECASE,
)
PREFIX = re.compile(r"/vsi\w+/|[a-z]+://", re.IGNORECASE)
SQLITE = b"SQLite format 3\0"  # GeoPackage, SpatiaLite, MBTiles
BINARY = (SQLITE, b"fgb\3", b"\0\0\x27\x0a")  # FlatGeobuf, Shapefile
OSM_PBF = b"OSMHeader"
# GML, KML, GPX, GeoRSS, OpenStreetMap: words by which GDAL recognises them
XML_WORDS = (b"opengis.net/gml", b"<kml", b"<gpx", b"<rss", b"<feed", b"<osm")
# MapInfo, DXF and GMT, in lower case
TEXT_STARTS = re.compile(rb"!table|version \d|(999\r?\n.*\r?\n\s*)*0\r?\nsection|# @vgmt")
# words in the heads of files that name others, in lower case
FOLLOWED = re.compile(rb"<ogr\w+datasource|<gdal\w*|<vrtdataset|gdal_streamed_alg")
SERVICE = re.compile(rb"<[\w:]*capabilities\b")  # in XML: what a server answers
TABLE_VIEW = re.compile(rb"\\is_?seamless|create view")  # in MapInfo: a view of other tables
CRS_KEY = re.compile(
    rb"[\"'](?:c|\\u00[46]3)(?:r|\\u00[57]2)(?:s|\\u00[57]3)[\"']\s*", re.IGNORECASE
)
CRS_HINTS = (b'crs"', b"crs'", b"\\u004", b"\\u005", b"\\u006", b"\\u007")  # with escaped letters
CRS_TYPES = ("name", "epsg", "ogc")  # of GeoJSON 2008; "link" is an address
VIRTUAL_TABLES = ("rtree", "rtree_i32", "fts3", "fts4", "fts5", "geopoly")  # of SQLite itself
GML_OPTION = "GML_DOWNLOAD_SCHEMA"  # of servers with WFS


@contextmanager
def fetched(file: str) -> Iterator[str]:
    """Yield the name of a temporary copy of a file on a web server, which is checked as local ones.

    Args:
        file: Any name of a file. Local files, files in cloud storage, and files of binary formats,
            of which GDAL reads what it needs, are not copied.

    Raises:
        OSError: The server does not send the file.
    """
    address = file.removeprefix("/vsicurl/")
    if not address.startswith(("http://", "https://")):
        yield file
        return
    parts = urlsplit(address)
    request = Request(parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl())
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        request.add_header("Authorization", f"Basic {b64encode(user.encode()).decode()}")
    with tempfile.TemporaryDirectory() as folder, urlopen(request, timeout=TIMEOUT_S) as response:
        head = response.read(HEAD_BYTES)
        if head.startswith(BINARY):
            yield file
            return
        copy = Path(folder) / (Path(unquote(parts.path)).name or "layer")
        with copy.open("wb") as stream:
            stream.write(head)
            shutil.copyfileobj(response, stream)
        yield str(copy)


@contextmanager
def checked_vector_file(file: str, name: str) -> Iterator[str]:
    """Check the content of a vector file, and yield the name by which GDAL shall open it.

    Args:
        file: Local file or folder, or an address that the user has stated, which is not checked.
        name: Its name for GDAL: with a prefix for ``.gz`` and ZIP archives.

    Raises:
        ValueError: The content is of another format, or names files or servers.
    """
    path = Path(file)
    if path.is_dir() and path.suffix.lower() != ".gdb":
        raise ValueError("a folder; expected a file, or the .gdb of a file geodatabase")
    is_address = PREFIX.match(file) and ADDRESS.search(file)
    if path.is_dir() or (not path.exists() and is_address):
        yield name
        return
    if not path.is_file():
        raise ValueError(
            "neither a file nor an address that begins with https://, s3:// or /vsicurl/; of an "
            "archive, name the .zip or .gz itself, or unpack it"
        )
    with _open(path, name) as stream:
        head = stream.read(HEAD_BYTES)
        body = head.removeprefix(b"\xef\xbb\xbf").lstrip(b"\x1e \t\r\n")
        text = body.lower()
        is_binary = head.startswith(BINARY) or OSM_PBF in head[:32]
        is_json, is_xml = text.startswith(b"{"), text.startswith(b"<")
        word = None if is_binary else FOLLOWED.search(text)
        if is_xml or text.startswith(b"!table"):
            word = word or (SERVICE if is_xml else TABLE_VIEW).search(text)
        if word:
            name_of_format = body[word.start() : word.end()].decode(errors="replace").lstrip("<\\")
            raise ValueError(
                f"it holds {name_of_format}, which names other "
                f"files or servers; convert it to GeoPackage if you trust it"
            )
        if is_json:
            stream.seek(0)
            _check_json_crs(stream)
    if head.startswith(SQLITE) and name == file:
        _check_tables(path)
    is_known_xml = is_xml and any(word in text for word in XML_WORDS)
    if not (is_binary or is_json or is_known_xml or TEXT_STARTS.match(text)):
        raise ValueError(
            "its content is of no format that is read; expected GeoPackage, GeoJSON, FlatGeobuf, "
            "Shapefile, GeoParquet, CSV, GML, KML, GPX or MapInfo"
        )
    if is_known_xml and b"opengis.net/gml" in text:
        with _checked_gml(path, name) as gml:
            yield gml
    else:
        # a name such as "WFS:x.json" is no address
        yield str(path.absolute()) if ":" in name and name == file else name


@contextmanager
def _open(path: Path, name: str) -> Iterator[IO[bytes]]:
    """Open a file for reading, decompressed as GDAL does by its name."""
    if name.startswith("/vsigzip/"):
        with gzip.open(path) as stream:
            yield stream  # type: ignore[misc]
    elif name.startswith("/vsizip/"):
        with zipfile.ZipFile(path) as archive, archive.open(_member(path, name)) as stream:
            yield stream
    else:
        with path.open("rb") as stream:
            yield stream


def _member(path: Path, name: str) -> str:
    return name.removeprefix(f"/vsizip/{path.absolute()}/")


def _check_json_crs(stream: IO[bytes]) -> None:
    """Check that no ``crs`` of a GeoJSON or TopoJSON file is an address, which GDAL asks for it.

    Only the members of that name are parsed. Keys may have escapes, capitals and, in the parser
    that GDAL uses for TopoJSON, single quotes and comments behind them.
    """
    data = b""
    while chunk := stream.read(CHUNK_BYTES):
        data = data[-OVERLAP_BYTES:] + chunk
        lower = data.lower()
        if not any(hint in lower for hint in CRS_HINTS):
            continue
        for key in CRS_KEY.finditer(data):
            if len(data) - key.end() < OVERLAP_BYTES // 2:
                data += stream.read(OVERLAP_BYTES)
            value = data[key.end() : key.end() + OVERLAP_BYTES].decode(errors="replace")
            if value[:1] in ("", ",", "}", "]"):  # a text, not a key
                continue
            try:
                crs, _ = json.JSONDecoder().raw_decode(value.removeprefix(":").lstrip())
                if not value.startswith(":"):
                    raise ValueError("no colon")
            except (ValueError, RecursionError):
                crs = {"type": None}
            kinds = [v for k, v in crs.items() if k.lower() == "type"] if type(crs) is dict else []
            if any(str(kind).lower() not in CRS_TYPES for kind in kinds):
                raise ValueError(
                    "its `crs` is a link to a server, which is not asked; delete it, and name the "
                    "CRS of the layer otherwise"
                )


def _check_tables(path: Path) -> None:
    """Check that a SQLite database has no virtual table that reads other files."""
    import sqlite3  # late, as most layers are in other formats

    query = "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND rootpage = 0"
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        with closing(sqlite3.connect(uri, uri=True)) as database:
            tables = database.execute(query).fetchall()
    except sqlite3.Error:  # damaged: GDAL says more
        return
    for table, sql in tables:
        modules = re.findall(r"\busing\W*(\w+)", str(sql), re.IGNORECASE)
        if not modules or any(module.lower() not in VIRTUAL_TABLES for module in modules):
            raise ValueError(f"its virtual table {table} may read other files; delete it")


@contextmanager
def _checked_gml(path: Path, name: str) -> Iterator[str]:
    """Yield the name of a GML file with its schema and template, but without servers.

    GDAL asks the servers of its schema, and writes a template beside it: so it is read in an empty
    folder.
    """
    previous = pyogrio.get_gdal_config_option(GML_OPTION)
    with tempfile.TemporaryDirectory() as folder:
        if name == str(path):
            copy = Path(folder) / path.name
            _link(path, copy)
            for suffix in (".xsd", ".gfs"):
                side = path.with_suffix(suffix)
                if not side.is_file():
                    continue
                if suffix == ".xsd" and _includes_schemas(side.read_bytes()):
                    warnings.warn(
                        f"{path}: its schema {side.name} includes others and is not used; types of "
                        f"columns are guessed",
                        GeodetectWarning,
                        stacklevel=2,
                    )
                else:
                    shutil.copyfile(side, copy.with_suffix(suffix))
            name = str(copy)
        elif name.startswith("/vsizip/"):
            with zipfile.ZipFile(path) as archive:
                schema = str(Path(_member(path, name)).with_suffix(".xsd"))
                if schema in archive.namelist() and _includes_schemas(archive.read(schema)):
                    raise ValueError(f"its schema {schema} names other schemas; unpack it")
        pyogrio.set_gdal_config_options({GML_OPTION: "NO"})
        try:
            yield name
        finally:
            pyogrio.set_gdal_config_options({GML_OPTION: previous})


def _link(path: Path, copy: Path) -> None:
    try:
        copy.symlink_to(path.absolute())
    except OSError:  # not allowed on some systems
        shutil.copyfile(path, copy)


def _includes_schemas(data: bytes) -> bool:
    """Return True if an XML schema includes others, or cannot be parsed."""
    try:
        root = ET.fromstring(data, ET.XMLParser(encoding="utf-8"))
    except (ET.ParseError, ValueError):
        return True
    names = {element.tag.rpartition("}")[2].lower() for element in root.iter()}
    return bool(names & {"include", "redefine"}) or b"<!doctype" in data.lower()
