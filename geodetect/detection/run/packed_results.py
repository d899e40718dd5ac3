"""Results of tiles as arrays, for files that hold many of them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Self

import numpy as np
import shapely
from numpy.typing import NDArray

from geodetect.detection.detections import Detections, TileResult
from geodetect.geo.polygons import as_polygons
from geodetect.geo.tiles import Tile
from geodetect.types import AnyArray, BoolArray, IntArray, ObjectArray, UInt8Array

COMPRESSION = 1  # of zlib: cells are nearly all the same
OUTLINES, LENGTHS = "outlines", "outline_lengths"  # arrays that only results with outlines have
ARRAY_COLUMNS = [f.name for f in fields(Detections) if f.name != OUTLINES]


@dataclass(frozen=True)
class PackedResults:
    """Results of tiles, joined.

    Args:
        tiles: ``int64[N]`` index of each tile in its scheme.
        counts: ``int64[N]`` number of its detections; -1: it holds no imagery.
        shapes: ``int64[N, 2]`` rows and columns of its cells.
        has_hole: ``bool[N]`` some of its pixels could not be read.
        cells: ``uint8[C]`` states of the cells of all tiles, row by row.
        detections: Detections of all tiles.
    """

    tiles: IntArray
    counts: IntArray
    shapes: IntArray
    has_hole: BoolArray
    cells: UInt8Array
    detections: Detections

    @classmethod
    def from_results(cls, results: Sequence[TileResult]) -> Self:
        """Join the results of tiles."""
        parts = [result.detections for result in results if result.detections is not None]
        return cls(
            np.array([result.tile.index for result in results], np.int64),
            np.array(
                [-1 if r.detections is None else len(r.detections) for r in results], np.int64
            ),
            np.array([result.cells.shape for result in results], np.int64).reshape(-1, 2),
            np.array([result.has_hole for result in results], bool),
            np.concatenate([np.empty(0, np.uint8), *(r.cells.ravel() for r in results)]),
            Detections.concatenate(parts),
        )

    def __len__(self) -> int:
        return len(self.tiles)

    def check_rasters(self, count: int) -> None:
        """Check that all detections are of rasters that the ground has.

        Raises:
            ValueError: A raster's number is negative, or ``count`` or more.
        """
        numbers = self.detections.raster
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < count:
            raise ValueError("a raster that the ground does not have")

    def results(self, tiles: Sequence[Tile], first: int = 0) -> list[TileResult]:
        """Return the results of successive tiles.

        Args:
            tiles: The tiles.
            first: Position of the first of them.
        """
        detection_starts, cell_starts = self._starts
        results = []
        for position, tile in enumerate(tiles, first):
            start, end = detection_starts[position : position + 2]
            first_cell, end_cell = cell_starts[position : position + 2]
            results.append(
                TileResult(
                    tile,
                    self.detections[start:end] if self.counts[position] >= 0 else None,
                    self.cells[first_cell:end_cell].reshape(self.shapes[position]),
                    bool(self.has_hole[position]),
                )
            )
        return results

    @cached_property
    def _starts(self) -> tuple[IntArray, IntArray]:
        """First detection and first cell of each tile, ``int64[N + 1]`` each."""
        counts = np.maximum(self.counts, 0), self.shapes.prod(axis=1)
        starts, cell_starts = (np.append(0, np.cumsum(count)) for count in counts)
        return starts, cell_starts

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the arrays by name; the cells are compressed."""
        cells = zlib.compress(self.cells.tobytes(), COMPRESSION)
        arrays = {
            "tiles": self.tiles,
            "counts": self.counts,
            "shapes": self.shapes,
            "has_hole": self.has_hole,
            "cells": np.frombuffer(cells, np.uint8),
        }
        arrays |= {name: getattr(self.detections, name) for name in ARRAY_COLUMNS}
        if self.detections.has_outlines:
            arrays |= _pack_outlines(self.detections.outlines)
        return {name: np.ascontiguousarray(array) for name, array in arrays.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, AnyArray]) -> Self:
        """Return results from the arrays of ``to_arrays``.

        Raises:
            KeyError: An array is missing.
            zlib.error: The cells are damaged.
            ValueError: The outlines are damaged.
        """
        columns = {name: arrays[name] for name in ARRAY_COLUMNS}
        outlines = _unpack_outlines(arrays, len(columns["boxes"]))
        return cls(
            arrays["tiles"],
            arrays["counts"],
            arrays["shapes"],
            arrays["has_hole"],
            np.frombuffer(zlib.decompress(arrays["cells"].tobytes()), np.uint8),
            Detections(**columns, outlines=outlines),
        )


def _pack_outlines(outlines: ObjectArray) -> dict[str, AnyArray]:
    """Return the well-known binary of all outlines, and the bytes of each: 0 without one."""
    texts = [text or b"" for text in shapely.to_wkb(outlines, byte_order=1)]
    return {
        OUTLINES: np.frombuffer(b"".join(texts), np.uint8),
        LENGTHS: np.array([len(text) for text in texts], np.int64),
    }


def _unpack_outlines(arrays: Mapping[str, AnyArray], count: int) -> ObjectArray:
    """Return the outlines of ``_pack_outlines``; None for all where there are none.

    Raises:
        ValueError: They are damaged.
    """
    if OUTLINES not in arrays:
        return np.full(count, None, dtype=object)
    text, ends = arrays[OUTLINES].tobytes(), np.cumsum(arrays[LENGTHS]).tolist()
    if len(ends) != count or (ends and ends[-1] != len(text)):
        raise ValueError(f"outlines of {len(ends)} of {count} detections")
    parts = [text[start:end] or None for start, end in zip([0, *ends], ends, strict=False)]
    return as_polygons(shapely.from_wkb(np.array(parts, dtype=object)))
