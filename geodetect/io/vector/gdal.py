"""Layers written by GDAL, chunk by chunk, and checks that the files are complete.

GDAL reports no error when the disk fills up as it closes a file, so each file is checked.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import struct
import tempfile
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyogrio
import shapely
from geopandas.array import GeometryDtype

from geodetect.errors import InputError, list_names
from geodetect.io.vector.chunks import CHUNK_ROWS, TableChunks
from geodetect.version import __version__

GEOMETRY_COLUMN, ROW_NUMBER = "geom", "fid"
FIXED_TIMESTAMP = "2000-01-01T00:00:00.000Z"  # so that the same table makes the same bytes
_OPTIONS: dict[str, dict[str, Any]] = {
    "GPKG": {
        "dataset_options": {"VERSION": "1.3"},  # readers from before 2023 know no later one
        "layer_options": {"GEOMETRY_NAME": GEOMETRY_COLUMN},
    },
    "ESRI Shapefile": {"layer_options": {"DBF_DATE_LAST_UPDATE": FIXED_TIMESTAMP[:10]}},
}
# Rows with a geometry that is not empty: bit 4 of the fourth byte, OGC 12-128r19, clause 2.1.3.1.1.
_COUNT_WITH_GEOMETRY = (
    f'SELECT count(*) FROM "{{}}" WHERE {GEOMETRY_COLUMN} IS NOT NULL AND '
    f"instr('13579BDF', substr(hex(substr({GEOMETRY_COLUMN}, 4, 1)), 1, 1)) = 0"
)

# as QGIS creates it, so that it loads the default style
_STYLE_TABLE = """
CREATE TABLE IF NOT EXISTS layer_styles (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  f_table_catalog TEXT(256), f_table_schema TEXT(256), f_table_name TEXT(256),
  f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT,
  useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30),
  update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')))
"""


# tables that belong to the format, or to an index
_FORMAT_TABLES = ("gpkg_", "gpkgext_", "rtree_", "sqlite_")
_SQLITE_MAGIC = b"SQLite format 3\0"
# offsets of the number of changes, and of the change that other fields of the header are valid for,
# after "Database File Format" of SQLite: file change counter, version-valid-for number
_CHANGE_COUNTERS = (24, 92)
_STYLE_AUTHOR = "geodetect"  # begins the description of our styles


@dataclass(frozen=True)
class TableSchema:
    """Columns and geometry types of a table, from all of its rows.

    Args:
        geometry_types: Geometry types that occur, as in geopandas.
        columns: Names and types of the columns but the geometry; a column without values is text,
            as GDAL has no columns without a type.
        has_all_geometries: No row has a missing or empty geometry.
    """

    geometry_types: frozenset[str]
    columns: pa.Schema
    has_all_geometries: bool


def read_schema(table: TableChunks) -> TableSchema:
    """Read the schema of a table from all of its chunks.

    Raises:
        InputError: It has several columns of geometries.
    """
    geometry_types: set[str] = set()
    schemas, has_all_geometries = [], True
    for chunk in table.chunks():
        geometry_types.update(chunk.geom_type.dropna().unique())
        has_all_geometries &= not (chunk.geometry.isna() | chunk.geometry.is_empty).any()
        schemas.append(pa.Schema.from_pandas(_attributes(chunk), preserve_index=False))
    unified = pa.unify_schemas([s.remove_metadata() for s in schemas], promote_options="permissive")
    fields = [f.with_type(pa.string()) if pa.types.is_null(f.type) else f for f in unified]
    return TableSchema(frozenset(geometry_types), pa.schema(fields), has_all_geometries)


def write_layer(
    table: TableChunks, target: Path, *, driver: str, layer: str, schema: TableSchema | None = None
) -> None:
    """Write a table as a layer; a GeoPackage that exists gets it as an additional one.

    Args:
        table: Its chunks are made twice, unless its schema is given.
        target: The file.
        driver: Name of the format in GDAL.
        layer: Name of the layer.
        schema: Schema of the table.

    Raises:
        InputError: Its columns do not fit the format.
        pyogrio.errors.DataSourceError: GDAL cannot write; also other errors of pyogrio.
    """
    schema = schema or read_schema(table)
    geometry_types = sorted(schema.geometry_types) or ["Polygon"]
    names = [name.casefold() for name in schema.columns.names]
    reserved = next((name for name in (GEOMETRY_COLUMN, ROW_NUMBER) if name in names), None)
    if driver == "GPKG" and reserved is not None:
        raise InputError(
            f"a column is called {schema.columns.names[names.index(reserved)]!r}, as one that a "
            f"GeoPackage reserves; give it another name"
        )
    # the other formats do not keep this name, which must differ from those of the columns
    geometry = GEOMETRY_COLUMN if GEOMETRY_COLUMN not in names else max(names, key=len) + "_"
    columns = schema.columns.append(pa.field(geometry, pa.binary()))
    options = _OPTIONS.get(driver, {})
    if driver == "FlatGeobuf" and not schema.has_all_geometries:
        options = {"SPATIAL_INDEX": "NO"}  # an index needs a geometry in each row
    failures: list[BaseException] = []
    rows = pa.RecordBatchReader.from_batches(columns, _record_batches(table, columns, failures))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="'crs' was not provided")
        warnings.filterwarnings("ignore", message="Normalized/laundered field name")
        try:
            pyogrio.write_arrow(
                rows,
                target,
                layer=layer,
                driver=driver,
                geometry_name=geometry,
                geometry_type=geometry_types[0] if len(geometry_types) == 1 else "Unknown",
                crs=None if table.crs is None else table.crs.to_wkt(),
                encoding="UTF-8",
                **options,
            )
        except Exception:
            if not failures:
                raise
    if failures:  # GDAL passes on only the text of an error in a chunk
        raise failures[0]
    if driver == "GPKG":
        _forget_when_written(target)


def _forget_when_written(path: Path) -> None:
    """Give a GeoPackage fixed times, and a fixed number of changes, which GDAL's threads vary."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE gpkg_contents SET last_change = ?", (FIXED_TIMESTAMP,))
    with path.open("r+b") as file:
        for offset in _CHANGE_COUNTERS:
            file.seek(offset)
            file.write(struct.pack(">I", 1))


