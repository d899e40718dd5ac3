"""Simplified outlines: few vertices, the same area, within the tolerance."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geodetect.detection.shapes.simplification import simplify_outlines


def blob(rng: np.random.Generator, radius: float) -> shapely.Polygon:
    angles = np.linspace(0, 2 * np.pi, max(12, int(8 * radius)), endpoint=False)
    waves = sum(rng.uniform(0, 0.1) * np.cos(n * angles + rng.uniform(0, 6)) for n in range(2, 5))
    around = radius * (1 + waves)
    return shapely.Polygon(np.stack([around * np.cos(angles), around * np.sin(angles)], axis=1))


@given(st.integers(0, 10_000), st.floats(3, 60), st.floats(0.05, 0.5))
def test_outlines_keep_their_area_and_stay_within_the_tolerance(
    seed: int, radius: float, tolerance: float
) -> None:
    outline = blob(np.random.default_rng(seed), radius)
    (simple,) = simplify_outlines(np.array([outline]), tolerance)
    assert simple.is_valid
    assert simple.area == pytest.approx(outline.area, rel=0.01)
    assert shapely.hausdorff_distance(outline, simple, densify=0.05) <= 1.5 * tolerance
    limits = outline.buffer(tolerance), outline.buffer(-tolerance)
    assert limits[0].buffer(0.01).contains(simple)
    assert simple.buffer(0.01).contains(limits[1])


def test_a_traced_circle_loses_most_vertices_but_none_of_its_area() -> None:
    disc = shapely.Point(0, 0).buffer(20, quad_segs=30)
    holed = disc.difference(shapely.Point(5, 0).buffer(8, quad_segs=30))
    simple = simplify_outlines(np.array([disc, holed, None]), 0.25)
    assert shapely.get_num_coordinates(simple[:2]).max() < 60
    assert shapely.area(simple[:2]) == pytest.approx(shapely.area([disc, holed]), rel=2e-3)
    assert len(simple[1].interiors) == 1
    assert simple[2] is None
