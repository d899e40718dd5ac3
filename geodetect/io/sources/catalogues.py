"""Lists and catalogues of rasters: text files, tile indexes of GDAL, STAC item collections."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urljoin
from urllib.request import urlopen

from geodetect.errors import InputError, error_text, list_names
from geodetect.io.raster.remote import is_remote
from geodetect.io.untrusted.vector_files import checked_vector_file
from geodetect.redaction import redact

LIST_SUFFIX, STAC_SUFFIXES = ".txt", (".json", ".geojson")
TABLE_SUFFIXES = (".parquet", ".geoparquet")
INDEX_SUFFIXES = (".gpkg", ".fgb", ".shp")
INDEX_MARK = ".gti"  # before the suffix of a file that GDAL takes for a tile index
LOCATION = "location"  # column of paths in a tile index, as gdaltindex writes it
ASCII_GRID = "ncols"  # first word of a raster that is a text file
TIMEOUT_S = 30
MAX_BYTES = 2**30
DATA_ROLE = "data"
PREFERRED = ("visual", "image", "data", "rgb", "ortho", "cog")  # names of assets
IMAGE_TYPES = ("image/tiff", "image/jp2", "image/vnd.stac.geotiff", "application/geotiff")
IMAGE_SUFFIXES = (".tif", ".tiff", ".jp2", ".vrt")
NO_DATA_ROLES = {"thumbnail", "overview", "metadata", "data-mask", "cloud", "cloud-optimized-mask"}


def read_catalogue(source: str) -> list[str] | None:
    """Read the paths that a list or catalogue of rasters names, in its order.

    Args:
        source: File or URL: text with a path in each line (``.txt``; lines that begin with ``#``
            are comments), a tile index of GDAL (a vector layer or Parquet file with a column
            ``location``), or a STAC item, item collection (JSON) or table of items (GeoParquet).

    Returns:
        Paths and URLs; relative ones become relative to the place of the catalogue. None: it is
        something else, such as a raster.

    Raises:
        InputError: It is empty or damaged, an item has several images, or a vector layer that may
            be taken for imagery names rasters elsewhere.
    """
    suffix = Path(source.partition("?")[0]).suffix.lower()
    if not is_remote(source) and not Path(source).is_file():
        return None
    if suffix == LIST_SUFFIX:
        entries = _read_list(source)
    elif suffix in STAC_SUFFIXES:
        entries = _read_stac(source)
    elif suffix in TABLE_SUFFIXES and not is_remote(source):
        entries = _read_table(source)
    elif suffix in INDEX_SUFFIXES and not is_remote(source):
        entries = _read_index(source)
    else:
        return None
    if entries is None:
        return None
    if not entries:
        raise InputError(f"{redact(source)}: names no raster; expected at least one")
    paths = [_resolve(entry, source) for entry in entries]
    if suffix in INDEX_SUFFIXES and Path(Path(source).stem).suffix.lower() != INDEX_MARK:
        _check_paths_nearby(paths, source)
    return paths


def _read_list(source: str) -> list[str] | None:
    """Return the paths in a text file; None: it is a raster as text."""
    try:
        lines = _read_bytes(source).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(
            f"{redact(source)}: expected text in UTF-8 with a path in each line"
        ) from error
    entries = [line.strip() for line in lines]
    entries = [entry for entry in entries if entry and not entry.startswith("#")]
    if entries and entries[0].lower().startswith(ASCII_GRID):
        return None
    return entries


def _read_stac(source: str) -> list[str] | None:
    """Return the images of STAC items in JSON; None: it is no STAC."""
    try:
        content = json.loads(_read_bytes(source))
    except (ValueError, RecursionError):
        return None  # whatever it is, GDAL says it
    features = content.get("features", [content]) if isinstance(content, dict) else []
    is_stac = isinstance(features, list) and all(
        isinstance(item, dict) and isinstance(item.get("assets"), dict) for item in features
    )
    return _images_of(features, source) if is_stac and features else None


def _read_table(source: str) -> list[str] | None:
    """Return the paths in a Parquet file, of a tile index or of STAC items; None: of neither."""
    from pyarrow import ArrowException, parquet

    try:
        names = parquet.read_schema(source).names
        column = next((name for name in (LOCATION, "assets") if name in names), None)
        if column is None:
            return None
        rows = parquet.read_table(source, columns=[column])[column].to_pylist()
        ids = parquet.read_table(source, columns=["id"])["id"].to_pylist() if "id" in names else []
    except (ArrowException, OSError) as error:
        raise InputError(f"{source}: not a Parquet file ({error_text(error)})") from error
    if column == LOCATION:
        return [str(row) for row in rows if row]
    ids = ids or list(range(1, len(rows) + 1))
    return _images_of([{"id": i, "assets": a} for i, a in zip(ids, rows, strict=True)], source)


def _read_index(source: str) -> list[str] | None:
    """Return the paths in a tile index of GDAL; None: it has no column of that name."""
    import pyogrio

    try:
        with checked_vector_file(source, source) as file:
            if not len(pyogrio.list_layers(file)):
                return None  # a GeoPackage of imagery
            if LOCATION not in pyogrio.read_info(file)["fields"]:
                return None
            table = pyogrio.read_dataframe(file, columns=[LOCATION], read_geometry=False)
    except (ValueError, pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError):
        return None  # whatever it is, opening it as a raster says it
    return [str(path) for path in table[LOCATION].dropna()]


def _images_of(items: Iterable[Mapping[str, Any]], source: str) -> list[str]:
    """Return the address of the image of each STAC item."""
    paths = []
    for item in items:
        assets = {name: a for name, a in item["assets"].items() if isinstance(a, dict)}
        images = {name: a for name, a in assets.items() if a.get("href") and _is_image(a)}
        names = _preferred(images)
        if len(names) != 1:
            present = list_names(images or assets) or "no assets"
            raise InputError(
                f"{redact(source)}: item {item.get('id')}: expected one asset with the image; "
                f"found {present}; give the paths of the images in a text file instead"
            )
        paths.append(str(images[names[0]]["href"]))
    return paths


def _is_image(asset: Mapping[str, Any]) -> bool:
    """Return True for assets that are imagery in a format of rasters, no thumbnail or mask."""
    if NO_DATA_ROLES & set(asset.get("roles") or ()):
        return False
    kind = str(asset.get("type") or "").partition(";")[0].strip().lower()
    href = str(asset["href"]).partition("?")[0].lower()
    return kind in IMAGE_TYPES if kind else href.endswith(IMAGE_SUFFIXES)


def _preferred(images: Mapping[str, Mapping[str, Any]]) -> Sequence[str]:
    """Return the names of the images that may be meant."""
    if len(images) > 1:
        for name in PREFERRED:
            if name in images:
                return [name]
        with_role = [n for n, image in images.items() if DATA_ROLE in (image.get("roles") or ())]
        return with_role or list(images)
    return list(images)


def is_file_path(name: str) -> bool:
    """Return True for names that are neither URLs nor in GDAL's virtual file systems."""
    return "://" not in name and not name.startswith("/vsi")


