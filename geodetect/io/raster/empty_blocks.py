"""Empty blocks of GeoTIFFs, and empty parts of VRTs, recognised without decoding them."""

from __future__ import annotations

import math
import os
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from rasterio.enums import MaskFlags
from rasterio.windows import Window

from geodetect.io.raster.values.bands import is_not_nodata
from geodetect.types import FloatArray

MAX_BLOCK_BYTES = 16_384  # a compressed block without content is small
MAX_DECODED = 64  # blocks that differ in their bytes: bounds the cost if all of them do

PLAIN_BAND = "VRTSourcedRasterBand"  # a band of a VRT that shows its sources as they are
SOURCES = ("SimpleSource", "ComplexSource", "AveragedSource", "KernelFilteredSource")
BOX = ("xOff", "yOff", "xSize", "ySize")

StoredBlock = tuple[int, bytes]  # a band, and the bytes of one of its blocks


@dataclass(frozen=True)
class _Block:
    """Block of the file, at a column and row of the grid of blocks."""

    bands: tuple[int, ...]  # bands stored in it that decide if it is empty
    column: int
    row: int


def source_boxes(dataset: Any) -> FloatArray | None:
    """Return the parts of a VRT that its sources cover; elsewhere there is no imagery.

    Args:
        dataset: Open rasterio dataset.

    Returns:
        ``float64[N, 4]`` boxes x1, y1, x2, y2 in pixels; None: not a VRT, or one that computes its
        pixels in another way.
    """
    if dataset.driver != "VRT":
        return None
    root = ET.fromstring(dataset.tags(ns="xml:VRT")["xml:VRT"])
    if root.get("subClass"):
        return None
    boxes: set[tuple[float, ...]] = set()
    for band in root.iter("VRTRasterBand"):
        if band.get("subClass", PLAIN_BAND) != PLAIN_BAND:
            return None
        for source in band:
            box = source.find("DstRect")
            if source.tag in SOURCES and box is not None and source.find("SrcRect") is not None:
                boxes.add(
                    tuple(float(box.get(k, "nan")) for k in ("xOff", "yOff", "xSize", "ySize"))
                )
            elif source.tag.endswith("Source"):
                return None  # it covers all, or is of a kind that is not known
    places = np.array(sorted(boxes), np.float64).reshape(-1, 4)
    places[:, 2:] += places[:, :2]
    return None if np.isnan(places).any() else places


