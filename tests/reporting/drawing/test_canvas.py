"""Canvases have square pixels on the ground, in the orientation of the raster."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from hypothesis import assume, given
from hypothesis import strategies as st

from geodetect.errors import BandError, InputError
from geodetect.geo.crs import parse_crs
from geodetect.geo.geodesic import ground_distances_m
from geodetect.geo.grid import Grid
from geodetect.reporting.drawing.canvas import (
    Canvas,
    RasterCanvas,
    open_for_display,
    resample_to_square_pixels,
)
from geodetect.settings import DrawingSettings
from tests.conftest import Save

LAMBERT, DEGREES, MERCATOR = map(parse_crs, ("EPSG:2154", "EPSG:4326", "EPSG:3857"))


@given(st.floats(-70, 70), st.floats(0.3, 3.0))
def test_pixels_become_square_on_the_ground_and_no_coarser(latitude: float, stretch: float):
    grid = Grid(DEGREES, Affine(1e-5 * stretch, 0, 5, 0, -1e-5, latitude), 2000, 1500)
    before, square = grid.gsd_xy_m, resample_to_square_pixels(grid)
    assert before is not None
    assert square.gsd_xy_m is not None
    assert square.gsd_xy_m[0] == pytest.approx(square.gsd_xy_m[1], rel=0.03)
    assert max(square.gsd_xy_m) <= max(before) * 1.01
    assert min(square.gsd_xy_m) == pytest.approx(min(before), rel=0.03)
    corner = np.array([[0.0, 0.0], [1.0, 1.0]])
    whole, again = (corner * [g.width, g.height] for g in (grid, square))
    np.testing.assert_allclose(grid.to_map(whole), square.to_map(again), atol=1e-9)


def test_a_rotated_raster_stays_as_it_is_stored():
    rotated = Affine.translation(650_000, 6_860_000) @ Affine.rotation(30) @ Affine.scale(0.2, -0.2)
    grid = Grid(LAMBERT, rotated, 300, 200)
    assert resample_to_square_pixels(grid) == grid


def test_the_pixel_size_is_sampled_all_over_the_canvas():
    grid = Grid(MERCATOR, Affine(1000, 0, 0, 0, -1000, 9_000_000), 1000, 8000)  # 14 to 63 north
    gsd_m = Canvas(grid).sample_gsd_m(9)
    assert gsd_m is not None
    for row, column in ((0, 0), (4, 4), (8, 8)):
        point = np.array([column / 8 * 1000, row / 8 * 8000])
        ends = grid.to_map(point + np.array([[-0.5, 0], [0.5, 0]]))
        across = ground_distances_m(ends[:1], ends[1:], MERCATOR)[0]
        assert gsd_m[row, column] == pytest.approx(across, rel=0.01)
    assert gsd_m[8, 0] > 2 * gsd_m[0, 0]


def test_without_a_crs_there_is_no_pixel_size():
    assert Canvas(Grid(None, Affine.identity(), 10, 10)).sample_gsd_m(9) is None


coordinates = st.floats(-1e6, 1e6, allow_subnormal=False)


@given(
    st.lists(st.tuples(coordinates, coordinates, st.floats(0, 50), st.floats(0, 50)), min_size=1)
)
def test_a_blank_map_holds_all_boxes_with_a_margin(rows: list[tuple[float, float, float, float]]):
    x, y, w, h = np.array(rows).T
    bounds = np.stack([x, y, x + w, y + h], axis=1)
    assume(np.ptp(bounds) == 0 or np.ptp(bounds) > 1e-3)
    grid = Canvas.from_bounds(bounds, LAMBERT).grid
    corners = grid.to_px(np.concatenate([bounds[:, :2], bounds[:, 2:]]))
    assert (corners >= 0).all()
    assert (corners <= [grid.width, grid.height]).all()
    assert grid.transform.e < 0  # north is up
    assert max(grid.width, grid.height) <= 2**21


@pytest.mark.parametrize(("crs", "unit_m"), [(LAMBERT, 1.0), (DEGREES, 110_000.0)])
def test_a_single_point_has_a_margin_around_it(crs: str, unit_m: float):
    grid = Canvas.from_bounds(np.array([[0.0, 0, 0, 0]]), crs).grid
    assert 20 < grid.width * grid.transform.a * unit_m < 200


def test_a_blank_map_in_pixels_has_rows_that_go_down():
    grid = Canvas.from_bounds(np.array([[10.0, 10, 30, 30], [200, 100, 240, 130]]), None).grid
    above, below = grid.to_px(np.array([[15.0, 15.0], [215.0, 115.0]]))[:, 1]
    assert above < below


def test_a_blank_map_needs_objects():
    with pytest.raises(InputError, match="no predictions to show; set `raster`"):
        Canvas.from_bounds(np.empty((0, 4)), LAMBERT)


@pytest.mark.parametrize(("count", "displayed"), [(1, 1), (2, 1), (3, 3), (5, 3)])
def test_rasters_without_named_colours_are_shown_by_their_first_bands(
    save: Save, count: int, displayed: int
):
    path = save(np.full((count, 20, 30), 9, np.uint16))
    with open_for_display(path, DrawingSettings()) as raster:
        assert raster.band_count == displayed
        assert RasterCanvas.from_raster(raster).size.tolist() == [30, 20]


def test_bands_can_be_chosen(save: Save):
    path = save(np.full((4, 20, 30), 9, np.uint8))
    with open_for_display(path, DrawingSettings(bands=(4, 3, 2))) as raster:
        assert raster.bands == (4, 3, 2)
    with pytest.raises(BandError, match="asks for band 7"):
        open_for_display(path, DrawingSettings(bands=(7, 1, 2)))
