"""Objects on the borders of rasters, which are cut there, or detected in several rasters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import shapely
from affine import Affine

from geodetect.detection.detection_layer import RasterDetections
from geodetect.detection.run.truncation import EDGE_PX
from geodetect.geo import boxes as box_ops
from geodetect.geo.bounds import bounds_px
from geodetect.geo.components import connected_components
from geodetect.geo.grid import Grid
from geodetect.geo.raster_overlap import find_overlaps
from geodetect.types import BoolArray, FloatArray, IntArray

REACH_PX = 4  # between two pieces of an object, each of which may end 1.5 px before the border
SAME_FRACTION = 0.5  # of the smaller of two boxes of the same object that lies in the other one
FACING_FRACTION = 0.5  # of the shorter of the sides along which two pieces face each other
OUTWARD = np.array([-1, -1, 1, 1]) * REACH_PX  # x1, y1, x2, y2


@dataclass(frozen=True)
class BorderObjects:
    """Detections on the borders of rasters that adjoin or overlap.

    Args:
        detections: Number of all detections.
        cut: Number of those that the border to another raster cuts.
        repeated: Number of those beyond the first of their object: it is counted again as a piece
            in the raster beside it, or whole in one that overlaps.
    """

    detections: int
    cut: int
    repeated: int

    def doubt(self) -> str | None:
        """Return a message about the number of detections; None: it is right."""
        problems = [
            f"{count:,} {'is' if count == 1 else 'are'} {problem}"
            for count, problem in (
                (self.cut, "cut by the border to another raster"),
                (self.repeated, "counted again in another raster, which adjoins or overlaps"),
            )
            if count
        ]
        if not problems:
            return None
        return (
            f"of {self.detections:,} objects {' and '.join(problems)}, so that their number or "
            f"their sizes are wrong; join the rasters (gdalbuildvrt all.vrt FILES) and use that one"
        )


def find_border_objects(rasters: Sequence[RasterDetections], *, conf: float) -> BorderObjects:
    """Find the detections that are cut by the borders between rasters, or in several of them.

    Two detections of one class in two rasters are of the same object if half of the smaller box
    lies in the other one, or if both are truncated and face each other across the border.

    Args:
        rasters: Detections of each raster, of one model; those without a CRS have no neighbours.
        conf: Score threshold.
    """
    first_rows = np.cumsum([0, *map(len, rasters)])
    is_cut = np.zeros(first_rows[-1], bool)
    repetitions = [np.empty((0, 2), np.int64)]
    for i, j in _neighbours([raster.grid for raster in rasters]):
        a, b = _Side.of(rasters[i], rasters[j], conf), _Side.of(rasters[j], rasters[i], conf)
        is_cut[first_rows[i] + a.rows[a.is_cut]] = True
        is_cut[first_rows[j] + b.rows[b.is_cut]] = True
        if len(a.rows) and len(b.rows):
            pairs = _match_sides(a, b)
            pairs = np.stack([a.rows[pairs[:, 0]], b.rows[pairs[:, 1]]], axis=1)
            repetitions.append(pairs + first_rows[[i, j]])
    repeated, positions = np.unique(np.concatenate(repetitions), return_inverse=True)
    first, second = positions.reshape(-1, 2).T
    objects = np.unique(connected_components(len(repeated), first, second))
    return BorderObjects(
        detections=sum(int((raster.detections.scores >= conf).sum()) for raster in rasters),
        cut=int(is_cut.sum()),
        repeated=len(repeated) - len(objects),
    )


@dataclass(frozen=True)
class _Side:
    """Detections of one raster near another one.

    Args:
        raster: The detections of the raster.
        rows: ``int64[N]`` their rows.
        is_cut: ``bool[N]`` the edge of the raster cuts them where the other one goes on.
    """

    raster: RasterDetections
    rows: IntArray
    is_cut: BoolArray

    @classmethod
    def of(cls, raster: RasterDetections, other: RasterDetections, conf: float) -> _Side:
        """Find the detections of ``raster`` near ``other``."""
        outline = np.array([other.grid.outline], dtype=object)
        assert other.grid.crs is not None
        extent = bounds_px(outline, other.grid.crs, raster.grid)
        detections = raster.detections
        boxes = detections.boxes
        is_near = box_ops.intersection(boxes + OUTWARD, np.broadcast_to(extent, boxes.shape)) > 0
        rows = np.flatnonzero(is_near & (detections.scores >= conf))
        return cls(raster, rows, _are_cut(boxes[rows], raster.grid, extent[0]))


def _neighbours(grids: Sequence[Grid]) -> Iterator[tuple[int, int]]:
    """Yield the pairs of rasters that adjoin or overlap."""
    widened = [
        replace(
            grid,
            transform=grid.transform @ Affine.translation(-REACH_PX, -REACH_PX),
            width=grid.width + 2 * REACH_PX,
            height=grid.height + 2 * REACH_PX,
        )
        for grid in grids
    ]
    for overlap in find_overlaps(widened):
        yield overlap.first, overlap.second


def _are_cut(boxes: FloatArray, grid: Grid, extent: FloatArray) -> BoolArray:
    """Return True for boxes at an edge of their raster beyond which another one goes on.

    Args:
        boxes: ``float64[N, 4]`` in pixels of the grid.
        grid: Grid of their raster.
        extent: ``float64[4]`` extent of the other raster in these pixels.
    """
    is_cut = np.zeros(len(boxes), bool)
    for side in range(4):
        beyond = box_ops.centres(boxes)
        beyond[:, side % 2] = boxes[:, side] + OUTWARD[side]
        is_inside = ((beyond > extent[:2]) & (beyond < extent[2:])).all(axis=1)
        is_cut |= is_inside & (np.abs(boxes[:, side] - grid.box[side]) < EDGE_PX)
    return is_cut


def _match_sides(a: _Side, b: _Side) -> IntArray:
    """Return the pairs of detections of the same object, ``int64[P, 2]`` positions in ``rows``."""
    of_a, of_b = a.raster.detections[a.rows], b.raster.detections[b.rows]
    polygons = shapely.polygons(b.raster.grid.boxes_to_map(of_b.boxes))
    assert b.raster.grid.crs is not None
    boxes, moved = of_a.boxes, bounds_px(polygons, b.raster.grid.crs, a.raster.grid)
    pairs = box_ops.overlap_pairs(boxes + OUTWARD, moved)
    pairs = pairs[of_a.labels[pairs[:, 0]] == of_b.labels[pairs[:, 1]]]
    first, second = boxes[pairs[:, 0]], moved[pairs[:, 1]]
    smaller = np.minimum(box_ops.area(first), box_ops.area(second))
    is_same = box_ops.intersection(first, second) >= SAME_FRACTION * smaller
    shared = np.minimum(first[:, 2:], second[:, 2:]) - np.maximum(first[:, :2], second[:, :2])
    sides = np.minimum(first[:, 2:] - first[:, :2], second[:, 2:] - second[:, :2])
    are_pieces = of_a.truncated[pairs[:, 0]] & of_b.truncated[pairs[:, 1]]
    are_pieces &= (shared >= FACING_FRACTION * sides).any(axis=1)
    return pairs[is_same | are_pieces]
