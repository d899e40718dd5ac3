"""Vector files compressed by gzip or in a ZIP archive, which GDAL reads without unpacking them."""

from __future__ import annotations

import gzip
import zipfile
from io import BufferedIOBase
from pathlib import Path
from typing import cast

from geodetect.errors import list_names

GZIP, ZIP = ".gz", (".zip", ".kmz")
LAYER_SUFFIXES = (
    *(".geojson", ".json", ".geojsonl", ".geojsons", ".ndjson", ".gpkg", ".shp", ".fgb"),
    *(".parquet", ".geoparquet", ".gml", ".kml", ".tab"),
)
# Real layers shrink to a fifth or a tenth. A file of a few kilobytes can unpack to fill the memory.
MAX_RATIO, MIN_UNPACKED = 100, 10_000_000  # sizes in bytes


def archived_name(path: Path) -> str:
    """Return the name by which GDAL opens a file: with a prefix if it is compressed.

    Args:
        path: Any file; of a ZIP archive its only layer.

    Raises:
        ValueError: An archive has no layer or several, or unpacks to far more than its size.
    """
    suffix, packed = path.suffix.lower(), path.stat().st_size
    if suffix == GZIP:
        with path.open("rb") as stream:
            stream.seek(-min(packed, 4), 2)
            unpacked = int.from_bytes(stream.read(), "little")  # RFC 1952: the last four bytes
        _check_ratio(packed, unpacked)
        return f"/vsigzip/{path.absolute()}"
    if suffix not in ZIP:
        return str(path)
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
    _check_ratio(packed, sum(member.file_size for member in members))
    layers = [m.filename for m in members if Path(m.filename).suffix.lower() in LAYER_SUFFIXES]
    if len(layers) != 1:
        raise ValueError(
            f"holds the layers {list_names(layers) or '(none)'}; expected one; unpack it and name "
            f"its file"
        )
    return f"/vsizip/{path.absolute()}/{layers[0]}"


def open_text(path: Path) -> BufferedIOBase:
    """Open a file, decompressed if it is a ``.gz``."""
    is_packed = path.suffix.lower() == GZIP
    return cast(BufferedIOBase, gzip.open(path) if is_packed else path.open("rb"))


def _check_ratio(packed: int, unpacked: int) -> None:
    if unpacked > max(MAX_RATIO * packed, MIN_UNPACKED):
        raise ValueError(
            f"unpacks to {unpacked / 1e6:,.0f} MB, more than {MAX_RATIO} times its size; unpack it "
            f"yourself if it is what it should be"
        )