def _resolve(entry: str, source: str) -> str:
    """Return an entry relative to the place of its catalogue."""
    if not is_file_path(entry):
        return entry
    if "://" in source:
        return urljoin(source, entry)
    return str(Path(source).parent / entry)


def _check_paths_nearby(paths: Iterable[str], source: str) -> None:
    """Raise an error if a path leads out of the folder of its catalogue, links resolved."""
    file = Path(source)
    folder = file.parent.resolve()
    for path in paths:
        if not (is_file_path(path) and Path(path).resolve().is_relative_to(folder)):
            raise InputError(
                f"{source}: a tile index that names a raster elsewhere, {redact(path)}; if you "
                f"trust it, name it {file.stem}{INDEX_MARK}{file.suffix}, or list the paths in a "
                f"text file"
            )


def _read_bytes(source: str) -> bytes:
    """Read a file, or a file on a web server.

    Raises:
        InputError: It cannot be read.
    """
    try:
        if "://" not in source:
            return Path(source).read_bytes()
        with urlopen(source, timeout=TIMEOUT_S) as response:
            return bytes(response.read(MAX_BYTES))
    except (OSError, ValueError, HTTPException) as error:
        raise InputError(
            f"{redact(source)}: cannot be read ({redact(error_text(error))})"
        ) from error
