"""Systematic offsets between two layers, estimated from their centres."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS

from geodetect.assessment.matching.layer_offset import LayerOffset, estimate_offset
from geodetect.geo.geodesic import cartesian_points_m
from geodetect.types import FloatArray

METRES = CRS.from_epsg(32632)
ORIGIN_M = np.array([500_000.0, 5_000_000.0])


def town(count: int, *, seed: int = 0, spacing_m: float = 20) -> FloatArray:
    """Scattered objects, in metres of the map."""
    side_m = spacing_m * np.sqrt(count)
    return ORIGIN_M + np.random.default_rng(seed).uniform(0, side_m, (count, 2))


def estimate(first: FloatArray, second: FloatArray, crs: CRS = METRES) -> LayerOffset | None:
    return estimate_offset(cartesian_points_m(first, crs), cartesian_points_m(second, crs))


@settings(max_examples=20, deadline=None)
@given(
    length_m=st.floats(1, 20),
    angle=st.floats(0, 2 * np.pi),
    noise_m=st.sampled_from([0.0, 0.5, 1.5]),
    seed=st.integers(0, 1000),
)
def test_an_offset_is_estimated_to_a_part_of_the_noise(
    length_m: float, angle: float, noise_m: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    objects = town(200, seed=seed)
    offset = (length_m + noise_m) * np.array([np.cos(angle), np.sin(angle)])
    predictions = objects[rng.random(200) < 0.9]
    register = objects[rng.random(200) < 0.9] + offset
    register = register + rng.normal(0, noise_m, register.shape)
    estimated = estimate(predictions, register)
    assert estimated is not None
    # the map is 0.9996 of the ground on its central meridian
    assert np.hypot(*(np.array([estimated.east_m, estimated.north_m]) - offset)) < 0.05 + noise_m
    assert estimated.pairs > 100


@settings(max_examples=20, deadline=None)
@given(
    count=st.sampled_from([1, 5, 12, 40, 200]),
    noise_m=st.sampled_from([0.0, 0.5, 3.0]),
    seed=st.integers(0, 1000),
)
def test_noise_is_no_offset(count: int, noise_m: float, seed: int) -> None:
    objects = town(count, seed=seed)
    moved = objects + np.random.default_rng(seed).normal(0, noise_m, objects.shape)
    estimated = estimate(objects, moved)
    assert estimated is None or estimated.distance_m < noise_m


@settings(max_examples=20, deadline=None)
@given(count=st.sampled_from([5, 20, 100]), spacing_m=st.sampled_from([10, 30]))
def test_layers_of_different_objects_have_no_offset(count: int, spacing_m: float) -> None:
    first, second = town(count, seed=1, spacing_m=spacing_m), town(count, seed=2)
    assert estimate(first, second) is None


def test_ten_objects_are_enough() -> None:
    objects = town(10, spacing_m=40)
    estimated = estimate(objects, objects + np.array([0, -3.1]))
    assert estimated is not None
    assert str(estimated) == "3.1 m to the south"


def test_of_regular_rows_the_nearest_offset_is_taken_if_it_is_much_nearer() -> None:
    rows = ORIGIN_M + 15.0 * np.stack(np.divmod(np.arange(100), 10), axis=1)
    estimated = estimate(rows, rows + np.array([2.2, 2.2]))
    assert estimated is not None
    assert str(estimated) == "3.1 m to the north-east"
    assert estimate(rows, rows + np.array([7, 0])) is None


def test_offsets_are_metres_on_the_ground_in_any_crs() -> None:
    from pyproj import Transformer

    objects = town(80)
    to_lonlat = Transformer.from_crs(METRES, "EPSG:4326", always_xy=True)
    layers = [
        np.stack(to_lonlat.transform(*points.T), axis=1)
        for points in (objects, objects + np.array([5, 0]))
    ]
    estimated = estimate(*layers, crs=CRS.from_epsg(4326))
    assert estimated is not None
    assert (estimated.direction, round(estimated.distance_m, 2)) == ("east", 5.0)


def test_the_order_of_rows_changes_nothing() -> None:
    objects = town(60)
    register = objects + np.array([3, 1])
    assert estimate(objects, register) == estimate(objects[::-1], np.roll(register, 7, axis=0))


def test_an_offset_can_be_taken_out() -> None:
    objects = cartesian_points_m(town(30), METRES)
    register = cartesian_points_m(town(30) + np.array([6, -8]), METRES)
    offset = estimate_offset(objects, register)
    assert offset is not None
    assert offset.as_dict()["distance_m"] == pytest.approx(10, abs=0.02)
    assert np.linalg.norm(offset.take_out(register) - objects, axis=1).max() < 0.05
