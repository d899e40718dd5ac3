"""From rasters to the table, with toy detectors on real files."""

from __future__ import annotations

import gc
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp as Colour

import geodetect
from geodetect import CallableDetector, PredictSettings
from geodetect.detection.detection_layer import COLUMNS
from geodetect.detection.detections import Detections
from geodetect.errors import GeodetectError, GeodetectWarning, InputError, RasterError
from geodetect.io.raster.reader import Raster
from geodetect.model.card import ModelCard
from tests.conftest import METRES, Save
from tests.helpers.painted_scenes import (
    Canvas,
    detect_nothing,
    ellipse,
    mixed,
    read_colours,
    rectangle,
)

Image = NDArray[np.uint8]
COLOURS = CallableDetector(read_colours, tile_px=96)


def paint_boxes(*boxes: tuple[int, int, int, int], side: int = 300) -> Canvas:
    canvas = Canvas(side)
    for x1, y1, x2, y2 in boxes:
        canvas.paint(rectangle(x2 - x1, y2 - y1), x1, y1)
    return canvas


def at(column: int) -> Affine:
    """Place of a raster some columns to the east of the others."""
    return METRES @ Affine.translation(column, 0)


def pixel_boxes(detections: gpd.GeoDataFrame, transform: Affine = METRES) -> NDArray[np.float64]:
    corners = shapely.get_coordinates(detections.geometry).reshape(-1, 5, 2)
    px = np.array([[~transform @ tuple(c) for c in ring] for ring in corners]).reshape(-1, 5, 2)
    return np.hstack([px.min(axis=1), px.max(axis=1)]).round(3)


# Several rasters


def test_rasters_of_one_file_name_keep_apart(save: Save, tmp_path: Path) -> None:
    for year in ("2019", "2020"):
        (tmp_path / year).mkdir()
    canvas = paint_boxes((40, 50, 70, 90))
    paths = [
        save(canvas.pixels, f"{year}/ortho.tif", transform=METRES @ Affine.translation(left, 0))
        for year, left in (("2019", 0), ("2020", 1000))
    ]
    with pytest.warns(GeodetectWarning, match=r"2019.ortho\.tif is named twice; it is used once"):
        layer = geodetect.predict_layer([*paths, paths[0]], COLOURS)
    names = ["2019/ortho.tif", "2020/ortho.tif"]
    assert layer.table()["raster"].tolist() == names
    assert list(layer.by_raster) == names
    assert [raster.raster for raster in layer.coverage] == names


# Nodata, and the edge of the imagery


class WholeImageDetector:
    """Counts the images it sees, and finds one box in each."""

    def __init__(self) -> None:
        self.images: list[Image] = []

    def __call__(self, image: Image) -> Any:
        self.images.append(image)
        return [[0, 0, image.shape[2], image.shape[1]]], [0.9], [0]


def test_a_raster_of_nodata_is_never_shown_and_gives_an_empty_table(save: Save) -> None:
    count = WholeImageDetector()
    path = save(np.zeros((3, 200, 200), np.uint8), nodata=0)
    layer = geodetect.predict_layer(path, CallableDetector(count, tile_px=64))
    detections = layer.table()
    assert len(detections) == 0
    assert tuple(detections.columns) == COLUMNS
    assert detections.crs.to_epsg() == 2154
    assert count.images == []
    assert (layer.summary.tiles, layer.summary.empty_tiles) == (0, 16)


def test_only_tiles_with_imagery_are_shown(save: Save) -> None:
    pixels = np.zeros((3, 256, 256), np.uint8)
    pixels[:, 70:90, 130:140] = 9  # in the second row and third column of four by four
    count = WholeImageDetector()
    settings = PredictSettings(tile_size=64, overlap=0)
    geodetect.predict(save(pixels, nodata=0), CallableDetector(count), settings=settings)
    assert len(count.images) == 1
    np.testing.assert_array_equal(count.images[0], pixels[:, 64:128, 128:192])