class EmptyBlocks:
    """Blocks of one GeoTIFF that hold only nodata, or are transparent.

    A block that was never written has no offset in the file (sparse files). A written block is
    recognised by its stored bytes: blocks with the same bytes as an empty one are empty. Unlike
    overviews, blocks cannot be older than the pixels.

    Args:
        path: The file; the bytes of blocks are read from local files only.
        bands: Bands that are read, counted from 1: empty where all of them are nodata.
        alpha: Alpha band: empty where it is 0. None: there is none.
    """

    def __init__(self, path: str, bands: Sequence[int], alpha: int | None = None) -> None:
        self._file = Path(path)
        self._version = _file_version(self._file.stat()) if self._file.is_file() else None
        self._bands = tuple(bands)
        self._alpha = alpha
        self._empty: set[StoredBlock] = set()
        self._not_empty: set[StoredBlock] = set()

    def covers(self, dataset: Any, window: Window) -> bool:
        """Return True if all blocks of a window are known to be empty.

        Args:
            dataset: Open rasterio dataset; for formats other than GeoTIFF the answer is False.
            window: In pixels of the dataset.
        """
        groups = self._deciding_bands(dataset)
        if not groups:
            return False
        absent: _Block | None = None
        with ExitStack() as stack:
            stream: BinaryIO | None = None
            for block in _blocks_of_window(dataset, groups, window):
                offset = _block_tag(dataset, "OFFSET", block)
                if offset is None:
                    absent = block
                    continue
                if not self._empty:
                    return False
                stream = stream or self._open_unchanged(stack)
                stored = _read_stored(dataset, block, offset, stream)
                if stored is None or stored not in self._empty:
                    return False
        if absent is not None:  # an unreadable index has no offsets either: let GDAL report it
            height, width = dataset.block_shapes[absent.bands[0] - 1]
            corner = Window(absent.column * width, absent.row * height, 1, 1)
            dataset.read(absent.bands[0], window=corner)
        return True

    def learn(self, dataset: Any, window: Window) -> None:
        """Decode new blocks of a window without valid pixels, and remember their bytes.

        Args:
            dataset: Open rasterio dataset.
            window: In pixels of the dataset.
        """
        with ExitStack() as stack:
            stream: BinaryIO | None = None
            for block in _blocks_of_window(dataset, self._deciding_bands(dataset), window):
                if len(self._empty) + len(self._not_empty) >= MAX_DECODED:
                    return
                height, width = dataset.block_shapes[block.bands[0] - 1]
                x, y = block.column * width, block.row * height
                offset = _block_tag(dataset, "OFFSET", block)
                if x + width > dataset.width or y + height > dataset.height or offset is None:
                    continue  # pixels beyond the edge of the raster cannot be decoded
                stream = stream or self._open_unchanged(stack)
                stored = _read_stored(dataset, block, offset, stream)
                if stored and stored not in self._empty and stored not in self._not_empty:
                    is_empty = self._is_empty(dataset, block, Window(x, y, width, height))
                    (self._empty if is_empty else self._not_empty).add(stored)

    def _deciding_bands(self, dataset: Any) -> list[tuple[int, ...]]:
        """Return the bands that decide if a window is empty, grouped by shared blocks.

        If all of them are empty, so is the window, whatever other bands and the mask hold. There
        are none if blocks cannot decide it.
        """
        if dataset.driver != "GTiff":
            return []
        bands = [*self._bands, *([] if self._alpha is None else [self._alpha])]
        shapes = dataset.block_shapes  # read once: it takes a call for each band
        if any(shapes[band - 1] == (1, dataset.width) for band in bands):
            return []  # GDAL also reports one large strip as blocks of single rows
        if self._is_decided_by_alpha(dataset):
            return [(self._alpha or 0,)]
        flags = dataset.mask_flag_enums
        if not all(MaskFlags.nodata in flags[band - 1] for band in self._bands):
            return []
        if dataset.tags(ns="IMAGE_STRUCTURE").get("INTERLEAVE") == "PIXEL":
            return [self._bands]
        return [(band,) for band in self._bands]

    def _is_decided_by_alpha(self, dataset: Any) -> bool:
        return self._alpha is not None and dataset.nodata in (None, 0)  # absent blocks read as 0

    def _is_empty(self, dataset: Any, block: _Block, window: Window) -> bool:
        """Decode the deciding bands of a block."""
        by_alpha, nodata = self._is_decided_by_alpha(dataset), dataset.nodatavals
        for band in block.bands:
            values = dataset.read(band, window=window)
            if (values if by_alpha else is_not_nodata(values, nodata[band - 1])).any():
                return False
        return True

    def _open_unchanged(self, stack: ExitStack) -> BinaryIO | None:
        """Open the file; None if it has changed since it was opened first."""
        if self._version is None:
            return None
        try:
            stream = stack.enter_context(self._file.open("rb"))
        except OSError:  # removed, or too many open files: GDAL has its own handle
            return None
        return stream if _file_version(os.fstat(stream.fileno())) == self._version else None


def _file_version(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _blocks_of_window(
    dataset: Any, groups: Sequence[tuple[int, ...]], window: Window
) -> Iterator[_Block]:
    """Yield the blocks that a window touches."""
    shapes = dataset.block_shapes
    for bands in groups:
        height, width = shapes[bands[0] - 1]
        columns = _block_range(window.col_off, window.width, width, dataset.width)
        rows = _block_range(window.row_off, window.height, height, dataset.height)
        for row, column in product(rows, columns):
            yield _Block(bands, column, row)


def _block_range(start: float, length: float, block_px: int, size_px: int) -> range:
    """Return the positions along one axis of the blocks that a window touches."""
    first = max(0, math.floor(start / block_px))
    last = min(math.ceil(size_px / block_px), math.ceil((start + length) / block_px))
    return range(first, last)


def _block_tag(dataset: Any, name: str, block: _Block) -> int | None:
    """Return ``OFFSET`` or ``SIZE`` of a block in the file; None if it was never written."""
    tag = f"BLOCK_{name}_{block.column}_{block.row}"
    value = dataset.get_tag_item(tag, "TIFF", block.bands[0])
    return None if value is None else int(value)


def _read_stored(
    dataset: Any, block: _Block, offset: int, stream: BinaryIO | None
) -> StoredBlock | None:
    """Read the stored bytes of a block; None if it is too large or cannot be read."""
    size = _block_tag(dataset, "SIZE", block) or 0
    if stream is None or not 0 < size <= MAX_BLOCK_BYTES:
        return None
    try:
        stream.seek(offset)
        data = stream.read(size)
    except OSError:
        return None
    return (block.bands[0], data) if len(data) == size else None
