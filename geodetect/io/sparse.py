"""Blocks of GeoTIFFs that hold nothing, known without decoding them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from rasterio.enums import Interleaving, MaskFlags
from rasterio.windows import Window

MOST_BYTES = 16_384  # of a block that holds nothing: compressed, it is small
MOST_LOOKED_AT = 64  # blocks of different bytes, so that it costs little where none are alike

Block = tuple[int, int, int]  # band, column, row


class EmptyBlocks:
    """The blocks of one GeoTIFF that hold nothing but nodata, or are transparent.

    A block that was never written has no place in the file (sparse files). One that was written is
    known by the bytes it is stored as: what is the same as a block that turned out empty is empty.
    Unlike overviews, blocks cannot be older than the pixels.

    Args:
        path: The file; written blocks are only known of files on this machine.
        bands: Bands that are read, counted from 1.
        alpha: Band of opacity; None: there is none.
    """

    def __init__(self, path: str, bands: Sequence[int], alpha: int | None = None) -> None:
        self._file = Path(path) if Path(path).is_file() else None
        self._bands = tuple(bands)
        self._alpha = alpha
        self._known: set[bytes] = set()
        self._others: set[bytes] = set()

    def cover(self, dataset: Any, window: Window) -> bool:
        """Whether a window lies on blocks that are known to be empty.

        Args:
            dataset: Open rasterio dataset; only of GeoTIFFs anything is known.
            window: In pixels of the dataset.
        """
        bands = self._deciding(dataset)
        if not bands:
            return False
        for block in _blocks(dataset, bands, window):
            stored = self._stored(dataset, block)
            if stored is not None and stored not in self._known:
                return False
        return True

    def learn(self, dataset: Any, window: Window, is_empty: Callable[[Window], bool]) -> None:
        """Look at the blocks of a window that turned out to hold nothing.

        Args:
            dataset: Open rasterio dataset.
            window: In pixels of the dataset.
            is_empty: Decodes a block and tells whether it holds nothing.
        """
        for block in _blocks(dataset, self._deciding(dataset), window):
            frame = _whole(dataset, block)
            if frame is None or len(self._known) + len(self._others) >= MOST_LOOKED_AT:
                continue  # the part of a block beyond the edge is no imagery, whatever it holds
            stored = self._stored(dataset, block, known=False)
            if stored and stored not in self._known and stored not in self._others:
                (self._known if is_empty(frame) else self._others).add(stored)

    def _deciding(self, dataset: Any) -> tuple[int, ...]:
        """The bands of which all must be empty; none where blocks do not tell."""
        if dataset.driver != "GTiff":
            return ()
        flags = dataset.mask_flag_enums  # of all bands: asked for once, it takes a call for each
        if self._alpha is not None and dataset.nodata in (None, 0):  # absent blocks are read as 0
            bands: tuple[int, ...] = (self._alpha,)
        elif all(MaskFlags.nodata in flags[band - 1] for band in self._bands):
            bands = self._bands
        else:
            return ()
        return bands[:1] if dataset.interleaving == Interleaving.pixel else bands

    def _stored(self, dataset: Any, block: Block, *, known: bool = True) -> bytes | None:
        """The bytes of a block; None: it was never written; empty: it is no small one.

        Args:
            dataset: Open rasterio dataset.
            block: Which.
            known: Only what may be known is of interest.
        """
        band, column, row = block
        offset = dataset.get_tag_item(f"BLOCK_OFFSET_{column}_{row}", "TIFF", band)
        if offset is None:
            return None
        if self._file is None or (known and not self._known):
            return b""
        size = int(dataset.get_tag_item(f"BLOCK_SIZE_{column}_{row}", "TIFF", band) or 0)
        if size > MOST_BYTES:
            return b""
        with self._file.open("rb") as stream:
            stream.seek(int(offset))
            return stream.read(size)


def _blocks(dataset: Any, bands: Sequence[int], window: Window) -> Iterator[Block]:
    """The blocks that a window touches."""
    for band in bands:
        height, width = dataset.block_shapes[band - 1]
        columns = _along(window.col_off, window.width, width, dataset.width)
        rows = _along(window.row_off, window.height, height, dataset.height)
        for row, column in product(rows, columns):
            yield band, column, row


def _along(start: float, length: float, block_px: int, size: int) -> range:
    """Numbers of the blocks along one axis that a window touches."""
    first = max(0, math.floor(start / block_px))
    last = min(math.ceil(size / block_px), math.ceil((start + length) / block_px))
    return range(first, last)


def _whole(dataset: Any, block: Block) -> Window | None:
    """Where a block lies; None: it sticks out of the raster."""
    band, column, row = block
    height, width = dataset.block_shapes[band - 1]
    if (column + 1) * width > dataset.width or (row + 1) * height > dataset.height:
        return None
    return Window(column * width, row * height, width, height)
