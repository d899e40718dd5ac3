"""Layers that GDAL writes, chunk by chunk, and whether all of them arrived.

GDAL says nothing of a disk that fills up when it closes a file, so each file is looked over.
"""

from __future__ import annotations

import sqlite3
import struct
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
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

from geodetect.errors import InputError
from geodetect.io.vector.chunks import CHUNK_ROWS, TableChunks
from geodetect.version import __version__

GEOMETRY_COLUMN, ROW_NUMBER = "geom", "fid"
FIXED_TIMESTAMP = "2000-01-01T00:00:00.000Z"  # of writing: the same table makes the same bytes
_OPTIONS: dict[str, dict[str, Any]] = {
    "GPKG": {
        "dataset_options": {"VERSION": "1.3"},  # what readers of before 2023 know as well
        "layer_options": {"GEOMETRY_NAME": GEOMETRY_COLUMN},
    },
    "ESRI Shapefile": {"layer_options": {"DBF_DATE_LAST_UPDATE": FIXED_TIMESTAMP[:10]}},
}


# Rows with a geometry that is not empty: bit 4 of the fourth byte, OGC 12-128r19, clause 2.1.3.1.1.
_PLACED = (
    f'SELECT count(*) FROM "{{}}" WHERE {GEOMETRY_COLUMN} IS NOT NULL AND '
    f"instr('13579BDF', substr(hex(substr({GEOMETRY_COLUMN}, 4, 1)), 1, 1)) = 0"
)

# as QGIS creates it, so that it finds the style by itself
_STYLE_TABLE = """
CREATE TABLE IF NOT EXISTS layer_styles (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  f_table_catalog TEXT(256), f_table_schema TEXT(256), f_table_name TEXT(256),
  f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT,
  useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30),
  update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')))
"""


@dataclass(frozen=True)
class Survey:
    """What a table holds, from all of its rows.

    Args:
        kinds: Names of the kinds of geometry that occur, as in geopandas.
        schema: Names and types of the columns but the geometry; one that holds nothing is text:
            GDAL knows no column without a type.
        all_placed: Whether each row has a geometry that is not empty.
    """

    kinds: frozenset[str]
    schema: pa.Schema
    all_placed: bool


def survey(table: TableChunks) -> Survey:
    """Look through a table.

    Raises:
        InputError: It has several columns of geometries.
    """
    kinds: set[str] = set()
    schemas, all_placed = [], True
    for chunk in table.chunks():
        kinds.update(chunk.geom_type.dropna().unique())
        all_placed &= not (chunk.geometry.isna() | chunk.geometry.is_empty).any()
        schemas.append(pa.Schema.from_pandas(_attributes(chunk), preserve_index=False))
    whole = pa.unify_schemas([s.remove_metadata() for s in schemas], promote_options="permissive")
    fields = [f.with_type(pa.string()) if pa.types.is_null(f.type) else f for f in whole]
    return Survey(frozenset(kinds), pa.schema(fields), all_placed=all_placed)


def write_layer(
    table: TableChunks, target: Path, *, driver: str, layer: str, known: Survey | None = None
) -> None:
    """Write a table as a layer; into a GeoPackage that is there, as a further one.

    Args:
        table: Looked through twice, unless it is known what it holds.
        target: The file.
        driver: Name of the format in GDAL.
        layer: Name of the layer.
        known: What the table holds.

    Raises:
        InputError: Its columns do not fit the format.
        pyogrio.errors.DataSourceError: As other errors of pyogrio, GDAL cannot write.
    """
    known = known or survey(table)
    kinds = sorted(known.kinds) or ["Polygon"]
    geometry = _geometry_name(known, driver)
    schema = known.schema.append(pa.field(geometry, pa.binary()))
    failures: list[BaseException] = []
    rows = pa.RecordBatchReader.from_batches(schema, _batches(table, schema, failures))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="'crs' was not provided")  # on purpose, then
        try:
            pyogrio.write_arrow(
                rows,
                target,
                layer=layer,
                driver=driver,
                geometry_name=geometry,
                geometry_type=kinds[0] if len(kinds) == 1 else "Unknown",
                crs=None if table.crs is None else table.crs.to_wkt(),
                encoding="UTF-8",
                **_options(driver, known),
            )
        except Exception:
            if not failures:
                raise
    if failures:  # what went wrong in a chunk reaches GDAL as a text only
        raise failures[0]
    if driver == "GPKG":
        with closing(sqlite3.connect(target)) as database, database:
            database.execute("UPDATE gpkg_contents SET last_change = ?", (FIXED_TIMESTAMP,))


def _options(driver: str, known: Survey) -> dict[str, Any]:
    """What a driver is told; the index of a FlatGeobuf knows no rows without a place."""
    if driver == "FlatGeobuf" and not known.all_placed:
        return {"SPATIAL_INDEX": "NO"}
    return _OPTIONS.get(driver, {})


