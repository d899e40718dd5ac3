"""Windows of pixels, and the overlapping tiles that a raster is cut into."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np

from geodetect.errors import InputError
from geodetect.types import BoolArray, FloatArray


@dataclass(frozen=True)
class Window:
    """Rectangle of whole pixels.

    ``rasterio.windows.Window`` may start and end within pixels; this one cannot.

    Args:
        x: Left edge in pixels.
        y: Upper edge in pixels.
        width: Columns of pixels.
        height: Rows of pixels.
    """

    x: int
    y: int
    width: int
    height: int

    @property
    def box(self) -> FloatArray:
        """Box x1, y1, x2, y2 in pixel edges, ``float64[4]``."""
        return np.array([self.x, self.y, self.x + self.width, self.y + self.height], np.float64)


@dataclass(frozen=True)
class Tile(Window):
    """Window of a ``TileScheme``.

    Args:
        index: Position in row-major order.
        row: Position of its row of tiles.
        col: Position of its column of tiles.
    """

    index: int
    row: int
    col: int


@dataclass(frozen=True)
class TileScheme:
    """Tiles of one size with at least ``overlap_px`` between neighbours, covering a raster.

    All tiles have the full size unless the raster is smaller: the last row and column are moved
    inwards instead of cut, so the network always sees the context it was trained with.

    Args:
        width: Columns of the raster.
        height: Rows of the raster.
        tile_px: Side of a tile.
        overlap_px: Minimum overlap of neighbours.

    Raises:
        InputError: The tile is empty or not larger than the overlap.
    """

    width: int
    height: int
    tile_px: int
    overlap_px: int

    def __post_init__(self) -> None:
        if self.tile_px < 1:
            raise InputError(f"`tile_size` must be at least 1 px, found {self.tile_px}")
        if not 0 <= self.overlap_px < self.tile_px:
            raise InputError(
                f"`overlap` must be at least 0 and below the tile size of {self.tile_px} px, "
                f"found {self.overlap_px} px"
            )

    @cached_property
    def columns(self) -> tuple[int, ...]:
        """Left edges of the columns of tiles."""
        return _starts(self.width, self.tile_px, self.overlap_px)

    @cached_property
    def rows(self) -> tuple[int, ...]:
        """Upper edges of the rows of tiles."""
        return _starts(self.height, self.tile_px, self.overlap_px)

    def __len__(self) -> int:
        return math.prod(
            sum(map(len, _start_ranges(length, self.tile_px, self.overlap_px)))
            for length in (self.width, self.height)
        )

    def __iter__(self) -> Iterator[Tile]:
        for row in range(len(self.rows)):
            yield from self.tiles_in_row(row)

    def count_touching(self, box: FloatArray) -> int:
        """Count the tiles that overlap or touch a box ``float64[4]`` in pixel edges."""
        x1, y1, x2, y2 = box
        counts = []
        for length, low, high in ((self.width, x1, x2), (self.height, y1, y2)):
            *first, last = _start_ranges(length, self.tile_px, self.overlap_px)
            count = int(last[0] <= high and last[0] + self.tile_px >= low)
            for starts in first:  # bisected: web services have millions of columns
                start = bisect_left(starts, low, key=lambda x: x + self.tile_px)
                count += max(bisect_right(starts, high) - start, 0)
            counts.append(count)
        return math.prod(counts)

    def columns_overlapping(self, row: int, boxes: FloatArray) -> BoolArray:
        """Return ``bool[columns]``, True for tiles of a row that overlap any box.

        Args:
            row: Position of the row.
            boxes: ``float64[N, 4]`` in pixel edges.
        """
        left, top = np.array(self.columns), self.rows[row]
        width, height = min(self.tile_px, self.width), min(self.tile_px, self.height)
        x1, _, x2, _ = boxes[(boxes[:, 1] < top + height) & (boxes[:, 3] > top)].T
        changes = np.zeros(len(left) + 1, np.int64)
        np.add.at(changes, np.searchsorted(left + width, x1, side="right"), 1)
        np.add.at(changes, np.searchsorted(left, x2), -1)
        return np.cumsum(changes[:-1]) > 0

    def tile(self, row: int, col: int) -> Tile:
        """Return the tile at a row and a column."""
        width, height = min(self.tile_px, self.width), min(self.tile_px, self.height)
        index = row * len(self.columns) + col
        return Tile(self.columns[col], self.rows[row], width, height, index, row, col)

    def tiles_in_row(self, row: int) -> Iterator[Tile]:
        """Yield the tiles of one row, from left to right."""
        for col in range(len(self.columns)):
            yield self.tile(row, col)


@dataclass(frozen=True)
class Shard:
    """Block of whole tiles of a ``TileScheme``, which is detected as a unit.

    Args:
        first_row: Its first row of tiles.
        end_row: The row after its last one.
        first_col: Its first column of tiles.
        end_col: The column after its last one.
    """

    first_row: int
    end_row: int
    first_col: int
    end_col: int


def overlap_px(overlap: float, tile_px: int) -> int:
    """Return an overlap in pixels.

    Args:
        overlap: Fraction of the tile below 1, else pixels.
        tile_px: Side of the tile.
    """
    return math.ceil(overlap * tile_px if overlap < 1 else overlap)


def _starts(length: int, tile_px: int, overlap_px: int) -> tuple[int, ...]:
    """Return the first pixels of tiles along one axis."""
    return tuple(chain(*_start_ranges(length, tile_px, overlap_px)))


def _start_ranges(length: int, tile_px: int, overlap_px: int) -> list[range]:
    """Return the first pixels of tiles along one axis; the last range is the last tile."""
    if length <= tile_px:
        return [range(1)]
    last = length - tile_px
    return [range(0, last, tile_px - overlap_px), range(last, last + 1)]