def test_nothing_is_found_outside_the_imagery(save: Save) -> None:
    pixels = np.full((4, 128, 128), 90, np.uint8)
    pixels[3] = 0
    pixels[3, 30:100, 30:100] = 255
    colours = [Colour.red, Colour.green, Colour.blue, Colour.alpha]
    path = save(pixels, colours=colours, photometric="minisblack")

    def corners(image: Image) -> Any:
        assert image.shape[0] == 3
        return [[2, 2, 12, 12], [40, 40, 60, 60], [25, 25, 45, 45], [200, 200, 220, 220]], \
            [0.9] * 4, [0] * 4  # fmt: skip

    detections = geodetect.predict(path, CallableDetector(corners))
    assert pixel_boxes(detections).tolist() == [[25, 25, 45, 45], [40, 40, 60, 60]]


@pytest.mark.parametrize("gsd", [None, 0.1, 0.4])
def test_objects_are_truncated_by_the_raster_and_by_nodata_only(
    gsd: float | None, save: Save
) -> None:
    canvas = paint_boxes(
        (0, 100, 40, 120),  # at the left edge of the raster
        (250, 280, 290, 300),  # at the lower edge
        (90, 180, 130, 220),  # in the corner of four tiles
        (60, 30, 100, 60),  # ends where nodata begins
        (60, 66, 100, 90),  # 6 px below nodata
        (140, 20, 170, 60),
    )
    pixels = np.where(canvas.colour > 0, 200, 60).astype(np.uint8)[None].repeat(3, 0)
    pixels[:, 20:60, 100:120] = 0
    pixels[:, 58:60, 60:100] = 200

    def bright(image: Image) -> Any:
        is_bright = image.min(axis=0) > 130
        return read_colours(np.stack([label(is_bright), *[np.zeros_like(image[0])] * 2]))

    settings = PredictSettings(tile_size=96, overlap=48, gsd=gsd)
    detections = geodetect.predict(
        save(pixels, nodata=0), CallableDetector(bright), settings=settings
    )
    cells = np.round(pixel_boxes(detections) / 10).astype(int).tolist()
    cut = dict(zip(map(tuple, cells), detections["truncated"], strict=True))
    assert cut == {
        (0, 10, 4, 12): True,
        (25, 28, 29, 30): True,
        (9, 18, 13, 22): False,
        (6, 3, 10, 6): True,
        (6, 7, 10, 9): False,
        (14, 2, 17, 6): False,
    }


def label(is_bright: NDArray[np.bool_]) -> Image:
    """Numbers of connected parts, by growing."""
    from rasterio.features import rasterize, shapes

    parts = [
        (shape, i + 1) for i, (shape, _) in enumerate(shapes(is_bright.astype(np.uint8), is_bright))
    ]
    return (
        rasterize(parts, is_bright.shape, dtype="uint8")
        if parts
        else np.zeros(is_bright.shape, np.uint8)
    )


# What is kept


def write_area(path: Path, boxes: Sequence[Sequence[float]], crs: str = "EPSG:2154") -> Path:
    corners = np.array([[*(METRES @ (b[0], b[3])), *(METRES @ (b[2], b[1]))] for b in boxes])
    gpd.GeoSeries(shapely.box(*corners.T), crs="EPSG:2154").to_crs(crs).to_file(path)
    return path


@pytest.mark.parametrize("crs", ["EPSG:2154", "EPSG:4326", "EPSG:3857"])
def test_objects_are_kept_by_their_centre(crs: str, save: Save, tmp_path: Path) -> None:
    canvas = paint_boxes(
        (20, 20, 60, 60), (100, 20, 140, 60), (180, 20, 220, 60), (20, 180, 60, 220)
    )
    area = write_area(tmp_path / "a.gpkg", [(0, 0, 122, 150), (0, 190, 300, 300)], crs)
    settings = PredictSettings(aoi=area, tile_size=64, overlap=48)
    detections = geodetect.predict(save(canvas.pixels), COLOURS, settings=settings)
    inside = [[20, 20, 60, 60], [100, 20, 140, 60], [20, 180, 60, 220]]  # the second one straddles
    np.testing.assert_allclose(pixel_boxes(detections), inside, atol=1e-3)


def test_an_area_that_touches_no_raster_is_an_error(save: Save, tmp_path: Path) -> None:
    area = write_area(tmp_path / "a.gpkg", [(5000, 5000, 6000, 6000)])
    with pytest.raises(InputError, match="does not touch the raster"):
        geodetect.predict(save(paint_boxes().pixels), COLOURS, settings=PredictSettings(aoi=area))


