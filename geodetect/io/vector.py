"""Tables of features to files of every common vector format."""

from __future__ import annotations

import io
import shutil
import sqlite3
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyogrio
import shapely
from pyproj import CRS

from geodetect.errors import GeoreferenceError, InputError, OutputError
from geodetect.geo.grid import parse_crs
from geodetect.geo.reproject import reproject, same_crs
from geodetect.io.geojson import (
    ROWS_AT_ONCE,
    WGS84,
    cut_at_antimeridian,
    to_geojson,
    to_geojson_lines,
)
from geodetect.io.qgis_style import embed_style, qml
from geodetect.io.staging import check_folder, check_vacant, staged

__all__ = ["FORMATS", "Format", "check_target", "format_of", "to_geojson", "write"]

LAYER = "detections"
GEOMETRY_COLUMN = "geom"
_GDAL_OPTIONS: dict[str, dict[str, Any]] = {
    "GPKG": {
        "dataset_options": {"VERSION": "1.3"},  # what readers of before 2023 know as well
        "layer_options": {"GEOMETRY_NAME": GEOMETRY_COLUMN},
    }
}


@dataclass(frozen=True)
class Format:
    """A vector file format.

    Args:
        name: What ``--format`` calls it.
        suffixes: File name endings that mean it.
        encode: Writes a table to a path.
        any_crs: Whether files may have another CRS than WGS 84.
        parts: Endings of files that belong to one of this format: appended to the full name
            where they begin with ``+``, else in place of the suffix.
    """

    name: str
    suffixes: tuple[str, ...]
    encode: Callable[[gpd.GeoDataFrame, Path], None]
    any_crs: bool = True
    parts: tuple[str, ...] = ()

    def belongs(self, file: Path, *, to: Path) -> bool:
        """Whether a file beside ``to`` is a part of it."""
        names = [to.name + p[1:] if p[0] == "+" else to.stem + p for p in self.parts]
        return file.name.lower() in (name.lower() for name in names)


def write(
    table: gpd.GeoDataFrame,
    path: str | Path,
    *,
    format: str | None = None,  # noqa: A002 (the option is called --format)
    crs: str | None = None,
    overwrite: bool = False,
    style: bool = False,
) -> Path:
    """Write a table to a vector file, complete or not at all.

    GeoJSON and newline-delimited GeoJSON are on WGS 84 (RFC 7946); GeoPackage (layer
    ``detections``), FlatGeobuf (ordered by place, for its index), GeoParquet and Shapefile (names
    of at most 10 characters, text of at most 254 bytes) are in ``crs``. CSV has the geometry as
    well-known text in ``crs`` in the column ``WKT``, and ``lon`` and ``lat`` of its centroid on
    WGS 84. Missing values are null. A table without CRS gives a file without CRS.

    Args:
        table: A detection table, or any features.
        path: The file. Its suffix chooses the format; see `FORMATS`.
        format: The format, whatever the suffix.
        crs: CRS of the file as WKT or anything PROJ understands; by default that of the table.
        overwrite: Replace the file, with its parts, if it exists.
        style: Have QGIS draw boxes coloured by score. GeoPackage and GeoJSON only.

    Returns:
        The path.

    Raises:
        InputError: An unknown format, or options that do not go together.
        GeoreferenceError: A CRS that cannot be used.
        OutputError: The file exists, or it cannot be written; then there is nothing of it.
    """
    target = Path(path)
    kind = format_of(target, format)
    _check_options(kind, crs=crs, style=style)
    placed = in_crs(table, crs) if kind.any_crs else table
    belongs = partial(kind.belongs, to=target.resolve())
    with disk_errors(target), staged(target, overwrite=overwrite, belongs=belongs) as path_staged:
        kind.encode(placed, path_staged)
        if style:
            _add_style(kind, path_staged)
    return target


def check_target(
    path: str | Path,
    *,
    format: str | None = None,  # noqa: A002
    crs: str | None = None,
    overwrite: bool = False,
    style: bool = False,
) -> None:
    """Raise now what `write` would raise later, before hours of work are spent.

    Raises:
        InputError: An unknown format, or options that do not go together.
        GeoreferenceError: A CRS that cannot be used.
        OutputError: The file exists, or its folder is missing or cannot be written to.
    """
    target = Path(path)
    kind = format_of(target, format)
    _check_options(kind, crs=crs, style=style)
    final = target.resolve()
    check_folder(final)
    check_vacant(final, overwrite=overwrite, belongs=partial(kind.belongs, to=final))
    if style and kind.name == "geojson":
        check_vacant(final.with_suffix(".qml"), overwrite=overwrite)


