"""GeoParquet, written as geopandas writes it, a group of rows after the other."""

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

CHUNKS_PER_GROUP = 10  # readers like groups of a hundred thousand rows
_GEO = b"geo"  # of the metadata, https://geoparquet.org/releases/v1.1.0
_PANDAS = b"pandas"
_FIELD_ID = b"PARQUET:field_id"  # the reader's, not the table's


def write_parquet(table: TableChunks, path: Path) -> None:
    """Write a table.

    Args:
        table: Looked through twice: what it holds, and then its rows.
        path: The file.

    Raises:
        OSError: It cannot be written.
    """
    schema = _schema_of_all([_as_geopandas_writes(chunk).schema for chunk in table.chunks()])
    with path.open("wb") as stream, pq.ParquetWriter(stream, schema) as writer:
        rows = (_as_geopandas_writes(chunk).cast(schema) for chunk in table.chunks())
        for group in _groups(rows):
            writer.write_table(group)


def _as_geopandas_writes(chunk: gpd.GeoDataFrame) -> pa.Table:
    # Memory of Arrow's own: its threads let go of it at some time after the reading, and abort the
    # process where that is Python's and the interpreter is just ending.
    memory = pa.BufferOutputStream()
    chunk.to_parquet(memory, index=False, compression=None)
    return pq.read_table(pa.BufferReader(memory.getvalue()))


def _groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    rest = iter(tables)
    while group := list(islice(rest, CHUNKS_PER_GROUP)):
        yield pa.concat_tables(group)


def _schema_of_all(schemas: list[pa.Schema]) -> pa.Schema:
    """Types and metadata that are true of all chunks."""
    whole = pa.unify_schemas(schemas, promote_options="permissive")
    fields = [field.with_metadata(_own(field.metadata)) for field in whole]
    geo: dict[str, Any] = {}
    for schema in schemas:
        geo = _joined(geo, json.loads(schema.metadata[_GEO]))
    metadata = {**schemas[0].metadata, _GEO: json.dumps(geo)}
    if len({schema.metadata.get(_PANDAS) for schema in schemas}) > 1:
        metadata.pop(_PANDAS, None)  # the types of one chunk are not those of all
    return pa.schema(fields, metadata)


def _own(metadata: Mapping[bytes, bytes] | None) -> dict[bytes, bytes]:
    return {key: value for key, value in (metadata or {}).items() if key != _FIELD_ID}


def _joined(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """What the metadata of two chunks say of both."""
    if not one:
        return other
    columns = {
        name: _joined_column(column, other["columns"][name])
        for name, column in one["columns"].items()
    }
    return {**one, "columns": columns}


def _joined_column(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    joined = dict(one)
    joined["geometry_types"] = sorted({*one["geometry_types"], *other["geometry_types"]})
    boxes = [column["bbox"] for column in (one, other) if column.get("bbox")]
    if len(boxes) == 2:
        a, b = boxes
        half = len(a) // 2
        joined["bbox"] = [*map(min, a[:half], b[:half]), *map(max, a[half:], b[half:])]
    elif boxes:
        joined["bbox"] = boxes[0]
    return joined
