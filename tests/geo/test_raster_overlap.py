"""Rasters that show the same ground."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS

from geodetect.geo.crs import parse_crs
from geodetect.geo.grid import Grid
from geodetect.geo.raster_overlap import covering_boxes, find_overlaps
from geodetect.geo.reproject import reproject

UTM, LV95, DEGREES = (parse_crs(crs) for crs in ("EPSG:32632", "EPSG:2056", "EPSG:4326"))
NEW_ZEALAND = parse_crs("EPSG:2193")
GSD_M = 0.5


def offset_grid(x_px: float, y_px: float, width: int = 100, height: int = 100) -> Grid:
    """A sheet whose corner lies so many pixels east and south of a point."""
    corner = Affine.translation(500_000 + x_px * GSD_M, 5_200_000 - y_px * GSD_M)
    return Grid(UTM, corner @ Affine.scale(GSD_M, -GSD_M), width, height)


def in_degrees(other: Grid) -> Grid:
    """Roughly the same ground in degrees, with a little more around it."""
    x1, y1, x2, y2 = reproject(np.array([other.outline]), UTM, DEGREES)[0].bounds
    pixels = Affine.scale((x2 - x1) / other.width, (y1 - y2) / other.height)
    return Grid(DEGREES, Affine.translation(x1, y2) @ pixels, other.width, other.height)


def pairs(grids: list[Grid]) -> list[tuple[int, int]]:
    return [(pair.first, pair.second) for pair in find_overlaps(grids)]


corners = st.tuples(st.integers(0, 300), st.integers(0, 300))
shapes = st.tuples(st.integers(1, 200), st.integers(1, 200))


@given(placed=st.lists(st.tuples(corners, shapes), max_size=8))
def test_pairs_are_those_that_comparing_all_with_all_finds(
    placed: list[tuple[tuple[int, int], tuple[int, int]]],
) -> None:
    grids = [offset_grid(*corner, *shape) for corner, shape in placed]
    expected = {}
    for (i, a), (j, b) in itertools.combinations(enumerate(placed), 2):
        sides = [
            min(a[0][k] + a[1][k], b[0][k] + b[1][k]) - max(a[0][k], b[0][k]) for k in range(2)
        ]
        if min(sides) > 0:
            expected[i, j] = np.prod(sides) / min(np.prod(a[1]), np.prod(b[1]))
    overlaps = {(pair.first, pair.second): pair.fraction for pair in find_overlaps(grids)}
    assert overlaps == pytest.approx(expected, rel=1e-6)
    assert list(overlaps) == sorted(overlaps)


def test_neighbouring_sheets_only_touch() -> None:
    assert pairs([offset_grid(x, y) for x in (0, 100, 200) for y in (0, 100)]) == []


def test_sheets_are_compared_across_crs() -> None:
    here, beside = offset_grid(0, 0), offset_grid(5000, 0)
    overlaps = find_overlaps([here, in_degrees(beside), beside, in_degrees(here)])
    assert [(pair.first, pair.second) for pair in overlaps] == [(0, 3), (1, 2)]
    assert all(pair.fraction == pytest.approx(1, abs=1e-3) for pair in overlaps)


def test_ground_beyond_the_reach_of_a_crs_overlaps_nothing_there() -> None:
    far = Grid(NEW_ZEALAND, Affine(1, 0, 1_600_000, 0, -1, 5_400_000), 100, 100)
    pixels = Grid(None, Affine.identity(), 100, 100)
    plan = parse_crs('LOCAL_CS["plan",UNIT["metre",1]]')
    local = Grid(plan, Affine(1, 0, 500_000, 0, -1, 5_200_000), 100, 100)
    assert pairs([offset_grid(0, 0), far, pixels, local, local]) == [(3, 4)]


@given(
    corner=st.tuples(st.floats(-150, 150), st.floats(-150, 150)),
    turn_deg=st.sampled_from([0.0, 1.0, 30.0, 180.0]),
)
def test_boxes_cover_what_a_raster_has_of_an_area(
    corner: tuple[float, float], turn_deg: float
) -> None:
    area = offset_grid(*corner).outline
    turned = Affine.translation(2_718_847.4, 1_201_453.9) @ Affine.rotation(turn_deg)
    grid = Grid(LV95, turned @ Affine.scale(GSD_M, -GSD_M), 120, 90)
    boxes = covering_boxes(np.array([area]), UTM, grid)
    covered = shapely.union_all(shapely.box(*boxes.T))
    in_px = shapely.transform(reproject(np.array([area]), UTM, LV95)[0], grid.to_px)
    expected = shapely.intersection(in_px, shapely.box(*grid.box))
    assert shapely.difference(expected, covered.buffer(1e-2)).buffer(-0.51).is_empty
    assert covered.difference(shapely.box(*grid.box)).is_empty
    if turn_deg in (0.0, 180.0):  # nearly parallel: hardly more than the area
        assert covered.difference(expected).buffer(-4).is_empty


def test_each_part_of_an_area_has_a_box_and_strips_below_a_pixel_have_none() -> None:
    grid = offset_grid(0, 0)
    parts = [
        shapely.box(10, 20, 40, 30),
        shapely.box(90, 90, 150, 150),
        shapely.box(99.4, 0, 120, 50),
    ]
    area = shapely.transform(shapely.union_all(parts), grid.to_map)
    overlaps = covering_boxes(np.array([area]), UTM, grid)
    np.testing.assert_allclose(
        overlaps[overlaps[:, 0].argsort()], [[10, 20, 40, 30], [90, 90, 100, 100]]
    )
    assert covering_boxes(np.array([offset_grid(100, 0).outline]), UTM, grid).shape == (0, 4)


def test_a_part_of_an_area_on_the_other_side_of_the_earth_hides_no_other() -> None:
    grid = offset_grid(0, 0)
    here = reproject(np.array([grid.outline]), UTM, DEGREES)[0]
    both = shapely.union_all(
        [here, shapely.box(174, -41, 175, -40), shapely.box(-180, 89, 180, 90)]
    )
    np.testing.assert_allclose(
        covering_boxes(np.array([both]), DEGREES, grid), [grid.box], atol=1e-2
    )


def test_rasters_overlap_whichever_way_their_crs_is_written() -> None:
    other = replace(offset_grid(0, 0), crs=CRS(UTM.to_wkt("WKT1_GDAL")))
    assert other.crs == UTM
    assert other.crs_wkt != UTM.to_wkt()
    assert pairs([offset_grid(0, 0), other]) == [(0, 1)]
