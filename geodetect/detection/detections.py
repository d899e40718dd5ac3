"""Detections as columns of arrays, and the result of a tile."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import shapely
from numpy.typing import NDArray

from geodetect.geo.polygons import as_polygons
from geodetect.geo.tiles import Tile
from geodetect.types import (
    BoolArray,
    Float32Array,
    FloatArray,
    IntArray,
    ObjectArray,
    UInt8Array,
)

UNKNOWN = np.int32(-1)


@dataclass(frozen=True)
class Columns:
    """Base of dataclasses whose fields are columns of equal length: arrays or other ``Columns``."""

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Return all rows of all parts (at least one), in order."""
        joined = []
        for field in fields(cls):
            column = [getattr(part, field.name) for part in parts]
            is_nested = isinstance(column[0], Columns)
            joined.append((type(column[0]).concatenate if is_nested else np.concatenate)(column))
        return cls(*joined)

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))

    def __getitem__(self, rows: slice | IntArray | BoolArray) -> Self:
        """Return the rows of a slice, a mask or of row numbers."""
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True)
class Detections(Columns):
    """Boxes with scores and classes, always all columns.

    Args:
        boxes: ``float64[N, 4]`` x1, y1, x2, y2 in pixel edges. Pixels of a tile or of the whole
            raster, as documented where they are passed.
        scores: ``float32[N]`` in 0..1.
        labels: ``int16[N]`` number in the classes of the model.
        truncated: ``bool[N]`` the object is cut by the edge of the imagery (not of a tile).
        raster: ``int32[N]`` number of the raster that shows the centre, in its ground; UNKNOWN
            for objects that were joined from parts, until it is found from their place.
        outlines: ``object[N]`` polygon or multipolygon of shapely in the frame of ``boxes``; None
            where only the box is known. An outline may reach a little beyond its box.
    """

    boxes: FloatArray
    scores: Float32Array
    labels: NDArray[np.int16]
    truncated: BoolArray
    raster: NDArray[np.int32]
    outlines: ObjectArray

    @classmethod
    def from_arrays(
        cls,
        boxes: object,
        scores: object,
        labels: object = None,
        *,
        truncated: object = None,
        raster: object = None,
        outlines: Iterable[Any] | None = None,
    ) -> Detections:
        """Return detections from array-likes; by default of class 0, not truncated, of raster 0.

        Args:
            boxes: ``[N, 4]``.
            scores: ``[N]``.
            labels: ``[N]``.
            truncated: ``[N]``.
            raster: ``[N]``.
            outlines: Polygon, multipolygon, vertices ``[K, 2]`` or None of each; None: of none.

        Raises:
            ValueError: The number of elements differs, or an outline is none of these.
        """
        box = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
        n = len(box)
        return cls(
            box,
            np.asarray(scores, dtype=np.float32).reshape(n),
            np.zeros(n, np.int16) if labels is None else np.asarray(labels, np.int16).reshape(n),
            np.zeros(n, bool) if truncated is None else np.asarray(truncated, bool).reshape(n),
            np.zeros(n, np.int32) if raster is None else np.asarray(raster, np.int32).reshape(n),
            as_polygons([None] * n if outlines is None else outlines).reshape(n),
        )

    @classmethod
    def empty(cls) -> Detections:
        """Return no detections."""
        return cls.from_arrays(np.empty((0, 4)), [])

    @classmethod
    def concatenate(cls, parts: Sequence[Detections]) -> Detections:
        """Return all rows of all parts, in order."""
        return super().concatenate(parts or [cls.empty()])

    def shifted(self, dx: float, dy: float) -> Detections:
        """Return the detections moved by (dx, dy) pixels."""
        boxes = self.boxes + np.array([dx, dy, dx, dy], dtype=np.float64)
        outlines = self.outlines
        if self.has_outlines:
            outlines = shapely.transform(outlines, lambda points: points + np.array([dx, dy]))
        return replace(self, boxes=boxes, outlines=outlines)

    def without_outlines(self) -> Detections:
        """Return the detections with their boxes only."""
        return replace(self, outlines=np.full(len(self), None, dtype=object))

    @property
    def has_outlines(self) -> bool:
        """The outline of at least one object is known."""
        return not shapely.is_missing(self.outlines).all()


@dataclass(frozen=True)
class TileResult:
    """Detections and ground of one tile.

    Args:
        tile: The tile.
        detections: Boxes in pixel edges of the working grid; None: the tile holds no imagery and
            did not go through the detector.
        cells: ``uint8[rows, columns]`` states of the cells of the tile, see ``ImageryMask``.
        has_hole: Some of its pixels could not be read.
    """

    tile: Tile
    detections: Detections | None
    cells: UInt8Array
    has_hole: bool = False
