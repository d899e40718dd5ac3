"""Polygons: conversion, repair, clipping, connected parts, and recognition of boxes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import shapely

from geodetect.arrays.components import connected_components
from geodetect.errors import InputError
from geodetect.types import BoolArray, FloatArray, IntArray, ObjectArray

MAX_CROSSINGS = (
    50_000  # of one polygon: a repair takes five seconds, and ten times that for 200,000
)
RECTANGULAR = 0.99  # fraction of its bounds that a box fills, turned a little between two CRS
_NOTHING, _POLYGON, _MULTIPOLYGON = -1, 3, 6  # type numbers of GEOS
_SAMPLE = 100  # edges of which crossings are counted
_GROUP = 256  # polygons


def as_polygons(values: Iterable[Any]) -> ObjectArray:
    """Convert polygons, multipolygons and vertices to polygons.

    Args:
        values: Polygon, multipolygon, vertices ``[K, 2]`` or None of each row.

    Returns:
        ``object[N]`` polygons and multipolygons; None for None and for those without vertices.

    Raises:
        ValueError: One is something else, or has coordinates that are NaN or infinite.
    """
    return np.fromiter(map(_as_polygon, values), dtype=object)


def _as_polygon(value: Any) -> shapely.Geometry | None:
    if value is None:
        return None
    if not isinstance(value, shapely.Geometry):
        points = np.asarray(value, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
            raise ValueError(
                f"expected polygons or at least three vertices [K, 2], found an array of shape "
                f"{list(points.shape)}"
            )
        _check_finite(points)
        value = shapely.Polygon(points)
    if shapely.get_type_id(value) not in (_POLYGON, _MULTIPOLYGON):
        raise ValueError(f"expected polygons, found a {value.geom_type}")
    _check_finite(shapely.get_coordinates(value))
    return None if value.is_empty else shapely.force_2d(value)


def _check_finite(points: FloatArray) -> None:
    if not np.isfinite(points).all():
        raise ValueError("NaN or infinite coordinates")


def clip_polygons(polygons: ObjectArray, frame: FloatArray) -> ObjectArray:
    """Clip valid polygons to rectangles.

    Args:
        polygons: ``object[N]``, None for rows without one.
        frame: ``float64[4]`` or ``float64[N, 4]``: x1, y1, x2, y2 for all, or of each.

    Returns:
        ``object[N]`` polygons and multipolygons; None where nothing with an area is left.
    """
    frames = np.broadcast_to(frame, (len(polygons), 4))
    bounds = shapely.bounds(polygons)
    is_beyond = (bounds[:, :2] < frames[:, :2]) | (bounds[:, 2:] > frames[:, 2:])
    rows = np.flatnonzero(is_beyond.any(axis=1) | shapely.is_empty(polygons))
    clipped = polygons.copy()
    clipped[rows] = shapely.intersection(polygons[rows], shapely.box(*frames[rows].T))
    is_polygon = np.isin(shapely.get_type_id(clipped[rows]), (_POLYGON, _MULTIPOLYGON))
    for row in rows[~is_polygon]:
        clipped[row] = polygons_of(clipped[row])
    clipped[rows[shapely.is_empty(clipped[rows])]] = None
    return clipped


def polygon_iou(a: ObjectArray, b: ObjectArray) -> FloatArray:
    """Return the intersection over union of corresponding valid polygons, ``float64[N]``."""
    shared = shapely.area(shapely.intersection(a, b))
    union = shapely.area(a) + shapely.area(b) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def repair_polygons(geometries: ObjectArray, name: str) -> tuple[ObjectArray, BoolArray]:
    """Make invalid polygons valid, such as those that cross themselves.

    Args:
        geometries: ``object[N]``; None is left as it is.
        name: File or noun phrase for the layer, for errors.

    Returns:
        Valid geometries ``object[N]``, and True for those that were invalid, ``bool[N]``.

    Raises:
        InputError: A polygon crosses itself more than ``MAX_CROSSINGS`` times.
    """
    is_invalid = ~(shapely.is_valid(geometries) | shapely.is_missing(geometries))
    for row in np.flatnonzero(is_invalid):
        if (crossings := _estimate_crossings(geometries[row])) > MAX_CROSSINGS:
            raise InputError(
                f"{name}: the polygon of row {row + 1:,} crosses itself about {crossings:,.0f} "
                f"times, expected at most {MAX_CROSSINGS:,}; repair it with a GIS"
            )
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


def are_upright_rectangles(polygons: ObjectArray) -> BoolArray:
    """Return True for polygons that fill their bounds, as boxes do, ``bool[N]``; False for None."""
    bounds = np.asarray(shapely.bounds(polygons), dtype=np.float64).reshape(-1, 4)
    sides = bounds[:, 2:] - bounds[:, :2]
    return np.asarray(shapely.area(polygons) >= RECTANGULAR * sides.prod(axis=1))


def union_polygons(polygons: ObjectArray) -> shapely.Geometry:
    """Return the union of valid polygons.

    Groups of neighbours are joined first: ``shapely.union_all`` takes minutes for 30,000 polygons
    that do not touch, ``shapely.disjoint_subset_union_all`` for as many on one place.

    Args:
        polygons: ``object[N]`` polygons and multipolygons.

    Returns:
        A polygon or multipolygon; an empty collection without polygons.
    """
    parts = shapely.get_parts(polygons)
    parts = parts[np.lexsort(shapely.bounds(parts).T[:2])]
    groups = np.split(parts, np.arange(_GROUP, len(parts), _GROUP))
    return shapely.disjoint_subset_union_all([shapely.union_all(group) for group in groups])


def _estimate_crossings(polygon: shapely.Geometry) -> float:
    """Estimate the number of crossings of edges from those of a sample, evenly along the rings."""
    if shapely.get_num_coordinates(polygon) ** 2 < 2 * MAX_CROSSINGS:
        return 0.0
    rings = shapely.get_rings(shapely.get_parts(polygon))
    points, ring = shapely.get_coordinates(rings, return_index=True)
    is_edge = ring[1:] == ring[:-1]
    edges = shapely.linestrings(np.stack([points[:-1], points[1:]], axis=1)[is_edge])
    sample = edges[:: -(-len(edges) // _SAMPLE)]
    pairs = shapely.STRtree(edges).query(sample, predicate="crosses").shape[1]
    return pairs / len(sample) * len(edges) / 2


def has_holes(geometry: shapely.Geometry) -> bool:
    """Return True if a polygon, or one of several, has a hole."""
    return bool(shapely.get_num_interior_rings(shapely.get_parts(geometry)).any())


def polygons_of(geometry: shapely.Geometry) -> shapely.Geometry:
    """Return the polygons of a geometry, without lines and points where they only touch."""
    parts = shapely.get_parts(geometry)
    return shapely.union_all(parts[shapely.get_dimensions(parts) == 2])
