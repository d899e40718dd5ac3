"""GeoParquet, with the bytes that geopandas writes, one row group after the other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import geopandas as gpd
import pyarrow as pa
import pyarrow.parquet as pq

from geodetect.io.vector.chunks import TableChunks

CHUNKS_PER_GROUP = 10  # row groups of a hundred thousand rows suit readers
_GEO = b"geo"  # of the metadata, https://geoparquet.org/releases/v1.1.0
_PANDAS = b"pandas"
_FIELD_ID = b"PARQUET:field_id"  # added by the reader


def write_parquet(table: TableChunks, path: Path) -> None:
    """Write a table.

    Args:
        table: Its chunks are made twice: for the schema, and then for the rows.
        path: The file.

    Raises:
        OSError: It cannot be written.
    """
    schema = _unify_schemas([_to_arrow(chunk).schema for chunk in table.chunks()])
    with path.open("wb") as stream, pq.ParquetWriter(stream, schema) as writer:
        rows = (_to_arrow(chunk).cast(schema) for chunk in table.chunks())
        while group := list(islice(rows, CHUNKS_PER_GROUP)):
            writer.write_table(pa.concat_tables(group))


def _to_arrow(chunk: gpd.GeoDataFrame) -> pa.Table:
    # Arrow's threads free what they read at any later time: with memory of Python's, they would
    # abort the process if the interpreter ended first.
    memory = pa.BufferOutputStream()
    chunk.to_parquet(memory, index=False, compression=None)
    return pq.read_table(pa.BufferReader(memory.getvalue()))


def _unify_schemas(schemas: list[pa.Schema]) -> pa.Schema:
    """Return the schema that holds all chunks, with the metadata of all."""
    unified = pa.unify_schemas(schemas, promote_options="permissive")
    fields = [
        field.with_metadata({k: v for k, v in (field.metadata or {}).items() if k != _FIELD_ID})
        for field in unified
    ]
    geo: dict[str, Any] = {}
    for schema in schemas:
        geo = _merge_geo(geo, json.loads(schema.metadata[_GEO]))
    metadata = {**schemas[0].metadata, _GEO: json.dumps(geo)}
    if len({schema.metadata.get(_PANDAS) for schema in schemas}) > 1:
        metadata.pop(_PANDAS, None)  # the types of one chunk are not those of all
    return pa.schema(fields, metadata)


def _merge_geo(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Merge the GeoParquet metadata of two chunks; the first may be empty."""
    if not first:
        return second
    columns = {
        name: _merge_column(column, second["columns"][name])
        for name, column in first["columns"].items()
    }
    return {**first, "columns": columns}


def _merge_column(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(first)
    merged["geometry_types"] = sorted({*first["geometry_types"], *second["geometry_types"]})
    boxes = [column["bbox"] for column in (first, second) if column.get("bbox")]
    if len(boxes) == 2:
        a, b = boxes
        half = len(a) // 2
        merged["bbox"] = [*map(min, a[:half], b[:half]), *map(max, a[half:], b[half:])]
    elif boxes:
        merged["bbox"] = boxes[0]
    return merged
