"""Evaluation of a model against labels in pixels of images."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
from numpy.typing import NDArray

import geodetect
from geodetect.errors import GeodetectWarning, GeoreferenceError, InputError, LabelError
from geodetect.settings import EvaluateSettings, PredictSettings
from tests.helpers.image_sets import KINDS, write_image_set, write_images
from tests.helpers.label_files import write_text
from tests.helpers.square_scenes import (
    BRIGHT,
    CRS,
    DARK,
    GSD_M,
    grid_corners,
    square_boxes,
    squares_image,
    write_labels,
    write_raster,
)

SIDE = 128
CORNERS = grid_corners(SIDE)
IMAGES = {"a.png": CORNERS, "b.png": CORNERS[:2], "empty.png": []}
SETTINGS = EvaluateSettings(conf=0.5)
IN_PIXELS = PredictSettings(gsd=GSD_M)


def bright(
    image: NDArray[np.uint8],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Find the squares that lie at a corner of the grid."""
    corners = [(x, y) for x, y in CORNERS if image[0, y + 8, x + 8] > (BRIGHT + DARK) / 2]
    return square_boxes(corners), np.full(len(corners), 0.9), np.zeros(len(corners), np.int64)


def detector() -> geodetect.CallableDetector:
    return geodetect.CallableDetector(bright, classes=("square",), gsd_m=GSD_M)


@pytest.mark.parametrize("kind", KINDS)
def test_images_of_any_data_set_are_matched_each_with_its_labels(tmp_path: Path, kind: str) -> None:
    write_images(tmp_path / "images", IMAGES, side=SIDE)
    labels = write_image_set(tmp_path, IMAGES, kind, side=SIDE)
    result = geodetect.evaluate_model(
        detector(), tmp_path / "images", labels, SETTINGS, predict_settings=IN_PIXELS
    )
    overall = result.metrics.overall
    assert (overall.n_truth, overall.n_predicted) == (len(CORNERS) + 2, len(CORNERS) + 2)
    assert overall.at_threshold.f1 == 1
    # as they lie in each image
    expected = [*square_boxes(CORNERS).tolist(), *square_boxes(CORNERS[:2]).tolist()]
    for table in (result.predictions, result.truth):
        assert sorted(table.bounds.to_numpy().tolist()) == sorted(expected)
    assert result.truth["raster"].tolist() == ["a.png"] * len(CORNERS) + ["b.png"] * 2


def test_squares_of_another_image_at_the_same_pixels_are_no_match(tmp_path: Path) -> None:
    images = write_images(tmp_path, {"a.png": CORNERS, "b.png": [(28, 28)]}, side=SIDE)
    labels = write_image_set(tmp_path, {"a.png": [], "b.png": CORNERS}, "coco", side=SIDE)
    result = geodetect.evaluate_model(
        detector(), images, labels, SETTINGS, predict_settings=IN_PIXELS
    )
    counts = result.metrics.overall.at_threshold
    assert (counts.tp, counts.fp, counts.fn) == (0, len(CORNERS), len(CORNERS))
    written = result.write_errors(tmp_path / "errors.gpkg")
    misses = gpd.read_file(written, layer="false_negatives")
    assert set(misses["raster"]) == {"b.png"}
    assert sorted(misses.bounds.to_numpy().tolist()) == sorted(square_boxes(CORNERS).tolist())


def test_labels_in_pixels_lie_on_the_map_where_their_rasters_do(tmp_path: Path) -> None:
    sheet = write_raster(tmp_path / "a.tif", squares_image(SIDE, CORNERS))
    labels = write_image_set(tmp_path, {"a.png": CORNERS}, "yolo", side=SIDE)
    result = geodetect.evaluate_model(detector(), sheet, labels, SETTINGS)
    assert result.metrics.overall.at_threshold.f1 == 1
    assert result.truth.crs == CRS


