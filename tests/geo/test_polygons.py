"""Union and repair of polygons, in bounded time."""

from __future__ import annotations

import time

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geodetect.errors import InputError
from geodetect.geo.polygons import as_polygons, clip_polygons, repair_polygons, union_polygons
from geodetect.types import ObjectArray


def star(points: int) -> ObjectArray:
    """A star whose edges all pass its centre, each across nearly all others."""
    angles = 2 * np.pi * (np.arange(points) * (points // 2) % points) / points
    return np.array([shapely.Polygon(np.stack([np.cos(angles), np.sin(angles)], axis=1))])


def test_a_star_of_3000_points_is_refused_and_a_small_one_repaired() -> None:
    start = time.monotonic()
    with pytest.raises(InputError, match=r"the area: the polygon of row 1 crosses itself about 4,"):
        repair_polygons(star(3001), "the area")
    assert time.monotonic() - start < 20
    repaired, is_invalid = repair_polygons(star(31), "the area")
    assert is_invalid.all()
    assert shapely.is_valid(repaired).all()


def test_a_valid_polygon_of_many_vertices_is_left_as_it_is() -> None:
    radius, angle = np.where(np.arange(3000) % 2, 1, 9), np.arange(3000) * 2 * np.pi / 3000
    spikes = np.array(
        [shapely.Polygon(np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1))]
    )
    repaired, is_invalid = repair_polygons(spikes, "the area")
    assert not is_invalid.any()
    assert repaired[0] is spikes[0]


@pytest.mark.parametrize("gap", [0.0, 0.5, -1.0])
def test_thousands_of_squares_in_a_row_are_joined_in_seconds(gap: float) -> None:
    x = np.arange(8_000) * (1 + gap)
    start = time.monotonic()
    union = union_polygons(shapely.box(x, 0, x + 1, 1))
    assert time.monotonic() - start < 10
    assert union.area == pytest.approx({0.0: 8_000, 0.5: 8_000, -1.0: 1}[gap])
    assert shapely.is_valid(union)


def test_no_polygons_have_an_empty_union() -> None:
    assert union_polygons(np.empty(0, dtype=object)).is_empty


@given(st.lists(st.tuples(*[st.integers(0, 20)] * 2), max_size=30))
def test_a_union_is_that_of_all_polygons_together(corners: list[tuple[int, int]]) -> None:
    low = np.array(corners, np.float64).reshape(-1, 2)
    boxes = shapely.box(*low.T, *(low + 3).T)
    assert union_polygons(boxes).area == pytest.approx(shapely.union_all(boxes).area)


def test_vertices_polygons_and_nothing_become_polygons() -> None:
    square = [(0, 0), (4, 0), (4, 4)]
    parts = shapely.MultiPolygon([shapely.box(0, 0, 1, 1), shapely.box(2, 2, 3, 3)])
    polygons = as_polygons([np.array(square), square, parts, None, shapely.Polygon()])
    assert polygons.tolist() == [shapely.Polygon(square)] * 2 + [parts, None, None]


def test_polygons_are_clipped_to_the_rectangle() -> None:
    inner, beyond = shapely.box(1, 1, 2, 2), shapely.box(8, 8, 12, 12)
    outside, touching = shapely.box(20, 0, 21, 1), shapely.box(10, 0, 12, 1)
    polygons = np.array([inner, beyond, outside, touching, shapely.Polygon(), None])
    clipped = clip_polygons(polygons, np.array([0.0, 0, 10, 10]))
    assert clipped[0] is inner
    assert shapely.equals(clipped[1], shapely.box(8, 8, 10, 10))
    assert clipped[2:].tolist() == [None] * 4
