"""Right angles for outlines that have them, and for no others."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import example, given
from hypothesis import strategies as st
from shapely import affinity

from geodetect.detection.shapes.right_angles import square_outlines

L_SHAPE = shapely.box(0, 0, 24, 8).union(shapely.box(0, 0, 8, 20))
COURT = shapely.box(0, 0, 30, 24).difference(shapely.box(8, 8, 20, 16))


def traced(shape: shapely.Geometry, seed: int = 0) -> shapely.Geometry:
    """A shape as a network sees it: rounded corners, edges that waver by a quarter of a pixel."""
    rounded = shape.buffer(-1.5).buffer(3).buffer(-1.5).segmentize(1.0)
    wavering = shapely.transform(rounded, lambda xy: xy + np.sin(1.3 * xy[:, ::-1] + seed) / 4)
    return shapely.make_valid(wavering)


def corners_deg(ring: shapely.LinearRing) -> np.ndarray:
    steps = np.diff(shapely.get_coordinates(ring), axis=0)
    headings = np.rad2deg(np.arctan2(steps[:, 1], steps[:, 0]))
    return np.abs(np.diff(headings, append=headings[:1])) % 180


@pytest.mark.parametrize(
    ("shape", "corners"), [(shapely.box(0, 0, 20, 10), 4), (L_SHAPE, 6), (COURT, 8)]
)
@given(st.floats(0, 360), st.integers(0, 1000))
@example(111.0, 448)
@example(154.0, 693)
@example(343.0, 36)
@example(28.0, 0)
def test_turned_rectangles_and_ls_get_their_corners_back(
    shape: shapely.Polygon, corners: int, angle: float, seed: int
) -> None:
    turned = affinity.rotate(shape, angle)
    (squared,) = square_outlines(np.array([traced(turned, seed)]), 2.0)
    rings = [squared.exterior, *squared.interiors]
    assert sum(len(ring.coords) - 1 for ring in rings) == corners
    for ring in rings:
        assert corners_deg(ring) == pytest.approx(90, abs=1e-6)
    assert squared.intersection(turned).area / squared.union(turned).area > 0.96
    assert squared.area == pytest.approx(turned.area, rel=0.06)


@pytest.mark.parametrize(
    "shape",
    [
        shapely.Point(0, 0).buffer(12),
        affinity.scale(shapely.Point(0, 0).buffer(10), 2, 1),
        shapely.Polygon([(0, 0), (20, 0), (10, 17)]),
    ],
)
def test_round_and_slanted_outlines_stay_as_they_are(shape: shapely.Polygon) -> None:
    (squared,) = square_outlines(np.array([shape]), 2.0)
    assert shapely.equals(squared, shape)


def test_rows_without_an_outline_and_several_parts_are_no_problem() -> None:
    parts = shapely.MultiPolygon([traced(L_SHAPE), shapely.Point(60, 60).buffer(10)])
    squared = square_outlines(np.array([None, parts], dtype=object), 2.0)
    assert squared[0] is None
    assert len(squared[1].geoms) == 2
    assert len(min(squared[1].geoms, key=lambda part: part.bounds).exterior.coords) == 7


@given(st.integers(0, 10_000), st.integers(3, 12), st.floats(0.3, 30))
def test_any_star_gives_a_valid_polygon(seed: int, points: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, points))
    around = size * rng.uniform(0.2, 1, points)
    star = shapely.Polygon(np.stack([around * np.cos(angles), around * np.sin(angles)], axis=1))
    if star.is_valid and star.area > 0:
        (squared,) = square_outlines(np.array([star]), 2.0)
        assert squared.is_valid
        assert squared.area > 0
