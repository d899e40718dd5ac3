from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray

from geodetect.chips.export import ExportSummary, export_chips
from geodetect.errors import InputError, LabelError, OutputError, SettingError
from geodetect.geo.grid import Grid
from geodetect.settings import ChipSettings
from tests.helpers.image_sets import write_image_set, write_images

Float = NDArray[np.float64]

CRS = "EPSG:32632"
NORTH_UP = Affine(0.5, 0, 500_000.123, 0, -0.5, 5_250_000.456)
TURNED = Affine(0.4, 0.3, 500_000.123, 0.3, -0.4, 5_250_000.456)
BOXES = np.array(
    [
        [10.25, 20.5, 30.125, 44.75],  # on the first chip
        [70.0, 10.0, 80.5, 21.3],  # on the second
        [60.0, 100.0, 70.0, 110.0],  # on two, 40 % and 60 %
        [120.0, 120.0, 140.0, 140.0],  # on four, of which one sees 36 %
    ]
)
CLASSES = ["pool", "tank", "pool", "pool"]


def write_noise(
    path: Path,
    *,
    width: int = 200,
    height: int = 180,
    bands: int = 3,
    transform: Affine = NORTH_UP,
    nodata: int | None = None,
    blank: tuple[slice, slice] | None = None,
) -> Path:
    values = np.random.default_rng(1).integers(1, 255, (bands, height, width), dtype=np.uint8)
    if blank is not None:
        values[:, *blank] = nodata
    options: dict[str, Any] = {"transform": transform, "crs": CRS, "nodata": nodata}
    size = {"count": bands, "height": height, "width": width}
    with rasterio.open(path, "w", driver="GTiff", dtype="uint8", **size, **options) as target:
        target.write(values)
    return path


def polygons(
    boxes: Float = BOXES, classes: list[str] = CLASSES, *, transform: Affine = NORTH_UP
) -> gpd.GeoDataFrame:
    rings = Grid(None, transform, 1, 1).boxes_to_map(boxes)
    return gpd.GeoDataFrame({"class": classes}, geometry=shapely.polygons(rings), crs=CRS)


def shift_transform(transform: Affine, x: float, y: float) -> Affine:
    """The transform of the part of a raster that starts at pixel (x, y)."""
    left, top = Grid(None, transform, 1, 1).to_map(np.array([x, y], float))
    return Affine(*transform[:2], left, *transform[3:5], top)


def offset(image: str) -> list[int]:
    x, y = image.rsplit(".", 1)[0].split("_")[-2:]
    return [int(x[1:]), int(y[1:])] * 2


def read_coco(folder: Path) -> list[tuple[str, str, Float]]:
    document = json.loads((folder / "annotations.json").read_text())
    images = {image["id"]: image for image in document["images"]}
    names = {category["id"]: category["name"] for category in document["categories"]}
    assert sorted(names) == [1, 2]
    boxes = []
    for annotation in document["annotations"]:
        x, y, width, height = annotation["bbox"]
        assert annotation["area"] == pytest.approx(width * height, abs=1e-3)
        assert annotation["iscrowd"] == 0
        image = images[annotation["image_id"]]
        assert (folder / "images" / image["file_name"]).is_file()
        box = np.array([x, y, x + width, y + height])
        boxes.append((image["file_name"], names[annotation["category_id"]], box))
    return boxes


def read_yolo(folder: Path) -> list[tuple[str, str, Float]]:
    lines = (folder / "data.yaml").read_text().splitlines()
    names = [json.loads(line.split(": ", 1)[1]) for line in lines if line.startswith("  ")]
    assert "train: images" in lines
    boxes = []
    for file in sorted((folder / "labels").iterdir()):
        image = next(f for f in (folder / "images").glob(f"{file.stem}.*") if is_image(f))
        with rasterio.open(image) as source:
            size = np.array([source.width, source.height], float)
        for line in file.read_text().splitlines():
            number, *shares = line.split()
            centre, extent = np.array(shares, float).reshape(2, 2) * size
            box = np.concatenate([centre - extent / 2, centre + extent / 2])
            boxes.append((image.name, names[int(number)], box))
    return boxes


