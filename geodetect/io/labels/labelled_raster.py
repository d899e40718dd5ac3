"""Rasters with the labels that lie on them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from geodetect.errors import GeoreferenceError
from geodetect.geo import boxes as box_ops
from geodetect.geo.grid import Grid
from geodetect.io.raster.reader import Raster
from geodetect.types import BoolArray, FloatArray, IntArray, ObjectArray


@dataclass(frozen=True, eq=False)
class LabelledRaster:
    """A raster and the labels on it; ``geodetect.io.labels.placement.place_labels`` makes them.

    Args:
        raster: Open raster.
        boxes: ``float64[K, 4]`` x1, y1, x2, y2 in pixel edges of the raster, not clipped to it.
        class_ids: ``int64[K]`` positions in ``classes``.
        ids: ``int64[K]`` positions in the ``LabelSet`` that the labels come from, ascending.
        classes: Class names.
        outlines: ``object[K]`` polygons in pixel edges of the raster, not clipped to it; None for
            labels that are boxes or points. None: all are.
    """

    raster: Raster
    boxes: FloatArray
    class_ids: IntArray
    ids: IntArray
    classes: tuple[str, ...]
    outlines: ObjectArray | None = None

    @property
    def grid(self) -> Grid:
        """Grid of the raster; the boxes are in its pixels."""
        return self.raster.grid

    @property
    def class_names(self) -> ObjectArray:
        """Class name of each label, ``object[K]``."""
        return np.array(self.classes, dtype=object)[self.class_ids]

    @property
    def gsd_m(self) -> float:
        """Ground sample distance of the raster in metres.

        Raises:
            GeoreferenceError: The raster has no CRS.
        """
        if self.grid.gsd_m is None:
            raise GeoreferenceError(
                f"{self.raster.path} has no CRS to tell the ground size of its pixels; set "
                f"`src_crs`"
            )
        return self.grid.gsd_m

    @property
    def visible_fraction(self) -> FloatArray:
        """Fraction of each label's box that lies on the raster, ``float64[K]`` in 0..1."""
        return box_ops.fraction_inside(self.boxes, self.grid.box)

    @property
    def sizes_m(self) -> FloatArray:
        """Ground sizes of the boxes along rows and columns in metres, ``float64[K, 2]``."""
        return (self.boxes[:, 2:] - self.boxes[:, :2]) * np.array(self.grid.gsd_xy_m)

    def select(self, rows: IntArray | BoolArray) -> LabelledRaster:
        """Return a copy with some of the labels: numbers of rows, or a mask ``bool[K]``."""
        return replace(
            self,
            boxes=self.boxes[rows],
            class_ids=self.class_ids[rows],
            ids=self.ids[rows],
            outlines=None if self.outlines is None else self.outlines[rows],
        )