def test_a_box_on_the_map_limits_the_search(save: Save) -> None:
    canvas = paint_boxes((20, 20, 60, 60), (200, 200, 240, 240))
    west, north = METRES @ (150, 150)
    settings = PredictSettings(bbox=(west, north - 30, west + 30, north))
    detections = geodetect.predict(save(canvas.pixels), COLOURS, settings=settings)
    assert pixel_boxes(detections).tolist() == [[200, 200, 240, 240]]


def two_kinds(image: Image) -> Any:
    boxes, _, _ = read_colours(image)
    wide = boxes[:, 2] - boxes[:, 0] > 30
    return boxes, np.where(wide, 0.8, 0.3), wide.astype(int)


def test_classes_and_scores_filter(save: Save) -> None:
    path = save(paint_boxes((20, 20, 60, 60), (200, 200, 220, 240)).pixels)
    detector = CallableDetector(two_kinds, classes=("small", "large"))
    assert geodetect.predict(path, detector)["class"].tolist() == ["large", "small"]

    def kept(**settings: Any) -> list[str]:
        chosen = PredictSettings(**settings)
        return geodetect.predict(path, detector, settings=chosen)["class"].tolist()

    assert kept(classes=("small",)) == ["small"]
    assert kept(conf=0.3) == ["large", "small"]
    assert kept(conf=0.31) == ["large"]
    with pytest.raises(InputError, match=r"has no class 'tree'; it detects small, large"):
        kept(classes=("tree",))


# Several rasters


def test_rasters_of_a_folder_share_the_map_of_the_first(save: Save, tmp_path: Path) -> None:
    pixels = paint_boxes((20, 20, 60, 60)).pixels
    (tmp_path / "sheets").mkdir()
    save(pixels, "sheets/b.tif", crs="EPSG:32631",
         transform=Affine(0.2, 0, 500_000, 0, -0.2, 5_100_000))  # fmt: skip
    save(pixels, "sheets/a.tif")
    detections = geodetect.predict(tmp_path / "sheets", COLOURS)
    assert detections["raster"].tolist() == ["a.tif", "b.tif"]
    assert detections["id"].tolist() == [1, 2]
    assert detections.crs.to_epsg() == 2154
    corner = detections.to_crs("EPSG:32631").geometry[1].bounds
    assert corner == pytest.approx((500_004, 5_099_988, 500_012, 5_099_996), abs=1e-3)


def damage(path: Path) -> Path:
    content = bytearray(path.read_bytes())
    third = len(content) // 3
    content[third : 2 * third] = bytes(third)
    path.write_bytes(bytes(content))
    return path


@pytest.mark.parametrize("place", [0, 2])
def test_a_damaged_raster_among_good_ones_is_left_out_and_said(place: int, save: Save) -> None:
    noise = np.random.default_rng(0).integers(0, 2, (3, 300, 300)).astype(np.uint8)
    good = paint_boxes((20, 20, 60, 60)).pixels
    crs = ["EPSG:2154"] * 4
    crs[place] = "EPSG:3945"
    places = [METRES @ Affine.translation(2000 * i, 0) for i in range(4)]
    paths = [save(good, f"{i}.tif", crs=crs[i], transform=places[i]) for i in range(4)]
    paths[place] = damage(save(noise, "bad.tif", crs=crs[place], compress="deflate", tiled=True,
                               blockxsize=64, blockysize=64))  # fmt: skip
    calls, objects = list[tuple[int, int]](), list[float]()

    def note(completed: int, total: int, /, **figures: float) -> None:
        calls.append((completed, total))
        objects.append(figures["objects"])

    with pytest.warns(GeodetectWarning, match=r"left out: .*bad\.tif: cannot read"):
        layer = geodetect.predict_layer(paths, COLOURS, progress=note)
    detections = layer.table()
    assert len(detections) == len(layer) == objects[-1]
    assert sum(detections["raster"] != "bad.tif") == 3
    assert 0 < layer.summary.unread_tiles < layer.summary.tiles
    assert list(layer.summary.left_out) == [str(paths[place])]
    assert {p.name for p in paths} - {"bad.tif"} <= set(detections["raster"])
    assert detections.crs.to_epsg() == int(
        crs[0].split(":")[1]
    )  # the first raster's, whatever fails
    assert calls == sorted(calls)
    assert calls[-1][0] == calls[-1][1]


