"""Outlines with right angles, of objects that have them: buildings, many pools."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import shapely

from geodetect.types import FloatArray, ObjectArray

MAX_TURN_DEG = 25.0  # largest angle of an edge to the two directions of an object
LEAST_ALIGNED = 0.75  # fraction of the length of edges with one of them
LEAST_IOU = 0.85  # of an outline and the one with right angles
FEWEST_EDGES = 4
SIMPLIFIED = (0.5, 1.0)  # of the tolerance; short and wavering rings show their edges at the second
CHORD, POINT_SPACING = 4.0, 0.25  # of chords that tell the direction, in tolerances
FEWEST_POINTS = 16
X, Y = 0, 1  # an edge at x = position, or at y = position


@dataclass(frozen=True)
class _Edge:
    """Edge along one of the two directions.

    Args:
        axis: Coordinate that is the same along the edge.
        position: Its value.
        length: Length of the edges that it replaces.
    """

    axis: int
    position: float
    length: float


def square_outlines(outlines: ObjectArray, tolerance: float) -> ObjectArray:
    """Give outlines right angles where most of their edges have two directions at right angles.

    The direction is that of the long sides. Edges along it are moved onto their mean, and those of
    other directions, such as rounded corners, give way to corners. Other outlines stay as they are.

    Args:
        outlines: ``object[N]`` valid polygons and multipolygons; None for rows without one.
        tolerance: Size of details that are left out, in their unit; above 0.

    Returns:
        ``object[N]`` valid polygons and multipolygons.
    """
    squared = outlines.copy()
    for row in np.flatnonzero(~shapely.is_missing(outlines)):
        parts = [_square_polygon(part, tolerance) for part in shapely.get_parts(outlines[row])]
        union = shapely.union_all(parts)
        if _iou(union, outlines[row]) >= LEAST_IOU:
            squared[row] = union
    return squared


def _square_polygon(polygon: shapely.Polygon, tolerance: float) -> shapely.Polygon:
    """Return a polygon with right angles, or as it is where it has none."""
    angle = _direction(polygon.exterior, tolerance)
    shell = _square_ring(polygon.exterior, angle, tolerance)
    if shell is None:
        return polygon
    squared = shapely.Polygon(shell)
    for hole in polygon.interiors:
        ring = _square_ring(hole, angle, tolerance)
        opening = shapely.Polygon(hole if ring is None else ring)
        squared = squared.difference(opening if opening.is_valid else shapely.Polygon(hole))
    is_good = squared.is_valid and _iou(squared, polygon) >= LEAST_IOU
    return squared if is_good else polygon


def _direction(ring: shapely.LinearRing, tolerance: float) -> float:
    """Return the angle of the sides of a ring in radians, -pi/4..pi/4.

    It is the mean direction of chords from evenly spaced points of the ring. Chords average what
    wavers, and those around corners are short, so that they count little.
    """
    count = max(FEWEST_POINTS, round(ring.length / (POINT_SPACING * tolerance)))
    distances = np.arange(count) * ring.length / count
    points = shapely.get_coordinates(shapely.line_interpolate_point(ring, distances))
    step = min(round(CHORD / POINT_SPACING), count // FEWEST_EDGES)
    chords = np.roll(points, -step, axis=0) - points
    fourfold = (chords[:, 0] + 1j * chords[:, 1]) ** 4  # a quarter turn changes nothing
    return float(np.angle(fourfold.sum())) / 4


def _square_ring(ring: shapely.LinearRing, angle: float, tolerance: float) -> FloatArray | None:
    """Return the corners of a ring with right angles, ``float64[K, 2]``; None: it has none.

    The simplified ring tells the edges, the ring itself their positions.
    """
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    for fraction in SIMPLIFIED:
        simple = shapely.get_coordinates(shapely.simplify(ring, fraction * tolerance)) @ turn
        edges = _merge_short(_edges_of(simple, tolerance), tolerance)
        if len(edges) >= FEWEST_EDGES:
            break
    else:
        return None
    edges = _fit(edges, shapely.get_coordinates(ring) @ turn, tolerance)
    following = [*edges[1:], edges[0]]
    corners = [
        (a.position, b.position) if a.axis == X else (b.position, a.position)
        for a, b in zip(edges, following, strict=True)
    ]
    return np.array(corners) @ turn.T


def _edges_of(points: FloatArray, tolerance: float) -> list[_Edge]:
    """Return the edges of a closed ring, alternating between both axes; none if too few fit."""
    steps = np.diff(points, axis=0)
    lengths = np.hypot(*steps.T)
    axes = np.where(np.abs(steps[:, 0]) > np.abs(steps[:, 1]), Y, X)
    along = np.abs(steps).max(axis=1)
    is_aligned = along >= math.cos(math.radians(MAX_TURN_DEG)) * lengths
    if lengths[is_aligned].sum() < LEAST_ALIGNED * lengths.sum():
        return []
    middles = (points[1:] + points[:-1]) / 2
    first = int(np.argmax(np.where(is_aligned, lengths, 0)))
    order = np.roll(np.arange(len(steps)), -first)
    edges: list[_Edge] = []
    for key, group in groupby(order, key=lambda i: int(axes[i]) if is_aligned[i] else -1):
        rows = np.array(list(group))
        if key >= 0:
            edge = _mean_edge(key, middles[rows, key], lengths[rows])
            _append_edge(edges, edge, middles[rows[0] - 1], tolerance)
    if len(edges) > 1 and edges[0].axis == edges[-1].axis:
        _append_edge(edges, edges.pop(0), middles[first - 1], tolerance)
    return edges


def _append_edge(edges: list[_Edge], edge: _Edge, before: FloatArray, tolerance: float) -> None:
    """Append an edge; between two of the same axis, a step at the point before it.

    Two whose step would be shorter than the tolerance become one.
    """
    if edges and edges[-1].axis == edge.axis:
        last = edges[-1]
        if abs(last.position - edge.position) <= tolerance:
            edges[-1] = _joined(last, edge)
            return
        across = 1 - edge.axis
        edges.append(_Edge(across, float(before[across]), abs(last.position - edge.position)))
    edges.append(edge)


def _merge_short(edges: list[_Edge], tolerance: float) -> list[_Edge]:
    """Remove the shortest step and join the edges beside it, until all are long enough."""
    while len(edges) > FEWEST_EDGES:
        count = len(edges)
        spans = [abs(edges[i - 1].position - edges[(i + 1) % count].position) for i in range(count)]
        shortest = int(np.argmin(spans))
        if spans[shortest] > tolerance:
            break
        turned = edges[shortest:] + edges[:shortest]  # the step comes first
        edges = [_joined(turned[-1], turned[1]), *turned[2:-1]]
    return edges


def _fit(edges: list[_Edge], points: FloatArray, tolerance: float) -> list[_Edge]:
    """Move edges to the mean of the ring beside them, away from the rounded corners."""
    lengths, middles = np.hypot(*np.diff(points, axis=0).T), (points[1:] + points[:-1]) / 2
    fitted = []
    for i, edge in enumerate(edges):
        low, high = sorted((edges[i - 1].position, edges[(i + 1) % len(edges)].position))
        margin = min(tolerance, (high - low) / 4)
        along, across = middles[:, 1 - edge.axis], middles[:, edge.axis]
        is_beside = (along > low + margin) & (along < high - margin)
        is_beside &= np.abs(across - edge.position) <= tolerance
        if is_beside.any():
            edge = _mean_edge(edge.axis, across[is_beside], lengths[is_beside])
        fitted.append(edge)
    return fitted


def _mean_edge(axis: int, positions: FloatArray, lengths: FloatArray) -> _Edge:
    return _Edge(axis, float(np.average(positions, weights=lengths)), float(lengths.sum()))


def _joined(a: _Edge, b: _Edge) -> _Edge:
    return _mean_edge(a.axis, np.array([a.position, b.position]), np.array([a.length, b.length]))


def _iou(a: shapely.Geometry, b: shapely.Geometry) -> float:
    return float(a.intersection(b).area / a.union(b).area)
