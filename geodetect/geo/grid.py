"""Pixel grid of a raster on the map: pixels to map coordinates and back, and pixel sizes.

Pixel coordinates are (x, y) with x to the right and y down, in pixel *edges*: the upper left
corner of the raster is (0, 0), the centre of its first pixel (0.5, 0.5). A box is
(x1, y1, x2, y2) in these coordinates, so the raster itself is the box (0, 0, width, height).
"""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import shapely
from affine import Affine
from pyproj import CRS

from geodetect.errors import GeoreferenceError, InputError
from geodetect.geo.geodesic import ground_distances_m
from geodetect.types import FloatArray

MAX_GSD_RATIO = 50  # of a stated resolution to that of imagery; a wrong unit is a factor of 100
GSD_MARGIN = 0.05  # relative, as of rounded numbers


@dataclass(frozen=True, eq=False)
class Grid:
    """Pixels of a raster on the map.

    Args:
        crs: Coordinate reference system, or None for plain pixel coordinates.
        transform: Affine from pixel edges to map coordinates, x before y in both.
        width: Columns.
        height: Rows.
        unit_m: Ground size of a unit of the coordinates of a grid without CRS, if it is known.
    """

    crs: CRS | None
    transform: Affine
    width: int
    height: int
    unit_m: float | None = None

    def __eq__(self, other: object) -> bool:
        # not the CRS themselves: pyproj compares their meaning, but hashes their WKT
        return isinstance(other, Grid) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[str | None, Affine, int, int, float | None]:
        return self.crs_wkt, self.transform, self.width, self.height, self.unit_m

    @cached_property
    def crs_wkt(self) -> str | None:
        """CRS as WKT, for rasterio and for fingerprints; None without one."""
        # one text for all rasters of a CRS: there may be a hundred thousand
        return None if self.crs is None else sys.intern(self.crs.to_wkt())

    @cached_property
    def gsd_xy_m(self) -> tuple[float, float] | None:
        """Ground sample distance of the central pixel along its row and its column, in metres.

        Geodesic on the ellipsoid of the CRS, so degrees, feet, Mercator's scale, rotated and
        non-square pixels all come out right. Without a CRS it follows from ``unit_m``, else None.
        """
        if self.crs is None:
            if self.unit_m is None:
                return None
            t = self.transform
            return math.hypot(t.a, t.d) * self.unit_m, math.hypot(t.b, t.e) * self.unit_m
        (points,) = _central_points([self])
        along_row, along_column = ground_distances_m(points[[0, 2]], points[[1, 3]], self.crs)
        if not (along_row > 0 and along_column > 0):
            centre = points.mean(axis=0).tolist()
            raise GeoreferenceError(
                f"the raster's centre {centre} lies outside the area where its CRS "
                f"({self.crs.name}) is defined; set the right one as `src_crs`"
            )
        return float(along_row), float(along_column)

    @property
    def box(self) -> FloatArray:
        """Box of the whole raster in its own pixels, ``float64[4]``."""
        return np.array([0, 0, self.width, self.height], dtype=np.float64)

    @property
    def outline(self) -> shapely.Polygon:
        """Outline of the raster in map coordinates."""
        return shapely.polygons(self.boxes_to_map(self.box))[0]

    @property
    def gsd_m(self) -> float | None:
        """Ground sample distance in metres: the geometric mean of both directions."""
        return None if self.gsd_xy_m is None else math.sqrt(math.prod(self.gsd_xy_m))

    def to_map(self, points_px: FloatArray) -> FloatArray:
        """Convert pixel coordinates ``[..., 2]`` to map coordinates ``[..., 2]``."""
        return _transform_points(self.transform, points_px)

    def to_px(self, points_map: FloatArray) -> FloatArray:
        """Convert map coordinates ``[..., 2]`` to pixel coordinates ``[..., 2]``."""
        return _transform_points(~self.transform, points_map)

    def boxes_to_map(self, boxes: FloatArray) -> FloatArray:
        """Convert boxes to closed rings in map coordinates.

        Args:
            boxes: ``float64[N, 4]`` x1, y1, x2, y2 in pixels.

        Returns:
            ``float64[N, 5, 2]`` map coordinates, counter-clockwise; parallelograms if the grid is
            rotated or sheared.
        """
        x1, y1, x2, y2 = np.asarray(boxes, dtype=np.float64).reshape(-1, 4).T
        corners = np.stack([x1, y1, x1, y2, x2, y2, x2, y1, x1, y1], axis=-1).reshape(-1, 5, 2)
        if self.transform.determinant > 0:  # y is not flipped: keep the ring counter-clockwise
            corners = corners[:, ::-1]
        return self.to_map(corners)

    def resampled(self, scale_x: float, scale_y: float) -> Grid:
        """Return a grid of the same ground with ``scale`` times the columns and rows (rounded)."""
        if not (scale_x > 0 and scale_y > 0):
            raise InputError(f"resampling factors must be positive, found {scale_x} x {scale_y}")
        width = max(1, round(self.width * scale_x))
        height = max(1, round(self.height * scale_y))
        transform = self.transform @ Affine.scale(self.width / width, self.height / height)
        return replace(self, transform=transform, width=width, height=height)

    def scale_to(self, other: Grid) -> FloatArray:
        """Return the factors ``float64[2]`` from pixel coordinates to those of another grid.

        Args:
            other: Grid of the same ground, see ``resampled``.
        """
        return np.array([other.width / self.width, other.height / self.height])


