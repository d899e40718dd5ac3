"""Layers that GDAL writes, piece by piece, and whether all of them arrived.

GDAL says nothing of a disk that fills up when it closes a file, so each file is looked over.
"""

from __future__ import annotations

import sqlite3
import struct
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyogrio
import shapely

from geodetect.io.pieces import ROWS_AT_ONCE, TablePieces

GEOMETRY_COLUMN = "geom"
_OPTIONS: dict[str, dict[str, Any]] = {
    "GPKG": {
        "dataset_options": {"VERSION": "1.3"},  # what readers of before 2023 know as well
        "layer_options": {"GEOMETRY_NAME": GEOMETRY_COLUMN},
    }
}


def geometry_kinds(table: TablePieces) -> set[str]:
    """Names of the kinds of geometry that occur, as in geopandas."""
    return {kind for piece in table.pieces() for kind in piece.geom_type.dropna().unique()}


def write_layer(table: TablePieces, target: Path, *, driver: str, layer: str) -> None:
    """Write a table as a layer; into a GeoPackage that is there, as a further one.

    Args:
        table: Looked through twice: what it holds, and then its rows.
        target: The file.
        driver: Name of the format in GDAL.
        layer: Name of the layer.

    Raises:
        OSError: As those of pyogrio, GDAL cannot write.
    """
    kinds = sorted(geometry_kinds(table)) or ["Polygon"]
    schema = attribute_schema(table).append(pa.field(GEOMETRY_COLUMN, pa.binary()))
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
                geometry_name=GEOMETRY_COLUMN,
                geometry_type=kinds[0] if len(kinds) == 1 else "Unknown",
                crs=None if table.crs is None else table.crs.to_wkt(),
                encoding="UTF-8",
                **_OPTIONS.get(driver, {}),
            )
        except Exception:
            if not failures:
                raise
    if failures:  # what went wrong in a piece reaches GDAL as a text only
        raise failures[0]


@contextmanager
def named_for_gdal(path: Path, suffix: str) -> Iterator[Path]:
    """A path with the suffix that GDAL expects, whose file gets its own name at the end."""
    own = path.with_suffix(suffix)
    yield own
    own.rename(path)


def attribute_schema(table: TablePieces) -> pa.Schema:
    """The type of each column but the geometry, from all rows; one that holds nothing is text.

    GDAL knows no column without a type.
    """
    schemas = [pa.Schema.from_pandas(_attributes(p), preserve_index=False) for p in table.pieces()]
    whole = pa.unify_schemas([s.remove_metadata() for s in schemas], promote_options="permissive")
    fields = [f.with_type(pa.string()) if pa.types.is_null(f.type) else f for f in whole]
    return pa.schema(fields)


def _attributes(piece: gpd.GeoDataFrame) -> pd.DataFrame:
    return pd.DataFrame(piece.drop(columns=piece.geometry.name))


def _batches(
    table: TablePieces, schema: pa.Schema, failures: list[BaseException]
) -> Iterator[pa.RecordBatch]:
    """The rows as GDAL takes them; what goes wrong is kept."""
    try:
        for piece in table.pieces():
            columns = _attributes(piece)
            wkb = shapely.to_wkb(np.asarray(piece.geometry.array))
            arrays = [
                pa.Array.from_pandas(columns[field.name], type=field.type)
                for field in schema.remove(len(schema) - 1)
            ]
            yield pa.record_batch([*arrays, pa.array(wkb, pa.binary())], schema=schema)
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
            found = database.execute(f'SELECT count(*) FROM "{layer}"').fetchone()[0]
            _check_rows(found, count)
        if database.execute("PRAGMA quick_check").fetchone()[0] != "ok":
            raise OSError("the file is damaged")


def check_flatgeobuf(path: Path, rows: int) -> None:
    """See that a FlatGeobuf has its rows, by reading them.

    Raises:
        OSError: It has not, or cannot be read.
    """
    with pyogrio.open_arrow(path, batch_size=ROWS_AT_ONCE, use_pyarrow=True) as (_, batches):
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
