"""Measurements on the ground: geodesic distances, sizes of boxes, areas on the ellipsoid.

Map units are not metres on the ground: degrees, feet and the scale of Mercator are taken out here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import shapely
from pyproj import CRS, Geod, Transformer

from geodetect.geo.crs import horizontal_crs, transformer_between, unit_factor
from geodetect.geo.reproject import densify
from geodetect.types import BoolArray, FloatArray, ObjectArray


def ground_distances_m(start: FloatArray, end: FloatArray, crs: CRS) -> FloatArray:
    """Measure distances on the ground between map points.

    Args:
        start: ``float64[N, 2]`` map coordinates.
        end: ``float64[N, 2]`` map coordinates.
        crs: CRS of both.

    Returns:
        ``float64[N]`` metres along the geodesic (Karney 2013, as in pyproj), or planar distance
        times the unit for a CRS that is not tied to the Earth. NaN outside the CRS's domain.
    """
    points = np.stack([start, end])
    return _distances_between(points, [(0, 1)], crs)[0]


def ground_sizes(rings: FloatArray, crs: CRS | None) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Measure width, length and area of four-cornered rings on the ground.

    A quadrilateral is measured by its geodesic sides and one diagonal: two triangles by Heron's
    formula. For objects of less than a kilometre the curvature of the Earth is below 1e-8.

    Args:
        rings: ``float64[N, 5, 2]`` closed rings in map coordinates.
        crs: Their CRS, or None.

    Returns:
        ``width_m`` (short side), ``length_m`` (long side) and ``area_m2``, each ``float64[N]``;
        NaN without a CRS.
    """
    if crs is None:
        unknown = np.full(len(rings), np.nan)
        return unknown, unknown.copy(), unknown.copy()
    pairs = [(0, 1), (1, 2), (2, 3), (3, 0), (0, 2)]
    a, b, c, d, diagonal = _distances_between(rings[:, :4].transpose(1, 0, 2), pairs, crs)
    sides = np.stack([(a + c) / 2, (b + d) / 2])
    area = _triangle_area(a, b, diagonal) + _triangle_area(c, d, diagonal)
    return sides.min(axis=0), sides.max(axis=0), area


def ground_orientations_deg(rings: FloatArray, crs: CRS) -> FloatArray:
    """Measure the direction of the long sides of four-cornered rings.

    Args:
        rings: ``float64[N, 5, 2]`` closed rings in map coordinates.
        crs: Their CRS.

    Returns:
        ``float64[N]`` degrees clockwise from north, 0..180: the azimuth of the geodesic; from the
        second axis of a CRS that is not tied to the Earth. NaN outside the CRS's domain.
    """
    sides = _distances_between(rings[:, :3].transpose(1, 0, 2), [(0, 1), (1, 2)], crs)
    rows, first = np.arange(len(rings)), np.where(sides[0] >= sides[1], 0, 1)
    start, end = rings[rows, first], rings[rows, first + 1]
    transform = _lonlat_transform(crs)
    if transform is None:
        return np.asarray(np.rad2deg(np.arctan2(*(end - start).T)) % 180)
    lon, lat, is_on_earth = _lonlat_deg(np.stack([start, end]), transform)
    is_inside = is_on_earth.all(axis=0)
    azimuths = np.full(len(rings), np.nan)
    azimuths[is_inside] = transform[2].inv(
        *(x[is_inside] for x in (lon[0], lat[0], lon[1], lat[1]))
    )[0]
    return azimuths % 180


