from __future__ import annotations

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from geodetect.assessment.matching.comparison_grid import comparison_grid, grid_name
from geodetect.geo.crs import parse_crs
from geodetect.geo.grid import Grid
from geodetect.geo.reproject import reproject

LAMBERT, LONLAT, UTM = (parse_crs(name) for name in ("EPSG:2154", "OGC:CRS84", "EPSG:32632"))
PLACE_M = (1_023_000.0, 6_283_000.0)  # where Lambert-93 is turned by 2.9 degrees
NORTH_DEG = 2.9


def rotated_outlines(*, turn_deg: float = 0.0, count: int = 40) -> NDArray[np.object_]:
    """Outlines in Lambert-93 as a raster turned by an angle gives them."""
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 800, (count, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(5, 15, (count, 2))], axis=1)
    grid = Grid(LAMBERT, Affine.translation(*PLACE_M) @ Affine.rotation(turn_deg), 800, 800)
    return np.asarray(shapely.polygons(grid.boxes_to_map(boxes)))


def test_upright_predictions_are_compared_in_their_own_crs() -> None:
    grid = comparison_grid(rotated_outlines(), LAMBERT, LONLAT)
    assert (grid.crs, grid.transform) == (LAMBERT, Affine.identity())
    assert grid_name(grid) == "RGF93 v1 / Lambert-93"


@pytest.mark.parametrize("other", [LONLAT, UTM])
def test_predictions_turned_in_their_crs_are_compared_in_that_of_the_truth(other: str) -> None:
    grid = comparison_grid(reproject(rotated_outlines(), LAMBERT, other), other, LAMBERT)
    assert (grid.crs, grid.transform) == (LAMBERT, Affine.identity())


@settings(max_examples=30)
@given(
    st.floats(-44, 44).filter(lambda turn: min(abs(turn), abs(turn - NORTH_DEG)) > 0.5),
    st.sampled_from([LAMBERT, LONLAT]),
)
def test_predictions_of_a_turned_raster_are_compared_along_their_sides(
    turn_deg: float, crs: str
) -> None:
    outlines_m = rotated_outlines(turn_deg=turn_deg)
    outlines = reproject(outlines_m, LAMBERT, crs)
    grid = comparison_grid(outlines, crs, LONLAT)
    in_frame = shapely.transform(reproject(outlines, crs, grid.crs or ""), grid.to_px)
    filled = shapely.area(in_frame) / shapely.area(shapely.envelope(in_frame))
    assert filled.min() > 0.99
    assert shapely.area(in_frame).sum() == pytest.approx(shapely.area(outlines_m).sum(), rel=2e-3)


def test_both_layers_in_degrees_are_compared_along_the_predictions() -> None:
    grid = comparison_grid(reproject(rotated_outlines(), LAMBERT, LONLAT), LONLAT, LONLAT)
    assert grid_name(grid) == "the sides of the predictions, 2.9° off north"


def test_outlines_that_are_no_rectangles_are_compared_in_their_crs() -> None:
    circles = shapely.buffer(shapely.centroid(rotated_outlines()), 5)
    grid = comparison_grid(circles, LAMBERT, UTM)
    assert (grid.crs, grid.transform) == (LAMBERT, Affine.identity())


@pytest.mark.parametrize("outlines", [[], [shapely.Point(PLACE_M)]])
def test_without_outlines_the_crs_of_the_predictions_is_taken(outlines: list[object]) -> None:
    objects = np.array(outlines, dtype=object)
    assert comparison_grid(objects, LAMBERT, UTM).crs == LAMBERT


def test_a_crs_of_the_truth_that_does_not_reach_the_predictions_is_no_obstacle() -> None:
    other_side = parse_crs("+proj=gnom +lat_0=-90 +lon_0=0 +datum=WGS84")
    grid = comparison_grid(rotated_outlines(turn_deg=20), LAMBERT, other_side)
    assert "off north" in grid_name(grid)


def test_a_local_crs_not_tied_to_the_earth_is_taken_as_it_is() -> None:
    local = parse_crs('LOCAL_CS["site",UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]')
    assert (
        comparison_grid(rotated_outlines(turn_deg=10), local, local).transform == Affine.identity()
    )
