"""Areas of interest: the polygons of a vector file as one."""

from __future__ import annotations

import numpy as np
import shapely
from pyproj import CRS

from geodetect.errors import InputError
from geodetect.geo.polygons import connected_parts, repair_polygons
from geodetect.io.vector.read import AREA, read_layer
from geodetect.types import PathLike


def read_area(path: PathLike, *, crs: str | None = None) -> tuple[shapely.Geometry, CRS]:
    """Read an area of interest: the union of the polygons of a vector file.

    Args:
        path: Any format GDAL reads, and GeoParquet; ``FILE|layername=NAME`` picks a layer.
        crs: CRS of the coordinates, whatever the file says.

    Returns:
        A polygon or multipolygon, and its CRS.

    Raises:
        InputError: No such file, no CRS, or no polygons.
    """
    table = read_layer(path, AREA, crs=crs)
    polygons, _ = connected_parts(repair_polygons(np.asarray(table.geometry))[0])
    if len(polygons) == 0:
        raise InputError(f"{path} holds no polygons; an area of interest needs at least one")
    return shapely.union_all(polygons), table.crs