def ground_perimeters_m(polygons: ObjectArray, crs: CRS) -> FloatArray:
    """Measure the length of the rings of polygons on the ground, holes included.

    Args:
        polygons: ``object[N]`` polygons and multipolygons.
        crs: Their CRS.

    Returns:
        ``float64[N]`` metres along geodesics; NaN outside the CRS's domain.
    """
    parts, polygon_of_part = shapely.get_parts(polygons, return_index=True)
    rings, part_of_ring = shapely.get_rings(parts, return_index=True)
    points, ring = shapely.get_coordinates(rings, return_index=True)
    is_edge = ring[1:] == ring[:-1]
    lengths = ground_distances_m(points[:-1][is_edge], points[1:][is_edge], crs)
    polygon = polygon_of_part[part_of_ring[ring[1:][is_edge]]]
    return np.bincount(polygon, lengths, minlength=len(polygons)).astype(np.float64)


def ground_areas_m2(geometries: ObjectArray, crs: CRS | None) -> FloatArray:
    """Measure areas of polygons on the ellipsoid of their CRS.

    They are projected to the cylindrical equal-area projection of the ellipsoid (Snyder 1987,
    equations 10-15 to 10-18), edges in steps of 100 m, with longitudes that go on beyond 180
    degrees, so the antimeridian cuts none; around a pole, to the azimuthal one (24-1 to 24-15).

    Args:
        geometries: ``object[N]``; points and lines have no area.
        crs: CRS of their coordinates, or None.

    Returns:
        ``float64[N]`` square metres. Planar for a CRS that is not tied to the Earth; NaN without a
        CRS, or outside the area where it is defined.
    """
    if crs is None:
        return np.full(len(geometries), np.nan)
    horizontal = horizontal_crs(crs)
    transform = _lonlat_transform(crs)
    if transform is None:
        return np.asarray(shapely.area(geometries) * unit_factor(horizontal) ** 2)
    to_lonlat, unit, geod = transform

    dense = densify(geometries, crs)
    points, rows = shapely.get_coordinates(dense, return_index=True)
    lon, lat = unit * np.array(to_lonlat.transform(points[:, 0], points[:, 1]))
    turns = np.round(np.diff(lon, prepend=lon[:1]) / (2 * np.pi))
    turns[~np.isfinite(turns) | (np.diff(rows, prepend=rows[:1]) != 0)] = 0
    polar = [
        row for row in np.unique(rows[turns != 0]) if _surrounds_pole(dense[row], to_lonlat, unit)
    ]
    turns[np.isin(rows, polar)] = 0
    # turns between the rings of a polygon move a ring as a whole, which leaves its area
    unwrapped = lon - 2 * np.pi * np.cumsum(turns)
    ellipsoid = f"+a={geod.a!r} +b={geod.b!r}"
    project = Transformer.from_pipeline(f"+proj=cea +over {ellipsoid}").transform
    areas = _planar_areas(dense, project(unwrapped, lat, radians=True))
    for row in polar:
        is_row = rows == row
        pole = 90 if np.nanmean(lat[is_row]) > 0 else -90
        project = Transformer.from_pipeline(f"+proj=laea +lat_0={pole} {ellipsoid}").transform
        xy = project(lon[is_row], lat[is_row], radians=True)
        areas[row] = _planar_areas(dense[row : row + 1], xy)[0]
    return areas


def _distances_between(
    points: FloatArray, pairs: Sequence[tuple[int, int]], crs: CRS
) -> list[FloatArray]:
    """Measure distances on the ground between points of several sets, see ``ground_distances_m``.

    Args:
        points: ``float64[K, N, 2]`` map coordinates of K sets.
        pairs: Numbers of the two sets of each result.
        crs: CRS of the points.

    Returns:
        ``float64[N]`` metres for each pair.
    """
    transform = _lonlat_transform(crs)
    if transform is None:
        factor = unit_factor(horizontal_crs(crs))
        return [np.hypot(*(points[j] - points[i]).T) * factor for i, j in pairs]
    lon, lat, is_on_earth = _lonlat_deg(points, transform)
    geod, distances = transform[2], []
    for i, j in pairs:
        rows = is_on_earth[i] & is_on_earth[j]
        distance = np.full(len(rows), np.nan)
        distance[rows] = geod.inv(lon[i][rows], lat[i][rows], lon[j][rows], lat[j][rows])[2]
        distances.append(distance)
    return distances


