"""Content of a report, and the input that it refuses."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from PIL import Image

import geodetect
from geodetect.errors import (
    GeodetectWarning,
    GeoreferenceError,
    InputError,
    LabelError,
    RasterError,
)
from geodetect.geo.crs import parse_crs
from geodetect.geo.grid import Grid
from geodetect.io.raster.info import inspect_raster
from geodetect.io.raster.open_raster import open_raster
from geodetect.io.raster.reader import RasterOptions
from tests.conftest import METRES, Save
from tests.helpers.report_pages import report_data

SIDE = 300
BOXES = [(20, 30, 60, 50), (100, 100, 130, 140), (200, 220, 220, 260)]
SCORES = [0.4, 0.9, 0.7]


def table_of(
    boxes: Any = BOXES, transform: Affine = METRES, crs: str = "EPSG:2154", **columns: Any
) -> gpd.GeoDataFrame:
    array = np.array(boxes, float).reshape(-1, 4)
    rings = Grid(parse_crs(crs), transform, SIDE, SIDE).boxes_to_map(array)
    columns = {
        "id": range(1, len(array) + 1),
        "class": "pool",
        "score": SCORES[: len(array)],
    } | columns
    columns = {name: value for name, value in columns.items() if value is not None}
    return gpd.GeoDataFrame(columns, geometry=shapely.polygons(rings), crs=crs)


@pytest.fixture
def imagery(save: Save) -> Path:
    pixels = np.full((3, SIDE, SIDE), 60, np.uint8)
    for x1, y1, x2, y2 in BOXES:
        pixels[:, y1:y2, x1:x2] = 200
    return save(pixels)


def boxes_of(layer: dict[str, Any]) -> Any:
    x, y, w, h = (np.array(layer[side]) / 10 for side in "xywh")
    return np.stack([x, y, x + w, y + h], axis=1)


def test_predictions_are_on_the_page_in_descending_order_of_their_scores(
    tmp_path: Path, imagery: Path
):
    data = report_data(tmp_path, table_of(), raster=imagery)
    assert data["predictions"]["score"] == [0.9, 0.7, 0.4]
    np.testing.assert_allclose(
        boxes_of(data["predictions"]), [BOXES[1], BOXES[2], BOXES[0]], atol=0.06
    )
    assert data["grid"]["gsd_m"][0] == pytest.approx(0.2, rel=0.01)
    ids = next(c for c in data["predictions"]["columns"] if c["name"] == "id")
    assert ids["values"] == [2, 3, 1]


@pytest.mark.parametrize("suffix", ["geojson", "gpkg", "fgb", "parquet", "shp"])
def test_every_format_lands_in_the_same_place(tmp_path: Path, imagery: Path, suffix: str):
    path = geodetect.write(table_of(), tmp_path / f"pools.{suffix}")
    data = report_data(tmp_path, path, raster=imagery)
    np.testing.assert_allclose(
        boxes_of(data["predictions"]), [BOXES[1], BOXES[2], BOXES[0]], atol=0.2
    )


def test_on_a_rotated_raster_boxes_are_drawn_along_its_sides(tmp_path: Path, save: Save):
    rotated = Affine.translation(700_000, 6_600_000) @ Affine.rotation(25) @ Affine.scale(0.2, -0.2)
    path = save(np.full((3, SIDE, SIDE), 90, np.uint8), transform=rotated)
    data = report_data(tmp_path, table_of(transform=rotated), raster=path)
    np.testing.assert_allclose(
        boxes_of(data["predictions"]), [BOXES[1], BOXES[2], BOXES[0]], atol=0.06
    )


def test_the_centre_of_an_object_is_in_latitude_and_longitude(tmp_path: Path, imagery: Path):
    data = report_data(tmp_path, table_of(BOXES[:1]), raster=imagery)
    centre = next(c for c in data["predictions"]["columns"] if c["name"] == "centre")["constant"]
    expected = table_of(BOXES[:1]).centroid.to_crs("EPSG:4326").iloc[0]
    latitude, longitude = map(float, centre.split(", "))
    assert (longitude, latitude) == pytest.approx((expected.x, expected.y), abs=1e-6)


def test_small_imagery_is_inside_the_page_and_looks_like_the_raster(tmp_path: Path, imagery: Path):
    imagery = report_data(tmp_path, table_of(), raster=imagery)["imagery"]
    assert imagery["folder"] is None
    prefix, _, text = imagery["tiles"]["0/0_0"].partition(",")
    assert prefix == "data:image/webp;base64"
    decoded = np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))
    assert decoded.shape == (SIDE, SIDE, 3)
    assert abs(int(decoded[120, 115, 0]) - 200) < 10
    assert abs(int(decoded[180, 30, 0]) - 60) < 10
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.html", "scene.tif"]


def test_imagery_beside_the_page_is_named_relative_to_it(tmp_path: Path, imagery: Path):
    tiles = report_data(tmp_path, table_of(), raster=imagery, imagery="beside")["imagery"]
    assert (tiles["folder"], tiles["tiles"]) == ("report_files", ["0/0_0"])
    assert Image.open(tmp_path / "report_files" / "0" / "0_0.webp").size == (SIDE, SIDE)
    assert report_data(tmp_path, table_of(), raster=imagery)["imagery"]["folder"] is None
    assert not (tmp_path / "report_files").exists()


def test_objects_in_imagery_that_is_coarser_than_the_raster_have_thumbnails(
    tmp_path: Path, imagery: Path
):
    data = report_data(tmp_path, table_of(), raster=imagery, gsd=0.8)
    assert data["imagery"]["width"] == SIDE // 4
    assert len(data["thumbnails"]) == 3
    assert report_data(tmp_path, table_of(), raster=imagery)["thumbnails"] == {}


def test_the_same_input_gives_the_same_bytes(tmp_path: Path, imagery: Path):
    pages = []
    for _ in range(2):
        report_data(tmp_path, table_of(), raster=imagery, truth=table_of(), imagery="beside")
        pages.append([p.read_bytes() for p in sorted(tmp_path.rglob("*")) if p.is_file()])
    assert pages[0] == pages[1]


def test_with_truth_the_page_has_matches_and_the_worst_errors(tmp_path: Path, imagery: Path):
    truth = table_of([BOXES[1], (10, 200, 30, 220)], score=None)
    data = report_data(tmp_path, table_of(), raster=imagery, truth=truth)
    assert data["truth"]["truth_rows"] == [0, -1, -1]
    assert data["truth"]["prediction_rows"] == [0, -1]
    assert data["truth"]["ap50"] == pytest.approx(0.5, abs=0.01)
    assert [error["row"] for error in data["errors"]["fp"]] == [1, 2]
    assert [error["row"] for error in data["errors"]["fn"]] == [1]
    above = report_data(tmp_path, table_of(), raster=imagery, truth=truth, conf=0.6, thumbnails=1)
    assert [error["row"] for error in above["errors"]["fp"]] == [1]


def test_classes_count_if_both_layers_share_them(tmp_path: Path, imagery: Path):
    predictions = table_of(**{"class": ["Pool", "car", "pool"]})
    truth = table_of(score=None, **{"class": ["pool", "pool", "tree"]})
    data = report_data(tmp_path, predictions, raster=imagery, truth=truth)
    assert [name.lower() for name in data["classes"]] == ["car", "pool", "tree"]
    assert data["truth"]["truth_rows"] == [-1, -1, 0]
    assert data["truth"]["class"] == [1, 1, 2]
    ignored = report_data(tmp_path, predictions, raster=imagery, truth=truth, ignore_classes=True)
    assert ignored["truth"]["truth_rows"] == [1, 2, 0]
    assert ignored["truth"]["class"] == [-1, -1, -1]


def test_without_a_raster_objects_lie_on_a_blank_map(tmp_path: Path):
    data = report_data(tmp_path, table_of())
    assert data["imagery"] is None
    boxes = boxes_of(data["predictions"])
    assert (boxes > 0).all()
    assert (boxes < [data["grid"]["width"], data["grid"]["height"]] * 2).all()
    side_m = (boxes[0, 2] - boxes[0, 0]) * data["grid"]["gsd_m"][40]
    assert side_m == pytest.approx(30 * 0.2, rel=0.02)


def test_without_scores_there_are_none(tmp_path: Path, imagery: Path):
    data = report_data(tmp_path, table_of(score=None), raster=imagery, conf=0.5)
    assert data["predictions"]["score"] is None
    assert len(data["predictions"]["x"]) == 3


def test_another_column_can_hold_the_score(tmp_path: Path, imagery: Path):
    predictions = table_of(score=None, quality=[1, 3, 2])
    assert report_data(tmp_path, predictions, raster=imagery, score_field="quality")["predictions"][
        "score"
    ] == [
        3,
        2,
        1,
    ]


def test_points_are_shown(tmp_path: Path, imagery: Path):
    predictions = table_of()
    predictions["geometry"] = predictions.centroid
    boxes = boxes_of(report_data(tmp_path, predictions, raster=imagery)["predictions"])
    np.testing.assert_allclose(boxes[0], [115, 120, 115, 120], atol=0.06)
    with pytest.raises(LabelError, match="no extent"):
        report_data(tmp_path, predictions, raster=imagery, truth=table_of())


def test_pixel_coordinates_need_no_crs(tmp_path: Path, save: Save):
    path = save(np.full((3, SIDE, SIDE), 90, np.uint8), crs=None, transform=None)
    predictions = gpd.GeoDataFrame(
        {"score": SCORES}, geometry=shapely.box(*np.array(BOXES, float).T)
    )
    data = report_data(tmp_path, predictions, raster=path, truth=predictions, pixel_coords=True)
    np.testing.assert_allclose(boxes_of(data["predictions"]), [BOXES[1], BOXES[2], BOXES[0]])
    assert data["grid"]["gsd_m"] is None
    assert data["truth"]["truth_rows"] == [1, 2, 0]


def test_no_predictions_on_a_raster_are_a_result(tmp_path: Path, imagery: Path):
    data = report_data(tmp_path, table_of().iloc[:0], raster=imagery, truth=table_of())
    assert data["predictions"]["x"] == []
    assert len(data["errors"]["fn"]) == 3
    first = report_data(
        tmp_path, table_of().iloc[:0], raster=imagery, truth=table_of(), thumbnails=2
    )
    assert first["errors"]["fn"] == data["errors"]["fn"][:2]


def test_no_predictions_and_no_raster_are_nothing_to_show(tmp_path: Path):
    with pytest.raises(InputError, match="no predictions to show; set `raster`"):
        report_data(tmp_path, table_of().iloc[:0])


def test_predictions_beyond_the_raster_are_left_out_with_a_warning(tmp_path: Path, imagery: Path):
    predictions = table_of([*BOXES[:2], (5000, 5000, 5010, 5010)])
    with pytest.warns(GeodetectWarning, match=r"1 of 3 predictions lies outside scene\.tif"):
        data = report_data(tmp_path, predictions, raster=imagery)
    assert len(data["predictions"]["x"]) == 2


def test_predictions_of_another_area_are_an_error_with_both_extents(tmp_path: Path, imagery: Path):
    far = table_of(transform=Affine(0.2, 0, 300_000, 0, -0.2, 6_600_000))
    with pytest.raises(
        InputError, match=r"none of the 3 predictions .* they are at x 30000[0-9.]+ "
    ):
        report_data(tmp_path, far, raster=imagery)
    with pytest.raises(InputError, match="none of the 3 objects of the ground truth"):
        report_data(tmp_path, table_of(), raster=imagery, truth=far)
    assert not (tmp_path / "report.html").exists()


def test_predictions_without_a_crs_are_an_error_that_names_the_parameter(
    tmp_path: Path, imagery: Path
):
    without_crs = table_of().set_crs(None, allow_override=True)
    with pytest.raises(GeoreferenceError, match="`pred_crs`"):
        report_data(tmp_path, without_crs, raster=imagery)
    data = report_data(tmp_path, without_crs, raster=imagery, pred_crs="EPSG:2154")
    np.testing.assert_allclose(boxes_of(data["predictions"])[0], BOXES[1], atol=0.06)


def test_a_raster_that_breaks_off_leaves_no_report_data(tmp_path: Path, imagery: Path):
    whole = imagery.read_bytes()
    imagery.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RasterError, match=r"scene\.tif: cannot read"):
        report_data(tmp_path, table_of(), raster=imagery)
    assert [p.name for p in tmp_path.iterdir()] == ["scene.tif"]


def test_every_raster_of_the_collection_can_be_shown(tmp_path: Path, shared_data: Path):
    with_imagery = 0
    for path in sorted((shared_data / "rasters").glob("*.tif")):
        facts = inspect_raster(path)
        if facts["dtype"].startswith("complex"):
            continue
        in_pixels = facts["crs"] is None
        with open_raster(path, RasterOptions(pixel_coords=in_pixels)) as raster:
            ring = raster.grid.boxes_to_map(np.array([[0.0, 0, 5, 5]]))
            corner = gpd.GeoDataFrame(
                {"class": ["pool"]}, geometry=shapely.polygons(ring), crs=raster.grid.crs
            )
        options = {"pixel_coords": in_pixels, "imagery": "inside"}
        data = report_data(tmp_path, corner, raster=path, **options)
        np.testing.assert_allclose(boxes_of(data["predictions"])[0, :2], [0, 0], atol=0.06)
        with_imagery += bool(data["imagery"]["tiles"])
    assert with_imagery > 40  # some hold nothing but nodata


def test_a_box_that_is_off_is_a_third_kind_of_error(tmp_path: Path, imagery: Path):
    truth = table_of([(110, 100, 140, 140), (215, 220, 235, 260), BOXES[0]], score=None)
    data = report_data(tmp_path, table_of(), raster=imagery, truth=truth, iou=0.6)
    assert data["truth"]["loose_rows"] == [[0, 0, 0.5], [1, 1, 0.143]]
    assert data["truth"]["truth_rows"] == [-1, -1, 2]
    loose = [(e["row"], e["truth_row"], e["iou"]) for e in data["errors"]["loose"]]
    assert loose == [(1, 1, 0.143), (0, 0, 0.5)]  # the worst first
    assert data["errors"]["fp"] == data["errors"]["fn"] == []


def test_loose_truth_is_matched_by_distance(tmp_path: Path, imagery: Path):
    truth = table_of(score=None)
    truth["geometry"] = truth.centroid.translate(1.0, 0)
    data = report_data(tmp_path, table_of(), raster=imagery, truth=truth, distance=1.5)
    assert data["truth"]["truth_rows"] == [1, 2, 0]
    assert (data["truth"]["distance_m"], data["truth"]["loose_rows"]) == (1.5, [])
    far = report_data(tmp_path, table_of(), raster=imagery, truth=truth, distance=0.5)
    assert far["truth"]["truth_rows"] == [-1, -1, -1]
