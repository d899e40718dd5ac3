"""Labels of every kind, recognised by what is in the files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely

from geodetect.errors import LabelError
from geodetect.io.labels.label_set import ImageLabels, LabelOptions, MapLabels
from geodetect.io.labels.read import read_labels

POOL = shapely.box(500_010, 5_249_980, 500_018, 5_249_990)
VOC_OBJECT = """<object><name>{name}</name><bndbox>
<xmin>{box[0]}</xmin><ymin>{box[1]}</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax>
</bndbox></object>"""


def only_images(path: Path | str, **options: Any) -> ImageLabels:
    (source,) = read_labels(path, LabelOptions(**options)).sources
    assert isinstance(source, ImageLabels)
    return source


def vector(path: Path, *, label: str | None = "pool") -> Path:
    columns = {} if label is None else {"label": [label]}
    gpd.GeoDataFrame(columns, geometry=[POOL], crs="EPSG:32632").to_file(path)
    return path


def coco_document(**changes: Any) -> dict[str, Any]:
    return {
        "images": [
            {"id": 7, "file_name": "images/a.png", "width": 100, "height": 80},
            {"id": 8, "file_name": "b.png"},
        ],
        "categories": [{"id": 1, "name": "pool"}, {"id": 5, "name": "tank"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 5, "bbox": [10, 20, 30.5, 40]},
            {"id": 2, "image_id": 8, "category_id": 1, "bbox": [0, 0, 1, 1]},
            {"id": 3, "image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4], "iscrowd": 1},
            {"id": 4, "image_id": 7, "category_id": 1, "bbox": [1, 2, 0, 4]},
            {"id": 5, "image_id": 7, "category_id": 1, "segmentation": [[3, 4, 9, 5, 6, 30]]},
        ],
    } | changes


def coco_file(path: Path, **changes: Any) -> Path:
    path.write_text(json.dumps(coco_document(**changes)))
    return path


def voc_file(path: Path, boxes: list[list[float]], *, head: str = "", name: str = "pool") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    objects = "".join(VOC_OBJECT.format(name=name, box=box) for box in boxes)
    path.write_text(f"<?xml version='1.0'?>\n<annotation>{head}{objects}</annotation>")
    return path


def test_coco_boxes_are_edges_from_0_with_width_and_height(tmp_path: Path) -> None:
    labels = only_images(coco_file(tmp_path / "anything.txt"))
    first, second = labels.images
    assert (labels.kind, first.name, first.size, second.size) == (
        *("COCO", "images/a.png", (100, 80)),
        None,
    )
    assert first.boxes.tolist() == [[10, 20, 40.5, 60], [3, 4, 9, 30]]
    assert list(labels.names) == ["tank", "pool", "pool"]
    assert list(labels.rows) == [0, 4, 1]


def test_what_coco_rows_cannot_be_used_is_counted_with_its_reason(tmp_path: Path) -> None:
    labels = only_images(coco_file(tmp_path / "labels.json"))
    assert str(labels.report) == (
        "5 rows of labels: 1 without an area left out, 1 standing for many objects left out"
    )
    assert [(defect.row, defect.reason) for defect in labels.defects] == [
        (2, "stands for many objects"),
        (3, "no area"),
    ]


def test_rows_keep_their_numbers_where_those_of_images_are_mixed(tmp_path: Path) -> None:
    file = tmp_path / "trees.csv"
    file.write_text(
        "image_path,xmin,ymin,xmax,ymax,label\na.tif,0,0,9,9,tree\nb.tif,0,0,0,0,\n"
        "b.tif,0,0,5,5,tree\na.tif,5,5,5,9,tree\na.tif,1,1,9,9,tree\n"
    )
    boxes = [
        {"image_id": i, "category_id": 5, "bbox": [1, 2, 3, h]}
        for i, h in ((2, 4), (7, 0), (7, 4), (2, 5))
    ]
    images = [{"id": 7, "file_name": "a.tif"}, {"id": 2, "file_name": "b.tif"}]
    categories = [{"id": 5, "name": "tank"}]
    coco = {"annotations": boxes, "images": images, "categories": categories}
    for path, rows, faulty in (
        (file, [[0, 4], [2]], 3),
        (coco_file(tmp_path / "a.json", **coco), [[2], [0, 3]], 1),
    ):
        labels = only_images(path)
        assert [image.rows.tolist() for image in labels.images] == rows
        assert [(defect.row, defect.reason) for defect in labels.defects] == [(faulty, "no area")]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"categories": []}, r"annotations\[0\]: category_id 5 is not in categories"),
        ({"images": []}, "images is empty"),
        ({"images": {"7": "a.png"}}, "images is a dict, no list"),
        ({"images": [{"id": 7}]}, r"images\[0\]: 'file_name' is missing"),
        ({"images": [{"id": 7, "file_name": "a"}] * 2}, r"images\[1\]: id 7 occurs twice"),
        ({"categories": [{"id": True, "name": "pool"}]}, r"categories\[0\]: True is no id"),
        ({"annotations": [{"image_id": 7, "category_id": 1, "bbox": [1, 2, 3]}]}, "3 numbers"),
        ({"annotations": [{"image_id": 7, "category_id": 1, "bbox": [1, 2, "x", 4]}]}, "'x'"),
    ],
)
def test_a_coco_file_that_does_not_hold_together_is_one_line(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(LabelError, match=rf"labels\.json cannot be used.*{reason}.*expected"):
        read_labels(coco_file(tmp_path / "labels.json", **changes))


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e300])
def test_boxes_that_are_no_numbers_are_an_error(tmp_path: Path, number: float) -> None:
    bad = [{"image_id": 7, "category_id": 1, "bbox": [1, 2, number, 4]}]
    with pytest.raises(LabelError, match=r"boxes of images/a\.png are not all numbers.*row 0"):
        read_labels(coco_file(tmp_path / "labels.json", annotations=bad))


def test_geojson_is_no_coco_though_both_are_json(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    gpd.GeoDataFrame(geometry=[POOL], crs="EPSG:32632").to_file(path, driver="GeoJSON")
    (source,) = read_labels(path).sources
    assert isinstance(source, MapLabels)


def yolo_folder(folder: Path, *, names: str | None = "names: [pool, tank]") -> Path:
    (folder / "labels").mkdir(parents=True)
    lines = "1 0.5 0.25 0.1 0.2\n\n0 0.5 0.5 1 1 0.93\n0 0.1 0.2 0.3 0.2 0.2 0.8\n"
    (folder / "labels" / "a.txt").write_text(lines)
    (folder / "labels" / "empty.txt").write_text("")
    if names is not None:
        (folder / "data.yaml").write_text(f"train: images\n{names}\n")
    return folder


@pytest.mark.parametrize(
    "names", ["names: [pool, tank]", 'names: {0: pool, 1: "tank"}', "names:\n  - pool\n  - tank"]
)
def test_yolo_boxes_are_shares_and_its_classes_have_the_names_of_data_yaml(
    tmp_path: Path, names: str
) -> None:
    labels = only_images(yolo_folder(tmp_path / "set", names=names))
    assert [image.name for image in labels.images] == ["labels/a.txt", "labels/empty.txt"]
    assert all(image.as_fractions for image in labels.images)
    expected = [[0.45, 0.15, 0.55, 0.35], [0, 0, 1, 1], [0.1, 0.2, 0.3, 0.8]]
    np.testing.assert_allclose(labels.images[0].boxes, expected)
    assert list(labels.names) == ["tank", "pool", "pool"]
    assert len(labels.images[1].boxes) == 0


@pytest.mark.parametrize("name", ["data.yaml", "labels", "labels/a.txt"])
def test_any_part_of_a_yolo_folder_may_be_named(tmp_path: Path, name: str) -> None:
    labels = only_images(yolo_folder(tmp_path / "set") / name)
    assert list(labels.names) == ["tank", "pool", "pool"]


def test_yolo_without_names_has_numbers_for_classes(tmp_path: Path) -> None:
    assert list(only_images(yolo_folder(tmp_path / "set", names=None)).names) == ["1", "0", "0"]


def test_yolo_classes_may_be_named_in_a_plain_list(tmp_path: Path) -> None:
    folder = yolo_folder(tmp_path / "set", names=None)
    (folder / "labels" / "classes.txt").write_text("pool\ntank\n")
    assert list(only_images(folder / "labels").names) == ["tank", "pool", "pool"]


def test_names_of_yolo_classes_are_in_utf_8(tmp_path: Path) -> None:
    folder = yolo_folder(tmp_path / "a", names=None)
    (folder / "classes.txt").write_bytes("\ufeffSchwimmbecken\nBehälter".encode())
    assert set(only_images(folder).names) == {"Schwimmbecken", "Behälter"}
    (folder / "classes.txt").write_bytes("Schwimmbecken\nBehälter".encode("latin-1"))
    with pytest.raises(LabelError, match=r"classes\.txt cannot be read.*in UTF-8"):
        read_labels(folder)


def test_a_yolo_class_without_a_name_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"a\.txt.*line 1: class 1 has no name in .*data\.yaml"):
        read_labels(yolo_folder(tmp_path / "set", names="names: [pool]"))


@pytest.mark.parametrize("line", ["0 120 80 30 20", "0 0.1 0.2 0.3 0.1 0.2 0.3 0.4"])
def test_yolo_lines_that_are_no_fractions_are_an_error(tmp_path: Path, line: str) -> None:
    folder = yolo_folder(tmp_path / "set")
    (folder / "labels" / "b.txt").write_text(line)
    with pytest.raises(LabelError, match=r"b\.txt cannot.*fractions of the image"):
        read_labels(folder)


def test_yolo_sets_in_several_folders_keep_their_folders_in_the_names(tmp_path: Path) -> None:
    for part in ("train", "valid"):
        yolo_folder(tmp_path / part, names=None)
    labels = only_images(tmp_path)
    assert [image.name for image in labels.images if len(image.boxes)] == [
        "train/labels/a.txt",
        "valid/labels/a.txt",
    ]


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("", [3, 4, 20, 30]),
        ("<source><database>Unknown</database></source>", [3, 4, 20, 30]),
        ("<source><database>The VOC2007 Database</database></source>", [2, 3, 20, 30]),
    ],
)
def test_voc_counts_from_1_only_in_files_of_the_voc_itself(
    tmp_path: Path, head: str, expected: list[float]
) -> None:
    labels = only_images(voc_file(tmp_path / "a.xml", [[3, 4, 20, 30]], head=head))
    assert labels.images[0].boxes.tolist() == [expected]
    assert list(labels.names) == ["pool"]


def test_a_voc_folder_is_one_data_set(tmp_path: Path) -> None:
    size = "<filename>scene.jpg</filename><size><width>50</width><height>40</height></size>"
    voc_file(tmp_path / "Annotations" / "a.xml", [[3, 4, 20, 30]], head=size)
    voc_file(tmp_path / "Annotations" / "b.xml", [])
    labels = only_images(tmp_path)
    names = [(image.name, image.size) for image in labels.images]
    assert names == [("Annotations/scene.jpg", (50, 40)), ("Annotations/b.xml", None)]


@pytest.mark.parametrize("content", ["<annotation><object>", "<annotation><object/></annotation>"])
def test_a_damaged_voc_file_is_named(tmp_path: Path, content: str) -> None:
    voc_file(tmp_path / "a.xml", [[3, 4, 20, 30]])
    (tmp_path / "b.xml").write_text(content)
    with pytest.raises(LabelError, match=r"b\.xml cannot be used as a Pascal VOC file"):
        read_labels(tmp_path)


def test_objects_of_a_data_set_without_a_class_are_an_error_unless_there_is_a_default(
    tmp_path: Path,
) -> None:
    voc_file(tmp_path / "a.xml", [[3, 4, 20, 30]], name="")
    with pytest.raises(LabelError, match=r"1 of 1 objects of a\.xml have no class"):
        read_labels(tmp_path)
    assert list(only_images(tmp_path, default_class="pool").names) == ["pool"]


def test_deepforest_rows_are_grouped_by_image_and_zeros_are_an_image_without_objects(
    tmp_path: Path,
) -> None:
    path = tmp_path / "trees.csv"
    path.write_text(
        "image_path,xmin,ymin,xmax,ymax,label\n"
        "a.tif,1,2,30.5,40,Tree\nempty.tif,0,0,0,0,Tree\na.tif,5,6,7,8,Bush\n"
    )
    labels = only_images(path)
    assert [image.name for image in labels.images] == ["a.tif", "empty.tif"]
    assert labels.images[0].boxes.tolist() == [[1, 2, 30.5, 40], [5, 6, 7, 8]]
    assert list(labels.names) == ["Tree", "Bush"]
    assert labels.report.dropped == 0


def test_a_deepforest_file_with_words_for_numbers_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "trees.csv"
    path.write_text("image_path,xmin,ymin,xmax,ymax,label\na.tif,one,2,3,4,Tree\n")
    with pytest.raises(LabelError, match=r"trees\.csv cannot be used as a CSV file of boxes"):
        read_labels(path)


def test_a_folder_of_vector_files_is_read_file_by_file(tmp_path: Path) -> None:
    vector(tmp_path / "a.gpkg")
    vector(tmp_path / "b.geojson", label="tank")
    (tmp_path / "a.tif").write_bytes(b"II*\0 is no label file")
    labels = read_labels(tmp_path)
    assert [Path(source.source).name for source in labels.sources] == ["a.gpkg", "b.geojson"]
    assert labels.classes == ("pool", "tank")
    assert [labels.locate(n)[1] for n in range(len(labels))] == [0, 0]


def test_an_empty_text_file_does_not_make_a_folder_a_data_set(tmp_path: Path) -> None:
    vector(tmp_path / "a.gpkg")
    (tmp_path / "notes.txt").write_text("")
    (source,) = read_labels(tmp_path).sources
    assert isinstance(source, MapLabels)


def test_a_folder_without_labels_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "readme.md").write_text("nothing here")
    with pytest.raises(LabelError, match="no labels in this folder"):
        read_labels(tmp_path)


def test_map_layers_and_data_sets_go_together(tmp_path: Path) -> None:
    labels = read_labels([vector(tmp_path / "a.gpkg"), coco_file(tmp_path / "b.json")])
    assert len(labels) == 4
    assert labels.classes == ("pool", "tank")
    source, position = labels.locate(3)
    assert (source.source, position) == (str(tmp_path / "b.json"), 2)


def test_map_layers_with_and_without_classes_do_not_go_together(tmp_path: Path) -> None:
    paths = [vector(tmp_path / "a.gpkg"), vector(tmp_path / "b.gpkg", label=None)]
    with pytest.raises(LabelError, match=r"b\.gpkg has no column of classes"):
        read_labels(paths)
    assert read_labels(paths, LabelOptions(default_class="tank")).classes == ("pool", "tank")


def test_rows_that_give_no_object_are_kept_with_their_reasons(tmp_path: Path) -> None:
    bow_tie = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2), (0, 0)])
    flat = shapely.Polygon([(0, 0), (1, 0), (0, 0)])
    path = tmp_path / "labels.gpkg"
    geometries = [None, POOL, flat, bow_tie]
    gpd.GeoDataFrame(geometry=geometries, crs="EPSG:32632").to_file(path)
    (source,) = read_labels(path).sources
    defects = [(d.row, d.reason, d.geometry is not None) for d in source.defects]
    assert defects == [(0, "no geometry", False), (2, "no area", True), (3, "crosses itself", True)]
    assert list(source.rows) == [1, 3]
