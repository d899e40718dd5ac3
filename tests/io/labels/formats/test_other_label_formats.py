"""LabelMe, DOTA, KITTI and CSV files, and formats that are named but not read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from geodetect.errors import LabelError
from geodetect.io.labels.read import read_labels
from tests.helpers.label_files import all_boxes, read_image_labels, write_text

BOX = [3, 4, 9, 30]
DOTA = "3 4 9 4 9 30 3 30 small-vehicle 0\n"
KITTI = "car 0.00 0 0.0 3 4 9 30 0.0 0.0 0.0 0.0 0.0 0.0 0.0\n"


def labelme(*shapes: dict[str, Any], **changes: Any) -> str:
    document = {"version": "5.2", "flags": {}, "shapes": shapes, "imagePath": "..\\img\\a.png"}
    return json.dumps(
        document | {"imageData": "iVBO", "imageWidth": 100, "imageHeight": 80} | changes
    )


@pytest.mark.parametrize(
    ("kind", "points", "box"),
    [
        ("polygon", [[3, 4], [9, 5], [6, 30]], BOX),
        ("rectangle", [[9, 30], [3, 4]], BOX),
        ("rectangle", [[3, 4], [9, 4], [9, 30], [3, 30]], BOX),
        ("circle", [[50, 40], [53, 44]], [45, 35, 55, 45]),
        ("mask", [[3, 4], [9, 30]], BOX),
        (None, [[3, 4], [9, 5], [6, 30]], BOX),
    ],
)
def test_shapes_of_labelme_have_bounds(
    tmp_path: Path, kind: str | None, points: list[list[float]], box: list[float]
) -> None:
    shape = {"label": "pool", "points": points, "shape_type": kind}
    path = write_text(tmp_path / "a.json", labelme(shape, {**shape, "shape_type": "point"}))
    labels = read_image_labels(path)
    assert all_boxes(labels) == [box]
    assert [(image.name, image.size) for image in labels.images] == [("a.png", (100, 80))]
    assert labels.report.lines == 1


def test_a_folder_of_labelme_files_is_one_data_set(tmp_path: Path) -> None:
    shape = {"label": "pool", "points": [[3, 4], [9, 30]], "shape_type": "rectangle"}
    write_text(tmp_path / "a.json", labelme(shape))
    write_text(tmp_path / "b.json", labelme(imagePath=""))
    labels = read_image_labels(tmp_path)
    assert [image.name for image in labels.images] == ["a.png", "b.json"]


def test_a_shape_of_labelme_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.json", labelme({"label": "pool", "points": [[1, 2]]}))
    with pytest.raises(LabelError, match=r"a\.json cannot.*shape 1: 1 points"):
        read_labels(path)


@pytest.mark.parametrize("head", ["", "imagesource:GoogleEarth\ngsd:0.146\n", "gsd:null\n\n"])
@pytest.mark.parametrize("where", ["labelTxt", "train/labelTxt-v1.5", "."])
def test_dota_is_read_in_pixels(tmp_path: Path, head: str, where: str) -> None:
    path = write_text(tmp_path / where / "P0001.txt", head + DOTA)
    for source in (path, tmp_path):
        labels = read_image_labels(source)
        assert (labels.kind, all_boxes(labels)) == ("DOTA", [BOX])
        assert list(labels.names) == ["small-vehicle"]


def test_a_rotated_rectangle_of_dota_has_the_bounds_of_its_corners(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.txt", "50 15 75 40 50 65 25 40 ship 1\n")
    assert all_boxes(read_image_labels(path)) == [[25, 15, 75, 65]]


def test_classes_of_kitti_may_be_numbers(tmp_path: Path) -> None:
    labels = read_image_labels(write_text(tmp_path / "a.txt", KITTI.replace("car", "7")))
    assert (labels.kind, all_boxes(labels)) == ("KITTI", [BOX])


def test_kitti_is_read_and_regions_without_labels_are_counted(tmp_path: Path) -> None:
    ignored = KITTI.replace("car", "DontCare")
    labels = read_image_labels(write_text(tmp_path / "labels" / "a.txt", KITTI + ignored))
    assert (labels.kind, all_boxes(labels), labels.report.empty) == ("KITTI", [BOX], 1)


@pytest.mark.parametrize(
    ("line", "kind"), [(DOTA.replace("9", "x", 1), "DOTA"), ("car 0.00 0 0.0 3 4", "KITTI")]
)
def test_a_line_of_dota_or_kitti_that_cannot_be_used_is_named(
    tmp_path: Path, line: str, kind: str
) -> None:
    path = write_text(tmp_path / "a.txt", {"DOTA": DOTA, "KITTI": KITTI}[kind] + line)
    with pytest.raises(LabelError, match=rf"a\.txt cannot be used as a file of {kind}: line 2: "):
        read_labels(path)


@pytest.mark.parametrize(
    "text",
    [
        "filename,width,height,class,xmin,ymin,xmax,ymax\na.png,100,80,pool,3,4,9,30\n",
        "\ufefffilename;class;xmin;ymin;xmax;ymax\r\na.png;pool;3;4;9;30\r\n",
        "image_path,xmin,ymin,xmax,ymax,label\na.png,3,4,9,30,pool\nb.png,0,0,0,0,pool\n",
        'IMAGE,"xmin", ymin,xmax,ymax,Label\na.png,3,4,9,30,pool\n',
    ],
)
def test_a_csv_of_boxes_has_the_columns_of_several_tools(tmp_path: Path, text: str) -> None:
    labels = read_image_labels(write_text(tmp_path / "_annotations.csv", text))
    assert (all_boxes(labels), list(labels.names)) == ([BOX], ["pool"])


def test_rows_of_a_csv_without_an_image_are_counted(tmp_path: Path) -> None:
    text = "image_path,xmin,ymin,xmax,ymax,label\na.png,3,4,9,30,pool\n,3,4,9,30,pool\n"
    labels = read_image_labels(write_text(tmp_path / "a.csv", text))
    assert (all_boxes(labels), labels.report.unlisted) == ([BOX], 1)


@pytest.mark.parametrize("number", ["inf", "1e300"])
def test_numbers_of_a_csv_that_are_no_positions_are_an_error(tmp_path: Path, number: str) -> None:
    text = f"image_path,xmin,ymin,xmax,ymax,label\na.png,3,4,9,{number},pool\n"
    with pytest.raises(LabelError, match=r"not all numbers of pixels|'inf' in column 'ymax'"):
        read_labels(write_text(tmp_path / "a.csv", text))


@pytest.mark.parametrize(
    ("document", "name"),
    [
        ([{"id": 1, "data": {"image": "a.png"}, "annotations": [{"result": []}]}], "Label Studio"),
        ([{"data_row": {"id": "x"}, "projects": {}}], "Labelbox"),
        ([{"ID": "x", "Labeled Data": "https://example.org/a.png", "Label": {}}], "Labelbox"),
        ({"_via_settings": {}, "_via_img_metadata": {}}, r"VGG Image Annotator \(VIA\)"),
        ({"a.png123": {"filename": "a.png", "regions": []}}, r"VGG Image Annotator \(VIA\)"),
        ([{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 1}], "results of COCO"),
        ([{"image": "a.png", "annotations": [{"label": "pool"}]}], "CreateML"),
        ({"description": "", "size": {}, "objects": []}, "Supervisely"),
    ],
)
def test_formats_that_are_not_read_are_named(tmp_path: Path, document: Any, name: str) -> None:
    path = write_text(tmp_path / "export.json", json.dumps(document))
    for source in (path, tmp_path):
        with pytest.raises(LabelError, match=rf"export\.json is a file of {name}.*COCO, YOLO"):
            read_labels(source)


def test_labelbox_with_a_document_on_each_line_is_named(tmp_path: Path) -> None:
    row = json.dumps({"data_row": {"id": "x"}})
    with pytest.raises(LabelError, match=r"export\.ndjson is a file of Labelbox"):
        read_labels(write_text(tmp_path / "export.ndjson", f"{row}\n{row}\n"))


@pytest.mark.parametrize(("name", "text"), [("a.json", '{"version": 1}'), ("a.txt", "some pools")])
def test_a_file_without_labels_is_an_error_with_the_formats_that_are_read(
    tmp_path: Path, name: str, text: str
) -> None:
    with pytest.raises(LabelError, match=r"no labels in this file.*vector files, COCO, YOLO"):
        read_labels(write_text(tmp_path / name, text))


def test_deepforest_2_writes_outlines(tmp_path: Path) -> None:
    outline = '"POLYGON ((3 4, 9 4, 9 30, 3 30, 3 4))"'
    text = f"image_path,label,geometry\n007.png,NA,{outline}\nb.png,tree,\n"
    labels = read_image_labels(write_text(tmp_path / "a.csv", text))
    assert (all_boxes(labels), list(labels.names)) == ([BOX], ["NA"])
    assert [image.name for image in labels.images] == ["007.png", "b.png"]


def test_a_csv_of_boxes_without_classes_has_objects_of_the_default_class(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.csv", "image_path,xmin,ymin,xmax,ymax\na.png,3,4,9,30\n")
    assert list(read_image_labels(path).names) == ["object"]
    assert list(read_image_labels(path, default_class="tree").names) == ["tree"]


@pytest.mark.parametrize(
    ("head", "name"),
    [
        ("#filename,file_size,region_count,region_shape_attributes\n", "VGG Image Annotator"),
        ("ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax\n", "Open Images"),
    ],
)
def test_csv_files_that_are_not_read_are_named(tmp_path: Path, head: str, name: str) -> None:
    with pytest.raises(LabelError, match=rf"a\.csv is a file of {name}"):
        read_labels(write_text(tmp_path / "a.csv", head))


@pytest.mark.parametrize("text", ['{"images": [{"id": 1', '{"a":' * 100_000, '[{"id": 1},]'])
def test_damaged_json_is_one_line(tmp_path: Path, text: str) -> None:
    path = write_text(tmp_path / "a.json", text)
    for source in (path, tmp_path):
        with pytest.raises(LabelError, match=r"a\.json is damaged, or no JSON") as caught:
            read_labels(source)
        assert "\n" not in str(caught.value)
