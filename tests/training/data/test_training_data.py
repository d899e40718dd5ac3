"""Rasters and labels of a training and of its validation."""

from __future__ import annotations

import json
from contextlib import ExitStack
from operator import attrgetter
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine

from geodetect.errors import (
    BandError,
    GeodetectError,
    GeodetectWarning,
    GeoreferenceError,
    InputError,
    LabelError,
    RasterError,
    SettingError,
)
from geodetect.label_check.check import default_anchors
from geodetect.settings import TrainSettings
from geodetect.training.data.training_data import TrainingData, read_training_data
from tests.helpers.square_scenes import (
    CRS,
    GSD_M,
    ORIGIN_M,
    grid_corners,
    square_boxes,
    square_raster,
    squares_image,
    write_labels,
    write_raster,
)

SIDE = 320
CORNERS = grid_corners(SIDE)
BOXES = square_boxes(CORNERS).tolist()


def read_pair(rasters: list[Path], labels: list[Path], **changes: object) -> TrainingData:
    settings = TrainSettings.model_validate({"tile_size": 64, "device": "cpu"} | changes)
    with ExitStack() as stack:
        anchors = default_anchors()
        return read_training_data(rasters, labels, settings, anchors=anchors, stack=stack)


def reading_error(
    error: type[GeodetectError], rasters: list[Path], labels: list[Path], **changes: object
) -> str:
    with pytest.raises(error) as caught:
        read_pair(rasters, labels, **changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


raster = square_raster(SIDE, CORNERS)


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    return write_labels(tmp_path / "labels.geojson", BOXES)


def edit(path: Path, **changes: object) -> Path:
    """A GeoJSON with other members, or without those that become None."""
    document = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in document.items() if v is not None}))
    return path


def test_a_raster_given_twice_is_trained_on_twice_and_measured_once(
    raster: Path, labels: Path
) -> None:
    data = read_pair([raster, raster], [labels])
    assert [len(ground.boxes) for ground in data.train] == [len(CORNERS)] * 2
    assert data.train[0] is data.train[1]
    assert len(data.validation) == len(data.rasters) == 1
    assert data.report is not None
    assert data.report.labels_on_imagery == len(CORNERS)
    held = data.validation[0]
    assert 0 < (~held.is_trainable).sum() < len(CORNERS) / 2


@pytest.mark.filterwarnings("ignore:rasters show the same ground")
def test_of_strips_on_one_frame_each_has_the_labels_that_it_shows(
    labels: Path, tmp_path: Path
) -> None:
    strips, image = [], squares_image(SIDE, CORNERS)
    for name, imagery in (("west.tif", np.s_[:160]), ("east.tif", np.s_[160:])):
        strip = np.zeros_like(image)
        strip[:, :, imagery] = image[:, :, imagery]
        strips.append(write_raster(tmp_path / name, strip, nodata=0))
    west, east = read_pair(strips, [labels], val_share=0).train
    middles = (np.array(BOXES)[:, 0] + np.array(BOXES)[:, 2]) / 2
    assert west.boxes.tolist() == [box for box, x in zip(BOXES, middles, strict=True) if x < 160]
    assert east.boxes.tolist() == [box for box, x in zip(BOXES, middles, strict=True) if x > 160]


def test_objects_at_the_edge_are_whole_and_count_where_enough_of_them_is_seen(
    raster: Path, tmp_path: Path
) -> None:
    edge = [[SIDE - 4.0, 20, SIDE + 16, 40], [SIDE - 16.0, 60, SIDE + 4, 80]]
    path = write_labels(tmp_path / "edge.geojson", [*BOXES[:20], *edge])
    (raster_data,) = read_pair([raster], [path], val_share=0).train
    assert raster_data.boxes[-2:] == pytest.approx(np.array(edge), abs=1e-3)
    assert raster_data.is_trainable.tolist() == [True] * 20 + [False, True]
    (measured,) = read_pair([raster], [path], val_rasters=(str(raster),)).validation
    assert measured.is_held_out.tolist() == [True] * 20 + [False, True]


def test_the_check_can_be_left_out(raster: Path, tmp_path: Path) -> None:
    few = write_labels(tmp_path / "few.geojson", BOXES[:3])
    assert read_pair([raster], [few], check=False).report is None
    with pytest.warns(GeodetectWarning, match="fewer than 20 objects of square"):
        assert read_pair([raster], [few]).report is not None


