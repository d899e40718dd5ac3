from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS, Transformer

from geodetect.detection.detection_layer import (
    COLUMNS,
    DetectionLayer,
    GroundDetections,
    empty_table,
)
from geodetect.detection.detections import Detections
from geodetect.errors import GeoreferenceError, InputError
from geodetect.geo.crs import parse_crs
from geodetect.geo.grid import Grid
from tests.helpers.layers import raster_detections

LAMBERT = Grid(parse_crs("EPSG:2154"), Affine(0.1, 0.0, 650000.0, 0.0, -0.1, 6860000.0), 1000, 800)
PIXELS = Grid(None, Affine.identity(), 1000, 800)
BOXES = [[500.0, 300.0, 600.0, 360.0], [20.0, 10.0, 60.0, 110.0], [5.0, 10.0, 15.0, 20.0]]


def pool_detections(
    grid: Grid = LAMBERT, boxes: object = BOXES, **options: object
) -> GroundDetections:
    return raster_detections(grid, boxes, classes=["pool", "pond"], **options)


def pool_table(grid: Grid = LAMBERT, boxes: object = BOXES, **options: object) -> pd.DataFrame:
    return pool_detections(grid, boxes, **options).table()


def kinds(frame: pd.DataFrame) -> dict[str, str]:
    return {name: str(frame[name].dtype) for name in COLUMNS}


def test_columns_come_in_the_documented_order():
    expected = "id class score area_m2 width_m length_m truncated raster geometry"
    assert list(pool_table().columns) == expected.split()


def test_rows_run_from_top_to_bottom_and_left_to_right():
    frame = pool_table()
    assert frame["id"].tolist() == [1, 2, 3]
    assert frame["score"].tolist() == [0.5, 0.7, 0.9]


def test_sizes_are_ground_metres():
    true_m = LAMBERT.gsd_xy_m
    largest = pool_table().iloc[2]
    assert largest["length_m"] == pytest.approx(100 * true_m[0], abs=0.006)
    assert largest["width_m"] == pytest.approx(60 * true_m[1], abs=0.006)
    assert largest["area_m2"] == pytest.approx(6000 * true_m[0] * true_m[1], abs=0.01)


def test_mercator_does_not_stretch_the_sizes():
    place = Transformer.from_crs(4326, 3857, always_xy=True).transform(8.0, 60.0)
    grid = Grid(parse_crs("EPSG:3857"), Affine(0.2, 0, place[0], 0, -0.2, place[1]), 1000, 800)
    frame = pool_table(grid, [[0.0, 0.0, 100.0, 100.0]])
    assert frame["length_m"][0] == pytest.approx(10.0, abs=0.05)  # the map says 20


def test_geometry_is_a_closed_counter_clockwise_ring_at_pixel_edges():
    ring = pool_table(boxes=[[0, 0, 10, 20]]).geometry[0]
    assert ring.equals(shapely.box(650000, 6859998, 650001, 6860000))
    assert ring.exterior.is_closed
    assert ring.exterior.is_ccw


def test_a_raster_without_crs_gives_pixel_coordinates_and_no_sizes():
    frame = pool_table(PIXELS)
    assert frame.crs is None
    assert frame[["area_m2", "width_m", "length_m"]].isna().all(axis=None)
    assert frame.geometry[2].bounds == (500.0, 300.0, 600.0, 360.0)
    assert frame.geometry.exterior.is_ccw.all()


def test_a_compound_crs_loses_its_height():
    grid = Grid(parse_crs("EPSG:2056+5728"), LAMBERT.transform, 10, 10)
    grid = Grid(grid.crs, Affine(0.1, 0, 2600000, 0, -0.1, 1200000), 10, 10)
    assert pool_table(grid).crs == CRS("EPSG:2056")


def test_scores_have_four_decimals_and_flags_and_classes_follow_their_box():
    frame = pool_table(
        scores=[0.123456, 0.5, 0.25], labels=[1, 0, 0], truncated=[False, False, True]
    )
    assert frame["score"].tolist() == [0.25, 0.5, 0.1235]
    assert frame["class"].tolist() == ["pool", "pool", "pond"]
    assert frame["truncated"].tolist() == [True, False, False]


def test_no_detections_make_an_empty_table_with_the_same_types():
    nothing = GroundDetections.from_detections(
        Detections.empty(), LAMBERT, classes=["pool"], rasters=["a.tif"]
    ).table()
    assert len(nothing) == 0
    assert kinds(nothing) == kinds(pool_table()) == kinds(empty_table("EPSG:2154"))
    assert nothing.crs == pool_table().crs == empty_table("EPSG:2154").crs


