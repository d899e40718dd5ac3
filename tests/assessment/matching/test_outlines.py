from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS
from shapely.affinity import rotate

from geodetect.assessment.matching.alignment import align_layers
from geodetect.assessment.matching.class_matching import match_layers
from geodetect.assessment.matching.comparison_grid import crs_grid
from geodetect.assessment.matching.outlines import Outlines, box_mask
from geodetect.geo import boxes as box_ops
from geodetect.geo.polygons import polygon_iou
from geodetect.geo.reproject import reproject
from geodetect.types import ObjectArray

UTM = CRS("EPSG:32632")
X, Y = 500_000.0, 5_000_000.0


def shapes(*polygons: shapely.Geometry) -> ObjectArray:
    return np.array(polygons, dtype=object)


def bar(x: float, *, angle_deg: float) -> shapely.Polygon:
    return rotate(shapely.box(X + x - 10, Y - 1, X + x + 10, Y + 1), angle_deg)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(*[st.floats(0, 50)] * 2, *[st.floats(1, 20)] * 2), min_size=2, max_size=9)
)
def test_the_iou_of_rectangles_is_that_of_their_boxes(
    corners_and_sizes: list[tuple[float, float, float, float]],
) -> None:
    rows = np.array(corners_and_sizes)
    boxes = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:]], axis=1)
    others = np.roll(boxes, 1, axis=0)
    iou = polygon_iou(shapely.box(*boxes.T), shapely.box(*others.T))
    np.testing.assert_allclose(iou, box_ops.iou(boxes, others), atol=1e-9)


def test_a_hole_is_no_part_of_an_outline() -> None:
    disc, hole = shapely.Point(0, 0).buffer(10), shapely.Point(0, 0).buffer(5)
    assert polygon_iou(shapes(disc), shapes(disc - hole))[0] == pytest.approx(0.75)
    assert polygon_iou(shapes(hole), shapes(disc - hole))[0] == pytest.approx(0, abs=1e-9)
    assert polygon_iou(shapes(shapely.Polygon()), shapes(shapely.Polygon()))[0] == 0


def test_crossing_bars_match_by_their_outlines_though_their_boxes_agree() -> None:
    truth = gpd.GeoDataFrame(geometry=[bar(0, angle_deg=45), bar(0, angle_deg=-45)], crs=UTM)
    predictions = truth.iloc[::-1].assign(score=[0.9, 0.8])
    layers = align_layers(predictions, truth, by_outline=True)
    matches = match_layers(layers, iou=0.9).pooled.matches
    assert matches.truth_of.tolist() == [1, 0]
    np.testing.assert_allclose(matches.iou, 1)


def test_boxes_are_recognised_in_whatever_crs_they_were_drawn() -> None:
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 500, (30, 2)) + np.array([X, Y])
    boxes = shapely.box(*low.T, *(low + rng.uniform(3, 20, (30, 2))).T)
    for crs in ("EPSG:4326", "EPSG:2154", "EPSG:3857"):
        moved = reproject(boxes, UTM, CRS(crs))
        assert box_mask(moved, CRS(crs)).all(), crs
    assert box_mask(boxes, None).all()


def test_outlines_are_no_boxes() -> None:
    corner = shapely.Polygon([(0, 0), (20, 0), (20, 5), (5, 5), (5, 20), (0, 20)])
    ring = shapely.box(0, 0, 9, 9) - shapely.box(3, 3, 6, 6)
    parts = shapely.union(shapely.box(0, 0, 9, 9), shapely.box(20, 20, 29, 29))
    turned = [bar(40 * k, angle_deg=17 * k + 5) for k in range(5)]
    is_box = box_mask(shapes(corner, ring, parts, shapely.Point(0, 0).buffer(3), *turned), UTM)
    assert not is_box.any()
    mixed = shapes(shapely.box(X, Y, X + 5, Y + 9), *turned)
    assert box_mask(mixed, UTM).tolist() == [True, *[False] * 5]


def test_crossing_and_missing_outlines_get_the_area_that_they_have() -> None:
    bow_tie = shapely.Polygon([(X, Y), (X + 10, Y + 10), (X + 10, Y), (X, Y + 10)])
    line = shapely.LineString([(X, Y), (X + 9, Y + 9)])
    outlines = Outlines.from_geometries(
        shapes(bow_tie, line, shapely.Polygon()), UTM, crs_grid(UTM), name="the truth"
    )
    areas = outlines.areas_m2(crs_grid(UTM))
    assert areas[0] == pytest.approx(50, rel=0.002)
    assert areas[1:].tolist() == [0, 0]