def read_voc(folder: Path) -> list[tuple[str, str, Float]]:
    boxes = []
    listed = (folder / "ImageSets/Main/trainval.txt").read_text().split()
    for stem in listed:
        root = ElementTree.parse(folder / "Annotations" / f"{stem}.xml").getroot()
        image = str(root.findtext("filename"))
        with rasterio.open(folder / "JPEGImages" / image) as source:
            size = [int(str(root.findtext(f"size/{tag}"))) for tag in ("width", "height", "depth")]
            assert size == [source.width, source.height, source.count]
        for item in root.iter("object"):
            corners = [str(item.findtext(f"bndbox/{t}")) for t in ("xmin", "ymin", "xmax", "ymax")]
            boxes.append((image, str(item.findtext("name")), np.array(corners, float)))
    return boxes


READERS = {"coco": read_coco, "yolo": read_yolo, "voc": read_voc}


def is_image(file: Path) -> bool:
    return file.suffix in (".png", ".jpg", ".tif")


@pytest.mark.parametrize("transform", [NORTH_UP, TURNED], ids=["north-up", "turned"])
@pytest.mark.parametrize("image_format", ["png", "jpg", "tif"])
@pytest.mark.parametrize("name", ["coco", "yolo", "voc"])
def test_boxes_read_back_from_every_format_are_the_labels(
    tmp_path: Path, name: str, image_format: str, transform: Affine
) -> None:
    sheet = write_noise(tmp_path / "sheet.tif", width=128, height=128, transform=transform)
    boxes = np.array([[10.25, 20.5, 30.125, 44.75], [70, 10, 80.5, 21.3], [64, 64, 128, 100.01]])
    table = polygons(boxes, ["pool", "tank", "pool"], transform=transform)
    out = tmp_path / "chips"
    export_chips(
        sheet,
        table,
        out,
        settings=ChipSettings(format=name, tile_size=64, image_format=image_format),
    )
    read = READERS[name](out)
    assert sorted(image for image, _, _ in read) == [
        f"sheet_x00000_y00000.{image_format}",
        f"sheet_x00064_y00000.{image_format}",
        f"sheet_x00064_y00064.{image_format}",
    ]
    for image, class_name, box in read:
        distance = np.abs(boxes - (box + offset(image))).max(axis=1)
        assert distance.min() < 0.01
        assert class_name == ["pool", "tank", "pool"][int(distance.argmin())]


class Announcements:
    """Progress that keeps the lines about the work."""

    def __init__(self) -> None:
        self.lines = list[str]()

    def __call__(self, completed: int, total: int, /, **figures: float) -> None: ...

    def begin(self, phase: str, unit: str = "", /) -> None: ...

    def end(self) -> None: ...

    def announce(self, line: str, /) -> None:
        self.lines.append(line)


def export_of_outlines(folder: Path, name: str) -> list[str]:
    """A disc with a hole, an L on the edge of two chips, and a box, as chips of 64 px."""
    disc = shapely.Point(30, 30).buffer(12).difference(shapely.Point(30, 30).buffer(4))
    l_shape = shapely.box(50, 70, 80, 80).union(shapely.box(50, 70, 58, 100))
    shapes = np.array([disc, l_shape, shapely.box(90, 10, 110, 20)])
    on_map = shapely.transform(shapes, lambda xy: np.stack(NORTH_UP @ tuple(xy.T), axis=1))
    table = gpd.GeoDataFrame({"class": ["pool"] * 3}, geometry=on_map, crs=CRS)
    sheet = write_noise(folder / "sheet.tif", width=128, height=128)
    progress = Announcements()
    export_chips(sheet, table, folder / "chips", format=name, tile_size=64, progress=progress)
    return progress.lines


