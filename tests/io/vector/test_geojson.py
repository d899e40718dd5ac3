from __future__ import annotations

import io
import json

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Transformer

from geodetect.detection.detection_layer import empty_table
from geodetect.geo.crs import parse_crs
from geodetect.geo.grid import Grid
from geodetect.io.vector.chunks import CHUNK_ROWS
from geodetect.io.vector.geojson import cut_at_antimeridian, to_geojson, to_geojson_lines
from tests.helpers.layers import raster_detections

UTM = Grid(parse_crs("EPSG:32632"), Affine(0.1, 0, 450000, 0, -0.1, 5300000), 4000, 3000)
BOXES = [[10.25, 20.5, 40.125, 50.0], [100.0, 100.0, 130.0, 160.0]]


def collection(table: gpd.GeoDataFrame) -> dict[str, object]:
    stream = io.StringIO()
    to_geojson(table, stream)
    return json.loads(stream.getvalue(), parse_constant=refuse)


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def quoted_table(grid: Grid = UTM, boxes: object = BOXES) -> gpd.GeoDataFrame:
    scores = np.full(len(boxes), 0.5)
    return raster_detections(grid, boxes, scores, raster='é "quoted"\n.tif').table()


def signed_area(ring: list[list[float]]) -> float:
    x, y = (np.array(ring) - ring[0]).T
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) / 2)


def assert_rfc7946(document: dict[str, object]) -> None:
    """Requirements of RFC 7946, sections 3, 4 and 7, for a FeatureCollection of polygons."""
    assert document["type"] == "FeatureCollection"
    assert not {"crs", "coordinates", "geometry", "geometries", "properties"} & set(document)
    for feature in document["features"]:
        assert feature["type"] == "Feature"
        assert set(feature) == {"type", "id", "properties", "geometry"}
        assert isinstance(feature["properties"], dict)
        geometry = feature["geometry"]
        assert set(geometry) == {"type", "coordinates"}
        assert geometry["type"] in ("Polygon", "MultiPolygon")
        single = geometry["type"] == "Polygon"
        for polygon in [geometry["coordinates"]] if single else geometry["coordinates"]:
            assert len(polygon) == 1
            assert_ring(polygon[0])


def assert_ring(ring: list[list[float]]) -> None:
    assert len(ring) >= 4
    assert ring[0] == ring[-1]
    assert signed_area(ring) > 0
    for lon, lat in ring:
        assert -180 <= lon <= 180
        assert -90 <= lat <= 90
        assert (round(lon, 8), round(lat, 8)) == (lon, lat)
    assert np.ptp(np.array(ring)[:, 0]) <= 180


def test_a_file_keeps_the_rules_of_rfc_7946():
    assert_rfc7946(collection(quoted_table()))


@pytest.mark.parametrize("scale", [(0.1, -0.1), (0.1, 0.1), (-0.1, -0.1), (-0.1, 0.1)])
def test_rings_are_counter_clockwise_however_the_raster_lies(scale: tuple[float, float]):
    grid = Grid(UTM.crs, Affine.translation(450000, 5300000) @ Affine.scale(*scale), 400, 300)
    document = collection(quoted_table(grid))
    assert_rfc7946(document)
    assert len(document["features"]) == 2


def test_holes_run_clockwise_and_outer_rings_orient_polygons():
    hole = shapely.Polygon([(0, 0), (0, 9), (9, 9), (9, 0)], [[(1, 1), (2, 1), (2, 2), (1, 2)]])
    shapes = [hole, shapely.MultiPolygon([hole, shapely.box(20, 0, 21, 1, ccw=False)])]
    features = collection(gpd.GeoDataFrame(geometry=shapes, crs="EPSG:4326"))["features"]
    polygons = [features[0]["geometry"]["coordinates"], *features[1]["geometry"]["coordinates"]]
    turns = [[signed_area(ring) > 0 for ring in polygon] for polygon in polygons]
    assert sorted(turns) == [[True], [True, False], [True, False]]


def test_properties_are_those_of_the_table_and_the_id_is_the_features_too():
    first = collection(quoted_table())["features"][0]
    assert first["id"] == first["properties"]["id"] == 1
    assert list(first["properties"]) == list(quoted_table().columns[:-1])
    assert first["properties"]["raster"] == 'é "quoted"\n.tif'
    assert first["properties"]["truncated"] is False
    assert first["properties"]["area_m2"] == pytest.approx(8.8, abs=0.1)


def test_pixel_coordinates_are_marked_and_unknown_sizes_are_null():
    document = collection(quoted_table(Grid(None, Affine.identity(), 4000, 3000)))
    assert [feature["id"] for feature in document["features"]] == [1, 2]
    assert document["coordinate_space"] == "pixel"
    assert document["features"][0]["properties"]["area_m2"] is None
    ring = document["features"][0]["geometry"]["coordinates"][0]
    assert sorted(map(tuple, ring[:4])) == [
        (10.25, 20.5), (10.25, 50.0), (40.125, 20.5), (40.125, 50.0)
    ]  # fmt: skip
    assert "coordinate_space" not in collection(quoted_table())


