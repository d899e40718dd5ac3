"""A raster's pixel grid on the ground: pixels to map and back, and true ground distances.

Pixel coordinates are (x, y) with x to the right and y down, in pixel *edges*: the upper left
corner of the raster is (0, 0), the centre of its first pixel (0.5, 0.5). A box is
(x1, y1, x2, y2) in that frame, so the raster itself is the box (0, 0, width, height).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
import shapely
from affine import Affine
from pyproj import CRS, Geod, Transformer

from geodetect.errors import GeoreferenceError, InputError
from geodetect.geo.crs import horizontal_crs, transformer_between, unit_factor
from geodetect.types import FloatArray


@dataclass(frozen=True, eq=False)
class Grid:
    """The pixels of a raster, laid on the map.

    Args:
        crs: Coordinate reference system, or None for plain pixel coordinates.
        transform: Affine from pixel edges (x, y) to map coordinates (x, y order, always).
        width: Columns.
        height: Rows.
    """

    crs: CRS | None
    transform: Affine
    width: int
    height: int

    def __eq__(self, other: object) -> bool:
        # CRS of the same meaning are equal in pyproj, but hash by their WKT: compare that
        return isinstance(other, Grid) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[str | None, Affine, int, int]:
        return self.crs_wkt, self.transform, self.width, self.height

    @cached_property
    def crs_wkt(self) -> str | None:
        """The CRS as text, for files and fingerprints; None without one."""
        return None if self.crs is None else self.crs.to_wkt()

    @cached_property
    def gsd_xy_m(self) -> tuple[float, float] | None:
        """Ground size of the central pixel along its row and its column, in metres.

        Geodesic on the ellipsoid of the CRS, so degrees, feet, Mercator's scale, rotated and
        non-square pixels all come out right. None without a CRS.
        """
        if self.crs is None:
            return None
        x, y = self.width / 2, self.height / 2
        ends = np.array([[x - 0.5, y], [x + 0.5, y], [x, y - 0.5], [x, y + 0.5]])
        points = self.to_map(ends)
        along_row, along_column = ground_distances_m(points[[0, 2]], points[[1, 3]], self.crs)
        if not (along_row > 0 and along_column > 0):
            centre = self.to_map(np.array([x, y])).tolist()
            raise GeoreferenceError(
                f"the raster's centre {centre} lies outside the area where its CRS "
                f"({self.crs.name}) is defined; name the right one with --src-crs"
            )
        return float(along_row), float(along_column)

    @property
    def box(self) -> FloatArray:
        """The raster as a box in its own pixels, ``float64[4]``."""
        return np.array([0, 0, self.width, self.height], dtype=np.float64)

    @property
    def outline(self) -> shapely.Polygon:
        """The raster as a polygon in map coordinates."""
        return shapely.polygons(self.boxes_to_map(self.box))[0]

    @property
    def gsd_m(self) -> float | None:
        """Ground size of the central pixel in metres: the geometric mean of both directions."""
        return None if self.gsd_xy_m is None else float(np.sqrt(np.prod(self.gsd_xy_m)))

    def to_map(self, points_px: FloatArray) -> FloatArray:
        """Pixel coordinates to map coordinates, ``[..., 2]`` to ``[..., 2]``."""
        return apply_affine(self.transform, points_px)

    def to_px(self, points_map: FloatArray) -> FloatArray:
        """Map coordinates to pixel coordinates, ``[..., 2]`` to ``[..., 2]``."""
        return apply_affine(~self.transform, points_map)

    def boxes_to_map(self, boxes: FloatArray) -> FloatArray:
        """Boxes to closed rings on the map.

        Args:
            boxes: ``float64[N, 4]`` x1, y1, x2, y2 in pixels.

        Returns:
            ``float64[N, 5, 2]`` map coordinates, counter-clockwise on the map. A rotated or
            sheared grid makes parallelograms.
        """
        x1, y1, x2, y2 = np.asarray(boxes, dtype=np.float64).reshape(-1, 4).T
        corners = np.stack([x1, y1, x1, y2, x2, y2, x2, y1, x1, y1], axis=-1).reshape(-1, 5, 2)
        if self.transform.determinant > 0:  # y is not flipped: keep the ring counter-clockwise
            corners = corners[:, ::-1]
        return self.to_map(corners)

    def resampled(self, scale_x: float, scale_y: float) -> Grid:
        """The same ground cut into ``scale`` times as many columns and rows (rounded)."""
        if not (scale_x > 0 and scale_y > 0):
            raise InputError(f"resampling factors must be positive, found {scale_x} x {scale_y}")
        width = max(1, round(self.width * scale_x))
        height = max(1, round(self.height * scale_y))
        transform = self.transform @ Affine.scale(self.width / width, self.height / height)
        return replace(self, transform=transform, width=width, height=height)

    def scale_to(self, other: Grid) -> FloatArray:
        """Return the pixels of another grid of the same ground per pixel of this one.

        Args:
            other: A ``resampled`` grid.

        Returns:
            ``float64[2]`` factors of x and y.
        """
        return np.array([other.width / self.width, other.height / self.height])


def apply_affine(transform: Affine, points: FloatArray) -> FloatArray:
    """Apply an affine to points ``[..., 2]``."""
    x, y = points[..., 0], points[..., 1]
    t = transform
    return np.stack([t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f], axis=-1)


def ground_distances_m(start: FloatArray, end: FloatArray, crs: CRS) -> FloatArray:
    """Distances on the ground between map points.

    Args:
        start: ``float64[N, 2]`` map coordinates.
        end: ``float64[N, 2]`` map coordinates.
        crs: CRS of both.

    Returns:
        ``float64[N]`` metres along the geodesic (Karney 2013, as in pyproj), or planar distance
        times the unit for a CRS that is not tied to the Earth. NaN outside the CRS's domain.
    """
    frame = _ground_frame(crs)
    if isinstance(frame, float):
        return np.asarray(np.hypot(*(end - start).T) * frame)
    transformer, geod, unit_deg = frame
    lon1, lat1 = unit_deg * np.array(transformer.transform(start[:, 0], start[:, 1]))
    lon2, lat2 = unit_deg * np.array(transformer.transform(end[:, 0], end[:, 1]))
    finite = np.isfinite(lon1) & np.isfinite(lat1) & np.isfinite(lon2) & np.isfinite(lat2)
    finite &= (np.abs(lat1) <= 90) & (np.abs(lat2) <= 90)
    distance = np.full(len(start), np.nan)
    distance[finite] = geod.inv(lon1[finite], lat1[finite], lon2[finite], lat2[finite])[2]
    return distance


def ground_sizes(rings: FloatArray, crs: CRS | None) -> tuple[FloatArray, FloatArray, FloatArray]:
    """True width, length and area of four-cornered rings.

    The quadrilateral is measured by its geodesic sides and one diagonal: two triangles by Heron's
    formula. For objects of less than a kilometre the curvature of the Earth is below 1e-8.

    Args:
        rings: ``float64[N, 5, 2]`` closed rings in map coordinates.
        crs: Their CRS, or None: then nothing is known of the ground.

    Returns:
        ``width_m`` (short side), ``length_m`` (long side) and ``area_m2``, each ``float64[N]``;
        NaN without a CRS.
    """
    if crs is None:
        nothing = np.full(len(rings), np.nan)
        return nothing, nothing.copy(), nothing.copy()
    pairs = [(0, 1), (1, 2), (2, 3), (3, 0), (0, 2)]
    a, b, c, d, diagonal = (ground_distances_m(rings[:, i], rings[:, j], crs) for i, j in pairs)
    sides = np.stack([(a + c) / 2, (b + d) / 2])
    return sides.min(axis=0), sides.max(axis=0), _heron(a, b, diagonal) + _heron(c, d, diagonal)


def _heron(a: FloatArray, b: FloatArray, c: FloatArray) -> FloatArray:
    """Area of triangles from their sides, in Kahan's numerically stable form."""
    z, y, x = np.sort(np.stack([a, b, c]), axis=0)
    product = (x + (y + z)) * (z - (x - y)) * (z + (x - y)) * (x + (y - z))
    return np.asarray(np.sqrt(np.maximum(product, 0)) / 4)


@lru_cache(maxsize=32)
def _ground_frame(crs: CRS) -> tuple[Transformer, Geod, float] | float:
    """How to measure on the ground: via longitude and latitude, or by the unit of a local CRS.

    Longitude and latitude come with their unit in degrees: some CRS count in grads.
    """
    crs = horizontal_crs(crs)
    geodetic, geod = crs.geodetic_crs, crs.get_geod()
    if geodetic is None or geod is None:
        return unit_factor(crs)
    geodetic = geodetic.to_2d()
    return transformer_between(crs, geodetic), geod, float(np.rad2deg(unit_factor(geodetic)))