def test_a_corrupt_sheet_among_others_is_named_and_left_out(
    raster: Path, labels: Path, tmp_path: Path
) -> None:
    corrupt = tmp_path / "corrupt.tif"
    corrupt.write_bytes(raster.read_bytes()[:5000])
    text = tmp_path / "text.tif"
    text.write_text("no raster")
    with pytest.warns(GeodetectWarning) as caught:
        data = read_pair([raster, corrupt, text], [labels])
    assert [ground.raster.name for ground in data.train] == ["scene.tif"]
    assert sorted(Path(path).name for path in data.unreadable) == ["corrupt.tif", "text.tif"]
    messages = [str(warning.message) for warning in caught]
    assert [text.startswith("left out: ") for text in messages] == [True, True]
    assert "corrupt.tif" in messages[0]


def test_corrupt_sheets_alone_are_an_error(labels: Path, tmp_path: Path) -> None:
    corrupt = tmp_path / "corrupt.tif"
    corrupt.write_text("no raster")
    assert "corrupt.tif" in reading_error(RasterError, [corrupt], [labels])


def test_many_corrupt_sheets_are_counted(raster: Path, labels: Path, tmp_path: Path) -> None:
    corrupt = [tmp_path / f"c{number}.tif" for number in range(8)]
    for path in corrupt:
        path.write_text("no raster")
    with pytest.warns(GeodetectWarning) as caught:
        data = read_pair([raster, *corrupt], [labels])
    assert len(data.unreadable) == 8
    assert str(caught[-1].message) == "left out: 3 more rasters that cannot be read"
    assert len(caught) == 6


def test_a_sheet_with_other_bands_is_named(raster: Path, labels: Path, tmp_path: Path) -> None:
    grey = write_raster(tmp_path / "grey.tif", squares_image(SIDE, CORNERS)[:1])
    message = reading_error(BandError, [raster, grey], [labels])
    assert "grey.tif" in message
    assert "`bands`" in message


def test_a_sheet_without_crs_is_named(raster: Path, labels: Path, tmp_path: Path) -> None:
    plain = write_raster(tmp_path / "plain.tif", squares_image(64, []), crs=None)
    message = reading_error(GeoreferenceError, [raster, plain], [labels])
    assert "plain.tif" in message
    assert "src-crs" in message.replace("_", "-")


def test_labels_without_crs_are_refused(raster: Path, tmp_path: Path) -> None:
    path = tmp_path / "labels.shp"
    table = gpd.GeoDataFrame({"class": ["a"]}, geometry=[shapely.box(*ORIGIN_M, 500100, 5200100)])
    table.to_file(path)
    assert "labels_crs" in reading_error(GeodetectError, [raster], [path])
    assert reading_error(LabelError, [raster], [path], labels_crs="EPSG:32632", check=False)


def test_empty_labels_are_refused(raster: Path, labels: Path) -> None:
    for check in (True, False):
        message = reading_error(LabelError, [raster], [edit(labels, features=[])], check=check)
        assert "no objects" in message


def test_labels_that_lie_elsewhere_are_refused(raster: Path, tmp_path: Path) -> None:
    far = write_labels(tmp_path / "far.geojson", [(9000, 9000, 9016, 9016)])
    for check in (True, False):
        message = reading_error(LabelError, [raster], [far], check=check)
        assert "none of the 1 labels" in message


def test_lines_are_refused(raster: Path, labels: Path) -> None:
    line = {"type": "LineString", "coordinates": [[500010, 5199990], [500020, 5199980]]}
    features = [{"type": "Feature", "properties": {}, "geometry": line}]
    assert "LineString" in reading_error(LabelError, [raster], [edit(labels, features=features)])


def test_an_unknown_class_field_is_refused(raster: Path, labels: Path) -> None:
    assert "kind" in reading_error(InputError, [raster], [labels], class_field="kind")


def test_labels_on_nodata_are_refused(labels: Path, tmp_path: Path) -> None:
    empty = write_raster(tmp_path / "e.tif", np.zeros((3, SIDE, SIDE), np.uint8), nodata=0)
    assert "nodata" in reading_error(LabelError, [empty], [labels])


def shifted(path: Path, right_px: int) -> Path:
    """The same scene further east, so that it shares ground with the other."""
    image = squares_image(SIDE, CORNERS)
    write_raster(path, image)
    with rasterio.open(path, "r+") as dataset:
        dataset.transform = Affine(GSD_M, 0, ORIGIN_M[0] + right_px * GSD_M, 0, -GSD_M, ORIGIN_M[1])
    return path