def test_an_empty_table_is_an_empty_collection():
    assert collection(empty_table("EPSG:2056")) == {"type": "FeatureCollection", "features": []}


def test_a_missing_geometry_is_null():
    frame = gpd.GeoDataFrame({"id": [7]}, geometry=[None], crs="EPSG:4326")
    assert collection(frame)["features"] == [
        {"type": "Feature", "id": 7, "properties": {"id": 7}, "geometry": None}
    ]


def test_features_without_columns_have_empty_properties():
    frame = gpd.GeoDataFrame(geometry=[shapely.Point(1, 2)], crs="EPSG:4326")
    assert collection(frame)["features"][0]["properties"] == {}


def test_rows_beyond_one_batch_are_all_written():
    count = CHUNK_ROWS + 1
    frame = gpd.GeoDataFrame(
        {"id": range(count)}, geometry=shapely.points(np.zeros((count, 2))), crs="EPSG:4326"
    )
    assert [f["id"] for f in collection(frame)["features"]] == list(range(count))


def test_lines_are_one_feature_each():
    stream = io.StringIO()
    to_geojson_lines(quoted_table(), stream)
    lines = stream.getvalue().splitlines()
    assert [json.loads(line) for line in lines] == collection(quoted_table())["features"]


def crossing(crs: str, x: float, y: float) -> gpd.GeoDataFrame:
    """A box of 100 m on either side of the antimeridian."""
    return gpd.GeoDataFrame(
        {"id": [1]}, geometry=[shapely.box(x - 100, y - 50, x + 100, y + 50)], crs=crs
    )


def test_a_box_across_the_antimeridian_becomes_two():
    place = Transformer.from_crs("EPSG:4326", "EPSG:32660", always_xy=True).transform(180.0, -17.0)
    document = collection(crossing("EPSG:32660", *place))
    assert_rfc7946(document)
    geometry = document["features"][0]["geometry"]
    assert geometry["type"] == "MultiPolygon"
    sides = sorted(np.mean([p[0] for p in polygon[0]]) for polygon in geometry["coordinates"])
    assert sides[0] < -179.99
    assert sides[1] > 179.99


def test_longitudes_beyond_180_are_brought_back():
    shapes = [shapely.box(180.5, 10, 180.6, 10.1), shapely.box(-541, 10, -540.5, 10.1)]
    document = collection(gpd.GeoDataFrame({"id": [1, 2]}, geometry=shapes, crs="EPSG:4326"))
    assert_rfc7946(document)
    west = [min(p[0] for p in f["geometry"]["coordinates"][0]) for f in document["features"]]
    assert west == pytest.approx([-179.5, 179.0])


@given(
    st.floats(-540, 540, allow_nan=False),
    st.floats(-80, 80, allow_nan=False),
    st.floats(1e-6, 5, allow_nan=False),
)
def test_cutting_keeps_the_area_and_the_place(lon: float, lat: float, size: float):
    box = shapely.box(lon, lat, lon + size, lat + 1)
    cut = cut_at_antimeridian(np.array([box], dtype=object))[0]
    assert cut.area == pytest.approx(box.area, rel=1e-6)
    west, _, east, _ = cut.bounds
    assert west >= -180
    assert east <= 180
    for part in shapely.get_parts(cut):
        shift = 360 * round((part.centroid.x - box.centroid.x) / 360)
        moved = shapely.transform(part, lambda xy, shift=shift: xy - (shift, 0))
        assert box.buffer(1e-9).covers(moved)


@pytest.mark.parametrize(
    ("west", "east", "expected"),
    [
        (-180, 180, [(-180, 180)]),
        (-170, 170, [(-170, 170)]),
        (-100, 90, [(-100, 90)]),
        (-200, 160, [(-180, 180)]),
        (-150, 200, [(-180, -160), (-150, 180)]),
        (-200, 200, [(-180, 180)]),
        (170, 190, [(-180, -170), (170, 180)]),
    ],
)
@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857"])
def test_a_zone_wider_than_half_the_globe_is_what_it_is(
    west: float, east: float, expected: list[tuple[float, float]], crs: str
) -> None:
    if crs == "EPSG:3857" and max(-west, east) > 180:
        pytest.skip("Mercator ends at the antimeridian")
    zone = gpd.GeoSeries([shapely.box(west, -40, east, 50)], crs="EPSG:4326")
    corners = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform_bounds(
        west, -40, east, 50
    )
    table = gpd.GeoDataFrame(
        {"id": [1]}, geometry=zone if crs == "EPSG:4326" else [shapely.box(*corners)], crs=crs
    )
    geometry = shapely.geometry.shape(collection(table)["features"][0]["geometry"])
    assert geometry.is_valid
    parts = [part.bounds for part in shapely.get_parts(geometry)]
    np.testing.assert_allclose(sorted((b[0], b[2]) for b in parts), expected, atol=1e-6)
    np.testing.assert_allclose([b[1::2] for b in parts], [(-40, 50)] * len(parts), atol=1e-6)
    areas = sum(part.area for part in shapely.get_parts(geometry))
    assert areas == pytest.approx(min(east - west, 360) * 90)
