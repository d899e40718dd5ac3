"""Distances on the ground between many map points."""

from __future__ import annotations

import numpy as np
from pyproj import Transformer

from geodetect.geo.grid import horizontal_crs, transformer_between
from geodetect.types import FloatArray


def ground_points(points: FloatArray, crs: str) -> FloatArray:
    """Map points in a frame where straight lines are distances in metres.

    Points on the Earth become geocentric coordinates on the ellipsoid of their CRS, at height 0.
    A straight line between two of them is shorter than the geodesic by d^3 / (24 R^2), the chord
    of a circle: 1e-9 of it at 1 km.

    Args:
        points: ``float64[N, 2]`` map coordinates, x before y.
        crs: WKT.

    Returns:
        ``float64[N, 3]`` metres, or ``float64[N, 2]`` for a CRS that is not tied to the Earth.
    """
    horizontal = horizontal_crs(crs)
    geodetic, ellipsoid = horizontal.geodetic_crs, horizontal.ellipsoid
    if geodetic is None or ellipsoid is None:
        unit = horizontal.axis_info[0].unit_conversion_factor if horizontal.axis_info else 1.0
        return points * unit
    geodetic = geodetic.to_2d()
    to_geodetic = transformer_between(str(horizontal.to_wkt()), str(geodetic.to_wkt()))
    radians = geodetic.axis_info[0].unit_conversion_factor
    lon, lat = radians * np.array(to_geodetic.transform(points[:, 0], points[:, 1]))
    a, b = ellipsoid.semi_major_metre, ellipsoid.semi_minor_metre
    to_geocentric = Transformer.from_pipeline(f"+proj=cart +a={a!r} +b={b!r}")
    xyz = to_geocentric.transform(lon, lat, np.zeros(len(points)), radians=True)
    return np.stack(xyz, axis=1)
