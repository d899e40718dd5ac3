"""GeoParquet, with the bytes that geopandas writes, one row group after the other."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
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
_FIELD_ID = b"PARQUET:field_id"  # the reader's, not the table's


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
        for group in _group_chunks(rows):
            writer.write_table(group)


def _to_arrow(chunk: gpd.GeoDataFrame) -> pa.Table:
    # Memory of Arrow's own: its threads let go of it at some time after the reading, and abort the
    # process where that is Python's and the interpreter is just ending.
    memory = pa.BufferOutputStream()
    chunk.to_parquet(memory, index=False, compression=None)
    return pq.read_table(pa.BufferReader(memory.getvalue()))


def _group_chunks(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    rest = iter(tables)
    while group := list(islice(rest, CHUNKS_PER_GROUP)):
        yield pa.concat_tables(group)


def _unify_schemas(schemas: list[pa.Schema]) -> pa.Schema:
    """Return the schema that holds all chunks, with the metadata of all."""
    unified = pa.unify_schemas(schemas, promote_options="permissive")
    fields = [field.with_metadata(_without_field_id(field.metadata)) for field in unified]
    geo: dict[str, Any] = {}
    for schema in schemas:
        geo = _merge_geo(geo, json.loads(schema.metadata[_GEO]))
    metadata = {**schemas[0].metadata, _GEO: json.dumps(geo)}
    if len({schema.metadata.get(_PANDAS) for schema in schemas}) > 1:
        metadata.pop(_PANDAS, None)  # the types of one chunk are not those of all
    return pa.schema(fields, metadata)


def _without_field_id(metadata: Mapping[bytes, bytes] | None) -> dict[bytes, bytes]:
    return {key: value for key, value in (metadata or {}).items() if key != _FIELD_ID}


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
