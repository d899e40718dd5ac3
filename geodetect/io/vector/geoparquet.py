"""GeoParquet as geopandas writes it, one row group after the other."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from geodetect.io.vector.chunks import TableChunks

CHUNKS_PER_GROUP = 10  # row groups of a hundred thousand rows suit readers
_GEO = b"geo"  # of the metadata, https://geoparquet.org/releases/v1.1.0
_PANDAS = b"pandas"
_FIELD_ID = b"PARQUET:field_id"  # added by the reader


def write_parquet(table: TableChunks, path: Path) -> None:
    """Write a table.

    The schema stands for all chunks, so they wait in a temporary file until it is known.

    Args:
        table: The table.
        path: The file.

    Raises:
        OSError: It cannot be written.
    """
    with TemporaryFile(dir=path.parent) as waiting:
        schemas = [_append(_to_arrow(chunk), waiting) for chunk in table.chunks()]
        waiting.seek(0)
        schema = _unify_schemas(schemas)
        with path.open("wb") as stream, pq.ParquetWriter(stream, schema) as writer:
            rows = (pa.ipc.open_stream(waiting).read_all().cast(schema) for _ in schemas)
            while group := list(islice(rows, CHUNKS_PER_GROUP)):
                writer.write_table(pa.concat_tables(group))


def _append(table: pa.Table, file: IO[bytes]) -> pa.Schema:
    """Append a table to a file of streams of Arrow; return its schema."""
    with pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)
    return table.schema


def _to_arrow(chunk: gpd.GeoDataFrame) -> pa.Table:
    # Arrow's threads release their input late: with memory of Python, they would abort the process
    # if the interpreter ended first.
    memory = pa.BufferOutputStream()
    chunk.to_parquet(memory, index=False, compression=None)
    return pq.read_table(pa.BufferReader(memory.getvalue()))


def _unify_schemas(schemas: list[pa.Schema]) -> pa.Schema:
    """Return the schema of all chunks, with their merged GeoParquet metadata."""
    unified = pa.unify_schemas(schemas, promote_options="permissive")
    fields = [
        field.with_metadata({k: v for k, v in (field.metadata or {}).items() if k != _FIELD_ID})
        for field in unified
    ]
    geo, *rest = [json.loads(schema.metadata[_GEO]) for schema in schemas]
    for name, column in geo["columns"].items():
        columns = [column, *(other["columns"][name] for other in rest)]
        column["geometry_types"] = sorted({t for c in columns for t in c["geometry_types"]})
        boxes = [c["bbox"] for c in columns if c.get("bbox")]  # lowest, then highest coordinates
        if boxes:
            lows, highs = np.split(np.array(boxes), 2, axis=1)
            column["bbox"] = [*lows.min(axis=0).tolist(), *highs.max(axis=0).tolist()]
    metadata = {**schemas[0].metadata, _GEO: json.dumps(geo)}
    if len({schema.metadata.get(_PANDAS) for schema in schemas}) > 1:
        metadata.pop(_PANDAS, None)  # the types of one chunk are not those of all
    return pa.schema(fields, metadata)
