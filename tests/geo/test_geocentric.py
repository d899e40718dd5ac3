from __future__ import annotations

import numpy as np
import pytest

from geodetect.geo.crs import parse_crs
from geodetect.geo.geocentric import ground_points
from geodetect.geo.grid import ground_distances_m


@pytest.mark.parametrize(
    ("crs", "place", "step"),
    [
        ("EPSG:2154", (7e5, 6.6e6), 10),
        ("EPSG:3857", (-1.3e7, 4e6), 10),
        ("EPSG:2263", (1e6, 2e5), 30),  # US survey feet
        ("OGC:CRS84", (7.0, 43.0), 1e-4),
        ("OGC:CRS84", (179.99995, -16.0), 1e-4),  # on both sides of the antimeridian
        ("EPSG:4807", (4.0, 48.0), 1e-4),  # grads from Paris
    ],
)
def test_straight_lines_are_geodesic_distances(
    crs: str, place: tuple[float, float], step: float
) -> None:
    rng = np.random.default_rng(0)
    wkt = parse_crs(crs)
    start = np.array(place) + rng.uniform(-step, step, (50, 2))
    end = start + rng.uniform(-step, step, (50, 2))
    straight = np.linalg.norm(ground_points(start, wkt) - ground_points(end, wkt), axis=1)
    np.testing.assert_allclose(straight, ground_distances_m(start, end, wkt), atol=1e-6)
    assert straight.max() > 1


def test_a_plan_in_feet_becomes_metres() -> None:
    plan = parse_crs('LOCAL_CS["site",UNIT["foot",0.3048],AXIS["x",EAST],AXIS["y",NORTH]]')
    np.testing.assert_allclose(ground_points(np.array([[10.0, 0]]), plan), [[3.048, 0]])


def test_no_points_are_none() -> None:
    assert ground_points(np.empty((0, 2)), parse_crs("EPSG:2154")).shape == (0, 3)
