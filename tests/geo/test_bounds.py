from __future__ import annotations

import numpy as np
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from geodetect.geo.bounds import bounds_px, projected_bounds
from geodetect.geo.crs import parse_crs
from geodetect.geo.grid import Grid
from geodetect.geo.reproject import densify, reproject

UTM, LONLAT, FEET = parse_crs("EPSG:32632"), parse_crs("OGC:CRS84"), parse_crs("EPSG:2263")


def geometry_array(
    *geometries: shapely.Geometry | None,
) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    column = np.empty(len(geometries), dtype=object)
    column[:] = geometries
    return column


@settings(max_examples=50, deadline=None)
@given(st.floats(7, 11), st.floats(46, 49), st.floats(1e-5, 0.5), st.floats(1e-5, 0.5))
def test_bounds_on_another_map_hold_every_point_of_the_outline(
    lon: float, lat: float, width: float, height: float
) -> None:
    square = geometry_array(shapely.box(lon, lat, lon + width, lat + height))
    x1, y1, x2, y2 = projected_bounds(square, LONLAT, UTM)[0]
    outline = geometry_array(shapely.segmentize(square[0], max(width, height) / 2000))
    points = shapely.get_coordinates(reproject(outline, LONLAT, UTM))
    slack_m = 0.01  # what the edges bend between the steps
    np.testing.assert_allclose((x1, y1), points.min(axis=0), atol=slack_m)
    np.testing.assert_allclose((x2, y2), points.max(axis=0), atol=slack_m)


def test_bounds_on_the_same_map_are_those_of_the_geometry() -> None:
    square = shapely.box(1, 2, 3, 5)
    for source, target in ((UTM, UTM), (None, UTM), (UTM, None)):
        assert projected_bounds(geometry_array(square), source, target).tolist() == [[1, 2, 3, 5]]


def test_missing_and_empty_geometries_have_no_bounds() -> None:
    column = geometry_array(None, shapely.box(9, 47, 9.1, 47.1), shapely.Polygon())
    bounds = projected_bounds(column, LONLAT, UTM)
    assert np.isfinite(bounds).all(axis=1).tolist() == [False, True, False]
    assert projected_bounds(column[:0], LONLAT, UTM).shape == (0, 4)


def test_boxes_in_pixels_follow_a_turned_grid() -> None:
    grid = Grid(UTM, Affine(0, 0.5, 100, 0.5, 0, 200), 10, 10)  # columns run to the north
    boxes = bounds_px(geometry_array(shapely.box(101, 202, 102, 204)), UTM, grid)
    np.testing.assert_allclose(boxes, [[4, 2, 8, 4]])


def test_edges_get_vertices_every_hundred_metres_whatever_the_unit() -> None:
    for crs, metre in ((UTM, 1.0), (FEET, 3937 / 1200), (LONLAT, 1 / 111_195)):
        short, long = (
            shapely.box(0, 0, 90 * metre, 90 * metre),
            shapely.box(0, 0, 400 * metre, 1 * metre),
        )
        dense = densify(geometry_array(short, long), crs)
        assert shapely.get_num_coordinates(dense).tolist() == [5, 11]


def test_huge_outlines_get_a_bounded_number_of_vertices() -> None:
    dense = densify(geometry_array(shapely.box(-180, -80, 180, 80)), LONLAT)
    assert shapely.get_num_coordinates(dense)[0] < 4000
