import pickle
from dataclasses import replace

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS, Geod, Transformer

from geodetect.errors import GeoreferenceError, InputError
from geodetect.geo.crs import parse_crs
from geodetect.geo.geodesic import ground_sizes
from geodetect.geo.grid import Grid, check_gsd, measure_pixels

WGS84 = Geod(ellps="WGS84")
ONE_METRE = Affine(1, 0, 700_000, 0, -1, 6_600_000)
LOCAL_FEET = 'LOCAL_CS["site",UNIT["US survey foot",0.304800609601219]]'


def grid(crs: str | None, transform: Affine, width: int = 10, height: int = 10) -> Grid:
    return Grid(crs and parse_crs(crs), transform, width, height)


def around(crs: str, lon: float, lat: float, pixel: Affine) -> Grid:
    """A grid whose centre lies at a place."""
    x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(lon, lat)
    return grid(crs, Affine.translation(x, y) @ pixel @ Affine.translation(-5, -5))


@pytest.mark.parametrize("lat", [-75.0, -33.5, 0.0, 12.3, 47.0, 71.0, 89.0])
def test_degrees_are_measured_on_the_ellipsoid(lat: float) -> None:
    side = 1e-6
    measured = around("EPSG:4326", 8.0, lat, Affine.scale(side, -side)).gsd_xy_m
    east = WGS84.inv(8.0 - side / 2, lat, 8.0 + side / 2, lat)[2]
    north = WGS84.inv(8.0, lat - side / 2, 8.0, lat + side / 2)[2]
    assert measured == pytest.approx((east, north), rel=1e-6)
    radius = 6_378_137 * np.cos(np.deg2rad(lat))  # and a rough sphere, to check the check
    assert measured[0] == pytest.approx(np.deg2rad(side) * radius, rel=4e-3)


@pytest.mark.parametrize(
    ("crs", "lon", "lat", "unit_m"),
    [
        ("EPSG:2154", 3.0, 46.5, 1.0),
        ("EPSG:2056", 7.44, 46.95, 1.0),
        ("EPSG:2263", -74.0, 40.7, 1200 / 3937),
        ("EPSG:2154+5720", 3.0, 46.5, 1.0),
        ("EPSG:27572", 2.4, 46.8, 1.0),  # its longitudes are grads from Paris
        ("EPSG:3857", 8.0, 47.0, np.cos(np.deg2rad(47.0))),
        ("EPSG:3857", 8.0, 0.0, 1.0),
        ("EPSG:3413", -45.0, 70.0, 1.0),  # polar stereographic at its true parallel
        ("+proj=laea +lat_0=47 +lon_0=8 +ellps=GRS80", 8.0, 47.0, 1.0),
        ("+proj=tmerc +lon_0=9 +k=1 +x_0=3500000 +ellps=bessel +towgs84=598,73,418", 9, 50, 1.0),
    ],
)
def test_units_and_scale_of_a_projection_are_metres_on_the_ground(
    crs: str, lon: float, lat: float, unit_m: float
) -> None:
    measured = around(crs, lon, lat, Affine.scale(0.2, -0.2))
    rough = 8e-3  # the scale factors of the projections, and sphere against ellipsoid
    assert measured.gsd_m == pytest.approx(0.2 * unit_m, rel=rough)
    turned = around(crs, lon, lat, Affine.rotation(33) @ Affine.scale(0.2, 0.6))
    assert turned.gsd_xy_m == pytest.approx((0.2 * unit_m, 0.6 * unit_m), rel=rough)
    assert turned.gsd_m == pytest.approx(0.2 * unit_m * 3**0.5, rel=rough)


def test_web_mercator_is_not_taken_for_metres() -> None:
    """Its spherical formula on the ellipsoid's radii of curvature (EPSG Guidance Note 7-2)."""
    sin, cos = np.sin(np.deg2rad(47.0)), np.cos(np.deg2rad(47.0))
    bulge = 1 - WGS84.es * sin**2
    across, along = cos / bulge**0.5, cos * (1 - WGS84.es) / bulge**1.5
    measured = around("EPSG:3857", 8.0, 47.0, Affine.scale(1, -1))
    assert measured.gsd_xy_m == pytest.approx((across, along), rel=1e-6)
    assert 1 / measured.gsd_m == pytest.approx(1.466, abs=1e-3)


@pytest.mark.parametrize("crs", ["EPSG:4807", "EPSG:4902"])  # grads from Paris
def test_grads_are_not_taken_for_degrees(crs: str) -> None:
    assert CRS(crs).axis_info[0].unit_name == "grad"
    measured = grid(crs, Affine(1e-5, 0, 0, 0, -1e-5, 52)).gsd_xy_m
    assert measured[1] == pytest.approx(10_000_000 / 100 / 1e5, rel=2e-3)  # 100 grads to the pole