def measure_pixels(grids: Sequence[Grid]) -> None:
    """Measure ``gsd_xy_m`` of many grids at once, a tenth of the time of one by one."""
    by_crs: dict[str, list[Grid]] = defaultdict(list)
    for grid in grids:
        if grid.crs_wkt is not None:
            by_crs[grid.crs_wkt].append(grid)
    for same in by_crs.values():
        crs = same[0].crs
        assert crs is not None
        points = _central_points(same)
        starts, ends = points[:, [0, 2]].reshape(-1, 2), points[:, [1, 3]].reshape(-1, 2)
        sizes = ground_distances_m(starts, ends, crs).reshape(-1, 2)
        for grid, (along_row, along_column) in zip(same, sizes.tolist(), strict=True):
            if along_row > 0 and along_column > 0:  # of others the property says what is wrong
                grid.__dict__["gsd_xy_m"] = (along_row, along_column)


def map_corners(grids: Sequence[Grid]) -> FloatArray:
    """Return the corners of many grids in map coordinates.

    Returns:
        ``float64[N, 4, 2]``: upper left, lower left, lower right, upper right.
    """
    sizes = np.array([(grid.width, grid.height) for grid in grids], np.float64).reshape(-1, 1, 2)
    return _to_map(grids, np.array([[0, 0], [0, 1], [1, 1], [1, 0]]) * sizes)


def _central_points(grids: Sequence[Grid]) -> FloatArray:
    """Return the ends of central pixels along row and column on the map, ``float64[N, 4, 2]``."""
    sizes = np.array([(grid.width, grid.height) for grid in grids], np.float64).reshape(-1, 1, 2)
    return _to_map(grids, sizes / 2 + np.array([[-0.5, 0], [0.5, 0], [0, -0.5], [0, 0.5]]))


def _to_map(grids: Sequence[Grid], points: FloatArray) -> FloatArray:
    """Convert points ``[N, K, 2]`` in pixels, K of each grid, to map coordinates."""
    transforms = np.array([tuple(grid.transform)[:6] for grid in grids]).reshape(-1, 6)
    a, b, c, d, e, f = transforms.T[..., None]
    x, y = points[..., 0], points[..., 1]
    return np.stack([a * x + b * y + c, d * x + e * y + f], axis=-1)


def check_gsd(gsd_m: float, finest_m: float, coarsest_m: float, *, of: str) -> None:
    """Check that the parameter ``gsd`` lies in a range.

    Args:
        gsd_m: Stated resolution in metres per pixel.
        finest_m: Lower end of the range.
        coarsest_m: Upper end of the range.
        of: Range in words, for the message.

    Raises:
        InputError: It does not; the message names the likely unit.
    """
    low, high = finest_m * (1 - GSD_MARGIN), coarsest_m * (1 + GSD_MARGIN)
    if low <= gsd_m <= high:
        return
    meant = {
        0.01: f"{gsd_m:g}cm",
        0.001: f"{gsd_m:g}mm",
        100: f"{100 * gsd_m:g}m",
        10: f"{1000 * gsd_m:g}cm",
    }
    hint = next((f"; {text}?" for unit, text in meant.items() if low <= gsd_m * unit <= high), "")
    raise InputError(
        f"`gsd` is {gsd_m:g} m per pixel, expected {finest_m:.3g} to {coarsest_m:.3g} m: {of}{hint}"
    )


def check_gsd_of_imagery(gsd_m: float, raster_gsd_m: float, path: str) -> None:
    """Check a stated resolution against that of a raster, which it cannot differ from too much.

    Raises:
        InputError: It differs as much as by a wrong unit.
    """
    check_gsd(
        gsd_m,
        raster_gsd_m / MAX_GSD_RATIO,
        raster_gsd_m * MAX_GSD_RATIO,
        of=f"the pixels of {path} are {raster_gsd_m:.3g} m on the ground",
    )


def _transform_points(transform: Affine, points: FloatArray) -> FloatArray:
    x, y = points[..., 0], points[..., 1]
    t = transform
    return np.stack([t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f], axis=-1)
