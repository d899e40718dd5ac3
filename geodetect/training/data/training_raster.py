"""Labelled rasters of a training, with the areas that are held out for validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from geodetect.geo import boxes as box_ops
from geodetect.geo.grid import Grid
from geodetect.io.labels.labelled_raster import LabelledRaster
from geodetect.types import BoolArray, FloatArray

MIN_VISIBLE_FRACTION = 0.3  # of an object cut by an edge; below, it is ignored


def no_boxes() -> FloatArray:
    """Return an empty array of boxes, ``float64[0, 4]``."""
    return np.empty((0, 4))


@dataclass(frozen=True, eq=False)
class TrainingRaster(LabelledRaster):
    """Labelled raster with its holdout.

    Args:
        holdout: ``float64[M, 4]`` rectangles in pixels that are held out for validation; no chip
            touches them.
        overlapping_holdout: ``float64[K, 4]`` rectangles that are held out of other rasters, which
            overlap this one; no chip touches them either.
    """

    holdout: FloatArray = field(default_factory=no_boxes)
    overlapping_holdout: FloatArray = field(default_factory=no_boxes)

    @property
    def excluded(self) -> FloatArray:
        """All rectangles that no chip touches, ``float64[M + K, 4]``."""
        return np.concatenate([self.holdout, self.overlapping_holdout])

    @cached_property
    def clipped_boxes(self) -> FloatArray:
        """Boxes clipped to the raster, ``float64[N, 4]``."""
        return box_ops.clip(self.boxes, self.grid.box)

    @cached_property
    def is_visible(self) -> BoolArray:
        """Objects of which enough lies on the raster, ``bool[N]``."""
        return self.visible_fraction >= MIN_VISIBLE_FRACTION

    @property
    def is_held_out(self) -> BoolArray:
        """Visible objects whose centre, clipped to the raster, is held out, ``bool[N]``."""
        return self.is_visible & self._are_centred_in(self.holdout)

    @property
    def is_trainable(self) -> BoolArray:
        """Visible objects whose centre chips may show, ``bool[N]``."""
        return self.is_visible & ~self._are_centred_in(self.excluded)

    def grid_at(self, gsd_m: float) -> Grid:
        """Return the grid of the raster resampled to square pixels of a ground size."""
        x, y = np.array(self.grid.gsd_xy_m) / gsd_m
        return self.grid.resampled(x, y)

    def _are_centred_in(self, rectangles: FloatArray) -> BoolArray:
        centres = box_ops.centres(self.clipped_boxes)
        points = np.concatenate([centres, centres], axis=1)
        is_inside = np.zeros(len(self.boxes), bool)
        is_inside[box_ops.overlap_pairs(points, rectangles)[:, 0]] = True
        return is_inside


def area_fractions(rasters: Sequence[TrainingRaster]) -> FloatArray:
    """Return the fraction of the ground area of all rasters that each has, ``float64[N]``."""
    areas = np.array([r.grid.width * r.grid.height * r.gsd_m**2 for r in rasters])
    return areas / areas.sum()
