"""COCO files with odd rows."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_masks

from geodetect.errors import LabelError
from geodetect.io.labels.formats.coco import read_coco
from geodetect.io.labels.label_set import LabelOptions
from geodetect.io.labels.read import read_labels
from tests.helpers.label_files import all_boxes, read_image_labels, write_coco, write_text

POOL = {"bbox": [10, 20, 30, 40]}
POOL_BOX = [10, 20, 40, 60]


@pytest.mark.parametrize(
    ("row", "change"),
    [
        ({"iscrowd": 1, "segmentation": {"size": [80, 100], "counts": [0, 8000]}}, "many objects"),
        ({"iscrowd": 1, "bbox": [0, 0, 9, 9]}, "1 standing for many objects left out"),
        ({"iscrowd": True, "bbox": []}, "1 standing for many objects left out"),
        ({"bbox": [], "segmentation": []}, "1 without a box left out"),
        ({}, "1 without a box left out"),
        ({"bbox": None, "segmentation": None}, "1 without a box left out"),
        ({"segmentation": {"size": [80, 100], "counts": [8000]}}, "1 without a box left out"),
        ({"image_id": 9, **POOL}, "1 of images that are not listed left out"),
        ({"bbox": [1, 2, 0, 4]}, "1 without an area left out"),
        ({"bbox": [1, 2, -3, 4]}, "1 without an area left out"),
    ],
)
def test_an_odd_row_is_left_out_and_counted_and_the_others_are_read(
    tmp_path: Path, row: dict[str, Any], change: str
) -> None:
    labels = read_image_labels(write_coco(tmp_path / "a.json", row, POOL))
    assert all_boxes(labels) == [POOL_BOX]
    assert str(labels.report).startswith("2 rows of labels: 1 ")
    assert change in str(labels.report)
    assert [defect.row for defect in labels.defects] == [0]


@pytest.mark.parametrize(("listed", "used"), [("1", 1), (1, "1"), (1.0, 1), (" 1", "1 ")])
def test_ids_are_the_same_as_texts_and_as_numbers(tmp_path: Path, listed: Any, used: Any) -> None:
    row = {"image_id": used, "category_id": used, **POOL}
    images = [{"id": listed, "file_name": "a.png"}]
    categories = [{"id": listed, "name": "pool"}]
    path = write_coco(tmp_path / "a.json", row, images=images, categories=categories)
    labels = read_image_labels(path)
    assert (all_boxes(labels), list(labels.names)) == ([POOL_BOX], ["pool"])


@pytest.mark.parametrize(
    "keys",
    [
        {"attributes": {"rotation": 45}},
        {"attributes": {"rotation": "45.0"}},
        {"attributes": {"rotation": 315}},
        {"rotation": 45},
        {"rotation": -135, "segmentation": []},
    ],
)
def test_a_rotated_rectangle_has_the_bounds_of_the_rotated_corners(
    tmp_path: Path, keys: dict[str, Any]
) -> None:
    labels = read_image_labels(write_coco(tmp_path / "a.json", {"bbox": [30, 35, 40, 10]} | keys))
    half = 25 / math.sqrt(2)
    expected = [50 - half, 40 - half, 50 + half, 40 + half]
    np.testing.assert_allclose(all_boxes(labels), [expected], atol=1e-6)


@pytest.mark.parametrize(("degrees", "box"), [(90, [45, 20, 55, 60]), (0, [30, 35, 70, 45])])
def test_a_right_angle_swaps_the_sides_exactly(
    tmp_path: Path, degrees: float, box: list[float]
) -> None:
    row = {"bbox": [30, 35, 40, 10], "attributes": {"rotation": degrees}}
    assert read_image_labels(write_coco(tmp_path / "a.json", row)).images[0].boxes.tolist() == [box]


@given(st.integers(1, 12), st.integers(1, 12), st.data())
def test_the_bounds_of_a_mask_are_those_of_its_pixels(
    width: int, height: int, data: st.DataObject
) -> None:
    pixels = data.draw(st.lists(st.booleans(), min_size=width * height, max_size=width * height))
    mask = np.array(pixels, np.uint8).reshape(height, width)
    compressed = coco_masks.encode(np.asfortranarray(mask))
    rows, columns = np.nonzero(mask)
    runs, last = [0], 0
    for value in mask.ravel(order="F").tolist():
        if value != last:
            runs.append(0)
        runs[-1] += 1
        last = value
    for counts in (compressed["counts"].decode(), runs):
        segmentation = {"size": [height, width], "counts": counts}
        document = {
            "images": [{"id": 1, "file_name": "a.png"}],
            "categories": [{"id": 1, "name": "pool"}],
            "annotations": [{"image_id": 1, "category_id": 1, "segmentation": segmentation}],
        }
        path = Path("a.json")
        labels = read_coco(path, document, LabelOptions(), root=path.parent)
        expected = []
        if len(rows):
            expected = [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]
        assert all_boxes(labels) == expected


@pytest.mark.parametrize(
    "category", ['{"id": 1, "name": "Feature"}', '{"id": 1, "type": "Feature", "name": "pool"}']
)
def test_a_category_called_feature_makes_no_geojson(tmp_path: Path, category: str) -> None:
    path = write_text(
        tmp_path / "a.json",
        f'{{"info": {{}}, "categories": [{category}],'
        f' "images": [{{"id": 1, "file_name": "a.png"}}],'
        f' "annotations": [{{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}}]}}',
    )
    assert all_boxes(read_image_labels(path)) == [[1, 2, 4, 6]]


@pytest.mark.parametrize(
    ("row", "kind"), [({"caption": "a pool"}, "captions"), ({"segments_info": []}, "panoptic")]
)
def test_captions_and_panoptic_files_beside_the_boxes_are_named_and_left_out(
    tmp_path: Path, row: dict[str, Any], kind: str
) -> None:
    write_coco(tmp_path / "annotations" / "instances.json", POOL)
    other = write_coco(tmp_path / "annotations" / "other.json", row)
    with pytest.warns(UserWarning, match=rf"left out: other\.json is a file of {kind}"):
        assert all_boxes(read_image_labels(tmp_path)) == [POOL_BOX]
    with pytest.raises(LabelError, match=rf"other\.json is a file of {kind}.*expected"):
        read_labels(other)


def test_key_points_of_images_that_have_boxes_in_another_file_are_left_out(tmp_path: Path) -> None:
    write_coco(tmp_path / "instances.json", POOL)
    write_coco(tmp_path / "person_keypoints.json", POOL | {"keypoints": [1, 2, 2]})
    with pytest.warns(UserWarning, match=r"person_keypoints\.json: left out"):
        assert all_boxes(read_image_labels(tmp_path)) == [POOL_BOX]
    (tmp_path / "instances.json").unlink()
    assert all_boxes(read_image_labels(tmp_path)) == [POOL_BOX]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_a_coco_file_may_be_in_any_unicode_encoding(tmp_path: Path, encoding: str) -> None:
    path = write_coco(tmp_path / "a.json", POOL)
    path.write_bytes(path.read_text().encode(encoding))
    assert all_boxes(read_image_labels(path)) == [POOL_BOX]


def test_an_outline_counts_where_the_box_is_zero(tmp_path: Path) -> None:
    row = {"bbox": [0, 0, 0, 0], "segmentation": [[3, 4, 9, 5, 6, 30]]}
    assert all_boxes(read_image_labels(write_coco(tmp_path / "a.json", row))) == [[3, 4, 9, 30]]


def test_names_of_images_are_never_opened(tmp_path: Path) -> None:
    names = ["../../secret.png", "/etc/passwd", "C:\\images\\a.png", "https://127.0.0.1/a.png"]
    images = [{"id": number, "file_name": name} for number, name in enumerate(names)]
    labels = read_image_labels(write_coco(tmp_path / "a.json", images=images))
    assert len(labels.images) == 4