def format_of(path: Path, name: str | None = None) -> Format:
    """The format of that name, or else the one that the suffix means.

    Raises:
        InputError: No such format.
    """
    for kind in FORMATS:
        if name is None and path.suffix.lower() in kind.suffixes:
            return kind
        if name is not None and name.lower().lstrip(".") in _names(kind):
            if kind.name == "shapefile" and path.suffix.lower() != ".shp":
                raise InputError(f"{path.name}: a Shapefile must be called *.shp")
            return kind
    if name is None:
        known = ", ".join(suffix for kind in FORMATS for suffix in kind.suffixes)
        found = f"the suffix {path.suffix!r}" if path.suffix else "no suffix"
        raise InputError(f"{path.name} has {found}; expected one of {known}, or --format")
    raise InputError(
        f"unknown vector format {name!r}; --format takes {', '.join(kind.name for kind in FORMATS)}"
    )


def _names(kind: Format) -> list[str]:
    return [kind.name, *(suffix[1:] for suffix in kind.suffixes)]


def _check_options(kind: Format, *, crs: str | None, style: bool) -> None:
    if crs is not None and not same_crs(parse_crs(crs, option="--crs"), WGS84) and not kind.any_crs:
        raise InputError(
            f"{kind.name} is always on WGS 84 (RFC 7946), found --crs {crs}; leave --crs away, or "
            f"write a format that carries a CRS, such as .gpkg"
        )
    if style and kind.name not in STYLED:
        raise InputError(
            f"a style can be written for {' and '.join(STYLED)}, not for {kind.name}; "
            f"leave --style away or choose another format"
        )


def in_crs(table: gpd.GeoDataFrame, crs: str | None) -> gpd.GeoDataFrame:
    """A table in the CRS that ``--crs`` names; as it is if none is named.

    On longitudes and latitudes, geometries are cut at the antimeridian.

    Raises:
        GeoreferenceError: The table has no CRS, or the other one cannot be used.
    """
    if crs is None:
        return table
    if table.crs is None:
        raise GeoreferenceError(
            f"the detections have no CRS, so they cannot be written in {crs}; "
            f"name the raster's CRS with --src-crs, or leave --crs away"
        )
    wkt = parse_crs(crs, option="--crs")
    moved = reproject(np.asarray(table.geometry.array), table.crs.to_wkt(), wkt)
    if CRS(wkt).is_geographic:
        moved = cut_at_antimeridian(moved)
    return table.set_geometry(gpd.array.from_shapely(moved, crs=wkt))


@contextmanager
def disk_errors(target: Path) -> Iterator[None]:
    """Failures of the disk, whichever library meets them, as one kind of error."""
    try:
        yield
    except OutputError:
        raise
    except (OSError, sqlite3.Error, pyogrio.errors.DataSourceError,
            pyogrio.errors.DataLayerError, pyogrio.errors.FeatureError) as error:  # fmt: skip
        reason = getattr(error, "strerror", None) or _reason(error)
        free_mb = shutil.disk_usage(target.resolve().parent).free / 1e6
        raise OutputError(
            f"cannot write {target}: {reason} ({free_mb:.0f} MB free there); "
            f"make room or choose another place with --output"
        ) from error


def _reason(error: Exception) -> str:
    """What a library says in one line, without the SQL it was about."""
    text = " ".join(str(error).split())
    return "the file could not be completed" if "sqlite3_exec(" in text else text


def _add_style(kind: Format, path: Path) -> None:
    if kind.name == "gpkg":
        embed_style(path, LAYER, geometry_column=GEOMETRY_COLUMN, style=qml())
    else:
        path.with_suffix(".qml").write_text(qml(), encoding="utf-8")


def _encode_text(
    to_text: Callable[[gpd.GeoDataFrame, TextIO], None], table: gpd.GeoDataFrame, path: Path
) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        to_text(table, stream)


def _encode_parquet(table: gpd.GeoDataFrame, path: Path) -> None:
    with path.open("wb") as stream:
        table.to_parquet(stream, index=False)


def _encode_gdal(driver: str, table: gpd.GeoDataFrame, path: Path) -> None:
    """Write through memory: GDAL is silent about a disk that fills up when it closes a file."""
    memory = io.BytesIO()
    layer = LAYER if driver == "GPKG" else path.stem
    to_gdal(table, memory, driver=driver, layer=layer)
    with path.open("wb") as stream:
        stream.write(memory.getbuffer())


