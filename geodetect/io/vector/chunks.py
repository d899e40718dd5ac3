"""Tables in chunks of rows, so that those of millions of rows need not fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import geopandas as gpd
import pandas as pd
import pyarrow as pa

from geodetect.json_text import compact_json

CHUNK_ROWS = 10_000


class TableChunks(Protocol):
    """Features that are made chunk by chunk, as tables of few rows."""

    @property
    def crs(self) -> Any:
        """CRS of all chunks, as in geopandas; None: there is none."""
        ...

    def __len__(self) -> int:
        """Return the number of rows of all chunks."""
        ...

    def chunks(self) -> Iterator[gpd.GeoDataFrame]:
        """Yield all rows in order, anew at each call; without rows one empty table."""
        ...


Table: TypeAlias = gpd.GeoDataFrame | TableChunks


def row_slices(count: int) -> Iterator[slice]:
    """Yield slices of at most ``CHUNK_ROWS`` rows."""
    return (slice(start, start + CHUNK_ROWS) for start in range(0, count, CHUNK_ROWS))


@dataclass(frozen=True)
class WholeTable:
    """Chunks of a table in memory."""

    table: gpd.GeoDataFrame

    @property
    def crs(self) -> Any:
        """CRS of the table."""
        return self.table.crs

    def __len__(self) -> int:
        return len(self.table)

    def chunks(self) -> Iterator[gpd.GeoDataFrame]:
        """Yield slices of the table."""
        for rows in row_slices(max(1, len(self.table))):
            yield self.table.iloc[rows]


@dataclass(frozen=True)
class MappedChunks:
    """Chunks of another table, each mapped by a function when it is needed.

    Args:
        source: The other table.
        function: Returns the mapped chunk, which has as many rows.
        crs: CRS of the mapped chunks.
    """

    source: TableChunks
    function: Callable[[gpd.GeoDataFrame], gpd.GeoDataFrame]
    crs: Any

    def __len__(self) -> int:
        return len(self.source)

    def chunks(self) -> Iterator[gpd.GeoDataFrame]:
        """Yield the mapped chunks."""
        return map(self.function, self.source.chunks())


def as_chunks(table: Table) -> TableChunks:
    """Return a table in memory as chunks; one in chunks is returned as it is."""
    return WholeTable(table) if isinstance(table, gpd.GeoDataFrame) else table


def with_typed_columns(table: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Return a table with a type for each column, as most formats have.

    A column of several, such as numbers beside texts or JSON objects beside numbers, becomes text:
    other values than texts are written as JSON.
    """
    typed = table
    for position, name in enumerate(table.columns):
        values = table.iloc[:, position]
        if values.dtype == object:
            try:
                pa.array(values, from_pandas=True)
            except pa.ArrowException:
                typed = typed.copy(deep=False)
                typed[name] = [_as_text(value) for value in values]
    return typed


def _as_text(value: Any) -> str | None:
    """Return a value of a column as text; None: it is missing."""
    if isinstance(value, str):
        return value
    is_missing = pd.api.types.is_scalar(value) and pd.isna(value)
    return None if is_missing else compact_json(value)
