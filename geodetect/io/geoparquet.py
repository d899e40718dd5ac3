"""GeoParquet, one row group for each piece of a table."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import geopandas as gpd
import pyarrow as pa
import pyarrow.parquet as pq

from geodetect.io.gdal_layers import attribute_schema
from geodetect.io.pieces import TablePieces

_KEY = b"geo"  # of the metadata, https://geoparquet.org/releases/v1.1.0


def write_parquet(table: TablePieces, path: Path) -> None:
    """Write a table as geopandas writes each piece of it.

    Args:
        table: Looked through several times: what it holds, and then its rows.
        path: The file.

    Raises:
        OSError: It cannot be written.
    """
    attributes = {field.name: field for field in attribute_schema(table)}
    geo: dict[str, Any] = {}
    for rows in map(_as_geopandas_writes, table.pieces()):
        geo = _joined(geo, json.loads(rows.schema.metadata[_KEY]))
    fields = [attributes.get(field.name, field.remove_metadata()) for field in rows.schema]
    schema = pa.schema(fields, {**rows.schema.metadata, _KEY: json.dumps(geo)})
    with path.open("wb") as stream, pq.ParquetWriter(stream, schema) as writer:
        for rows in map(_as_geopandas_writes, table.pieces()):
            writer.write_table(rows.cast(schema))


def _as_geopandas_writes(piece: gpd.GeoDataFrame) -> pa.Table:
    memory = io.BytesIO()
    piece.to_parquet(memory, index=False, compression=None)
    return pq.read_table(memory)


def _joined(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """What the metadata of two pieces say of both."""
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