def _lonlat_deg(
    points: FloatArray, transform: tuple[Transformer, float, Geod]
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Return longitude and latitude ``[...]`` of points ``[..., 2]``, and which are defined."""
    to_lonlat, unit, _ = transform
    ends = to_lonlat.transform(points[..., 0], points[..., 1])
    lon, lat = float(np.rad2deg(unit)) * np.array(ends)
    return lon, lat, np.isfinite(lon) & np.isfinite(lat) & (np.abs(lat) <= 90)


def _planar_areas(geometries: ObjectArray, xy: tuple[FloatArray, FloatArray]) -> FloatArray:
    """Return the areas of geometries with other coordinates; NaN where one is not finite."""
    points = np.stack(xy, axis=1)
    rows = shapely.get_coordinates(geometries, return_index=True)[1]
    is_beyond = np.isin(rows, rows[~np.isfinite(points).all(axis=1)])
    points[is_beyond] = 0  # GEOS takes no NaN
    areas = np.asarray(shapely.area(shapely.set_coordinates(geometries.copy(), points)))
    areas[rows[is_beyond]] = np.nan
    return areas


def _surrounds_pole(polygon: shapely.Geometry, to_lonlat: Transformer, unit: float) -> bool:
    """Return True if the longitudes along a ring add up to a turn around the globe."""
    for ring in shapely.get_rings(shapely.get_parts(polygon)):
        x, y = shapely.get_coordinates(ring).T
        turns = np.round(np.diff(unit * np.asarray(to_lonlat.transform(x, y)[0])) / (2 * np.pi))
        if np.nansum(turns) != 0:
            return True
    return False


def cartesian_points_m(points: FloatArray, crs: CRS) -> FloatArray:
    """Convert map points to Cartesian coordinates in which straight lines are metres.

    Points on the Earth become geocentric coordinates on the ellipsoid of their CRS, at height 0.
    A straight line between two of them is shorter than the geodesic by d^3 / (24 R^2), the chord
    of a circle: 1e-9 of it at 1 km.

    Args:
        points: ``float64[N, 2]`` map coordinates, x before y.
        crs: Their CRS.

    Returns:
        ``float64[N, 3]`` metres, or ``float64[N, 2]`` for a CRS that is not tied to the Earth.
    """
    transform = _lonlat_transform(crs)
    if transform is None:
        return points * unit_factor(horizontal_crs(crs))
    to_lonlat, unit, geod = transform
    lon, lat = unit * np.array(to_lonlat.transform(points[:, 0], points[:, 1]))
    to_geocentric = Transformer.from_pipeline(f"+proj=cart +a={geod.a!r} +b={geod.b!r}")
    return np.stack(to_geocentric.transform(lon, lat, np.zeros(len(points)), radians=True), axis=1)


def _triangle_area(a: FloatArray, b: FloatArray, c: FloatArray) -> FloatArray:
    """Return the area of triangles from their sides, in Kahan's stable form of Heron's formula."""
    z, y, x = np.sort(np.stack([a, b, c]), axis=0)
    product = (x + (y + z)) * (z - (x - y)) * (z + (x - y)) * (x + (y - z))
    return np.asarray(np.sqrt(np.maximum(product, 0)) / 4)


@lru_cache(maxsize=32)
def _lonlat_transform(crs: CRS) -> tuple[Transformer, float, Geod] | None:
    """Return the conversion of a CRS to longitude and latitude; None if not tied to the Earth.

    The number is the unit of longitude and latitude in radians: some CRS count in grads.
    """
    horizontal = horizontal_crs(crs)
    geodetic, geod = horizontal.geodetic_crs, horizontal.get_geod()
    if geodetic is None or geod is None:
        return None
    geodetic = geodetic.to_2d()
    return transformer_between(horizontal, geodetic), unit_factor(geodetic), geod