def test_a_single_damaged_raster_is_an_error(save: Save) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (3, 300, 300)).astype(np.uint8)
    path = damage(save(noise, compress="deflate"))
    with pytest.raises(RasterError, match=r"scene\.tif: cannot read"):
        geodetect.predict(path, COLOURS)


def test_no_raster_is_an_error() -> None:
    with pytest.raises(InputError, match="no raster was given"):
        geodetect.predict([], COLOURS)


# The way it is computed does not matter


def test_tile_size_batches_and_threads_do_not_change_the_result(save: Save) -> None:
    canvas = mixed(400, seed=3, largest=60)
    path = save(canvas.pixels)
    reference = geodetect.predict(path, COLOURS, settings=PredictSettings(tile_size=512))
    np.testing.assert_array_equal(len(reference), canvas.count)
    for tile_size, batch_size, workers in ((160, 1, 1), (160, 3, 4), (211, 2, 2), (160, 64, 3)):
        settings = PredictSettings(
            tile_size=tile_size, overlap=64, batch_size=batch_size, workers=workers
        )
        detections = geodetect.predict(path, COLOURS, settings=settings)
        plain = detections.drop(columns=["score"])  # the toy scores boxes by where tiles cut them
        assert plain.equals(reference.drop(columns=["score"]))


def test_progress_grows_to_its_total(save: Save) -> None:
    calls: list[tuple[int, int, float]] = []

    def note(completed: int, total: int, /, **figures: float) -> None:
        calls.append((completed, total, figures["objects"]))

    paths = [
        save(mixed(300, seed=i, largest=40).pixels, f"{i}.tif", transform=at(400 * i))
        for i in range(2)
    ]
    detections = geodetect.predict(
        paths, COLOURS, settings=PredictSettings(tile_size=96, batch_size=2), progress=note
    )
    completed, totals, objects = zip(*calls, strict=True)
    assert list(completed) == sorted(completed)
    assert list(objects) == sorted(objects)
    assert set(totals) == {completed[-1]}
    assert objects[-1] == len(detections)