def test_coco_holds_the_outlines_of_labels(tmp_path: Path) -> None:
    (line,) = export_of_outlines(tmp_path, "coco")
    assert line == "polygons of coco have no holes: those of 1 outlines are filled"
    annotations = json.loads((tmp_path / "chips" / "annotations.json").read_text())["annotations"]
    areas = sorted(item["area"] for item in annotations if "segmentation" in item)
    disc = shapely.Point(30, 30).buffer(12).area
    assert areas == pytest.approx([16 * 10, disc], abs=0.1)  # of the L, less is visible on one
    assert len([item for item in annotations if "segmentation" not in item]) == 1
    for item in annotations:
        for ring in item.get("segmentation", []):
            polygon = shapely.Polygon(np.reshape(ring, (-1, 2)))
            x, y, width, height = item["bbox"]
            assert shapely.box(x, y, x + width, y + height).buffer(0.01).contains(polygon)


@pytest.mark.parametrize("name", ["yolo", "voc"])
def test_formats_that_hold_boxes_only_say_so(tmp_path: Path, name: str) -> None:
    (line,) = export_of_outlines(tmp_path, name)
    assert line == (
        f"{name} holds boxes only: of 2 outlines the boxes are written; `format` coco holds "
        f"outlines"
    )


def test_labels_in_another_crs_and_file_come_back_too(tmp_path: Path) -> None:
    sheet = write_noise(tmp_path / "sheet.tif")
    polygons().to_crs("EPSG:2056").to_file(tmp_path / "labels.gpkg")
    export_chips(
        sheet, tmp_path / "labels.gpkg", tmp_path / "chips", settings=ChipSettings(tile_size=64)
    )
    image, _, box = read_coco(tmp_path / "chips")[0]
    np.testing.assert_allclose(box + offset(image), BOXES[0], atol=0.01)


def test_a_cut_box_is_kept_and_clipped_when_enough_of_it_is_visible(tmp_path: Path) -> None:
    sheet = write_noise(tmp_path / "sheet.tif", width=192, height=192)
    out = tmp_path / "chips"
    summary = export_chips(
        sheet, polygons(), out, settings=ChipSettings(tile_size=64, min_visible=0.5)
    )
    boxes = {(image, *box.tolist()) for image, _, box in read_coco(out)}
    assert ("sheet_x00064_y00064.png", 0, 36, 6, 46) in boxes  # 60 % of the third
    assert not any(image == "sheet_x00000_y00064.png" for image, *_ in boxes)  # 40 % of it
    assert summary.truncated_boxes == 1
    assert (summary.labels, summary.labels_on_imagery, summary.labels_exported) == (4, 4, 3)
    loose = export_chips(
        sheet, polygons(), tmp_path / "loose", settings=ChipSettings(tile_size=64, min_visible=0.3)
    )
    boxes = {(image, *box.tolist()) for image, _, box in read_coco(tmp_path / "loose")}
    assert ("sheet_x00000_y00064.png", 60, 36, 64, 46) in boxes
    assert ("sheet_x00128_y00128.png", 0, 0, 12, 12) in boxes  # 36 % of the fourth
    assert loose.labels_exported == 4


def test_voc_tells_which_objects_are_truncated(tmp_path: Path) -> None:
    sheet = write_noise(tmp_path / "sheet.tif", width=192, height=192)
    export_chips(
        sheet, polygons(), tmp_path / "chips", settings=ChipSettings(tile_size=64, format="voc")
    )
    cut = {
        file.stem: [item.text for item in ElementTree.parse(file).iter("truncated")]
        for file in (tmp_path / "chips/Annotations").iterdir()
    }
    assert cut == {
        "sheet_x00000_y00000": ["0"],
        "sheet_x00064_y00000": ["0"],
        "sheet_x00064_y00064": ["1"],
    }


