"""Images without georeference in a training, a label check and a holdout."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from PIL import Image

from geodetect.errors import GeodetectError, GeodetectWarning, GeoreferenceError, InputError
from geodetect.label_check.check import check, default_anchors
from geodetect.reporting.training_report.page import write_training_page
from geodetect.settings import CheckSettings, TrainSettings
from geodetect.training.data.holdout_split import split_table
from geodetect.training.data.training_data import TrainingData, read_training_data
from geodetect.training.train import train
from tests.helpers.image_sets import KINDS, write_image_set, write_images
from tests.helpers.square_scenes import (
    grid_corners,
    square_boxes,
    squares_image,
    write_labels,
    write_raster,
)

pytestmark = pytest.mark.usefixtures("no_stored_networks")

SIDE, GSD_M = 128, 0.5
CORNERS = grid_corners(SIDE)
IMAGES = {f"{name}.png": CORNERS for name in "abcdef"} | {"empty.png": []}


def read_set(rasters: list[Path], labels: Path, **changes: object) -> TrainingData:
    values = {"tile_size": 64, "device": "cpu", "gsd": GSD_M, "check": False}
    settings = TrainSettings.model_validate(values | changes)
    with ExitStack() as stack:
        return read_training_data(
            rasters, [labels], settings, anchors=default_anchors(), stack=stack
        )


def reading_error(
    error: type[GeodetectError], rasters: list[Path], labels: Path, **changes: object
) -> str:
    with pytest.raises(error) as caught:
        read_set(rasters, labels, **changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_data_set_of_any_kind_is_trained_on_as_it_comes(tmp_path: Path, kind: str) -> None:
    write_images(tmp_path / "images", IMAGES, side=SIDE)
    labels = write_image_set(tmp_path, IMAGES, kind, side=SIDE)
    data = read_set([tmp_path / "images"], labels)
    assert data.classes == ("square",)
    assert [Path(raster.raster.path).name for raster in data.rasters] == sorted(IMAGES)
    for raster in data.rasters:
        corners = IMAGES[Path(raster.raster.path).name]
        np.testing.assert_allclose(raster.boxes, square_boxes(corners))
        assert (raster.grid.crs, raster.gsd_m) == (None, GSD_M)
    np.testing.assert_allclose(data.rasters[0].sizes_m, 16 * GSD_M)


def test_images_are_held_out_one_by_one_though_their_grids_are_alike(tmp_path: Path) -> None:
    images = write_images(tmp_path, IMAGES, side=SIDE)
    data = read_set(images, write_image_set(tmp_path, IMAGES, "coco", side=SIDE), val_share=0.3)
    held_out = [len(raster.holdout) > 0 for raster in data.rasters if len(raster.boxes)]
    assert 0 < sum(held_out) < len(held_out)
    assert all(not len(raster.overlapping_holdout) for raster in data.rasters)
    table = split_table(data.rasters)
    assert table.geometry.isna().all()
    assert table["area_m2"].sum() == len(IMAGES) * (SIDE * GSD_M) ** 2
    assert table["objects"].sum() == 6 * len(CORNERS)


def test_without_a_resolution_the_error_names_the_option_that_gives_it(tmp_path: Path) -> None:
    images = write_images(tmp_path, IMAGES, side=SIDE)
    labels = write_image_set(tmp_path, IMAGES, "coco", side=SIDE)
    message = reading_error(GeoreferenceError, images, labels, gsd=None)
    assert "set `gsd` to the ground size of its pixels" in message
    assert "`pixel_coords`" not in message
    with pytest.raises(GeoreferenceError, match="set `gsd` to the ground size"):
        check(images, labels)


def test_labels_on_a_map_need_imagery_on_the_map(tmp_path: Path) -> None:
    images = write_images(tmp_path, IMAGES, side=SIDE)
    labels = write_labels(tmp_path / "labels.geojson", [(0, 0, 9, 9)])
    message = reading_error(GeoreferenceError, images, labels)
    assert "no georeference found" in message
    assert "labels on a map need one" in message


def test_imagery_on_the_map_and_in_pixels_is_not_mixed(tmp_path: Path) -> None:
    images = write_images(tmp_path, IMAGES, side=SIDE)
    sheet = write_raster(tmp_path / "sheet.tif", squares_image(SIDE, CORNERS))
    labels = write_image_set(tmp_path, IMAGES, "coco", side=SIDE)
    message = reading_error(InputError, [*images, sheet], labels)
    assert "7 of 8 rasters have no georeference" in message


def test_imagery_on_the_map_keeps_its_resolution_with_labels_in_pixels(tmp_path: Path) -> None:
    sheet = write_raster(tmp_path / "a.tif", squares_image(SIDE, CORNERS))
    labels = write_image_set(tmp_path, {"a.png": CORNERS}, "coco", side=SIDE)
    (raster, *_) = read_set([sheet], labels, gsd=1.0).rasters
    assert raster.gsd_m == pytest.approx(0.25, rel=0.01)


def test_an_area_on_the_map_holds_out_no_images(tmp_path: Path) -> None:
    images = write_images(tmp_path, IMAGES, side=SIDE)
    labels = write_image_set(tmp_path, IMAGES, "coco", side=SIDE)
    area = tmp_path / "area.gpkg"
    gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 9, 9)], crs="EPSG:32632").to_file(area)
    assert "`val_aoi`" in reading_error(InputError, images, labels, val_aoi=area)


def test_an_image_to_validate_on_is_not_trained_on(tmp_path: Path) -> None:
    images = write_images(tmp_path, IMAGES, side=SIDE)
    labels = write_image_set(tmp_path, IMAGES, "coco", side=SIDE)
    data = read_set(images, labels, val_rasters=[str(images[0])])
    assert [raster.is_trainable.sum() for raster in data.train][:2] == [0, len(CORNERS)]


def test_the_label_check_works_in_pixels(tmp_path: Path) -> None:
    images = write_images(tmp_path, IMAGES, side=SIDE)
    labels = write_image_set(tmp_path, IMAGES, "yolo", side=SIDE)
    report = check(images, labels, settings=CheckSettings(gsd=GSD_M))
    assert (report.labels_on_imagery, report.raster_crs, report.gsd_m) == (
        *(6 * len(CORNERS), ("pixels",)),
        GSD_M,
    )
    assert report.area_km2 == pytest.approx(len(IMAGES) * (SIDE * GSD_M) ** 2 / 1e6, abs=1e-4)


@pytest.mark.parametrize("orientation", [3, 6])
def test_images_that_viewers_rotate_are_told(tmp_path: Path, orientation: int) -> None:
    pixels = np.moveaxis(squares_image(SIDE, CORNERS), 0, -1)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif)
    labels = write_image_set(tmp_path, {"a.jpg": CORNERS}, "csv", side=SIDE)
    with pytest.warns(GeodetectWarning, match=r"1 images are stored rotated .*EXIF .*a\.jpg"):
        read_set([tmp_path / "a.jpg"], labels)


def test_a_training_in_pixels_ends_with_a_model_of_the_stated_resolution(tmp_path: Path) -> None:
    images = write_images(tmp_path, IMAGES, side=SIDE)
    labels = write_image_set(tmp_path, IMAGES, "coco", side=SIDE)
    settings = TrainSettings(
        init="none", steps=1, batch_size=1, tile_size=64, device="cpu", gsd=GSD_M, mine_negatives=1
    )
    summary = train(images, labels, tmp_path / "model.safetensors", settings=settings)
    assert summary.card.gsd_m == GSD_M
    page = write_training_page(summary.run_dir, model=summary.output)
    assert (page.parent / "false-negatives.png").exists()
