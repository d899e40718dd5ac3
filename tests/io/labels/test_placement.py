"""Placement of labels on rasters."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from geodetect.errors import GeodetectWarning, GeoreferenceError, LabelError
from geodetect.geo.bounds import bounds_px
from geodetect.geo.crs import parse_crs
from geodetect.geo.grid import Grid
from geodetect.io.labels.label_set import LabelOptions, LabelSet, MapLabels
from geodetect.io.labels.labelled_raster import LabelledRaster
from geodetect.io.labels.placement import check_placement, place_labels
from geodetect.io.labels.read import read_labels
from geodetect.io.labels.vector import read_map_labels
from geodetect.io.raster.reader import Raster

UTM, LAEA = parse_crs("EPSG:32632"), parse_crs("EPSG:3035")
GRID = Grid(UTM, Affine(0.5, 0, 500_000, 0, -0.5, 5_250_000), 400, 300)


def neighbour(columns: int) -> Grid:
    """The grid of a sheet so many sheets to the east."""
    return Grid(UTM, Affine(0.5, 0, 500_000 + 200 * columns, 0, -0.5, 5_250_000), 400, 300)


def map_labels(boxes: list[list[float]], crs: str = UTM, source: str = "a.gpkg") -> MapLabels:
    """Labels given by boxes in the pixels of the first grid."""
    polygons = shapely.polygons(GRID.boxes_to_map(np.array(boxes, float).reshape(-1, 4)))
    table = gpd.GeoSeries(polygons, crs=UTM).to_crs(crs)
    names = np.array([f"class {i}" for i in range(len(table))], dtype=object)
    return MapLabels(source, np.asarray(table, object), names, np.arange(len(table)), crs)


def write_coco(path: Path, names: list[str], *, size: tuple[int, int] | None = None) -> Path:
    """A COCO file with one box on each image."""
    extent = {} if size is None else {"width": size[0], "height": size[1]}
    images = [{"id": i, "file_name": name, **extent} for i, name in enumerate(names)]
    annotations = [
        {"image_id": i, "category_id": 1, "bbox": [10 * i, 0, 5, 5]} for i in range(len(names))
    ]
    categories = [{"id": 1, "name": "pool"}]
    document = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(document))
    return path


def no_raster(path: str, grid: Grid = GRID) -> Raster:
    """A raster of which only path and grid are asked for: there is no such file."""
    return Raster(path, grid, (1, 2, 3), "uint8")


def lefts(labelled: list[LabelledRaster]) -> list[list[float]]:
    return [raster.boxes[:, 0].tolist() for raster in labelled]


def complain(labels: LabelSet, path: str = "a.tif") -> None:
    check_placement(labels, place_labels(labels, [no_raster(path)]))


@given(
    st.lists(st.tuples(st.floats(-900, 1300), st.floats(-400, 700)), max_size=20),
    st.sampled_from([UTM, LAEA, parse_crs("EPSG:4326")]),
    st.floats(-180, 180),
)
def test_each_raster_takes_what_touches_it_and_nothing_else(
    corners: list[tuple[float, float]], crs: str, angle: float
) -> None:
    source = map_labels([[x, y, x + 20, y + 10] for x, y in corners], crs)
    turned = Grid(UTM, GRID.transform @ Affine.rotation(angle), 400, 300)
    grids = [GRID, neighbour(1), turned, Grid(LAEA, Affine(1, 0, 4e6, 0, -1, 3e6), 50, 50)]
    placed = place_labels(
        LabelSet((source,)), [no_raster(f"{i}.tif", g) for i, g in enumerate(grids)]
    )
    table = gpd.GeoDataFrame({"class": source.names}, geometry=source.geometries, crs=crs)
    for labelled, grid in zip(placed, grids, strict=True):
        boxes = bounds_px(source.geometries, crs, grid)
        rows = np.flatnonzero(
            (boxes[:, :2] < [grid.width, grid.height]).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1)
        )
        outline = shapely.polygons(grid.boxes_to_map(np.array([[0, 0, grid.width, grid.height]])))
        lie_on_it = table.to_crs(grid.crs).geometry.intersects(outline[0])
        # where the grid is turned, a box may touch the raster though its object does not
        taken = np.isin(rows, labelled.ids)
        assert list(labelled.ids) == list(rows[taken])
        assert not lie_on_it[rows[~taken]].any()
        np.testing.assert_allclose(labelled.boxes, boxes[rows[taken]], atol=1e-6)
        assert list(labelled.class_names) == list(source.names[rows[taken]])


def test_labels_of_several_files_are_numbered_through() -> None:
    first, second = map_labels([[0, 0, 9, 9]]), map_labels([[450, 0, 459, 9], [20, 0, 29, 9]])
    placed = place_labels(
        LabelSet((first, second)), [no_raster("a.tif"), no_raster("b.tif", neighbour(1))]
    )
    assert [p.ids.tolist() for p in placed] == [[0, 2], [1]]
    assert [list(p.class_names) for p in placed] == [["class 0", "class 1"], ["class 0"]]


def test_images_are_matched_by_name_whatever_folder_case_and_suffix(tmp_path: Path) -> None:
    labels = read_labels(write_coco(tmp_path / "c.json", ["images/Scene_1.PNG", "scene_2.jpg"]))
    sheets = [no_raster("/data/scene_2.tif"), no_raster("C:\\data\\scene_1.tif")]
    assert lefts(place_labels(labels, sheets)) == [[10], [0]]


def test_an_image_needs_no_crs() -> None:
    pixel_grid = Grid(None, Affine.identity(), 10, 10)
    with pytest.raises(GeoreferenceError, match=r"a\.tif has no CRS.*`src_crs`"):
        place_labels(LabelSet((map_labels([[0, 0, 9, 9]]),)), [no_raster("a.tif", pixel_grid)])


def test_yolo_shares_take_the_size_of_the_raster(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("0 0.5 0.5 0.25 0.5\n")
    placed = place_labels(read_labels(tmp_path / "a.txt"), [no_raster("a.tif")])
    assert placed[0].boxes.tolist() == [[150, 75, 250, 225]]


def test_a_raster_of_another_size_than_was_labelled_is_an_error(tmp_path: Path) -> None:
    labels = read_labels(write_coco(tmp_path / "c.json", ["a.png"], size=(800, 600)))
    with pytest.raises(LabelError, match=r"labelled at 800 x 600 px, but a\.tif has 400 x 300"):
        place_labels(labels, [no_raster("a.tif")])


def test_folders_tell_images_of_one_name_apart(tmp_path: Path) -> None:
    labels = read_labels(
        write_coco(tmp_path / "c.json", ["train/images/1.png", "val/images/1.png"])
    )
    sheets = [no_raster("set/val/tifs/1.tif"), no_raster("set/train/tifs/1.tif")]
    assert lefts(place_labels(labels, sheets)) == [[10], [0]]


def test_folders_tell_rasters_of_one_name_apart(tmp_path: Path) -> None:
    labels = read_labels(write_coco(tmp_path / "c.json", ["train/1.png"]))
    sheets = [no_raster("set/valid/1.tif"), no_raster("set/train/1.tif")]
    assert lefts(place_labels(labels, sheets)) == [[], [0]]


@pytest.mark.parametrize(
    ("images", "rasters"),
    [(["x/1.png", "y/1.png"], ["1.tif"]), (["1.png"], ["a/1.tif", "b/1.tif"])],
)
def test_images_that_may_be_several_rasters_are_an_error(
    tmp_path: Path, images: list[str], rasters: list[str]
) -> None:
    labels = read_labels(write_coco(tmp_path / "c.json", images))
    with pytest.raises(LabelError, match=r"1\.\w+ may be"):
        place_labels(labels, [no_raster(path) for path in rasters])


def test_a_raster_that_is_given_twice_has_its_labels_twice(tmp_path: Path) -> None:
    labels = read_labels(write_coco(tmp_path / "c.json", ["a.png"]))
    assert lefts(place_labels(labels, [no_raster("a.tif"), no_raster("a.tif")])) == [[0], [0]]


def test_images_without_a_raster_are_named(tmp_path: Path) -> None:
    labels = read_labels(write_coco(tmp_path / "c.json", ["a.png", "b.png"]))
    with pytest.warns(
        GeodetectWarning, match=r"1 of 2 labelled images match no raster.*\(b\.png\)"
    ):
        complain(labels)


def test_a_file_whose_labels_lie_nowhere_is_named() -> None:
    far = map_labels([[9000, 0, 9009, 9]], source="far.gpkg")
    labels = LabelSet((far, map_labels([[0, 0, 9, 9]])))
    with pytest.warns(GeodetectWarning, match=r"far\.gpkg: none of its 1 labels"):
        complain(labels)


def test_a_data_set_of_other_images_is_an_error_that_shows_both_names(tmp_path: Path) -> None:
    labels = read_labels(write_coco(tmp_path / "c.json", ["a.png", "b.png"]))
    with pytest.raises(LabelError, match=r"images called a\.png, b\.png, the rasters.*c\.tif"):
        complain(labels, "/data/c.tif")


def test_labels_that_all_lie_elsewhere_are_an_error_with_their_crs() -> None:
    labels = LabelSet((map_labels([[9000, 0, 9009, 9]]),))
    with pytest.raises(LabelError, match=r"none of the 1 labels.*UTM zone 32N\)$"):
        complain(labels)


def test_numbers_that_fit_the_raster_in_its_own_crs_are_recognised(tmp_path: Path) -> None:
    wrong = map_labels([[0, 0, 9, 9]])
    wrong = MapLabels("a.shp", wrong.geometries, wrong.names, wrong.rows, parse_crs("EPSG:32633"))
    with pytest.raises(LabelError, match=r"in its own CRS.*`labels_crs` to EPSG:32632"):
        complain(LabelSet((wrong,)))


def test_swapped_coordinates_are_recognised() -> None:
    right = map_labels([[0, 0, 9, 9]], parse_crs("EPSG:4326"))
    swapped = shapely.transform(right.geometries, lambda xy: xy[:, ::-1])
    wrong = MapLabels("a.csv", swapped, right.names, right.rows, right.crs)
    with pytest.raises(LabelError, match="with x and y swapped they would lie there"):
        complain(LabelSet((wrong,)))


def test_no_objects_at_all_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "labels.geojson"
    path.write_text('{"type": "FeatureCollection", "features": []}')
    with pytest.raises(LabelError, match=r"labels\.geojson\) hold no objects"):
        complain(read_labels(path, LabelOptions()))


def test_outlines_come_along_and_boxes_have_none() -> None:
    """In other projections upright boxes are turned a little; turned rectangles are outlines."""
    corners = shapely.box(20, 30, 60, 50)
    shapes = [corners, shapely.affinity.rotate(corners, 20), corners.centroid.buffer(12)]
    on_map = shapely.transform(np.array(shapes, dtype=object), GRID.to_map)
    for crs in (UTM, parse_crs("EPSG:4326"), LAEA):
        table = gpd.GeoDataFrame({"class": ["a"] * 3}, geometry=on_map, crs=UTM).to_crs(crs)
        labels = LabelSet((read_map_labels(table, LabelOptions()),))
        (labelled,) = place_labels(labels, [no_raster("a.tif")])
        assert labelled.outlines is not None
        box, *outlines = labelled.outlines
        assert box is None
        for outline, shape in zip(outlines, shapes[1:], strict=True):
            assert outline.symmetric_difference(shape).area < 0.01 * shape.area


def test_points_and_boxes_have_no_outlines() -> None:
    points = gpd.GeoSeries.from_xy([500_020.0], [5_249_980.0], crs=UTM)
    table = gpd.GeoDataFrame({"class": ["a"]}, geometry=points)
    labels = LabelSet((read_map_labels(table, LabelOptions(point_size_m=5)),))
    for source in (labels, LabelSet((map_labels([[5, 5, 25, 45]]),))):
        assert place_labels(source, [no_raster("a.tif")])[0].outlines is None
