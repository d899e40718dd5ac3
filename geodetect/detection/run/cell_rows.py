"""Array of one byte for each cell of a large ground, of which finished rows are kept compressed."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from functools import cached_property, lru_cache

import numpy as np

from geodetect.types import IntArray, UInt8Array

BAND_CELLS = 2**24  # of a band of rows: grounds with fewer are one band
RECENT_BANDS = 2  # that are kept as they were decompressed
UNKNOWN = 255  # value of cells that were not written


class CellRows:
    """Array ``uint8[rows, columns]`` in bands of rows, which are compressed once they are final.

    A country has billions of cells, most of which are like their neighbours. Only bands in which
    something was written take memory.

    Args:
        shape: Rows and columns.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        self._height = max(1, BAND_CELLS // shape[1])  # of a band
        self._open: dict[int, UInt8Array] = {}
        self._closed: dict[int, bytes] = {}

    def bands(self, first: int, end: int) -> Iterator[slice]:
        """Yield the rows from one to another, in parts that lie in one band each."""
        end = min(end, self.shape[0])
        while first < end:
            part_end = min(end, (first // self._height + 1) * self._height)
            yield slice(first, part_end)
            first = part_end

    def read(self, rows: slice, columns: slice) -> UInt8Array:
        """Return a copy of a window; what lies beyond the last rows and columns is left out."""
        rows = slice(rows.start, min(rows.stop, self.shape[0]))
        columns = slice(columns.start, min(columns.stop, self.shape[1]))
        window = np.empty((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
        for part in self.bands(rows.start, rows.stop):
            number, inside = self._place(part)
            target = slice(part.start - rows.start, part.stop - rows.start)
            window[target] = self._band(number)[inside, columns]
        return window

    def write(self, rows: slice, columns: slice, values: UInt8Array) -> None:
        """Replace a window, of which no row was closed."""
        for part in self.bands(rows.start, rows.stop):
            number, inside = self._place(part)
            if number not in self._open:
                self._open[number] = self._empty_band(number)
            source = slice(part.start - rows.start, part.stop - rows.start)
            self._open[number][inside, columns] = values[source]

    def at(self, cells: IntArray) -> UInt8Array:
        """Return the values of cells; UNKNOWN beyond the array.

        Args:
            cells: ``int64[N, 2]`` column and row of each.
        """
        values = np.full(len(cells), UNKNOWN, np.uint8)
        size = np.array(self.shape[::-1])
        inside = np.flatnonzero(((cells >= 0) & (cells < size)).all(axis=1))
        numbers = cells[inside, 1] // self._height
        for number in np.unique(numbers).tolist():
            of_band = inside[numbers == number]
            columns, rows = cells[of_band].T
            values[of_band] = self._band(number)[rows - number * self._height, columns]
        return values

    def close_above(self, row: int) -> None:
        """Compress the bands that end above a row, which are not written any more."""
        for number in [n for n in self._open if (n + 1) * self._height <= row]:
            self._closed[number] = zlib.compress(self._open.pop(number).tobytes(), level=1)

    def _place(self, rows: slice) -> tuple[int, slice]:
        """Return the number of the band of rows, and the rows in it."""
        number, first = divmod(rows.start, self._height)
        return number, slice(first, first + rows.stop - rows.start)

    def _band(self, number: int) -> UInt8Array:
        if number in self._open:
            return self._open[number]
        return self._decompressed(number) if number in self._closed else self._empty_band(number)

    @cached_property
    def _decompressed(self) -> Callable[[int], UInt8Array]:
        @lru_cache(RECENT_BANDS)
        def decompress(number: int) -> UInt8Array:
            data = zlib.decompress(self._closed[number])
            return np.frombuffer(data, np.uint8).reshape(-1, self.shape[1])

        return decompress

    def _empty_band(self, number: int) -> UInt8Array:
        height = min(self._height, self.shape[0] - number * self._height)
        return np.full((height, self.shape[1]), UNKNOWN, np.uint8)
