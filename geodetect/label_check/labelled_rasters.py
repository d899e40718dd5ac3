"""Rasters with the labels on them, as the label check looks at them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geodetect.errors import InputError, RasterError
from geodetect.geo import boxes as box_ops
from geodetect.geo.grid import Grid
from geodetect.geo.raster_overlap import frame
from geodetect.geo.tiles import Tile
from geodetect.io.labels.label_set import LabelSet
from geodetect.io.labels.placement import match_labels
from geodetect.io.raster.reader import Raster, RasterOptions, open_raster
from geodetect.types import FloatArray, IntArray, ObjectArray

BANDS = 3  # that a network takes
MOST_PROBED = 100
PROBE_PX = 16


@dataclass(frozen=True, eq=False)
class LabelledRaster:
    """One raster with the labels on it.

    Args:
        raster: Open raster with a CRS.
        boxes: ``float64[K, 4]`` labels in its own pixels, not cut at its border.
        names: ``object[K]`` their classes.
        numbers: ``int64[K]`` their numbers in the ``LabelSet``.
    """

    raster: Raster
    boxes: FloatArray
    names: ObjectArray
    numbers: IntArray

    @property
    def grid(self) -> Grid:
        """The raster's own grid."""
        return self.raster.grid

    @property
    def gsd_m(self) -> float:
        """Ground size of its pixels."""
        return float(self.grid.gsd_m or 1.0)

    @property
    def frame(self) -> FloatArray:
        """The raster as a box, ``float64[4]``."""
        return frame(self.grid)

    @property
    def visible(self) -> FloatArray:
        """Share of each label's box that lies on the raster, ``float64[K]`` in 0..1."""
        return box_ops.fraction_inside(self.boxes, self.frame)

    @property
    def sizes_m(self) -> FloatArray:
        """True widths and heights of the boxes along rows and columns, ``float64[K, 2]``."""
        return (self.boxes[:, 2:] - self.boxes[:, :2]) * np.array(self.grid.gsd_xy_m)


def open_rasters(
    paths: Sequence[str], options: RasterOptions
) -> tuple[list[Raster], dict[str, str]]:
    """Open the rasters that can be used for training, and read a little of each.

    Args:
        paths: Files; one that is named twice is opened once.
        options: Bands, values and CRS as the user states them.

    Returns:
        The rasters, and for each file that was left out the reason.

    Raises:
        InputError: None can be used: the reason of the first.
        RasterError: Likewise.
    """
    opened: list[Raster] = []
    left_out: dict[str, str] = {}
    first: InputError | RasterError | None = None
    for path in dict.fromkeys(paths):
        try:
            raster = open_raster(path, options, needed_bands=BANDS)
            raster.grid.gsd_xy_m  # noqa: B018 (raises where the CRS is not defined)
            if len(opened) < MOST_PROBED:
                _probe(raster)
            opened.append(raster)
        except (InputError, RasterError) as error:
            first = first or error
            left_out[path] = str(error)
    if not opened and first is not None:
        raise first
    return opened, left_out


def _probe(raster: Raster) -> None:
    """Read two small pieces, the centre and the last pixels, which a cut file does not have."""
    grid = raster.grid
    width, height = min(PROBE_PX, grid.width), min(PROBE_PX, grid.height)
    with raster:  # reads open it, this closes it: a system has only so many open files
        for share in (0.5, 1.0):
            x0, y0 = int((grid.width - width) * share), int((grid.height - height) * share)
            raster.read(Tile(0, 0, 0, x0, y0, width, height))


def with_labels(rasters: Sequence[Raster], labels: LabelSet) -> list[LabelledRaster]:
    """The rasters with the labels that touch them.

    Raises:
        LabelError: It is not plain which raster an image of a data set is.
    """
    placed = match_labels(labels, [(raster.path, raster.grid) for raster in rasters])
    return [
        LabelledRaster(raster, one.boxes, one.names, one.numbers)
        for raster, one in zip(rasters, placed, strict=True)
    ]