@contextmanager
def named_for_gdal(path: Path, suffix: str) -> Iterator[Path]:
    """Yield a path with the suffix that GDAL expects, and rename its file to ``path``."""
    gdal_path = path.with_suffix(suffix)
    yield gdal_path
    gdal_path.rename(path)


@contextmanager
def geopackage_to_build(path: Path) -> Iterator[Path]:
    """Yield the path of a GeoPackage to build, which is moved to ``path`` after the block.

    SQLite locks files while it writes. Where that is impossible, as on many file systems reached
    over a network, the GeoPackage is built in the system's folder for temporary files. Its name is
    short, because SQLite appends to it.
    """
    with ExitStack() as stack:
        folder = path.parent
        if not _can_lock(folder):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="geodetect-")))
        file = folder / "build.gpkg"
        yield file
        shutil.move(file, path)


def _can_lock(folder: Path) -> bool:
    """Return True if SQLite can lock and write a file in a folder."""
    probe = folder / "probe.sqlite"
    try:
        with closing(sqlite3.connect(probe)) as database:
            database.execute("PRAGMA synchronous = OFF")
            database.execute("CREATE TABLE probe (number INTEGER)")
    except sqlite3.OperationalError:
        return False
    finally:
        probe.unlink(missing_ok=True)
    return True


def _attributes(chunk: gpd.GeoDataFrame) -> pd.DataFrame:
    """Return all columns but the geometry, with names as text."""
    columns = pd.DataFrame(chunk.drop(columns=chunk.geometry.name))
    extra = [name for name in columns if isinstance(columns[name].dtype, GeometryDtype)]
    if extra:
        raise InputError(
            f"the table has several columns of geometries ({chunk.geometry.name}, "
            f"{list_names(extra)}), of which this format holds one; drop the extra, or "
            f"write GeoParquet"
        )
    columns.columns = columns.columns.map(str)
    for name in columns.select_dtypes("timedelta"):  # which GDAL has no type for
        columns[name] = columns[name].astype("string")
    if not columns.columns.is_unique:
        repeated = sorted(columns.columns[columns.columns.duplicated()])
        raise InputError(f"several columns are called {list_names(repeated)}; rename them")
    return columns


def _record_batches(
    table: TableChunks, schema: pa.Schema, failures: list[BaseException]
) -> Iterator[pa.RecordBatch]:
    """Yield the rows as Arrow record batches, and keep the error of a chunk that fails."""
    try:
        for chunk in table.chunks():
            columns = _attributes(chunk)
            wkb = shapely.to_wkb(np.asarray(chunk.geometry.array))
            arrays = [
                pa.Array.from_pandas(columns[field.name], type=field.type)
                for field in schema.remove(len(schema) - 1)
            ]
            yield pa.record_batch([*arrays, pa.array(wkb, pa.binary())], schema=schema)
    except GeneratorExit:  # GDAL reads no further
        raise
    except BaseException as error:
        failures.append(error)
        raise


def check_geopackage(path: Path, rows: Mapping[str, int]) -> None:
    """Check that a GeoPackage is complete.

    Args:
        path: The file.
        rows: Number of rows by layer.

    Raises:
        OSError: It is not complete.
    """
    with closing(sqlite3.connect(path)) as database:
        for layer, count in rows.items():
            (written,) = database.execute(f'SELECT count(*) FROM "{layer}"').fetchone()
            _check_rows(written, count)
            (with_geometry,) = database.execute(_COUNT_WITH_GEOMETRY.format(layer)).fetchone()
            (indexed,) = database.execute(
                f'SELECT count(*) FROM "rtree_{layer}_{GEOMETRY_COLUMN}_rowid"'
            ).fetchone()
            if indexed < with_geometry:
                raise OSError(f"only {indexed} of {with_geometry} rows are in the spatial index")
        if database.execute("PRAGMA quick_check").fetchone()[0] != "ok":
            raise OSError("the file is damaged")


