"""Tables in chunks, so that those of millions of rows need not be there as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import geopandas as gpd

CHUNK_ROWS = 10_000


class TableChunks(Protocol):
    """Features that are handed out as tables of few rows."""

    @property
    def crs(self) -> Any:
        """CRS of all chunks, as in geopandas; None: there is none."""
        ...

    def __len__(self) -> int:
        """Rows of all chunks together."""
        ...

    def chunks(self) -> Iterator[gpd.GeoDataFrame]:
        """All rows in order, as often as asked; without rows one empty table."""
        ...


def row_slices(count: int) -> Iterator[slice]:
    """Some rows as slices of few rows."""
    return (slice(start, start + CHUNK_ROWS) for start in range(0, count, CHUNK_ROWS))


Table: TypeAlias = gpd.GeoDataFrame | TableChunks


@dataclass(frozen=True)
class WholeTable:
    """A table that is there as a whole.

    Args:
        table: The table.
    """

    table: gpd.GeoDataFrame

    @property
    def crs(self) -> Any:
        """Its CRS."""
        return self.table.crs

    def __len__(self) -> int:
        return len(self.table)

    def chunks(self) -> Iterator[gpd.GeoDataFrame]:
        """Slices of it."""
        for rows in row_slices(max(1, len(self.table))):
            yield self.table.iloc[rows]


@dataclass(frozen=True)
class MappedChunks:
    """Pieces of which each is changed when it is asked for.

    Args:
        source: What is changed.
        change: Gives as many rows as it gets.
        crs: CRS of what it gives.
    """

    source: TableChunks
    change: Callable[[gpd.GeoDataFrame], gpd.GeoDataFrame]
    crs: Any

    def __len__(self) -> int:
        return len(self.source)

    def chunks(self) -> Iterator[gpd.GeoDataFrame]:
        """The changed chunks."""
        return map(self.change, self.source.chunks())


def as_chunks(table: Table) -> TableChunks:
    """A table, or what is in chunks already, as chunks."""
    return WholeTable(table) if isinstance(table, gpd.GeoDataFrame) else table
