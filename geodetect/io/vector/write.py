"""Writer of tables of features to every common vector format."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import shapely

from geodetect.errors import GeoreferenceError, InputError, OutputError, list_names, suggest
from geodetect.geo.crs import WGS84, normalize_crs, parse_crs, same_crs
from geodetect.geo.reproject import reproject
from geodetect.io.atomic import (
    FileIdentity,
    cannot_write,
    check_folder,
    check_overwrite,
    final_path,
    write_atomically,
)
from geodetect.io.inputs import check_not_read_next
from geodetect.io.vector.chunks import (
    MappedChunks,
    Table,
    TableChunks,
    as_chunks,
    with_typed_columns,
)
from geodetect.io.vector.csv_table import FORMULA_STARTS
from geodetect.io.vector.gdal import (
    check_flatgeobuf,
    check_geopackage,
    check_shapefile,
    embed_style,
    geopackage_to_build,
    named_for_gdal,
    other_contents,
    write_layer,
)
from geodetect.io.vector.geojson import LINES, project_to_degrees, to_geojson, to_geojson_lines
from geodetect.io.vector.geoparquet import write_parquet
from geodetect.io.vector.qgis_style import score_qml

__all__ = ["FORMATS", "Format", "check_target", "format_of", "to_geojson", "write"]

LAYER = "detections"
OWN_LAYERS = (LAYER, "coverage")  # of the files of ``predict``


@dataclass(frozen=True)
class Format:
    """A vector file format.

    Args:
        name: Name of the format, for `write`.
        suffixes: Suffixes of file names that select the format.
        encode: Function that writes a table to a path.
        any_crs: Files may be in any CRS; False: always WGS 84.
        has_lonlat: Files hold coordinates on WGS 84, whatever their CRS.
        parts: Endings of further files of a dataset, in place of the suffix; those that begin
            with ``+`` are appended to the full name.
        other_names: Further names, such as that of GDAL's driver.
    """

    name: str
    suffixes: tuple[str, ...]
    encode: Callable[[TableChunks, Path], None]
    any_crs: bool = True
    has_lonlat: bool = False
    parts: tuple[str, ...] = ()
    other_names: tuple[str, ...] = ()

    def is_part(self, file: Path, *, target: Path) -> bool:
        """Return True if a file beside ``target`` is a part of it, whatever the case of its ending.

        On most systems ``POOLS.dbf`` and ``pools.dbf`` are two files, on some they are one.
        """
        for part in self.parts:
            stem, ending = (target.name, part[1:]) if part[0] == "+" else (target.stem, part)
            if file.name.lower() == (stem + ending).lower():
                same_stem = file.with_name(stem + file.name[len(stem) :])
                return same_stem.exists() and same_stem.samefile(file)
        return False


def write(
    table: Table,
    path: str | Path,
    *,
    format: str | None = None,  # noqa: A002
    crs: str | None = None,
    overwrite: bool = False,
    style: bool = False,
) -> Path:
    """Write a table to a vector file, complete or not at all, in chunks of rows.

    For a FlatGeobuf, GDAL holds the index of all rows in memory, some 250 bytes a row.

    GeoJSON and newline-delimited GeoJSON are on WGS 84 (RFC 7946); GeoPackage (layer
    ``detections``), FlatGeobuf (ordered by place, for its index, unless rows lack a geometry),
    GeoParquet and Shapefile (names of at most 10 characters, text of at most 254 bytes) are in
    ``crs``. CSV has the geometry as well-known text in ``crs`` in the column ``WKT``, and ``lon``
    and ``lat`` of its centroid on WGS 84, and an apostrophe before texts that a spreadsheet would
    compute as a formula. Missing values are null. A table without CRS gives a file
    without CRS.

    Args:
        table: A detection table, the ``DetectionLayer`` of ``predict_layer``, or any features.
        path: The file. Its suffix chooses the format; see `FORMATS`.
        format: The format, whatever the suffix.
        crs: CRS of the file as WKT or anything PROJ understands; by default that of the table.
        overwrite: Replace the file, with its parts, if it exists.
        style: Add a QGIS style that colours objects by score. GeoPackage and GeoJSON only.

    Returns:
        The path.

    Raises:
        InputError: An unknown format, or options that do not go together.
        GeoreferenceError: A CRS that cannot be used.
        OutputError: The file exists, or it cannot be written; then nothing of it remains.
    """
    target = Path(path)
    kind = format_of(target, format)
    check_options(kind, crs=crs, style=style)
    with staged_file(target, kind, overwrite=overwrite) as staged:
        encode(table, staged, kind, crs=crs, style=style)
    return target


@contextmanager
def staged_file(
    target: Path,
    kind: Format,
    *,
    overwrite: bool,
    replaceable: Collection[FileIdentity] = (),
    layers: Collection[str] = OWN_LAYERS,
) -> Iterator[Path]:
    """Yield a path to write to, see ``write_atomically``; disk errors are ``OutputError``.

    Args:
        target: The final path.
        kind: Its format, which decides which files beside it are parts of it.
        overwrite: Replace the file, with its parts, if it exists.
        replaceable: Files that may be replaced without ``overwrite``.
        layers: Names of the layers of an existing GeoPackage that may be replaced.

    Raises:
        OutputError: The file exists, or it cannot be written; then nothing of it remains.
    """
    is_part = partial(kind.is_part, target=final_path(target))
    atomic = write_atomically(target, overwrite=overwrite, replaceable=replaceable, is_part=is_part)
    try:
        with atomic as path:
            _check_other_contents(target, layers)
            yield path
            _check_other_contents(target, layers)  # another program may have added some
    except (sqlite3.Error, pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError,
            pyogrio.errors.FeatureError) as error:  # fmt: skip
        if "sqlite3_exec(" in str(error):  # GDAL shows the SQL, not what went wrong
            error = OSError(0, "the file could not be completed")
        raise cannot_write(target, error) from error


def encode(table: Table, path: Path, kind: Format, *, crs: str | None, style: bool = False) -> None:
    """Write a table to a path, for ``staged_file``; arguments as for ``write``."""
    chunks = project_table(table, crs) if kind.any_crs else as_chunks(table)
    if kind.name == "gpkg":
        _encode_geopackage(chunks, path, style=score_style(table) if style else None)
        return
    kind.encode(chunks, path)
    if style:
        path.with_suffix(".qml").write_text(score_style(table), encoding="utf-8")


def score_style(table: Table) -> str:
    """Return the QGIS style that colours a table of polygons or points by score."""
    first = next(as_chunks(table).chunks())
    is_point = np.isin(first.geom_type.dropna().unique(), ("Point", "MultiPoint"))
    return score_qml(geometry="point" if len(is_point) and is_point.all() else "polygon")


def check_target(
    path: str | Path,
    *,
    format: str | None = None,  # noqa: A002
    crs: str | None = None,
    overwrite: bool = False,
    replaceable: Collection[FileIdentity] = (),
    style: bool = False,
    layers: Collection[str] = OWN_LAYERS,
    takes_format: bool = True,
) -> None:
    """Check that `write` can write the file, before hours of work are spent.

    Raises:
        InputError: An unknown format, or options that do not go together.
        GeoreferenceError: A CRS that cannot be used.
        OutputError: The file exists, or its folder is missing or cannot be written to; or it is a
            GeoPackage with other contents than ``layers``.
    """
    target = Path(path)
    kind = format_of(target, format, takes_format=takes_format)
    check_options(kind, crs=crs, style=style)
    final = final_path(target)
    check_not_read_next(target)
    check_folder(final)
    is_part = partial(kind.is_part, target=final)
    check_overwrite(final, overwrite=overwrite, replaceable=replaceable, is_part=is_part)
    _check_other_contents(final, layers)
    if style and kind.name == "geojson":
        qml_file = final.with_suffix(".qml")
        check_overwrite(qml_file, overwrite=overwrite, replaceable=replaceable)


def _check_other_contents(target: Path, layers: Collection[str]) -> None:
    """Raise an error if a file with other contents than the layers would be replaced.

    Raises:
        OutputError: It has some, or they cannot be read.
    """
    try:
        contents = other_contents(target, layers)
    except sqlite3.OperationalError as error:
        raise OutputError(
            f"{target} cannot be replaced: its layers cannot be listed ({error}); close it in "
            f"other programs, or choose another `output`"
        ) from error
    if contents:
        raise OutputError(
            f"{target} also holds {list_names(contents)}, which would be lost; choose another "
            f"`output`, or remove them from it"
        )


def format_of(path: Path, name: str | None = None, *, takes_format: bool = True) -> Format:
    """Return the format of that name, or without a name the one of the suffix.

    Args:
        path: A file.
        name: Name of the format.
        takes_format: The caller has a parameter `format`, which the error may name.

    Raises:
        InputError: No such format.
    """
    for kind in FORMATS:
        if name is None and path.suffix.lower() in kind.suffixes:
            return kind
        names = [kind.name, *(suffix[1:] for suffix in kind.suffixes), *kind.other_names]
        if name is not None and name.lower().lstrip(".") in names:
            if kind.name == "shapefile" and path.suffix.lower() != ".shp":
                raise InputError(f"{path.name}: a Shapefile must be called *.shp")
            return kind
    if name is None and path.is_dir():
        raise InputError(f"{path} is a folder; name a file in it with `output`")
    if name is None:
        suffixes = ", ".join(suffix for kind in FORMATS for suffix in kind.suffixes)
        suffix = f"the suffix {path.suffix!r}" if path.suffix else "no suffix"
        hint = suggest(path.suffix, suffixes.split(", "))
        remedy = ", or set `format`" if takes_format else ""
        raise InputError(f"{path.name} has {suffix}; expected one of {suffixes}{remedy}{hint}")
    names_text = ", ".join(kind.name for kind in FORMATS)
    hint = suggest(name, (n for kind in FORMATS for n in (kind.name, *kind.suffixes)))
    raise InputError(f"unknown vector format {name!r}; `format` must be one of {names_text}{hint}")


def check_options(kind: Format, *, crs: str | None, style: bool = False) -> None:
    """Check that a format can hold a CRS and a style.

    Raises:
        InputError: It cannot.
        GeoreferenceError: The CRS cannot be used.
    """
    is_wgs84 = crs is None or same_crs(parse_crs(crs, parameter="crs"), WGS84)
    if not is_wgs84 and not kind.any_crs:
        raise InputError(
            f"{kind.name} is always on WGS 84 (RFC 7946), but `crs` is {crs}; omit it, or choose a "
            f"format that has a CRS, such as .gpkg"
        )
    if style and kind.name not in STYLED:
        raise InputError(
            f"a style can be written for {' and '.join(STYLED)}, not for {kind.name}; "
            f"omit `style`, or choose another format"
        )


def project_table(table: Table, crs: str | None) -> TableChunks:
    """Project a table to another CRS; None: leave it as it is.

    In a geographic CRS, geometries are cut at the antimeridian.

    Raises:
        GeoreferenceError: The table has no CRS, or ``crs`` cannot be used. Rows that ``crs`` does
            not reach raise it when their chunk is made.
    """
    is_in_memory = isinstance(table, gpd.GeoDataFrame)
    chunks = as_chunks(with_typed_columns(table) if is_in_memory else table)
    if crs is None:
        return chunks
    if chunks.crs is None:
        raise GeoreferenceError(
            f"the features have no CRS, so they cannot be written in {crs}; set `src_crs` to that "
            f"of the raster, or omit `crs`"
        )
    source, target = chunks.crs, normalize_crs(parse_crs(crs, parameter="crs"))

    def project(chunk: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
        project_geometry = project_to_degrees if target.is_geographic else reproject
        geometry = project_geometry(np.asarray(chunk.geometry.array), source, target)
        return chunk.set_geometry(gpd.array.from_shapely(geometry, crs=target))

    return MappedChunks(chunks, project, target)


def _encode_text(
    to_text: Callable[[TableChunks, TextIO], None], table: TableChunks, path: Path
) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        to_text(table, stream)


def _encode_geopackage(table: TableChunks, path: Path, *, style: str | None = None) -> None:
    with geopackage_to_build(path) as file:
        write_layer(table, file, driver="GPKG", layer=LAYER)
        if style is not None:
            embed_style(file, LAYER, style=style, name="detections by score")
        check_geopackage(file, {LAYER: len(table)})


def _encode_flatgeobuf(table: TableChunks, path: Path) -> None:
    with named_for_gdal(path, ".fgb") as gdal_path:
        write_layer(table, gdal_path, driver="FlatGeobuf", layer=path.stem)
        check_flatgeobuf(gdal_path, len(table))


def _encode_shapefile(table: TableChunks, path: Path) -> None:
    with named_for_gdal(path, ".shp") as gdal_path:
        write_layer(table, gdal_path, driver="ESRI Shapefile", layer=path.stem)
    check_shapefile(path, len(table))


def _to_csv(table: TableChunks, stream: TextIO) -> None:
    for number, rows in enumerate(table.chunks()):
        geometry = np.asarray(rows.geometry.array)
        columns = _csv_cells(pd.DataFrame(rows.drop(columns=rows.geometry.name)))
        lonlat = np.full((len(geometry), 2), np.nan)
        if rows.crs is not None:
            centroids = reproject(shapely.centroid(geometry), rows.crs, WGS84)
            lonlat = shapely.bounds(centroids)[:, :2].round(8)  # NaN where there is no geometry
        columns[["lon", "lat"]] = lonlat
        columns["WKT"] = shapely.to_wkt(geometry, rounding_precision=-1)
        columns.to_csv(stream, index=False, header=number == 0, lineterminator="\n")


def _csv_cells(columns: pd.DataFrame) -> pd.DataFrame:
    """Return columns with truth values as ``true`` and ``false``, and no formulas.

    Columns with the name of one that describes the geometry get ``_`` at their end.
    """
    cells: dict[str, pd.Series] = {}
    for position, label in enumerate(columns.columns):
        name, values = str(label), columns.iloc[:, position]
        while name.lower() in ("lon", "lat", "wkt") or name in cells:
            name += "_"
        if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
            values = values.astype(object).map(_csv_cell, na_action="ignore")
        cells[name] = values
    return pd.DataFrame(cells, index=columns.index).rename(columns=_csv_cell)


def _csv_cell(value: Any) -> str:
    """Return a value as text, after an apostrophe if a spreadsheet would compute it."""
    if isinstance(value, bool | np.bool_):
        return str(value).lower()
    text = str(value).replace("\r\n", "\n").replace("\r", "\n")  # which ends a row
    if not text.startswith(FORMULA_STARTS):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


SHAPEFILE_PARTS = (".shx", ".dbf", ".prj", ".cpg", ".qix", ".qpj", ".sbn", ".sbx", ".idm", ".ind",
                   ".fbn", ".fbx", ".ain", ".aih", ".atx", "+.xml")  # fmt: skip
FORMATS = (
    Format("geojson", (".geojson", ".json"), partial(_encode_text, to_geojson), any_crs=False,
           has_lonlat=True),
    Format("geojsonseq", LINES, partial(_encode_text, to_geojson_lines), any_crs=False,
           has_lonlat=True),
    Format("gpkg", (".gpkg",), _encode_geopackage, parts=("+-wal", "+-shm", "+-journal"),
           other_names=("geopackage",)),
    Format("flatgeobuf", (".fgb",), _encode_flatgeobuf),
    Format("geoparquet", (".parquet", ".geoparquet"), write_parquet),
    Format("shapefile", (".shp",), _encode_shapefile, parts=SHAPEFILE_PARTS,
           other_names=("esri shapefile",)),
    Format("csv", (".csv",), partial(_encode_text, _to_csv), has_lonlat=True),
)  # fmt: skip
STYLED = ("geojson", "gpkg")