@pytest.mark.parametrize("transform", [NORTH_UP, TURNED], ids=["north-up", "turned"])
def test_tif_chips_are_the_same_pixels_at_the_same_place(tmp_path: Path, transform: Affine) -> None:
    sheet = write_noise(tmp_path / "sheet.tif", transform=transform)
    table = polygons(transform=transform)
    export_chips(
        sheet,
        table,
        tmp_path / "chips",
        settings=ChipSettings(tile_size=64, image_format="tif", empty=math.inf),
    )
    with rasterio.open(sheet) as source:
        whole = source.read()
        for file in (tmp_path / "chips/images").iterdir():
            x, y = offset(file.name)[:2]
            with rasterio.open(file) as chip:
                assert chip.crs == source.crs
                assert chip.transform.almost_equals(shift_transform(transform, x, y), 1e-9)
                np.testing.assert_array_equal(chip.read(), whole[:, y : y + 64, x : x + 64])


@pytest.mark.parametrize(("image_format", "suffix"), [("png", ".pgw"), ("jpg", ".jgw")])
def test_other_chips_have_a_world_file_and_their_crs(
    tmp_path: Path, image_format: str, suffix: str
) -> None:
    sheet = write_noise(tmp_path / "sheet.tif", transform=TURNED)
    table = polygons(transform=TURNED)
    export_chips(
        sheet,
        table,
        tmp_path / "chips",
        settings=ChipSettings(tile_size=64, image_format=image_format),
    )
    image = tmp_path / f"chips/images/sheet_x00064_y00000.{image_format}"
    expected = shift_transform(TURNED, 64, 0)
    with rasterio.open(image) as chip:
        assert chip.crs.to_epsg() == 32632
        assert chip.transform.almost_equals(expected, 1e-9)
    image.with_name(image.name + ".aux.xml").unlink()
    with rasterio.open(image) as chip:  # now by the world file, which holds a pixel's centre
        assert chip.transform.almost_equals(expected, 1e-6)
    a, d, b, e, x, y = (float(v) for v in image.with_suffix(suffix).read_text().split())
    assert (a, d, b, e) == (0.4, 0.3, 0.3, -0.4)
    np.testing.assert_allclose((x, y), shift_transform(expected, 0.5, 0.5)[2:6:3], atol=1e-6)


def test_the_index_has_the_footprint_of_every_chip(tmp_path: Path) -> None:
    sheet = write_noise(tmp_path / "sheet.tif")
    summary = export_chips(
        sheet, polygons(), tmp_path / "chips", settings=ChipSettings(tile_size=64, empty=math.inf)
    )
    index = gpd.read_file(tmp_path / "chips/chips.geojson")
    assert len(index) == summary.chips
    assert {tmp_path / "chips" / name for name in index["image"]} == {
        file for file in (tmp_path / "chips/images").iterdir() if is_image(file)
    }
    on_map = index.to_crs(CRS).set_index("image").geometry["images/sheet_x00064_y00000.png"]
    left, top = shift_transform(NORTH_UP, 64, 0)[2:6:3]
    np.testing.assert_allclose(on_map.bounds, (left, top - 32, left + 32, top), atol=0.01)
    assert index.set_index("image")["objects"]["images/sheet_x00000_y00000.png"] == 1


def test_chips_cover_the_raster_in_full_size(tmp_path: Path) -> None:
    sheet = write_noise(tmp_path / "sheet.tif", width=150, height=130)
    export_chips(
        sheet,
        polygons(),
        tmp_path / "chips",
        settings=ChipSettings(tile_size=64, overlap=10, empty=math.inf),
    )
    index = gpd.read_file(tmp_path / "chips/chips.geojson")
    assert set(index["x0"]) <= {0, 54, 86}
    assert set(index["width"]) == {64}
    assert index["x0"].max() + 64 == 150


def test_a_raster_smaller_than_a_chip_is_one_chip(tmp_path: Path) -> None:
    sheet = write_noise(tmp_path / "sheet.tif", width=50, height=60)
    export_chips(
        sheet, polygons(), tmp_path / "chips", settings=ChipSettings(tile_size=64, format="yolo")
    )
    image, _, box = read_yolo(tmp_path / "chips")[0]
    assert image == "sheet_x00000_y00000.png"
    np.testing.assert_allclose(box, BOXES[0], atol=0.01)