def other_contents(path: Path, layers: Collection[str]) -> list[str]:
    """List what would be lost if a GeoPackage, or other SQLite file, were replaced by some layers.

    Args:
        path: The file; it may be missing or of another kind.
        layers: Names of the layers, and of earlier versions of them, that may be replaced.

    Returns:
        Names of other layers, tables and views; users' styles of the layers as ``style of LAYER``.

    Raises:
        sqlite3.OperationalError: The file cannot be read now, e.g. because it is locked.
    """
    if not path.is_file() or _read_header(path)[: len(_SQLITE_MAGIC)] != _SQLITE_MAGIC:
        return []
    # without a journal of another program neither locks nor files of our own are needed
    journals = (f"{path}-wal", f"{path}-journal")
    in_use = any(map(os.path.exists, journals))  # false for names that are too long
    address = f"{path.absolute().as_uri()}?{'mode=ro' if in_use else 'immutable=1'}"
    replaced = {layer.lower() for layer in layers}
    try:
        with closing(sqlite3.connect(address, uri=True)) as database:
            tables = database.execute("SELECT name FROM sqlite_master WHERE type IN (?, ?)",
                                      ("table", "view")).fetchall()  # fmt: skip
            names = [name for (name,) in tables if not name.lower().startswith(_FORMAT_TABLES)]
            contents = [name for name in names if name.lower() not in {*replaced, "layer_styles"}]
            if "layer_styles" in names:
                styles = database.execute(
                    "SELECT f_table_name, styleName, coalesce(description, '') FROM layer_styles"
                )
                contents += [
                    f"style {style} of {layer}"
                    for layer, style, description in styles
                    if str(layer).lower() in replaced and not description.startswith(_STYLE_AUTHOR)
                ]
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:  # no database: nothing of it can be kept
        return []
    return contents


def check_flatgeobuf(path: Path, rows: int) -> None:
    """Check that a FlatGeobuf has all rows, by reading them.

    Raises:
        OSError: It has fewer.
        pyogrio.errors.DataSourceError: It cannot be read; also other errors of pyogrio.
    """
    with pyogrio.open_arrow(path, batch_size=CHUNK_ROWS, use_pyarrow=True) as (_, batches):
        _check_rows(sum(len(batch) for batch in batches), rows)


def check_shapefile(path: Path, rows: int) -> None:
    """Check the sizes of the parts of a Shapefile against their headers and the rows.

    Raises:
        OSError: A part is too short.
    """
    shx, dbf = path.with_suffix(".shx"), path.with_suffix(".dbf")
    for part in (path, shx):  # the header has the length in units of two bytes
        _check_size(part, 2 * struct.unpack(">i", _read_header(part)[24:28])[0])
    _check_size(shx, 100 + 8 * rows)
    dbf_rows, header_bytes, row_bytes = struct.unpack("<IHH", _read_header(dbf)[4:12])
    _check_size(dbf, header_bytes + max(dbf_rows, rows) * row_bytes)


def _check_rows(written: int, expected: int) -> None:
    if written < expected:
        raise OSError(f"only {written} of {expected} rows were written")


def _read_header(part: Path) -> bytes:
    with part.open("rb") as stream:
        return stream.read(100).ljust(100, b"\0")


def _check_size(part: Path, expected: int) -> None:
    written = part.stat().st_size
    if written < expected:
        raise OSError(f"only {written} of {expected} bytes of {part.suffix} were written")


def embed_style(path: Path, layer: str, *, style: str, name: str) -> None:
    """Store a style in a GeoPackage as the default of one of its layers.

    Args:
        path: The GeoPackage.
        layer: Name of the layer.
        style: QML.
        name: Name in the list of styles of QGIS, at most 30 characters.

    Raises:
        sqlite3.Error: The file cannot be written.
    """
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(_STYLE_TABLE)
        database.execute(
            "INSERT OR IGNORE INTO gpkg_contents"
            " (table_name, data_type, identifier, description, last_change)"
            " VALUES ('layer_styles', 'attributes', 'layer_styles', '', ?)",
            (FIXED_TIMESTAMP,),
        )
        database.execute(
            "DELETE FROM layer_styles WHERE f_table_name = ? AND styleName = ?",
            (layer, name),
        )
        database.execute(
            "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name,"
            " f_geometry_column, styleName, styleQML, styleSLD, useAsDefault, description, owner,"
            " update_time) VALUES ('', '', ?, ?, ?, ?, '', 1, ?, '', ?)",
            (
                layer,
                GEOMETRY_COLUMN,
                name,
                style,
                f"{_STYLE_AUTHOR} {__version__}",
                FIXED_TIMESTAMP,
            ),
        )
