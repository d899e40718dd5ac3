"""Image data sets in the folders that other programs make."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import geopandas as gpd
import pytest
import shapely
from affine import Affine

from geodetect.errors import GeodetectWarning, LabelError
from geodetect.geo.grid import Grid
from geodetect.io.labels.label_set import ImageLabels
from geodetect.io.labels.read import read_labels
from tests.helpers.label_files import read_image_labels, write_coco, write_text

YOLO_LINE = "1 0.5 0.5 0.2 0.4\n"
POOL = {"bbox": [10, 20, 30, 40]}
VOC = (
    "<annotation><object><name>1</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax>"
    "<ymax>40</ymax></bndbox></object></annotation>"
)
KITTI = "1 0.00 0 0.0 3 4 9 30 0.0 0.0 0.0 0.0 0.0 0.0 0.0\n"


def image_names(path: Path) -> list[str]:
    """Names of the images with objects of all sources."""
    sources = read_labels(path).sources
    assert all(isinstance(source, ImageLabels) for source in sources)
    return [i.name for s in sources if isinstance(s, ImageLabels) for i in s.images if len(i.rows)]


def test_coco_files_in_the_folders_of_roboflow_are_found(tmp_path: Path) -> None:
    for part in ("train", "valid", "test"):
        write_coco(tmp_path / part / "_annotations.coco.json", POOL)
    write_text(tmp_path / "README.roboflow.txt", "pools\n")
    assert image_names(tmp_path) == ["test/a.png", "train/a.png", "valid/a.png"]


@pytest.mark.parametrize(
    ("label", "folder"),
    [
        ("train/labels/a.txt", "."),
        ("labels/train/a.txt", "."),
        ("labels/train/a.txt", "labels/train"),
        ("obj_train_data/a.txt", "."),
        ("data/obj_train_data/a.txt", "."),
        ("a.txt", "."),
        ("train/a.txt", "."),
    ],
)
def test_yolo_files_are_found_in_the_folders_of_any_tool(
    tmp_path: Path, label: str, folder: str
) -> None:
    write_text(tmp_path / "set" / label, YOLO_LINE)
    write_text(tmp_path / "set" / "data.yaml", "train: x\nnames: [tank, pool]\n")
    write_text(tmp_path / "set" / "train.txt", "data/obj_train_data/a.png\n")
    (source,) = read_labels(tmp_path / "set" / folder).sources
    assert list(source.names) == ["pool"]


@pytest.mark.parametrize("name", ["obj.names", "obj.data", "classes.txt"])
def test_a_list_of_names_is_the_data_set_beside_it(tmp_path: Path, name: str) -> None:
    write_text(tmp_path / "obj_train_data" / "a.txt", YOLO_LINE)
    write_text(tmp_path / "obj.names", "tank\npool\n")
    write_text(tmp_path / "classes.txt", "tank\npool\n")
    write_text(tmp_path / "obj.data", "classes = 2\nnames = data/obj.names\n")
    assert list(read_image_labels(tmp_path / name).names) == ["pool"]


@pytest.mark.parametrize(
    "entries",
    [
        "train: images/train",
        "train: ../images/train",
        "train: ./images/train/",
        "train: [images/train]",
        "train: images\\train",
        "val: images/train",
    ],
)
@pytest.mark.parametrize("path", ["{}", "../set", None])
def test_a_yaml_file_elsewhere_states_the_path_of_its_data_set(
    tmp_path: Path, path: str | None, entries: str
) -> None:
    write_text(tmp_path / "set" / "labels" / "train" / "a.txt", YOLO_LINE)
    text = f"{entries}\nnames: {{0: tank, 1: pool}}\n"
    file = tmp_path / "set" / "data.yaml"
    if path is not None:
        file = tmp_path / "configs" / "pools.yaml"
        text = f"path: {path.format(tmp_path / 'set')}\n{text}"
    write_text(file, text)
    said = pytest.warns(GeodetectWarning, match=r"pools\.yaml: the labels are read from .*set")
    with nullcontext() if path is None else said:
        labels = read_image_labels(file)
    assert list(labels.names) == ["pool"]
    assert [Path(image.name).name for image in labels.images] == ["a.txt"]


@pytest.mark.parametrize("entry", ["/etc", "https://127.0.0.1/images", "images/../../other/images"])
def test_folders_outside_the_data_set_are_not_read_but_named(tmp_path: Path, entry: str) -> None:
    write_text(tmp_path / "set" / "labels" / "a.txt", YOLO_LINE)
    write_text(tmp_path / "other" / "labels" / "b.txt", YOLO_LINE)
    file = tmp_path / "set" / "data.yaml"
    write_text(file, f"train: {entry}\nval: images\nnames: [tank, pool]\n")
    with pytest.warns(GeodetectWarning, match="`train` .* lies outside the data set"):
        assert image_names(file) == ["labels/a.txt"]


def test_a_yaml_file_whose_path_is_no_folder_is_an_error(tmp_path: Path) -> None:
    file = write_text(tmp_path / "a.yaml", "path: ../datasets/coco8\ntrain: images\nnames: [a]\n")
    with pytest.raises(LabelError, match=r"its `path` \.\./datasets/coco8 is no folder"):
        read_labels(file)


@pytest.mark.parametrize(("name", "text"), [("a.xml", VOC), ("a.txt", KITTI)])
@pytest.mark.parametrize("folder", [".", "labels"])
def test_chips_of_esri_have_the_names_of_their_model_definition(
    tmp_path: Path, name: str, text: str, folder: str
) -> None:
    definition = {
        "MetaDataMode": "PASCAL_VOC_rectangles",
        "Classes": [{"Value": 1, "Name": "Pool"}],
    }
    write_text(tmp_path / "esri_model_definition.emd", json.dumps(definition))
    write_text(tmp_path / "map.txt", "images/a.tif labels/a.xml\n")
    write_text(tmp_path / "labels" / name, text)
    (tmp_path / "images").mkdir()
    assert list(read_image_labels(tmp_path / folder).names) == ["Pool"]


def test_masks_of_esri_are_named(tmp_path: Path) -> None:
    write_text(tmp_path / "esri_model_definition.emd", '{"MetaDataMode": "RCNN_Masks"}')
    write_text(tmp_path / "labels" / "1" / "a.tif", "II*")
    with pytest.raises(LabelError, match=r"no labels.*RCNN_Masks; export the chips as PASCAL"):
        read_labels(tmp_path)


def test_labels_of_a_folder_come_before_those_below_it(tmp_path: Path) -> None:
    geometry = [shapely.box(500_010, 5_249_980, 500_018, 5_249_990)]
    write_coco(tmp_path / "old" / "a.json", POOL)
    gpd.GeoDataFrame(geometry=geometry, crs="EPSG:32632").to_file(tmp_path / "a.gpkg")
    (source,) = read_labels(tmp_path).sources
    assert source.source.endswith("a.gpkg")


def test_labels_of_two_kinds_are_one_kind_and_a_warning(tmp_path: Path) -> None:
    write_text(tmp_path / "labels" / "a.txt", YOLO_LINE)
    write_coco(tmp_path / "coco.json", POOL)
    with pytest.warns(GeodetectWarning, match="labels of YOLO are read; left out: 1 of COCO"):
        assert image_names(tmp_path) == ["labels/a.txt"]


def test_a_folder_without_labels_is_described(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "notes.md"):
        write_text(tmp_path / name, "x")
    geometry = [shapely.box(0, 0, 1, 1)]
    (tmp_path / "layers").mkdir()
    gpd.GeoDataFrame(geometry=geometry, crs="EPSG:4326").to_file(tmp_path / "layers" / "a.gpkg")
    with pytest.raises(
        LabelError,
        match=r"no labels.*2 \.png, .*vector files lie in .*layers: give that folder.*KITTI",
    ):
        read_labels(tmp_path)


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"no labels in this folder \(it is empty\)"):
        read_labels(tmp_path)


def test_of_a_folder_of_images_the_error_names_that_of_the_labels(tmp_path: Path) -> None:
    write_text(tmp_path / "labels" / "train" / "a.txt", YOLO_LINE)
    write_text(tmp_path / "images" / "train" / "a.png", "x")
    with pytest.raises(LabelError, match=r"its labels may lie in .*labels.train: give that"):
        read_labels(tmp_path / "images" / "train")


def test_json_of_other_programs_beside_vector_files_is_no_layer(tmp_path: Path) -> None:
    geometry = [shapely.box(500_010, 5_249_980, 500_018, 5_249_990)]
    gpd.GeoDataFrame(geometry=geometry, crs="EPSG:32632").to_file(tmp_path / "a.gpkg")
    write_text(tmp_path / "metadata.json", '{"author": "x"}')
    (source,) = read_labels(tmp_path).sources
    assert source.source.endswith("a.gpkg")


def test_a_link_to_a_folder_above_repeats_nothing(tmp_path: Path) -> None:
    write_text(tmp_path / "labels" / "a.txt", YOLO_LINE)
    (tmp_path / "labels" / "again").symlink_to(tmp_path)
    assert image_names(tmp_path) == ["labels/a.txt"]


L_SHAPE = [10, 10, 40, 10, 40, 20, 20, 20, 20, 40, 10, 40]  # 500 square pixels
L_PAIRS = [[x, y] for x, y in zip(L_SHAPE[::2], L_SHAPE[1::2], strict=True)]
SQUARE = [60, 60, 70, 60, 70, 70, 60, 70]  # a box that is drawn as a polygon
BOX_OF_L = [10, 10, 30, 30]


def coco_outlines(folder: Path) -> Path:
    second_part = [80, 10, 90, 10, 85, 30]
    annotations = (
        {"bbox": BOX_OF_L, "segmentation": [L_SHAPE]},
        {"bbox": [60, 60, 10, 10], "segmentation": [SQUARE]},
        {"bbox": [10, 10, 80, 30], "segmentation": [L_SHAPE, second_part]},
    )
    return write_coco(folder / "a.json", *annotations)


def labelme_outlines(folder: Path) -> Path:
    square = [[60, 60], [70, 70]]
    shapes = [
        {"label": "pool", "points": L_PAIRS, "shape_type": "polygon"},
        {"label": "pool", "points": square, "shape_type": "rectangle"},
    ]
    document = {"imagePath": "a.png", "shapes": shapes, "imageWidth": 100, "imageHeight": 80}
    return write_text(folder / "a.json", json.dumps(document))


def cvat_outlines(folder: Path) -> Path:
    points = ";".join(f"{x},{y}" for x, y in L_PAIRS)
    return write_text(
        folder / "a.xml",
        f'<annotations><image name="a.png" width="100" height="80"><polygon label="pool" '
        f'points="{points}"/><box label="pool" xtl="60" ytl="60" xbr="70" ybr="70"/></image>'
        f"</annotations>",
    )


def yolo_outlines(folder: Path) -> Path:
    write_text(folder / "data.yaml", "train: x\nnames: [pool]\n")
    ring = " ".join(f"{x / 100} {y / 80}" for x, y in L_PAIRS)
    lines = f"0 {ring}\n0 0.65 0.65 0.1 0.1\n"
    return write_text(folder / "labels" / "a.txt", lines).parents[1]


@pytest.mark.parametrize("write", [coco_outlines, labelme_outlines, cvat_outlines, yolo_outlines])
def test_polygons_of_image_data_sets_are_outlines_and_boxes_are_none(
    tmp_path: Path, write: Callable[[Path], Path]
) -> None:
    (source,) = read_labels(write(tmp_path)).sources
    assert isinstance(source, ImageLabels)
    grid = Grid(None, Affine.identity(), 100, 80)
    boxes, outlines = source.images[0].place_on(grid, "a.png")
    assert boxes[0].tolist() == pytest.approx([10, 10, 40, 40])
    assert outlines[0].area == pytest.approx(500)
    assert outlines[1] is None
    if write is coco_outlines:
        assert outlines[2].geom_type == "MultiPolygon"
        assert outlines[2].area == pytest.approx(600)


def test_an_outline_that_crosses_itself_is_repaired(tmp_path: Path) -> None:
    bow_tie = {"bbox": [10, 10, 20, 20], "segmentation": [[10, 10, 30, 30, 30, 10, 10, 30]]}
    (source,) = read_labels(write_coco(tmp_path / "a.json", bow_tie)).sources
    assert isinstance(source, ImageLabels)
    assert source.images[0].outlines is not None
    (outline,) = source.images[0].outlines
    assert outline.is_valid
    assert outline.area == pytest.approx(200)