def test_chips_at_another_resolution_have_boxes_in_their_pixels(tmp_path: Path) -> None:
    sheet = write_noise(tmp_path / "sheet.tif", width=400, height=400)  # 0.5 m, near the meridian
    export_chips(
        sheet, polygons(BOXES * 2), tmp_path / "chips", settings=ChipSettings(tile_size=64, gsd=1.0)
    )
    image, _, box = read_coco(tmp_path / "chips")[0]
    assert image == "sheet_x00000_y00000.png"
    np.testing.assert_allclose(box, BOXES[0], rtol=1e-3)
    with rasterio.open(tmp_path / "chips/images" / image) as chip:
        assert chip.transform.a == pytest.approx(1.0, rel=1e-3)


def test_chips_without_valid_pixels_are_left_out(tmp_path: Path) -> None:
    blank = (slice(0, 128), slice(0, 64))
    sheet = write_noise(tmp_path / "sheet.tif", width=128, height=128, nodata=0, blank=blank)
    summary = export_chips(
        sheet, polygons(), tmp_path / "chips", settings=ChipSettings(tile_size=64, empty=math.inf)
    )
    index = gpd.read_file(tmp_path / "chips/chips.geojson")
    assert index["x0"].tolist() == [64, 64]
    assert summary.labels_exported == 2


def test_an_object_under_nodata_is_no_example(tmp_path: Path) -> None:
    blank = (slice(0, 64), slice(0, 40))
    sheet = write_noise(tmp_path / "sheet.tif", width=64, height=64, nodata=0, blank=blank)
    boxes = np.array([[5.0, 5, 15, 15], [36, 5, 46, 15], [34, 30, 44, 40]])
    table = polygons(boxes, ["hidden", "seen", "half"])
    export_chips(
        sheet,
        table,
        tmp_path / "chips",
        settings=ChipSettings(tile_size=64, image_format="tif", format="voc"),
    )
    read = read_voc(tmp_path / "chips")
    assert [class_name for _, class_name, _ in read] == ["seen"]
    with rasterio.open(tmp_path / "chips/JPEGImages" / read[0][0]) as chip:
        assert not chip.dataset_mask()[:, :40].any()
        assert chip.dataset_mask()[:, 40:].all()


def test_chips_without_objects_are_kept_on_demand(tmp_path: Path) -> None:
    sheet = write_noise(tmp_path / "sheet.tif", width=256, height=256)
    single = polygons(BOXES[:1], ["pool"])
    none = export_chips(sheet, single, tmp_path / "none", settings=ChipSettings(tile_size=64))
    assert none.empty_chips == 0
    every = export_chips(
        sheet,
        single,
        tmp_path / "all",
        settings=ChipSettings(tile_size=64, empty=math.inf, format="yolo"),
    )
    assert (every.chips, every.empty_chips) == (16, 15)
    files = list((tmp_path / "all/labels").iterdir())
    assert sorted(bool(file.read_text()) for file in files) == [False] * 15 + [True]
    three = ChipSettings(tile_size=64, empty=3.0)
    some = export_chips(sheet, single, tmp_path / "some", settings=three)
    assert (some.chips, some.empty_chips) == (4, 3)
    export_chips(sheet, single, tmp_path / "again", settings=three)
    first, second = (tmp_path / n / "annotations.json" for n in ("some", "again"))
    assert first.read_text() == second.read_text()


def test_a_sliver_of_an_object_makes_no_chip_without_objects(tmp_path: Path) -> None:
    sheet = write_noise(tmp_path / "sheet.tif", width=128, height=64)
    table = polygons(np.array([[50.0, 10, 66, 20]]), ["pool"])
    summary = export_chips(
        sheet, table, tmp_path / "chips", settings=ChipSettings(tile_size=64, empty=math.inf)
    )
    assert (summary.chips, summary.empty_chips) == (1, 0)


