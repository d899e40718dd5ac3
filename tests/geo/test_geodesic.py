from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod

from geodetect.geo.crs import parse_crs
from geodetect.geo.geodesic import cartesian_points_m, ground_areas_m2, ground_distances_m
from geodetect.geo.reproject import densify, reproject

WGS84 = parse_crs("EPSG:4326")


def geodesic_area_m2(lonlat: shapely.Polygon) -> float:
    """By an independent method: the area under geodesics (Karney 2013)."""
    fine = shapely.segmentize(lonlat, 0.001)
    return abs(Geod(ellps="WGS84").geometry_area_perimeter(fine)[0])


@settings(max_examples=25)
@given(
    lon=st.floats(-179, 179), lat=st.floats(-80, 80), size=st.floats(1e-4, 0.2),
    hole=st.booleans(),
)  # fmt: skip
def test_areas_are_those_on_the_ellipsoid(lon: float, lat: float, size: float, hole: bool) -> None:
    square = shapely.box(lon, lat, lon + size, lat + size)
    if hole:
        third = size / 3
        square = shapely.difference(
            square, shapely.box(lon + third, lat + third, lon + 2 * third, lat + 2 * third)
        )
    measured = ground_areas_m2(np.array([square]), WGS84)[0]
    assert measured == pytest.approx(geodesic_area_m2(square), rel=1e-6, abs=1e-3)


@pytest.mark.parametrize("crs", ["EPSG:3857", "EPSG:32632", "EPSG:3035", "EPSG:2154", "EPSG:2062"])
def test_the_map_does_not_change_the_ground(crs: str) -> None:
    square = np.array([shapely.box(5.0, 45.0, 5.1, 45.1)])
    system = parse_crs(crs)
    try:
        moved = reproject(densify(square, WGS84), WGS84, system)
    except ValueError:
        pytest.skip(f"{crs} does not reach France")
    expected = ground_areas_m2(square, WGS84)
    if crs not in ("EPSG:2154", "EPSG:2062"):  # other ellipsoids
        np.testing.assert_allclose(ground_areas_m2(moved, system), expected, rtol=1e-7)
    np.testing.assert_allclose(ground_areas_m2(moved, system), expected, rtol=1e-3)


def test_the_antimeridian_cuts_nothing() -> None:
    across, elsewhere = shapely.box(179.9, 10, 180.1, 10.1), shapely.box(9.9, 10, 10.1, 10.1)
    first, second = (
        ground_areas_m2(np.array([square]), WGS84)[0] for square in (across, elsewhere)
    )
    assert first == pytest.approx(second, rel=1e-9)


@pytest.mark.parametrize(
    "bounds", [(-180, -90, 180, 90), (-180, 0, 180, 10), (-170, 0, 160, 10), (-200, 5, 160, 15)]
)
def test_a_zone_wider_than_half_the_globe_has_the_area_of_its_strips(
    bounds: tuple[float, float, float, float],
) -> None:
    west, south, east, north = bounds
    edges = np.linspace(west, east, 10)
    strips = shapely.box(edges[:-1], south, edges[1:], north)
    neighbours = np.array([shapely.box(100, 0, 101, 1)] * 3)
    zones = np.append(neighbours, shapely.box(*bounds))
    assert ground_areas_m2(zones, WGS84)[-1] == pytest.approx(ground_areas_m2(strips, WGS84).sum())


def test_the_whole_map_of_mercator_has_an_area() -> None:
    mercator = parse_crs("EPSG:3857")
    world = reproject(np.array([shapely.box(-180, -80, 180, 80)]), WGS84, mercator)
    expected = ground_areas_m2(np.array([shapely.box(-180, -80, 180, 80)]), WGS84)
    np.testing.assert_allclose(ground_areas_m2(world, mercator), expected, rtol=1e-6)


def test_a_zone_around_a_pole_has_an_area() -> None:
    polar = parse_crs("EPSG:3413")
    cap = np.array([shapely.box(-180, 80, 180, 90)])
    ring = shapely.Polygon([(lon, 80.0) for lon in np.arange(0, 360, 0.5)])
    around = reproject(np.array([ring]), WGS84, polar)
    expected = ground_areas_m2(cap, WGS84)
    np.testing.assert_allclose(ground_areas_m2(around, polar), expected, rtol=1e-4)


def test_feet_and_plain_coordinates() -> None:
    acre = np.array([shapely.box(6_000_000, 2_000_000, 6_000_100, 2_000_435.6)])
    feet = ground_areas_m2(acre, parse_crs("EPSG:2229"))[0]
    assert feet == pytest.approx(4046.87, rel=2e-3)
    local = parse_crs('ENGCRS["site",EDATUM["site"],CS[Cartesian,2],AXIS["x",east],'
                      'AXIS["y",north],LENGTHUNIT["foot",0.3048]]')  # fmt: skip
    assert ground_areas_m2(acre, local)[0] == pytest.approx(43_560 * 0.3048**2)
    assert np.isnan(ground_areas_m2(acre, None)).all()


def test_what_has_no_extent_has_no_area() -> None:
    shapes = np.array([shapely.Point(1, 2), shapely.Polygon()], dtype=object)
    assert ground_areas_m2(shapes, WGS84).tolist() == [0, 0]
    assert len(ground_areas_m2(np.empty(0, dtype=object), WGS84)) == 0


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
    system = parse_crs(crs)
    start = np.array(place) + rng.uniform(-step, step, (50, 2))
    end = start + rng.uniform(-step, step, (50, 2))
    straight = np.linalg.norm(
        cartesian_points_m(start, system) - cartesian_points_m(end, system), axis=1
    )
    np.testing.assert_allclose(straight, ground_distances_m(start, end, system), atol=1e-6)
    assert straight.max() > 1


def test_points_of_a_plan_in_feet_become_metres() -> None:
    plan = parse_crs('LOCAL_CS["site",UNIT["foot",0.3048],AXIS["x",EAST],AXIS["y",NORTH]]')
    np.testing.assert_allclose(cartesian_points_m(np.array([[10.0, 0]]), plan), [[3.048, 0]])


def test_no_points_have_no_cartesian_coordinates() -> None:
    assert cartesian_points_m(np.empty((0, 2)), parse_crs("EPSG:2154")).shape == (0, 3)
