"""Blocks of GeoTIFFs that hold nothing, known without decoding them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, BinaryIO

from rasterio.enums import Interleaving, MaskFlags
from rasterio.windows import Window

from geodetect.io.raster.bands import holds_value

MOST_BYTES = 16_384  # of a block that holds nothing: compressed, it is small
MOST_LOOKED_AT = 64  # blocks of different bytes, so that it costs little where none are alike

Stored = tuple[int, bytes]  # a band, and the bytes of one of its blocks


@dataclass(frozen=True)
class _Block:
    """A block of the file.

    Args:
        bands: Bands in it that decide whether it is empty.
        column: Its number along the rows.
        row: Its number along the columns.
    """

    bands: tuple[int, ...]
    column: int
    row: int


class EmptyBlocks:
    """The blocks of one GeoTIFF that hold nothing but nodata, or are transparent.

    A block that was never written has no place in the file (sparse files). One that was written is
    known by the bytes it is stored as: what is the same as a block that turned out empty is empty.
    Unlike overviews, blocks cannot be older than the pixels.

    Args:
        path: The file; written blocks are only known of files on this machine.
        bands: Bands that are read, counted from 1: empty where all of them are nodata.
        alpha: Band of opacity: empty where it is 0. None: there is none.
    """

    def __init__(self, path: str, bands: Sequence[int], alpha: int | None = None) -> None:
        self._file = Path(path)
        self._version = _version(self._file.stat()) if self._file.is_file() else None
        self._bands = tuple(bands)
        self._alpha = alpha
        self._empty: set[Stored] = set()
        self._others: set[Stored] = set()

    def cover(self, dataset: Any, window: Window) -> bool:
        """Whether a window lies on blocks that are known to be empty.

        Args:
            dataset: Open rasterio dataset; only of GeoTIFFs anything is known.
            window: In pixels of the dataset.
        """
        groups = self._deciding(dataset)
        if not groups:
            return False
        absent: _Block | None = None
        with ExitStack() as stack:
            stream: BinaryIO | None = None
            for block in _blocks(dataset, groups, window):
                offset = _offset(dataset, block)
                if offset is None:
                    absent = block
                    continue
                if not self._empty:
                    return False
                stream = stream or self._open(stack)
                stored = _stored(dataset, block, offset, stream)
                if stored is None or stored not in self._empty:
                    return False
        if absent is not None:  # GDAL says the same of an index that it cannot read: have it say so
            height, width = dataset.block_shapes[absent.bands[0] - 1]
            corner = Window(absent.column * width, absent.row * height, 1, 1)
            dataset.read(absent.bands[0], window=corner)
        return True

    def learn(self, dataset: Any, window: Window) -> None:
        """Look at the blocks of a window that turned out to hold nothing.

        Args:
            dataset: Open rasterio dataset.
            window: In pixels of the dataset.
        """
        with ExitStack() as stack:
            stream: BinaryIO | None = None
            for block in _blocks(dataset, self._deciding(dataset), window):
                frame, offset = _whole(dataset, block), _offset(dataset, block)
                if len(self._empty) + len(self._others) >= MOST_LOOKED_AT:
                    return
                if frame is None or offset is None:
                    continue  # what lies beyond the edge of the raster is not known
                stream = stream or self._open(stack)
                stored = _stored(dataset, block, offset, stream)
                if stored and stored not in self._empty and stored not in self._others:
                    is_empty = self._holds_nothing(dataset, block, frame)
                    (self._empty if is_empty else self._others).add(stored)

    def _deciding(self, dataset: Any) -> list[tuple[int, ...]]:
        """The bands that decide, those that share blocks together; none where blocks do not tell.

        All must be empty, and then the ground is, whatever the other bands and the mask say.
        """
        if dataset.driver != "GTiff" or self._has_single_rows(dataset):
            return []
        if self._decided_by_alpha(dataset):
            return [(self._alpha or 0,)]
        flags = dataset.mask_flag_enums  # of all bands: asked for once, it takes a call for each
        if not all(MaskFlags.nodata in flags[band - 1] for band in self._bands):
            return []
        if dataset.interleaving == Interleaving.pixel:
            return [self._bands]
        return [(band,) for band in self._bands]

    def _has_single_rows(self, dataset: Any) -> bool:
        """Whether blocks are rows of pixels: GDAL gives out so what is one large strip, too."""
        bands = [*self._bands, *([] if self._alpha is None else [self._alpha])]
        return any(dataset.block_shapes[band - 1] == (1, dataset.width) for band in bands)

    def _decided_by_alpha(self, dataset: Any) -> bool:
        return self._alpha is not None and dataset.nodata in (None, 0)  # absent blocks read as 0

    def _holds_nothing(self, dataset: Any, block: _Block, frame: Window) -> bool:
        """Decode the bands of a block that decide."""
        by_alpha = self._decided_by_alpha(dataset)
        for band in block.bands:
            values = dataset.read(band, window=frame)
            if (values if by_alpha else holds_value(values, dataset.nodatavals[band - 1])).any():
                return False
        return True

    def _open(self, stack: ExitStack) -> BinaryIO | None:
        """The file, as long as it is the one that was opened first."""
        if self._version is None:
            return None
        try:
            stream = stack.enter_context(self._file.open("rb"))
        except OSError:  # removed, or too many are open: GDAL has its own
            return None
        return stream if _version(os.fstat(stream.fileno())) == self._version else None


def _version(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _blocks(dataset: Any, groups: Sequence[tuple[int, ...]], window: Window) -> Iterator[_Block]:
    """The blocks that a window touches."""
    for bands in groups:
        height, width = dataset.block_shapes[bands[0] - 1]
        columns = _along(window.col_off, window.width, width, dataset.width)
        rows = _along(window.row_off, window.height, height, dataset.height)
        for row, column in product(rows, columns):
            yield _Block(bands, column, row)


def _along(start: float, length: float, block_px: int, size: int) -> range:
    """Numbers of the blocks along one axis that a window touches."""
    first = max(0, math.floor(start / block_px))
    last = min(math.ceil(size / block_px), math.ceil((start + length) / block_px))
    return range(first, last)


def _whole(dataset: Any, block: _Block) -> Window | None:
    """Where a block lies; None: it sticks out of the raster."""
    height, width = dataset.block_shapes[block.bands[0] - 1]
    if (block.column + 1) * width > dataset.width or (block.row + 1) * height > dataset.height:
        return None
    return Window(block.column * width, block.row * height, width, height)


def _offset(dataset: Any, block: _Block) -> int | None:
    """Where a block begins in the file; None: it was never written."""
    return _tag(dataset, "OFFSET", block)


def _tag(dataset: Any, name: str, block: _Block) -> int | None:
    tag = f"BLOCK_{name}_{block.column}_{block.row}"
    value = dataset.get_tag_item(tag, "TIFF", block.bands[0])
    return None if value is None else int(value)


def _stored(dataset: Any, block: _Block, offset: int, stream: BinaryIO | None) -> Stored | None:
    """The bytes of a block; None: it is no small one, or they cannot be read."""
    size = _tag(dataset, "SIZE", block) or 0
    if stream is None or not 0 < size <= MOST_BYTES:
        return None
    try:
        stream.seek(offset)
        data = stream.read(size)
    except OSError:
        return None
    return (block.bands[0], data) if len(data) == size else None