@pytest.mark.parametrize("label", [-1, 2])
def test_a_label_without_a_name_is_refused(label: int):
    with pytest.raises(InputError, match=f"labels {label} to {label} found.*pool, pond"):
        pool_table(boxes=BOXES[:1], labels=[label])


@given(st.permutations(range(12)))
def test_the_order_of_arrival_does_not_matter(order: list[int]):
    boxes = np.array([[x, y, x + w, y + 3] for x in (0, 5) for y in (0, 2) for w in (3, 3, 4)])
    layer = Detections.from_arrays(boxes, np.repeat([0.5, 0.75], 6), np.tile([0, 1], 6))
    first, other = (
        GroundDetections.from_detections(
            rows, LAMBERT, classes=["a", "b"], rasters=["a.tif"]
        ).table()
        for rows in (layer, layer[np.array(order)])
    )
    pd.testing.assert_frame_equal(pd.DataFrame(first), pd.DataFrame(other))


def test_objects_of_two_rasters_share_the_first_crs_and_count_on():
    utm = Grid(parse_crs("EPSG:32631"), Affine(0.1, 0, 449000, 0, -0.1, 5411000), 1000, 800)
    both = DetectionLayer((pool_detections(), pool_detections(utm))).table()
    assert both["id"].tolist() == [1, 2, 3, 4, 5, 6]
    assert both.crs == CRS("EPSG:2154")
    back = Transformer.from_crs("EPSG:2154", "EPSG:32631", always_xy=True)
    corners = shapely.get_coordinates(both.geometry.iloc[3:].array)
    there = np.stack(back.transform(*corners.T), axis=1)
    expected = shapely.get_coordinates(pool_table(utm).geometry.array)
    np.testing.assert_allclose(there, expected, atol=1e-4)
    assert kinds(both) == kinds(pool_table())
    assert both["area_m2"].tolist()[3:] == pool_table(utm)["area_m2"].tolist()  # as measured there


def test_objects_can_be_brought_to_a_named_crs():
    both = DetectionLayer((pool_detections(), pool_detections(boxes=[])), parse_crs("EPSG:4326"))
    assert both.crs == both.table().crs == CRS("EPSG:4326")
    assert both.table().total_bounds[:2] == pytest.approx([2.31887, 48.83789], abs=1e-2)


def test_objects_without_crs_are_joined_as_they_are():
    both = DetectionLayer((pool_detections(PIXELS), pool_detections(PIXELS))).table()
    assert both.crs is None
    assert both.geometry[3].equals(both.geometry[0])


def test_no_rasters_make_an_empty_table():
    for nothing in (
        DetectionLayer((), parse_crs("EPSG:2154")),
        DetectionLayer((pool_detections(boxes=[]),)),
    ):
        assert kinds(nothing.table()) == kinds(pool_table())
        assert nothing.table().crs == CRS("EPSG:2154")
        assert (len(nothing), nothing.by_class, nothing.area_m2) == (0, {}, 0)


def test_rasters_with_and_without_crs_do_not_mix():
    with pytest.raises(GeoreferenceError, match="`src_crs`"):
        DetectionLayer((pool_detections(), pool_detections(PIXELS)))


@given(st.lists(st.integers(0, 7), max_size=4), st.integers(1, 5))
def test_pieces_are_the_table_cut_anywhere(counts: list[int], rows_at_once: int):
    layer = DetectionLayer(
        tuple(pool_detections(boxes=np.ones((n, 4)) * [0, 0, 9, 8]) for n in counts)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("geodetect.io.vector.chunks.CHUNK_ROWS", rows_at_once)
        chunks = list(layer.chunks())
    assert max(map(len, chunks)) <= rows_at_once
    assert len(layer) == sum(map(len, chunks)) == sum(counts)
    pd.testing.assert_frame_equal(pd.concat(chunks, ignore_index=True), layer.table())


def test_sums_are_those_of_the_table():
    labels, truncated = [1, 1, 0], [True, False, True]
    layer = DetectionLayer((pool_detections(), pool_detections(labels=labels, truncated=truncated)))
    whole = layer.table()
    assert layer.by_class == dict(whole["class"].value_counts()) == {"pool": 4, "pond": 2}
    assert layer.by_raster == {"scene.tif": 6}
    assert layer.truncated == whole["truncated"].sum() == 2
    assert layer.area_m2 == pytest.approx(whole["area_m2"].sum())
    assert DetectionLayer((pool_detections(PIXELS),)).area_m2 == 0


def test_the_raster_name_may_have_any_letters():
    name = str(Path("zürich") / "東京 ñandú.tif")
    frame = GroundDetections.from_detections(
        Detections.from_arrays(BOXES, [1, 1, 1]), PIXELS, classes=["x"], rasters=[name]
    ).table()
    assert set(frame["raster"]) == {name}
