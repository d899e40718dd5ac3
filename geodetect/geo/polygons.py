"""Repair of polygons, and their connected parts."""

from __future__ import annotations

import numpy as np
import shapely

from geodetect.geo.components import connected_components
from geodetect.types import BoolArray, IntArray, ObjectArray

_POLYGON = 3  # type number of GEOS


def repair_polygons(geometries: ObjectArray) -> tuple[ObjectArray, BoolArray]:
    """Make invalid polygons valid, such as those that cross themselves.

    Args:
        geometries: ``object[N]``; None is left as it is.

    Returns:
        Valid geometries ``object[N]``, and True for those that were invalid, ``bool[N]``.
    """
    is_invalid = ~(shapely.is_valid(geometries) | shapely.is_missing(geometries))
    repaired = geometries.copy()
    repaired[is_invalid] = shapely.make_valid(
        geometries[is_invalid], method="structure", keep_collapsed=False
    )
    return repaired, is_invalid


def connected_parts(geometries: ObjectArray) -> tuple[ObjectArray, IntArray]:
    """Split multipolygons and collections into connected polygons.

    Parts that touch stay together as one multipolygon.

    Args:
        geometries: ``object[N]`` valid geometries; only their polygons with an area count.

    Returns:
        Connected parts ``object[K]``, and the row each comes from, ``int64[K]``, ascending.
    """
    outer, row_of_outer = shapely.get_parts(geometries, return_index=True)
    parts, outer_of = shapely.get_parts(outer, return_index=True)  # multis within collections
    has_area = (shapely.get_type_id(parts) == _POLYGON) & (shapely.area(parts) > 0)
    parts, rows = parts[has_area], row_of_outer[outer_of][has_area].astype(np.int64)
    if len(parts) == len(np.unique(rows)):
        return parts, rows
    a, b = shapely.STRtree(parts).query(parts, predicate="intersects")
    same_row = rows[a] == rows[b]
    first = connected_components(len(parts), a[same_row], b[same_row])
    first_parts, group, sizes = np.unique(first, return_inverse=True, return_counts=True)
    order = np.argsort(group, kind="stable")
    joined = np.asarray(shapely.multipolygons(parts[order], indices=group[order]))
    joined[sizes == 1] = shapely.get_geometry(joined[sizes == 1], 0)
    return joined, rows[first_parts]