class PhaseNames:
    """Progress that keeps the names of phases."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, completed: int, total: int, /, **figures: float) -> None: ...

    def begin(self, phase: str, unit: str, /) -> None:
        self.names.append(phase)

    def end(self) -> None: ...

    def announce(self, line: str, /) -> None: ...


@pytest.mark.parametrize(("step", "is_long"), [(2, True), (20, False)])
def test_a_merge_of_very_many_boxes_is_a_phase(save: Save, step: int, is_long: bool) -> None:
    """As a model of fifty classes gives them that has hardly learnt, at a low threshold."""
    side = 300
    low = np.stack(np.meshgrid(*[np.arange(0, side, step)] * 2), axis=-1).reshape(-1, 2)
    boxes = np.concatenate([low, low + step], axis=1).astype(np.float64)

    def detect(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return boxes, np.linspace(0.01, 0.05, len(boxes)), np.arange(len(boxes)) % 50

    classes = [f"class {number}" for number in range(50)]
    path = save(np.full((3, side, side), 90, np.uint8))
    progress = PhaseNames()
    detections = geodetect.predict(
        path, geodetect.CallableDetector(detect, classes=classes), conf=0.01, progress=progress
    )
    assert len(detections) == len(boxes)
    assert ("Merging across tile seams" in progress.names) == is_long


# Detectors that err


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (([[1, 2, 3]], [0.5], [0]), "found shapes"),
        (([1, 2, 3, 4], [0.5], [0]), "found shapes"),
        ((np.ones((4, 2)), [0.5] * 2, [0] * 2), "found shapes"),
        (([[1, 2, 3, 4]], [0.5, 0.6], [0]), "found shapes"),
        (([[1, 2, 3, 4]], [[0.5]], [0]), "found shapes"),
        (([[1, 2, 3, 4]], [0.5], []), "found shapes"),
        (([[1, 2, 3, np.nan]], [0.5], [0]), "found NaN"),
        (([[1, 2, 3, 4]], [np.nan], [0]), "found NaN"),
        (([[1, 2, np.inf, 4]], [0.5], [0]), "found NaN or infinite"),
        (([[1, 2, 3, 4]], [0.5], [1]), r"found label 1 for 1 classes .*classes="),
        (([[1, 2, 3, 4]], [0.5], [-1]), "found label -1"),
        (([[1, 2, 3, 4]], [0.5], [0.5]), "found label 0.5"),
        (([[30, 2, 3, 4]], [0.5], [0]), "found boxes with x2 < x1"),
        (([[1, 20, 3, 4]], [0.5], [0]), "y2 < y1"),
        (([[1, 2, 3, 4]], [87.0], [0]), "found scores from 87 to 87"),
        (([[1, 2, 3, 4]], [-0.1], [0]), "found scores"),
        (([["a", 2, 3, 4]], [0.5], [0]), "found something else"),
        (None, "found something else"),
        ((1, 2), "found something else"),
        ([[1, 2, 3, 4]], "found something else"),
    ],
)
def test_what_a_function_must_return_is_said(returned: Any, message: str, save: Save) -> None:
    path = save(paint_boxes().pixels)
    with pytest.raises(InputError, match=message) as caught:
        geodetect.predict(path, CallableDetector(lambda image: returned, name="toy"))
    assert "'toy' must return boxes [N, 4]" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "returned",
    [([], [], []), (np.empty((0, 4)), np.empty(0), np.empty(0, int)), ((), (), ()),
     ([[5, 5, 5, 9]], [0.5], [0]), ([[500, 5, 600, 9]], [0.5], [0])],
)  # fmt: skip
def test_nothing_and_boxes_without_area_or_off_the_image_are_nothing(
    returned: Any, save: Save
) -> None:
    detections = geodetect.predict(
        save(paint_boxes().pixels), CallableDetector(lambda image: returned)
    )
    assert len(detections) == 0


@pytest.mark.parametrize(
    ("outlines", "message"),
    [
        ([], "found 0 outlines of 1 objects"),
        ([None, None], "found 2 outlines of 1 objects"),
        ([shapely.Point(1, 2)], "expected polygons, found a Point"),
        ([[[1, 2], [3, 4]]], "at least three vertices"),
        ([[[1, 2], [3, 4], [5, np.nan]]], "NaN or infinite coordinates"),
        (7, "not iterable"),
    ],
)
def test_what_a_function_must_return_as_outlines_is_said(
    outlines: Any, message: str, save: Save
) -> None:
    returned = [[1, 2, 30, 40]], [0.5], [0], outlines
    with pytest.raises(InputError, match=message) as caught:
        geodetect.predict(
            save(paint_boxes().pixels), CallableDetector(lambda image: returned, name="toy")
        )
    assert "'toy' must return as its fourth value" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_scores_just_above_one_are_rounding(save: Save) -> None:
    detector = CallableDetector(lambda image: ([[1, 2, 30, 40]], np.float32([1.0000001]), [0]))
    assert geodetect.predict(save(paint_boxes().pixels), detector)["score"].tolist() == [1.0]


class Careless:
    """A detector that loses images of a batch."""

    card = ModelCard(name="careless", classes=("thing",), bands=None, tile_px=64)

    def __call__(self, pixels: Image, valid: NDArray[np.bool_]) -> list[Detections]:
        return [Detections.empty()] * (len(pixels) - 1)


def test_a_detector_answers_for_each_image(save: Save) -> None:
    with pytest.raises(InputError, match="'careless' must return detections for each of the 4"):
        geodetect.predict(save(paint_boxes().pixels), Careless())


class Returning:
    """A detector that returns the same for each image."""

    card = ModelCard(name="odd", classes=("thing",), bands=None, tile_px=64)

    def __init__(self, returned: object) -> None:
        self.returned = returned

    def __call__(self, pixels: Image, valid: NDArray[np.bool_]) -> list[Any]:
        return [self.returned] * len(pixels)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (([[1, 2, 3, 4]], [0.5], [0]), "'odd' must return geodetect.Detections.*found tuple"),
        (None, "found NoneType .*CallableDetector"),
        (
            Detections.from_arrays([[1, 2, np.nan, 4]], [0.5]),
            "'odd' returned boxes or scores that are NaN",
        ),
        (Detections.from_arrays([[1, 2, 3, 4]], [np.inf]), "NaN or infinite"),
    ],
)
def test_what_a_detector_must_return_is_said(returned: object, message: str, save: Save) -> None:
    with pytest.raises(InputError, match=message):
        geodetect.predict(save(paint_boxes().pixels), Returning(returned))


@pytest.mark.parametrize("model", [None, detect_nothing, 7])
def test_what_is_no_detector_is_said(model: Any, save: Save) -> None:
    with pytest.raises(InputError, match=r"a detector with a card; found .*CallableDetector"):
        geodetect.predict(save(paint_boxes().pixels), model)


def test_a_single_class_may_be_a_text() -> None:
    assert CallableDetector(detect_nothing, "pool").card.classes == ("pool",)


def test_an_error_in_a_detector_ends_all_reading_before_files_are_closed(
    save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GDAL crashes when a file is closed under a thread that reads from it."""
    before, at_close = threading.active_count(), list[int]()
    close = Raster.close

    def note_threads(raster: Raster) -> None:
        at_close.append(threading.active_count())
        close(raster)

    def fail(image: Image) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(Raster, "close", note_threads)
    noise = np.random.default_rng(0).integers(0, 255, (3, 900, 900)).astype(np.uint8)
    path = save(noise, compress="deflate")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ZeroDivisionError):
            geodetect.predict(
                path, CallableDetector(fail), settings=PredictSettings(tile_size=64, workers=4)
            )
        gc.collect()
    assert set(at_close) == {before}
    path.unlink()