def test_heights_in_the_crs_do_not_matter() -> None:
    flat = around("EPSG:4326", 8, 47, Affine.scale(1e-6, -1e-6)).gsd_xy_m
    transform = around("EPSG:4326", 8, 47, Affine.scale(1e-6, -1e-6)).transform
    assert grid("EPSG:4979", transform).gsd_xy_m == pytest.approx(flat, rel=1e-9)


def test_a_local_engineering_crs_counts_in_its_unit() -> None:
    measured = grid(LOCAL_FEET, Affine.rotation(20) @ Affine.scale(0.5, -0.5))
    assert measured.gsd_xy_m == pytest.approx((0.5 * 1200 / 3937,) * 2)


def test_without_a_crs_nothing_is_known_of_the_ground() -> None:
    plain = grid(None, Affine.identity())
    assert plain.gsd_m is None
    assert plain.gsd_xy_m is None
    sizes = ground_sizes(plain.boxes_to_map(np.array([[0.0, 0, 5, 5]])), None)
    assert np.isnan(sizes).all()


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:2056", Affine(1, 0, 2e9, 0, -1, 1e9)),
        ("EPSG:3857", Affine(1, 0, 2e9, 0, -1, 1e9)),
        ("EPSG:4326", Affine(1, 0, 0, 0, -1, 100)),
        ("EPSG:4326", Affine(0.2, 0, 700_000, 0, -0.2, 6_600_000)),  # metres called degrees
        ("EPSG:32632", Affine(1, 0, 1e30, 0, -1, 1e30)),
    ],
)
def test_a_centre_outside_the_crs_is_an_error_of_one_line(crs: str, transform: Affine) -> None:
    with pytest.raises(GeoreferenceError, match=r"outside the area .*`src_crs`") as caught:
        _ = grid(crs, transform).gsd_m
    assert "\n" not in str(caught.value)
    assert "np." not in str(caught.value)


numbers = st.floats(-50, 50).filter(lambda v: abs(v) > 0.01)
transforms = st.builds(
    lambda a, e, turn, shear, x, y: (
        Affine.translation(x, y)
        @ Affine.rotation(turn)
        @ Affine.shear(shear, 0)
        @ Affine.scale(a, e)
    ),
    numbers, numbers, st.floats(0, 360), st.floats(-60, 60), st.floats(-1e7, 1e7),
    st.floats(-1e7, 1e7),
)  # fmt: skip


@given(transforms)
def test_pixels_to_map_and_back(transform: Affine) -> None:
    points = np.array([[0.0, 0], [1, 0], [0.5, 999.25], [100_000, 100_000]])
    on_map = grid(None, transform).to_map(points)
    np.testing.assert_allclose(on_map, [transform @ tuple(p) for p in points], rtol=1e-12)
    np.testing.assert_allclose(grid(None, transform).to_px(on_map), points, atol=1e-4)


@given(transforms)
def test_rings_are_closed_and_counter_clockwise_on_every_grid(transform: Affine) -> None:
    boxes = np.array([[0.0, 0, 10, 20], [5.5, 7.25, 6, 8]])
    rings = grid(None, transform).boxes_to_map(boxes)
    assert rings.shape == (2, 5, 2)
    np.testing.assert_array_equal(rings[:, 0], rings[:, -1])
    local = rings - rings[:, :1]  # large coordinates drown the sign of small areas
    assert all(shapely.LinearRing(ring).is_ccw for ring in local)
    area = shapely.area(shapely.polygons(local))
    np.testing.assert_allclose(area, [200 * abs(transform.determinant),
                                      0.375 * abs(transform.determinant)], rtol=1e-3)  # fmt: skip


@given(transforms, st.integers(1, 5000), st.integers(1, 5000), st.floats(0.01, 20))
def test_a_resampled_grid_covers_the_same_ground(
    transform: Affine, width: int, height: int, scale: float
) -> None:
    whole = grid(None, transform, width, height)
    second = whole.resampled(scale, scale / 2)
    assert (second.width, second.height) == (
        max(1, round(width * scale)),
        max(1, round(height * scale / 2)),
    )
    ends = np.array([[0.0, 0], [width, 0], [width, height], [0, height]])
    ends_there = ends / [width, height] * [second.width, second.height]
    np.testing.assert_allclose(second.to_map(ends_there), whole.to_map(ends), rtol=1e-9, atol=1e-3)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan")])
def test_resampling_needs_a_positive_factor(scale: float) -> None:
    with pytest.raises(InputError, match="positive"):
        grid(None, ONE_METRE).resampled(scale, 1.0)