def test_named_rasters_are_held_out_with_the_ground_they_share(
    raster: Path, labels: Path, tmp_path: Path
) -> None:
    right_px = 240  # a multiple of the distance of the squares
    other = shifted(tmp_path / "other.tif", right_px)
    boxes = square_boxes([(x + right_px, y) for x, y in CORNERS]).tolist()
    theirs = write_labels(tmp_path / "theirs.geojson", boxes)
    data = read_pair([raster], [labels], val_rasters=[str(other)], val_labels=[str(theirs)])
    (trained,), (measured,) = data.train, data.validation
    np.testing.assert_allclose(trained.holdout, [[right_px, 0, SIDE, SIDE]], atol=0.01)
    assert measured.raster.name == "other.tif"
    assert not measured.is_trainable.any()
    assert len(measured.boxes) == len(CORNERS)
    assert len(data.rasters) == 2
    centres = trained.boxes[trained.is_trainable].reshape(-1, 2, 2).mean(axis=1)
    assert (centres[:, 0] < right_px).all()
    both = read_pair([raster], [labels], val_rasters=[str(other)])
    assert 0 < len(both.validation[0].boxes) < len(CORNERS), "without labels of their own"


def test_sheets_that_overlap_are_told_and_ground_is_held_out_of_both(
    raster: Path, labels: Path, tmp_path: Path
) -> None:
    other = shifted(tmp_path / "other.tif", 96)
    with pytest.warns(GeodetectWarning, match=r"scene\.tif and other\.tif \(70% of the smaller"):
        data = read_pair([raster, other, other], [labels])
    first, second = data.validation
    assert data.train[1] is data.train[2] is second
    assert len(first.holdout) + len(second.holdout) > 0
    for sheet, elsewhere, right_px in ((first, second, 96), (second, first, -96)):
        moved = elsewhere.holdout + [right_px, 0, right_px, 0]  # noqa: RUF005 (arrays are added)
        moved = moved.clip(0, SIDE)
        expected = moved[moved[:, 0] < moved[:, 2]]
        np.testing.assert_allclose(sheet.overlapping_holdout, expected, atol=1e-3)
        assert not (sheet.is_trainable & sheet.is_held_out).any()
    objects = (first, first.boxes), (second, second.boxes + [96, 0, 96, 0])  # noqa: RUF005
    learned, measured = (
        {tuple(box) for ground, boxes in objects for box in boxes[rows(ground)].round().tolist()}
        for rows in (attrgetter("is_trainable"), attrgetter("is_held_out"))
    )
    assert learned
    assert measured
    assert measured.isdisjoint(learned)


def test_a_raster_given_twice_does_not_overlap_itself(raster: Path, labels: Path) -> None:
    data = read_pair([raster, raster], [labels])
    assert data.report is not None
    assert data.report.overlaps == ()
    assert len(data.train[0].overlapping_holdout) == 0


def test_an_area_is_held_out_even_if_some_of_it_is_on_the_other_side_of_the_earth(
    raster: Path, labels: Path, tmp_path: Path
) -> None:
    x, y = ORIGIN_M
    here = shapely.box(x, y - SIDE * GSD_M, x + 100 * GSD_M, y)
    (there,) = gpd.GeoSeries([here], crs=CRS).to_crs(4326)
    area = gpd.GeoDataFrame(geometry=[there, shapely.box(174, -41, 175, -40)], crs=4326)
    area.to_file(tmp_path / "area.gpkg")
    (ground,) = read_pair([raster], [labels], val_aoi=tmp_path / "area.gpkg").train
    np.testing.assert_allclose(ground.holdout, [[0, 0, 100, SIDE]], atol=0.1)


def test_named_rasters_with_classes_nobody_trains_are_refused(
    raster: Path, labels: Path, tmp_path: Path
) -> None:
    barns = write_labels(tmp_path / "barns.geojson", BOXES, name="barn")
    named = {"val_rasters": [str(raster)], "val_labels": [str(barns)]}
    message = reading_error(LabelError, [raster], [labels], **named)
    assert "barn" in message
    assert "square" in message


def test_held_out_ground_is_named_in_one_way(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="either `val_aoi` or `val_rasters`"):
        TrainSettings(val_aoi=tmp_path / "a.gpkg", val_rasters=("b.tif",))
    with pytest.raises(SettingError, match="`val_rasters`"):
        TrainSettings(val_labels=("b.gpkg",))


def test_the_value_range_is_that_of_the_settings(tmp_path: Path, labels: Path) -> None:
    deep = write_raster(tmp_path / "deep.tif", squares_image(SIDE, CORNERS).astype("uint16") * 10)
    (opened,) = read_pair([deep], [labels], value_range=(0, 1000)).train
    assert opened.raster.value_range == (0, 1000)