# Georeference on demand


def test_without_a_crs_the_error_names_both_options(save: Save) -> None:
    path = save(paint_boxes((20, 20, 60, 60)).pixels, crs=None)
    with pytest.raises(GeodetectError, match=r"`src_crs`.*`pixel_coords`"):
        geodetect.predict(path, COLOURS)
    stated = geodetect.predict(path, COLOURS, settings=PredictSettings(src_crs="EPSG:2056"))
    assert stated.crs.to_epsg() == 2056
    assert pixel_boxes(stated).tolist() == [[20, 20, 60, 60]]
    plain = geodetect.predict(path, COLOURS, settings=PredictSettings(pixel_coords=True))
    assert plain.crs is None
    assert plain.geometry[0].bounds == (20, 20, 60, 60)
    assert plain["area_m2"].isna().all()


def test_a_detector_sees_the_pixels_of_the_file(save: Save) -> None:
    canvas = Canvas(70)
    canvas.paint(ellipse(40, 30), 11, 9)
    count = WholeImageDetector()
    geodetect.predict(save(canvas.pixels), CallableDetector(count))
    np.testing.assert_array_equal(count.images[0], canvas.pixels)
    assert count.images[0].dtype == np.uint8


@pytest.mark.parametrize(
    "detector",
    [CallableDetector(detect_nothing, gsd_m=0.2, bands=("red", "green", "blue")),
     CallableDetector(WholeImageDetector())],
    ids=["three bands at 0.2 m", "anything"],
)  # fmt: skip
def test_every_shared_raster_gives_a_table_or_an_error_of_one_line(
    detector: CallableDetector, shared_data: Path
) -> None:
    tables, errors, blank = 0, list[str](), list[str]()
    for path in sorted((shared_data / "rasters").iterdir()):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("error")
            warnings.filterwarnings("always", "imagery of one constant value", GeodetectWarning)
            try:
                detections = geodetect.predict(path, detector)
            except GeodetectError as error:
                errors.append(str(error))
                continue
        assert tuple(detections.columns) == COLUMNS
        assert (detections["raster"] == path.name).all()
        tables += 1
        if caught:
            assert len(caught) == 1
            assert path.name in str(caught[0].message)
            blank.append(path.name)
    zeros = {
        f"azavea_raster-vision__{name}.tif"
        for name in ("3857", "small-rgb-tile", "small-uint16-tile")
    }
    assert zeros <= set(blank)
    assert tables >= 5
    assert len(errors) >= 5
    assert not any("\n" in text for text in errors)
