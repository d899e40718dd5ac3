"""Labels on a map, read from vector files of any kind."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS, Transformer

from geodetect.errors import GeodetectWarning, LabelError
from geodetect.geo.bounds import bounds_px
from geodetect.geo.crs import parse_crs
from geodetect.geo.grid import Grid
from geodetect.io.labels.label_set import LabelOptions
from geodetect.io.labels.placement import place_labels
from geodetect.io.labels.read import read_labels
from geodetect.io.raster.reader import Raster
from geodetect.io.vector import write as vector
from geodetect.types import FloatArray, PathLike

UTM = parse_crs("EPSG:32632")
NORTH_UP = Grid(UTM, Affine(0.5, 0, 500_000, 0, -0.5, 5_250_000), 400, 300)
NORTH_UP_RASTER = Raster("absent.tif", NORTH_UP, (1, 2, 3), "uint8")
POOL = shapely.box(500_010, 5_249_980, 500_018, 5_249_990)
TANK = shapely.box(500_050, 5_249_900, 500_060, 5_249_905)


def layer(geometries: list[shapely.Geometry | None], **columns: list[object]) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(columns, geometry=geometries, crs="EPSG:32632")


def save_table(table: gpd.GeoDataFrame, path: Path, **options: object) -> Path:
    if path.suffix == ".parquet":
        table.to_parquet(path)
    else:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="'crs' was not provided")
            table.to_file(path, engine="pyogrio", **options)
    return path


def read(paths: PathLike | list[PathLike], **options: Any) -> gpd.GeoDataFrame:
    """Labels as a table, with the warning that a training gives."""
    labels = read_labels(paths, LabelOptions(**options))
    labels.warn_of_changes()
    geometries = np.concatenate([source.geometries for source in labels.sources])
    return gpd.GeoDataFrame({"class": labels.names}, geometry=geometries, crs=labels.sources[0].crs)


def boxes_on(grid: Grid, labels: gpd.GeoDataFrame) -> FloatArray:
    return bounds_px(np.asarray(labels.geometry), labels.crs, grid)


def test_detections_are_labels_whatever_ground_lies_beside_them(tmp_path: Path) -> None:
    path = save_table(layer([POOL, TANK]), tmp_path / "found.gpkg", layer="detections")
    save_table(layer([shapely.box(500_000, 5_249_850, 500_200, 5_250_000)]), path, layer="coverage")
    assert len(read(path)) == 2


@pytest.mark.parametrize("suffix", [".geojson", ".gpkg", ".shp", ".fgb", ".parquet"])
def test_every_vector_format_gives_the_same_boxes(tmp_path: Path, suffix: str) -> None:
    table = layer([POOL, TANK], kind_of=["a", "b"], **{"class": ["pool", "tank"]})
    if suffix == ".geojson":
        table = table.to_crs("OGC:CRS84")
    labels = read(save_table(table, tmp_path / f"labels{suffix}"))
    order = np.argsort(labels["class"])  # FlatGeobuf sorts rows by place
    assert list(labels["class"].iloc[order]) == ["pool", "tank"]
    expected = [[20, 20, 36, 40], [100, 190, 120, 200]]
    boxes = boxes_on(NORTH_UP, labels)[order]
    np.testing.assert_allclose(boxes, expected, atol=0.05 if suffix == ".geojson" else 1e-6)


def test_the_crs_of_the_file_is_kept(tmp_path: Path) -> None:
    labels = read(save_table(layer([POOL]), tmp_path / "labels.gpkg"))
    assert labels.crs.to_epsg() == 32632
    assert labels.geometry.iloc[0].equals(POOL)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"class": ["pool", "tank"]}, ["pool", "tank"]),
        ({"CLASS": ["pool", "tank"]}, ["pool", "tank"]),
        ({"name": ["x", "y"], "label": ["pool", "tank"]}, ["pool", "tank"]),
        ({"label": ["a", "b"], "class": ["pool", "tank"]}, ["pool", "tank"]),
        ({"class": [1, 2]}, ["1", "2"]),
        ({"class": [1.0, 2.0]}, ["1", "2"]),
        ({"class": ["1.0", "2.00"]}, ["1", "2"]),
        ({"class": ["007", "7"]}, ["007", "7"]),
        ({"class": [True, False], "label": ["a", "b"]}, ["a", "b"]),
        ({"label": [None, None], "category": ["pool", "pool"]}, ["pool", "pool"]),
        ({"type": ["pool", "pool"]}, ["pool", "pool"]),
        ({"name": ["Lido East", "Lido West"]}, ["object", "object"]),
        ({"type": ["pool", None]}, ["object", "object"]),
        ({"area": [1.0, 2.0]}, ["object", "object"]),
    ],
)
def test_the_class_column_is_the_obvious_one(
    tmp_path: Path, columns: dict[str, list[object]], expected: list[str]
) -> None:
    path = save_table(layer([POOL, TANK], **columns), tmp_path / "labels.gpkg")
    assert list(read(path)["class"]) == expected


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".fgb", ".parquet", ".shp"])
def test_whole_numbers_of_any_type_are_classes(tmp_path: Path, suffix: str) -> None:
    table = layer([POOL, TANK, POOL], **{"class": np.array([1.0, 2.0, 1.0])})
    table = table.to_crs("OGC:CRS84") if suffix == ".geojson" else table
    path = save_table(table, tmp_path / f"labels{suffix}")
    assert sorted(read(path)["class"]) == ["1", "1", "2"]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([0.5, 0.7], "'class' holds numbers with decimals"),
        ([True, False], "'class' holds true and false"),
        ([None, None], "'class' holds no values"),
        (pd.to_datetime(["2020-01-01", "2021-01-01"]), "'class' holds values of type datetime"),
    ],
)
def test_a_class_column_that_cannot_be_used_is_named_with_the_reason(
    tmp_path: Path, values: Any, reason: str
) -> None:
    path = tmp_path / "labels.parquet"
    layer([POOL, TANK], **{"class": values}).to_parquet(path)
    with pytest.warns(GeodetectWarning, match=f"{reason}; name the column with `class_field`"):
        labels = read(path)
    assert list(labels["class"]) == ["object", "object"]


@pytest.mark.parametrize(
    "spelling", ["Ba\u0308ume", "B\u00e4ume ", "\u00a0B\u00e4ume", "B\u00e4\u200bume\ufeff"]
)
def test_spellings_that_look_alike_are_one_class(tmp_path: Path, spelling: str) -> None:
    path = save_table(layer([POOL, TANK], label=["B\u00e4ume", spelling]), tmp_path / "a.gpkg")
    assert list(read(path)["class"]) == ["B\u00e4ume", "B\u00e4ume"]
    field = save_table(layer([POOL], **{spelling: ["pool"]}), tmp_path / "b.gpkg")
    assert list(read(field, class_field="B\u00e4ume")["class"]) == ["pool"]


def test_a_named_class_column_is_used_in_any_case(tmp_path: Path) -> None:
    path = save_table(layer([POOL], Objekt=["  pool "], label=["x"]), tmp_path / "labels.gpkg")
    assert list(read(path, class_field="OBJEKT")["class"]) == ["pool"]


def test_a_missing_class_column_is_an_error_that_lists_the_columns(tmp_path: Path) -> None:
    path = save_table(layer([POOL], kind=["x"], height=[2]), tmp_path / "labels.gpkg")
    with pytest.raises(LabelError, match=r"no column 'klass', only kind, height.*`class_field`"):
        read(path, class_field="klass")


def test_integers_next_to_gaps_stay_integers(tmp_path: Path) -> None:
    path = save_table(layer([POOL, TANK], code=[3.0, None]), tmp_path / "labels.gpkg")
    labels = read(path, class_field="code", default_class="other")
    assert list(labels["class"]) == ["3", "other"]
    obvious = save_table(layer([POOL, TANK], class_id=[3.0, None]), tmp_path / "obvious.gpkg")
    assert list(read(obvious, default_class="other")["class"]) == ["3", "other"]
    with pytest.raises(LabelError, match="1 of 2 rows without a class in column 'class_id'"):
        read(obvious)


def test_rows_without_a_class_are_an_error_unless_a_default_is_given(tmp_path: Path) -> None:
    path = save_table(layer([POOL, TANK], label=["pool", None]), tmp_path / "labels.gpkg")
    with pytest.raises(LabelError, match="1 of 2 rows without a class in column 'label'"):
        read(path)
    assert list(read(path, default_class="tank")["class"]) == ["pool", "tank"]


def test_a_file_without_classes_beside_one_with_is_an_error(tmp_path: Path) -> None:
    with_classes = save_table(layer([POOL], label=["pool"]), tmp_path / "a.gpkg")
    without = save_table(layer([TANK]), tmp_path / "b.gpkg")
    with pytest.raises(LabelError, match=r"b\.gpkg has no column of classes"):
        read([with_classes, without])
    both = read([with_classes, without], default_class="tank")
    assert list(both["class"]) == ["pool", "tank"]


def test_a_file_without_crs_is_an_error_until_the_crs_is_named(tmp_path: Path) -> None:
    path = save_table(layer([POOL]).set_crs(None, allow_override=True), tmp_path / "labels.shp")
    with pytest.raises(LabelError, match=r"no coordinate reference system.*`labels_crs`"):
        read(path)
    assert read(path, crs="EPSG:32632").crs.to_epsg() == 32632


def test_an_undefined_crs_of_geopackage_is_none(tmp_path: Path) -> None:
    path = save_table(layer([POOL]).set_crs(None, allow_override=True), tmp_path / "labels.gpkg")
    with pytest.raises(LabelError, match="no coordinate reference system"):
        read(path)


def test_metres_in_a_geojson_without_crs_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "labels.geojson"
    feature = {"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(POOL)}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    with pytest.raises(LabelError, match=r"5249990.*no degrees.*`labels_crs`"):
        read(path)
    np.testing.assert_allclose(boxes_on(NORTH_UP, read(path, crs="EPSG:32632")), [[20, 20, 36, 40]])


def test_parts_that_touch_are_one_object_and_disjoint_parts_are_several(tmp_path: Path) -> None:
    touching = shapely.MultiPolygon([shapely.box(0, 0, 2, 2), shapely.box(2, 2, 4, 4)])
    chain = [shapely.box(i, 0, i + 1, 1) for i in range(10, 20, 2)]
    chain += [shapely.box(i, 1, i + 1, 2) for i in range(11, 19, 2)]
    apart = shapely.MultiPolygon([*chain, shapely.box(50, 0, 52, 2)])
    path = save_table(layer([apart, touching], label=["a", "b"]), tmp_path / "labels.gpkg")
    with pytest.warns(GeodetectWarning, match="1 added from disjoint parts"):
        labels = read(path)
    assert sorted((c, g.bounds) for c, g in zip(labels["class"], labels.geometry, strict=True)) == [
        ("a", (10, 0, 19, 2)),
        ("a", (50, 0, 52, 2)),
        ("b", (0, 0, 4, 4)),
    ]
    assert read_labels(path).report.split == 1


def test_lines_are_an_error(tmp_path: Path) -> None:
    path = save_table(layer([POOL, shapely.LineString([(0, 0), (1, 1)])]), tmp_path / "labels.gpkg")
    with pytest.raises(LabelError, match=r"holds LineString; expected polygons"):
        read(path, point_size_m=5)


def test_points_are_an_error_that_names_the_option_for_their_size(tmp_path: Path) -> None:
    path = save_table(layer([shapely.Point(1, 1), POOL]), tmp_path / "labels.gpkg")
    with pytest.raises(LabelError, match=r"holds 1 points; .*`point_size`"):
        read(path)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from([2154, 32632, 4326, 3857, 2263]), st.floats(-180, 180), st.floats(1, 40))
def test_a_point_with_a_size_is_a_box_of_true_size_on_any_grid(
    tmp_path_factory: pytest.TempPathFactory, epsg: int, angle: float, size_m: float
) -> None:
    turn, gsd_x, gsd_y = np.deg2rad(angle), 0.2, 0.3
    transform = Affine(
        *(gsd_x * np.cos(turn), gsd_y * np.sin(turn), 5e5),
        *(gsd_x * np.sin(turn), -gsd_y * np.cos(turn), 5.25e6),
    )
    grid = Grid(UTM, transform, 400, 300)
    centre = grid.to_map(np.array([200.0, 150.0]))
    points = gpd.GeoSeries([shapely.Point(centre)], crs=UTM).to_crs(epsg)
    path = tmp_path_factory.mktemp("points") / "points.gpkg"
    labels = read(save_table(gpd.GeoDataFrame(geometry=points), path), point_size_m=size_m)
    box = boxes_on(grid, labels)[0]
    width_px, height_px = size_m / np.array(grid.gsd_xy_m)
    np.testing.assert_allclose(box[2:] - box[:2], [width_px, height_px], rtol=0.003)
    np.testing.assert_allclose((box[2:] + box[:2]) / 2, [200, 150], atol=1e-3 + 1e-3 * width_px)


def test_each_point_of_a_multipoint_is_an_object_and_polygons_stay_as_they_are(
    tmp_path: Path,
) -> None:
    pair = shapely.MultiPoint([(500_050, 5_249_950), (500_051, 5_249_950)])
    table = layer([pair, POOL, shapely.Point(500_080, 5_249_900)], label=["car", "pool", "car"])
    with pytest.warns(GeodetectWarning, match="1 added from disjoint parts"):
        labels = read(save_table(table, tmp_path / "labels.gpkg"), point_size_m=4)
    assert list(labels["class"]) == ["car", "car", "pool", "car"]
    assert labels.geometry.iloc[2].equals(POOL)
    np.testing.assert_allclose(boxes_on(NORTH_UP, labels)[0], [96, 96, 104, 104], atol=0.02)


def test_rows_without_area_are_dropped_and_counted(tmp_path: Path) -> None:
    flat = shapely.Polygon([(0, 0), (1, 0), (0, 0)])
    table = layer([None, POOL, shapely.Polygon(), flat], label=["a", "pool", "c", "d"])
    path = save_table(table, tmp_path / "labels.gpkg")
    with pytest.warns(GeodetectWarning, match="4 rows of labels: 3 without an area left out"):
        labels = read(path)
    assert list(labels["class"]) == ["pool"]
    assert read_labels(path).report.dropped == 3


def test_polygons_that_cross_themselves_are_repaired(tmp_path: Path) -> None:
    bow_tie = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2), (0, 0)])
    path = save_table(layer([bow_tie]), tmp_path / "labels.gpkg")
    labels = read(path)
    assert str(read_labels(path).report) == "1 rows of labels: 1 crossing itself repaired"
    assert len(labels) == 1
    assert labels.is_valid.all()
    assert labels.geometry.iloc[0].bounds == (0, 0, 2, 2)


def test_heights_are_flattened_and_compound_crs_reduced(tmp_path: Path) -> None:
    table = layer([shapely.force_3d(POOL, 431.5)])
    table = table.set_crs("EPSG:25832+7837", allow_override=True)
    labels = read(save_table(table, tmp_path / "labels.gpkg"))
    assert not labels.geometry.has_z.any()
    assert not CRS(labels.crs).is_compound
    grid = Grid(parse_crs("EPSG:25832"), NORTH_UP.transform, 400, 300)
    np.testing.assert_allclose(boxes_on(grid, labels), [[20, 20, 36, 40]], atol=1e-6)


@pytest.mark.parametrize("suffix", [".gpkg", ".parquet", ".shp"])
def test_an_empty_layer_is_ground_without_objects(tmp_path: Path, suffix: str) -> None:
    table = layer([POOL], label=["pool"]).iloc[:0]
    options = {} if suffix == ".parquet" else {"geometry_type": "Polygon"}
    path = save_table(table, tmp_path / f"labels{suffix}", **options)
    labels = read(path)
    assert len(labels) == 0
    assert labels.crs.to_epsg() == 32632
    (labelled,) = place_labels(read_labels(path), [NORTH_UP_RASTER])
    shapes = (labelled.boxes.shape, labelled.class_names.shape, labelled.ids.shape)
    assert shapes == ((0, 4), (0,), (0,))


def test_an_empty_geojson_is_ground_without_objects(tmp_path: Path) -> None:
    path = tmp_path / "labels.geojson"
    path.write_text('{"type": "FeatureCollection", "features": []}')
    assert len(read(path)) == 0


def test_a_file_with_several_polygon_layers_asks_which(tmp_path: Path) -> None:
    path = tmp_path / "labels.gpkg"
    save_table(layer([POOL]), path, layer="pools")
    save_table(layer([TANK, POOL]), path, layer="tanks")
    with pytest.raises(LabelError, match=r"layers pools, tanks; pick one.*layername=pools"):
        read(path)
    assert len(read(f"{path}|layername=tanks")) == 2


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.gpkg", None, "does not exist"),
        ("labels.gpkg", "no database", "cannot be read"),
        ("labels.parquet", "no parquet", "cannot be read"),
        ("labels.csv", "a,b\n1,2\n", "no geometries"),
    ],
)
def test_unusable_files_are_named(
    tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(LabelError, match=f"{name}.*{message}"):
        read(path)


@pytest.mark.parametrize("suffix", [".geojson", ".gpkg", ".parquet", ".shp"])
def test_what_detection_writes_can_be_read_as_labels(tmp_path: Path, suffix: str) -> None:
    table = layer([POOL], id=[1], score=[0.9], **{"class": ["pool"]})
    path = tmp_path / f"found{suffix}"
    vector.write(table, path, style=suffix == ".gpkg")
    labels = read(path)
    assert list(labels["class"]) == ["pool"]
    np.testing.assert_allclose(boxes_on(NORTH_UP, labels), [[20, 20, 36, 40]], atol=0.01)


def test_no_files_at_all_is_an_error() -> None:
    with pytest.raises(LabelError, match="`labels` names no file"):
        read([])


@settings(max_examples=50, deadline=None)
@given(
    st.floats(-500, 500),
    st.floats(-500, 500),
    st.floats(1, 300),
    st.floats(1, 300),
    st.floats(-180, 180),
)
def test_boxes_survive_the_way_to_the_map_and_back_on_any_grid(
    x: float, y: float, width: float, height: float, angle: float
) -> None:
    turn = np.deg2rad(angle)
    transform = Affine(
        *(0.2 * np.cos(turn), 0.3 * np.sin(turn), 5e5),
        *(0.2 * np.sin(turn), -0.3 * np.cos(turn), 5.25e6),
    )
    grid = Grid(UTM, transform, 400, 300)
    box = np.array([[x, y, x + width, y + height]])
    labels = gpd.GeoDataFrame(geometry=shapely.polygons(grid.boxes_to_map(box)), crs=UTM)
    np.testing.assert_allclose(boxes_on(grid, labels), box, atol=1e-5)


def test_long_edges_are_bent_by_the_projection_not_cut_short() -> None:
    """A parallel of 4 degrees bulges to the south of its ends' chord in UTM."""
    labels = gpd.GeoDataFrame(geometry=[shapely.box(7, 47, 11, 47.5)], crs="OGC:CRS84")
    grid = Grid(UTM, Affine(1, 0, 0, 0, -1, 6_000_000), 10, 10)
    to_utm = Transformer.from_crs("OGC:CRS84", UTM, always_xy=True)
    lon = np.linspace(7, 11, 20_001)
    lowest = np.min(to_utm.transform(lon, np.full_like(lon, 47.0))[1])
    assert to_utm.transform(7, 47)[1] - lowest > 1000
    assert boxes_on(grid, labels)[0, 3] == pytest.approx(6_000_000 - lowest, abs=0.01)