def test_ground_without_labels_can_be_cut_too(tmp_path: Path) -> None:
    sheet = write_noise(tmp_path / "sheet.tif", width=128, height=128)
    summary = export_chips(
        sheet,
        polygons().iloc[:0],
        tmp_path / "chips",
        settings=ChipSettings(tile_size=64, empty=math.inf),
    )
    assert summary == ExportSummary(tmp_path / "chips", (), 4, 4, 0, 0, 0, 0, 0)


def test_sheets_of_the_same_name_do_not_mix(tmp_path: Path) -> None:
    paths = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        paths.append(write_noise(tmp_path / folder / "sheet 1.tif"))
    summary = export_chips(
        paths,
        polygons(BOXES[:1], ["pool"]),
        tmp_path / "chips",
        settings=ChipSettings(tile_size=64),
    )
    images = set(gpd.read_file(tmp_path / "chips/chips.geojson")["image"])
    assert images == {"images/sheet_1_x00000_y00000.png", "images/sheet_1-2_x00000_y00000.png"}
    assert (summary.labels_on_imagery, summary.boxes) == (1, 2)


def test_progress_ends_at_its_total(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []

    def note(completed: int, total: int, /, **_: float) -> None:
        steps.append((completed, total))

    sheet = write_noise(tmp_path / "sheet.tif", width=128, height=128)
    export_chips(
        sheet,
        polygons(),
        tmp_path / "chips",
        settings=ChipSettings(tile_size=64, empty=math.inf),
        progress=note,
    )
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_labels_elsewhere_are_an_error_and_leave_nothing(tmp_path: Path) -> None:
    sheet = write_noise(tmp_path / "sheet.tif")
    far = polygons(BOXES + 1e5)
    with pytest.raises(LabelError, match="none of the 4 labels lies on the rasters"):
        export_chips(sheet, far, tmp_path / "chips")
    assert [file.name for file in tmp_path.iterdir()] == ["sheet.tif"]


def test_nothing_visible_enough_is_an_error(tmp_path: Path) -> None:
    sheet = write_noise(tmp_path / "sheet.tif", width=64, height=64)
    with pytest.raises(LabelError, match=r"1 of 1 labels lie on the rasters.*`min_visible`"):
        export_chips(sheet, polygons(np.array([[60.0, 0, 80, 10]]), ["pool"]), tmp_path / "chips")


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    sheet, out = write_noise(tmp_path / "sheet.tif"), tmp_path / "chips"
    out.mkdir()
    export_chips(sheet, polygons(), out)  # empty: taken
    with pytest.raises(OutputError, match=r"chips already exists.*`overwrite`"):
        export_chips(sheet, polygons(), out)
    (out / "mine.txt").write_text("left from the first export")
    export_chips(sheet, polygons(), out, settings=ChipSettings(format="voc"), overwrite=True)
    assert sorted(file.name for file in out.iterdir()) == [
        "Annotations",
        "ImageSets",
        "JPEGImages",
        "chips.geojson",
    ]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["chips", "sheet.tif"]


@pytest.mark.parametrize("name", ["loop", "a" * 300], ids=["loop", "long"])
def test_a_folder_that_cannot_be_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    sheet = write_noise(tmp_path / "sheet.tif")
    with pytest.raises(OutputError, match=r"cannot write .*; choose another `output`"):
        export_chips(sheet, polygons(), tmp_path / name)


def test_a_folder_of_something_else_is_never_replaced(tmp_path: Path) -> None:
    sheet, out = write_noise(tmp_path / "sheet.tif"), tmp_path / "photos"
    out.mkdir()
    (out / "holiday.txt").write_text("precious")
    with pytest.raises(OutputError, match=r"no chips\.geojson.*not replaced"):
        export_chips(sheet, polygons(), out, overwrite=True)
    assert (out / "holiday.txt").read_text() == "precious"


def test_a_loop_of_links_and_names_that_become_too_long_are_one_error(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(OutputError, match="loop"):
        export_chips(write_noise(tmp_path / "scene.tif"), polygons(), loop)
    raster = write_noise(tmp_path / f"{'x' * 240}.tif")  # chips add their offset to the name
    for name in ("png", "tif"):
        with pytest.raises(OutputError, match="cannot write"):
            export_chips(
                raster,
                polygons(),
                tmp_path / "chips",
                settings=ChipSettings(tile_size=96, image_format=name),
            )
    assert not (tmp_path / "chips").exists()


def test_a_failed_export_leaves_the_old_one(tmp_path: Path) -> None:
    sheet, out = write_noise(tmp_path / "sheet.tif"), tmp_path / "chips"
    export_chips(sheet, polygons(), out)
    before = (out / "annotations.json").read_text()
    with pytest.raises(LabelError):
        export_chips(sheet, polygons(BOXES + 1e5), out, overwrite=True)
    assert (out / "annotations.json").read_text() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["chips", "sheet.tif"]


def test_images_that_cannot_hold_the_bands_are_refused(tmp_path: Path) -> None:
    sheet = write_noise(tmp_path / "sheet.tif", bands=5)
    with pytest.raises(InputError, match="`bands`"):
        export_chips(sheet, polygons(), tmp_path / "chips")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"format": "kitti"}, "'coco', 'yolo' or 'voc'"),
        ({"image_format": "bmp"}, "'png', 'jpg' or 'tif'"),
        ({"min_visible": 0.0}, "greater than 0"),
        ({"empty": -1.0}, "greater than or equal to 0"),
        ({"gsd": 0.0}, "greater than 0"),
        ({"tile_size": 64, "overlap": 64}, "less than the 64 px of `tile_size`"),
    ],
)
def test_settings_out_of_range_are_errors(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        ChipSettings(**settings)


def test_labels_without_any_object_are_named(tmp_path: Path) -> None:
    sheet, out = write_noise(tmp_path / "sheet.tif"), tmp_path / "chips"
    files = [tmp_path / "a.geojson", tmp_path / "b.geojson"]
    for file in files:
        file.write_text('{"type": "FeatureCollection", "features": []}')
    with pytest.raises(LabelError, match=r"a\.geojson holds no objects.*`empty` to inf"):
        export_chips(sheet, files[0], out, settings=ChipSettings(tile_size=64))
    with pytest.raises(LabelError, match=r"a\.geojson and 1 more label files hold no objects"):
        export_chips(sheet, files, out, settings=ChipSettings(tile_size=64, empty=1.0))
    assert not out.exists()
    assert (
        export_chips(
            sheet, files, out, settings=ChipSettings(tile_size=64, empty=math.inf)
        ).empty_chips
        == 12
    )


def test_labels_that_no_chip_shows_enough_of_are_counted_once(tmp_path: Path) -> None:
    sheets = [write_noise(tmp_path / name, width=192, height=192) for name in ("a.tif", "b.tif")]
    four = polygons(BOXES[3:], ["pool"])  # each chip sees 36 % at most
    with pytest.raises(LabelError, match=r"1 of 1 labels lie on the rasters.*`min_visible`"):
        export_chips(sheets, four, tmp_path / "chips", settings=ChipSettings(tile_size=64))


def test_exporting_does_not_need_torch() -> None:
    code = "import sys, geodetect.chips.export; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_images_without_georeference_are_cut_in_pixels(tmp_path: Path) -> None:
    corners = [(4, 4), (100, 100)]
    images = write_images(tmp_path / "images", {"a.png": corners}, side=128)
    labels = write_image_set(tmp_path, {"a.png": corners}, "coco", side=128)
    export_chips(images, labels, tmp_path / "chips", settings=ChipSettings(tile_size=64))
    written = tmp_path / "chips" / "images"
    assert sorted(path.name for path in written.iterdir()) == [
        "a_x00000_y00000.png",
        "a_x00064_y00064.png",
    ]
    assert gpd.read_file(tmp_path / "chips" / "chips.geojson").geometry.isna().all()
    settings = ChipSettings(tile_size=64, gsd=0.5)
    with pytest.raises(InputError, match="`gsd` needs a raster whose ground resolution is known"):
        export_chips(images, labels, tmp_path / "coarse", settings=settings)
