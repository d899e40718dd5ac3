"""Distances on the ground between many map points."""

from __future__ import annotations

import numpy as np
from pyproj import CRS, Transformer

from geodetect.geo.crs import horizontal_crs, transformer_between, unit_factor
from geodetect.types import FloatArray


def ground_points(points: FloatArray, crs: CRS) -> FloatArray:
    """Map points in a frame where straight lines are distances in metres.

    Points on the Earth become geocentric coordinates on the ellipsoid of their CRS, at height 0.
    A straight line between two of them is shorter than the geodesic by d^3 / (24 R^2), the chord
    of a circle: 1e-9 of it at 1 km.

    Args:
        points: ``float64[N, 2]`` map coordinates, x before y.
        crs: Their CRS.

    Returns:
        ``float64[N, 3]`` metres, or ``float64[N, 2]`` for a CRS that is not tied to the Earth.
    """
    horizontal = horizontal_crs(crs)
    geodetic, ellipsoid = horizontal.geodetic_crs, horizontal.ellipsoid
    if geodetic is None or ellipsoid is None:
        return points * unit_factor(horizontal)
    geodetic = geodetic.to_2d()
    to_geodetic = transformer_between(horizontal, geodetic)
    radians = unit_factor(geodetic)
    lon, lat = radians * np.array(to_geodetic.transform(points[:, 0], points[:, 1]))
    a, b = ellipsoid.semi_major_metre, ellipsoid.semi_minor_metre
    to_geocentric = Transformer.from_pipeline(f"+proj=cart +a={a!r} +b={b!r}")
    xyz = to_geocentric.transform(lon, lat, np.zeros(len(points)), radians=True)
    return np.stack(xyz, axis=1)