def test_ground_sizes_of_a_turned_rectangle() -> None:
    turned = grid("EPSG:2056", Affine.translation(2_600_000, 1_200_000) @ Affine.rotation(40)
                  @ Affine.scale(0.1, -0.1))  # fmt: skip
    width_m, length_m, area_m2 = ground_sizes(
        turned.boxes_to_map(np.array([[0.0, 0, 50, 120]])), turned.crs
    )
    assert (width_m[0], length_m[0], area_m2[0]) == pytest.approx((5, 12, 60), rel=1e-3)


def test_ground_sizes_do_not_mind_empty_boxes_and_none() -> None:
    here = around("EPSG:2056", 7.44, 46.95, Affine.scale(0.1, -0.1))
    width_m, length_m, area_m2 = ground_sizes(
        here.boxes_to_map(np.array([[3.0, 3, 3, 8]])), here.crs
    )
    assert width_m[0] == 0
    assert length_m[0] == pytest.approx(0.5, rel=1e-3)
    assert area_m2[0] == pytest.approx(0, abs=1e-4)
    assert [len(part) for part in ground_sizes(np.empty((0, 5, 2)), here.crs)] == [0, 0, 0]


def test_the_californian_orthophoto_has_quarter_metre_pixels(shared_data) -> None:
    path = shared_data / "pools" / "california_west.tif"
    if not path.exists():
        pytest.skip("needs ../shared/data/pools/california_west.tif")
    with rasterio.open(path) as dataset:
        measured = Grid(parse_crs(dataset.crs), dataset.transform, dataset.width, dataset.height)
    assert measured.gsd_m == pytest.approx(0.2475, abs=5e-4)  # 0.2986 on the map


def test_a_grid_survives_pickling_with_its_crs() -> None:
    original = grid("EPSG:2056+5728", ONE_METRE)
    copy = pickle.loads(pickle.dumps(original))
    assert copy == original
    assert hash(copy) == hash(original)
    assert copy.crs_wkt == original.crs_wkt


def test_grids_are_equal_only_if_their_crs_have_the_same_text() -> None:
    """As their hashes are: two CRS may mean the same and be written in different ways."""
    first = grid("EPSG:3857", ONE_METRE)
    second = replace(first, crs=CRS(CRS("EPSG:3857").to_wkt("WKT1_GDAL")))
    assert first.crs == second.crs
    assert first != second
    assert len({first, second, first}) == 2


def test_boxes_are_scaled_to_a_resampled_grid_of_the_same_ground() -> None:
    fine = grid("EPSG:2154", ONE_METRE, 40, 31)
    coarse = fine.resampled(0.5, 0.5)
    scaled = fine.box * np.tile(fine.scale_to(coarse), 2)
    np.testing.assert_allclose(scaled, coarse.box)
    np.testing.assert_allclose(coarse.boxes_to_map(scaled), fine.boxes_to_map(fine.box))
    assert fine.outline.area == 40 * 31


@pytest.mark.parametrize("gsd_m", [0.15, 0.2, 0.6, 0.143, 0.63])
def test_resolutions_in_the_range_pass(gsd_m: float) -> None:
    check_gsd(gsd_m, 0.15, 0.6, of="the range of model pools")


@pytest.mark.parametrize(
    ("gsd_m", "hint"),
    [(25, "; 25cm?"), (200, "; 200mm?"), (0.0025, "; 0.25m?"), (0.025, "; 25cm?"), (0.7, ""),
     (3, ""), (0.1, "")],
)  # fmt: skip
def test_other_resolutions_are_refused_with_the_likely_unit(gsd_m: float, hint: str) -> None:
    with pytest.raises(InputError) as error:
        check_gsd(gsd_m, 0.15, 0.6, of="the range of model pools")
    assert str(error.value) == (
        f"`gsd` is {gsd_m:g} m per pixel, expected 0.15 to 0.6 m: the range of model pools{hint}"
    )


def test_many_grids_are_measured_as_one_by_one() -> None:
    places = [
        (3857, 0.3, 4e5, 6e6),
        (3857, 0.3, 4e5, 7e6),
        (2154, 0.2, 7e5, 6.6e6),
        (4326, 1e-6, 2, 48),
    ]
    grids = [
        Grid(CRS(code), Affine(step, 0, x, 0, -step, y), 100, 80) for code, step, x, y in places
    ]
    expected = [replace(grid).gsd_xy_m for grid in grids]
    unknown = Grid(None, Affine.identity(), 9, 9)
    measure_pixels([*grids, unknown])
    assert [grid.__dict__["gsd_xy_m"] for grid in grids] == expected
    assert unknown.gsd_xy_m is None