def test_unknown_resolution_is_told(tmp_path: Path) -> None:
    images = write_images(tmp_path, {"a.png": CORNERS}, side=SIDE)
    labels = write_image_set(tmp_path, {"a.png": CORNERS}, "coco", side=SIDE)
    with pytest.warns(GeodetectWarning, match=r"a\.png: no georeference, .*`gsd`"):
        geodetect.evaluate_model(detector(), images, labels, SETTINGS)


def test_labels_of_both_kinds_are_an_error(tmp_path: Path) -> None:
    sheet = write_raster(tmp_path / "a.tif", squares_image(SIDE, CORNERS))
    labels = write_image_set(tmp_path, {"a.png": CORNERS}, "coco", side=SIDE)
    layer = write_labels(tmp_path / "labels.geojson", [(0, 0, 9, 9)])
    with pytest.raises(InputError, match=r"labels in pixels of images .* and layers on the map"):
        geodetect.evaluate_model(detector(), sheet, [labels, layer], SETTINGS)


def test_a_folder_of_vector_files_is_the_truth_as_in_a_training(tmp_path: Path) -> None:
    sheet = write_raster(tmp_path / "a.tif", squares_image(SIDE, CORNERS))
    (tmp_path / "labels").mkdir()
    for number, corners in enumerate((CORNERS[:2], CORNERS[2:])):
        boxes = square_boxes(corners).tolist()
        write_labels(tmp_path / "labels" / f"{number}.geojson", boxes)
    result = geodetect.evaluate_model(detector(), sheet, tmp_path / "labels", SETTINGS)
    assert result.metrics.overall.at_threshold.f1 == 1


def test_layers_that_are_labels_in_pixels_are_named(tmp_path: Path) -> None:
    layer = write_labels(tmp_path / "predictions.geojson", square_boxes(CORNERS).tolist())
    labels = write_image_set(tmp_path, {"a.png": CORNERS}, "coco", side=SIDE)
    with pytest.raises(LabelError, match=r"coco\.json: labels of COCO in pixels of im.*`model`"):
        geodetect.evaluate(layer, labels)
    row = {"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}
    results = write_text(tmp_path / "results.json", json.dumps([row]))
    with pytest.raises(InputError, match=r"results\.json is a file of results of COCO"):
        geodetect.evaluate(results, layer)


def test_a_model_on_images_with_labels_on_a_map_is_an_error_without_other_options(
    tmp_path: Path,
) -> None:
    images = write_images(tmp_path, {"a.png": CORNERS}, side=SIDE)
    layer = write_labels(tmp_path / "labels.geojson", square_boxes(CORNERS).tolist())
    with pytest.raises(GeoreferenceError, match=r"or give labels in pixels .* as `truth`") as error:
        geodetect.evaluate_model(detector(), images, layer, SETTINGS)
    assert "pixel_coords" not in str(error.value)


def test_outlines_of_image_labels_are_compared_as_outlines(tmp_path: Path) -> None:
    write_images(tmp_path / "images", {"a.png": CORNERS}, side=SIDE)
    triangles = [
        [x, y, x + 16, y, x, y + 16]
        for x, y in CORNERS  # half of each square
    ]
    coco = {
        "images": [{"id": 1, "file_name": "a.png", "width": SIDE, "height": SIDE}],
        "categories": [{"id": 1, "name": "square"}],
        "annotations": [
            {
                "id": n,
                "image_id": 1,
                "category_id": 1,
                "bbox": [x, y, 16, 16],
                "segmentation": [points],
            }
            for n, ((x, y), points) in enumerate(zip(CORNERS, triangles, strict=True), 1)
        ],
    }
    labels = write_text(tmp_path / "coco.json", json.dumps(coco))
    result = geodetect.evaluate_model(
        detector(),
        tmp_path / "images",
        labels,
        EvaluateSettings(conf=0.5, iou=0.3, match="outline"),
        predict_settings=IN_PIXELS,
    )
    overall = result.metrics.overall
    assert overall.at_threshold.f1 == 1
    assert overall.outlines is not None
    assert overall.outlines.errors.iou == pytest.approx(0.5)
    assert overall.outlines.errors.area_ratio == pytest.approx(2)