def _geometry_name(known: Survey, driver: str) -> str:
    """A name that no other column has; only GeoPackages keep it, where it is fixed."""
    names = [name.casefold() for name in known.schema.names]
    if driver == "GPKG":
        for taken in (GEOMETRY_COLUMN, ROW_NUMBER):
            if taken in names:
                raise InputError(
                    f"a column is called {known.schema.names[names.index(taken)]!r}, as one of the "
                    f"GeoPackage's own; give it another name"
                )
    return GEOMETRY_COLUMN if GEOMETRY_COLUMN not in names else max(names, key=len) + "_"


@contextmanager
def named_for_gdal(path: Path, suffix: str) -> Iterator[Path]:
    """A path with the suffix that GDAL expects, whose file gets its own name at the end."""
    own = path.with_suffix(suffix)
    yield own
    own.rename(path)


def _attributes(chunk: gpd.GeoDataFrame) -> pd.DataFrame:
    """All columns but the geometry, under names that are texts."""
    columns = pd.DataFrame(chunk.drop(columns=chunk.geometry.name))
    others = [name for name in columns if isinstance(columns[name].dtype, GeometryDtype)]
    if others:
        raise InputError(
            f"the table has several columns of geometries ({chunk.geometry.name}, "
            f"{', '.join(map(str, others))}), of which this format holds one; leave the others "
            f"away, or write GeoParquet"
        )
    columns.columns = columns.columns.map(str)
    if not columns.columns.is_unique:
        twice = sorted(columns.columns[columns.columns.duplicated()])
        raise InputError(f"several columns are called {', '.join(twice)}; give them other names")
    return columns


def _batches(
    table: TableChunks, schema: pa.Schema, failures: list[BaseException]
) -> Iterator[pa.RecordBatch]:
    """The rows as GDAL takes them; what goes wrong is kept."""
    try:
        for chunk in table.chunks():
            columns = _attributes(chunk)
            wkb = shapely.to_wkb(np.asarray(chunk.geometry.array))
            arrays = [
                pa.Array.from_pandas(columns[field.name], type=field.type)
                for field in schema.remove(len(schema) - 1)
            ]
            yield pa.record_batch([*arrays, pa.array(wkb, pa.binary())], schema=schema)
    except GeneratorExit:  # GDAL wants no more
        raise
    except BaseException as error:
        failures.append(error)
        raise


def check_geopackage(path: Path, rows: Mapping[str, int]) -> None:
    """See that a GeoPackage is whole.

    Args:
        path: The file.
        rows: How many rows each layer must have.

    Raises:
        OSError: It is not.
    """
    with closing(sqlite3.connect(path)) as database:
        for layer, count in rows.items():
            (found,) = database.execute(f'SELECT count(*) FROM "{layer}"').fetchone()
            _check_rows(found, count)
            (placed,) = database.execute(_PLACED.format(layer)).fetchone()
            (indexed,) = database.execute(
                f'SELECT count(*) FROM "rtree_{layer}_{GEOMETRY_COLUMN}_rowid"'
            ).fetchone()
            if indexed < placed:
                raise OSError(f"only {indexed} of {placed} rows are in the spatial index")
        if database.execute("PRAGMA quick_check").fetchone()[0] != "ok":
            raise OSError("the file is damaged")


def check_flatgeobuf(path: Path, rows: int) -> None:
    """See that a FlatGeobuf has its rows, by reading them.

    Raises:
        OSError: It has not.
        pyogrio.errors.DataSourceError: As other errors of pyogrio, it cannot be read.
    """
    with pyogrio.open_arrow(path, batch_size=CHUNK_ROWS, use_pyarrow=True) as (_, batches):
        _check_rows(sum(len(batch) for batch in batches), rows)


def check_shapefile(path: Path, rows: int) -> None:
    """See that the parts of a Shapefile are as long as they must be.

    Raises:
        OSError: They are not.
    """
    shx, dbf = path.with_suffix(".shx"), path.with_suffix(".dbf")
    for part in (path, shx):  # the header has the length in units of two bytes
        _check_size(part, 2 * struct.unpack(">i", _head(part)[24:28])[0])
    _check_size(shx, 100 + 8 * rows)
    found, header_bytes, row_bytes = struct.unpack("<IHH", _head(dbf)[4:12])
    _check_size(dbf, header_bytes + max(found, rows) * row_bytes)


def _check_rows(found: int, expected: int) -> None:
    if found < expected:
        raise OSError(f"only {found} of {expected} rows were written")


def _head(part: Path) -> bytes:
    with part.open("rb") as stream:
        return stream.read(100).ljust(100, b"\0")


def _check_size(part: Path, expected: int) -> None:
    found = part.stat().st_size
    if found < expected:
        raise OSError(f"only {found} of {expected} bytes of {part.suffix} were written")


def embed_style(path: Path, layer: str, *, style: str, name: str) -> None:
    """Put a style into a GeoPackage as the default of one of its layers.

    Args:
        path: The GeoPackage.
        layer: The layer drawn so.
        style: QML.
        name: What the list of styles calls it; at most 30 characters.

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
            (layer, GEOMETRY_COLUMN, name, style, f"geodetect {__version__}", FIXED_TIMESTAMP),
        )
