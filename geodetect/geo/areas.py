"""True areas on the ground."""

from __future__ import annotations

import numpy as np
import shapely
from pyproj import CRS, Transformer

from geodetect.geo.bounds import densified
from geodetect.geo.crs import horizontal_crs, transformer_between, unit_factor
from geodetect.types import FloatArray, ObjectArray


def ground_areas_m2(geometries: ObjectArray, crs: CRS | None) -> FloatArray:
    """Areas of polygons on the ellipsoid of their CRS.

    Measured in the cylindrical equal-area projection of the ellipsoid (Snyder 1987, equations 10-15
    to 10-18), into which edges are projected in steps of 100 m. Its central meridian is that of the
    geometries, so the antimeridian cuts none.

    Args:
        geometries: ``object[N]``; what has no extent has no area.
        crs: CRS of their coordinates, or None: then nothing is known of the ground.

    Returns:
        ``float64[N]`` square metres. Planar for a CRS that is not tied to the Earth; NaN without a
        CRS, or outside the area where it is defined.
    """
    if crs is None:
        return np.full(len(geometries), np.nan)
    horizontal = horizontal_crs(crs)
    geodetic, ellipsoid = horizontal.geodetic_crs, horizontal.ellipsoid
    if geodetic is None or ellipsoid is None:
        return np.asarray(shapely.area(geometries) * unit_factor(horizontal) ** 2)
    geodetic = geodetic.to_2d()
    to_geodetic = transformer_between(horizontal, geodetic)
    radians = unit_factor(geodetic)
    axes = f"+a={ellipsoid.semi_major_metre!r} +b={ellipsoid.semi_minor_metre!r}"

    def equal_area(points: FloatArray) -> FloatArray:
        lon, lat = radians * np.array(to_geodetic.transform(points[:, 0], points[:, 1]))
        known = lon[np.isfinite(lon)]
        centre_deg = float(np.degrees(np.median(known))) if len(known) else 0.0
        projection = Transformer.from_pipeline(f"+proj=cea +lon_0={centre_deg!r} {axes}")
        xy = np.stack(projection.transform(lon, lat, radians=True), axis=1)
        return np.where(np.isfinite(xy), xy, np.nan)

    return np.asarray(shapely.area(shapely.transform(densified(geometries, crs), equal_area)))