def test_only_labels_that_share_ground_with_the_raster_are_on_it(tmp_path: Path) -> None:
    inside, across = (
        shapely.box(500_010, 5_249_980, 500_018, 5_249_990),
        shapely.box(499_990, 5_249_995, 500_002, 5_250_005),
    )
    beside = shapely.box(500_200, 5_249_980, 500_210, 5_249_990)  # touches the right edge only
    other_side = shapely.box(-3e7, -5e6, -2.9e7, -4e6)
    table = layer([beside, inside, other_side, across], **{"class": ["a", "b", "c", "d"]})
    labels = read_labels(save_table(table, tmp_path / "labels.gpkg"))
    (labelled,) = place_labels(labels, [NORTH_UP_RASTER])
    assert list(labelled.class_names) == ["b", "d"]
    assert list(labelled.ids) == [1, 3]
    np.testing.assert_allclose(labelled.boxes, [[20, 20, 36, 40], [-20, -10, 4, 10]])


def test_labels_beyond_the_reach_of_the_grid_have_no_box() -> None:
    labels = gpd.GeoDataFrame(geometry=[shapely.box(99, -5, 100, -4), None], crs="OGC:CRS84")
    polar = Grid(parse_crs("EPSG:3031"), NORTH_UP.transform, 10, 10)
    gnomonic = Grid(parse_crs("+proj=gnom +lat_0=60 +lon_0=-80"), NORTH_UP.transform, 10, 10)
    assert np.isfinite(boxes_on(polar, labels)[0]).all()
    assert np.isnan(boxes_on(polar, labels)[1]).all()
    assert np.isnan(boxes_on(gnomonic, labels)).all()