def _encode_shapefile(table: gpd.GeoDataFrame, path: Path) -> None:
    """Write a Shapefile, whose many files GDAL cannot write to memory, and see it is complete."""
    to_gdal(table, path.with_suffix(".shp"), driver="ESRI Shapefile", layer=path.stem)
    path.with_suffix(".shp").rename(path)  # it may be called .SHP
    shx, dbf = path.with_suffix(".shx"), path.with_suffix(".dbf")
    for part in (path, shx):  # the header has the length in units of two bytes
        _check_size(part, 2 * struct.unpack(">i", _head(part)[24:28])[0])
    _check_size(shx, 100 + 8 * len(table))
    rows, header_bytes, row_bytes = struct.unpack("<IHH", _head(dbf)[4:12])
    _check_size(dbf, header_bytes + max(rows, len(table)) * row_bytes)


def _head(part: Path) -> bytes:
    with part.open("rb") as stream:
        return stream.read(100).ljust(100, b"\0")


def _check_size(part: Path, expected: int) -> None:
    found = part.stat().st_size
    if found < expected:
        raise OSError(f"only {found} of {expected} bytes of {part.suffix} were written")


def to_gdal(table: gpd.GeoDataFrame, target: Path | io.BytesIO, *, driver: str, layer: str) -> None:
    """Have GDAL write a table as a layer; into a GeoPackage that is there, as a further one."""
    geometry = np.asarray(table.geometry.array)
    wkb = {GEOMETRY_COLUMN: pa.array(shapely.to_wkb(geometry), pa.binary())}
    columns = pd.DataFrame(table.drop(columns=table.geometry.name))
    attributes = pa.Table.from_pandas(columns, preserve_index=False)  # of no columns, no rows
    attributes = attributes.cast(_with_types(attributes.schema))
    features = pa.table(dict(zip(attributes.column_names, attributes.columns, strict=True)) | wkb)
    kinds = sorted(set(table.geom_type.dropna())) or ["Polygon"]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="'crs' was not provided")  # on purpose, then
        pyogrio.write_arrow(
            features,
            target,
            layer=layer,
            driver=driver,
            geometry_name=GEOMETRY_COLUMN,
            geometry_type=kinds[0] if len(kinds) == 1 else "Unknown",
            crs=None if table.crs is None else table.crs.to_wkt(),
            encoding="UTF-8",
            **_GDAL_OPTIONS.get(driver, {}),
        )


def _with_types(schema: pa.Schema) -> pa.Schema:
    """Columns that hold nothing at all as text: GDAL knows no column without a type."""
    texts = [field.with_type(pa.string()) if field.type == pa.null() else field for field in schema]
    return pa.schema(texts)


def _csv(table: gpd.GeoDataFrame, stream: TextIO) -> None:
    for start in range(0, max(1, len(table)), ROWS_AT_ONCE):
        rows = table.iloc[start : start + ROWS_AT_ONCE]
        geometry = np.asarray(rows.geometry.array)
        columns = pd.DataFrame(rows.drop(columns=rows.geometry.name))
        flags = columns.select_dtypes(bool)
        columns[flags.columns] = flags.replace({True: "true", False: "false"})
        columns[["lon", "lat"]] = _centroids_lonlat(geometry, rows.crs)
        columns["WKT"] = shapely.to_wkt(geometry, rounding_precision=-1)
        columns.to_csv(stream, index=False, header=start == 0, lineterminator="\n")


def _centroids_lonlat(geometry: Any, crs: Any) -> Any:
    if crs is None:
        return np.full((len(geometry), 2), np.nan)
    points = reproject(shapely.centroid(geometry), crs.to_wkt(), WGS84)
    return np.round(shapely.get_coordinates(points).reshape(-1, 2), 8)


SHAPEFILE_PARTS = (".shx", ".dbf", ".prj", ".cpg", ".qix", ".qpj", ".sbn", ".sbx", ".idm", ".ind",
                   ".fbn", ".fbx", ".ain", ".aih", ".atx", "+.xml")  # fmt: skip
FORMATS = (
    Format("geojson", (".geojson", ".json"), partial(_encode_text, to_geojson), any_crs=False),
    Format("geojsonseq", (".geojsonl", ".geojsons", ".ndjson"),
           partial(_encode_text, to_geojson_lines), any_crs=False),
    Format("gpkg", (".gpkg",), partial(_encode_gdal, "GPKG"),
           parts=("+-wal", "+-shm", "+-journal")),
    Format("flatgeobuf", (".fgb",), partial(_encode_gdal, "FlatGeobuf")),
    Format("geoparquet", (".parquet", ".geoparquet"), _encode_parquet),
    Format("shapefile", (".shp",), _encode_shapefile, parts=SHAPEFILE_PARTS),
    Format("csv", (".csv",), partial(_encode_text, _csv)),
)  # fmt: skip
STYLED = ("geojson", "gpkg")
