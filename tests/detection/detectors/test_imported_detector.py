"""Detectors that were imported from ONNX files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import geodetect
from geodetect.detection.detectors.imported_detector import ImportedDetector
from geodetect.detection.detectors.load import load_detector
from geodetect.detection.sharding.plan_run import plan_to_folder
from geodetect.errors import InputError, ModelFileError
from geodetect.model.card import Calibration
from geodetect.model.file import read_model_file, write_model_file
from tests.helpers.onnx_detectors import (
    ANGLE,
    HEADS,
    GraphBuilder,
    paint_objects,
    write_constant_outputs,
    write_graph,
    write_painted_detector,
)

SIDE_PX = 64
Objects = list[tuple[float, float, int]]


def convert(path: Path, **options: Any) -> Path:
    geodetect.convert(path, path.with_suffix(".safetensors"), **options)
    return path.with_suffix(".safetensors")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Model files of painted detectors, by layout."""
    folder = tmp_path_factory.mktemp("models")
    return {
        name: convert(write_painted_detector(folder / f"{name}.onnx", name), classes="small,large")
        for name in HEADS
    }


def constant_model(path: Path, outputs: dict[str, NDArray[Any]], **options: Any) -> Path:
    return convert(write_constant_outputs(path, outputs), **({"classes": "a,b"} | options))


def scatter(height: int, width: int, rng: np.random.Generator, count: int = 60) -> Objects:
    """Return objects of all sizes that a tile holds, a pixel apart."""
    is_taken, objects = np.zeros((height, width), bool), Objects()
    for _ in range(count):
        side = int(rng.choice([9, 11, 15, 21, 25, 31]))
        x, y = int(rng.integers(0, width - side)), int(rng.integers(0, height - side))
        around = np.s_[max(y - 1, 0) : y + side + 1, max(x - 1, 0) : x + side + 1]
        if not is_taken[around].any():
            is_taken[y : y + side, x : x + side] = True
            objects.append((x + side / 2, y + side / 2, side))
    return objects


def boxes_of(objects: Objects) -> NDArray[np.float64]:
    return np.array([[x - s / 2, y - s / 2, x + s / 2, y + s / 2] for x, y, s in objects])


@pytest.mark.parametrize("name", [n for n in HEADS if n != "yolov8-obb"])
@settings(max_examples=3)
@given(seed=st.integers(0, 2**16), height=st.integers(90, 180), width=st.integers(90, 180))
def test_painted_objects_come_out_once_across_tile_seams(
    models: dict[str, Path], name: str, seed: int, height: int, width: int
) -> None:
    objects = scatter(height, width, np.random.default_rng(seed))
    table = geodetect.predict(
        paint_objects(height, width, objects), models[name], pixel_coords=True, overlap=36
    )
    bounds = table.geometry.bounds.to_numpy()
    expected = boxes_of(objects)
    order, expected_order = np.lexsort(bounds.round().T), np.lexsort(expected.T)
    assert len(bounds) == len(expected)
    np.testing.assert_allclose(bounds[order], expected[expected_order], atol=0.5)
    sides = np.array([side for _, _, side in objects])[expected_order]
    assert (table["class"].to_numpy()[order] == np.where(sides > 21, "large", "small")).all()


def test_oriented_boxes_are_outlines(models: dict[str, Path]) -> None:
    detector = load_detector(models["yolov8-obb"], outlines=True)
    assert detector.has_outlines
    pixels = paint_objects(64, 64, [(30.5, 32.5, 31)])
    (found,) = detector(pixels[None], np.ones((1, 64, 64), bool))
    assert len(found) == 1
    (boxes,) = load_detector(models["yolov8-obb"])(pixels[None], np.ones((1, 64, 64), bool))
    np.testing.assert_array_equal(boxes.boxes, found.boxes)
    assert not boxes.has_outlines
    outline = found.outlines[0]
    corners = np.array([[15.5, 7.75], [15.5, -7.75], [-15.5, -7.75], [-15.5, 7.75]])
    turn = np.array([[np.cos(ANGLE), np.sin(ANGLE)], [-np.sin(ANGLE), np.cos(ANGLE)]])
    expected = shapely.Polygon(corners @ turn + [30.5, 32.5])
    assert outline.intersection(expected).area > 0.995 * max(expected.area, outline.area)
    np.testing.assert_allclose(found.boxes[0], outline.bounds, atol=0.01)


def test_a_plan_of_outlines_is_refused_for_boxes_alone(
    models: dict[str, Path], tmp_path: Path, save: Any
) -> None:
    scene = save(paint_objects(64, 64, [(30.5, 32.5, 31)]))
    plan_to_folder(scene, tmp_path / "oriented", models["yolov8-obb"], geometry="outline")
    with pytest.raises(InputError, match="`geometry` outline needs outlines, but model yolov8 "):
        plan_to_folder(scene, tmp_path / "boxes", models["yolov8"], geometry="outline")


def test_oriented_boxes_come_out_once_across_tile_seams(models: dict[str, Path]) -> None:
    objects = scatter(170, 150, np.random.default_rng(5))
    table = geodetect.predict(
        paint_objects(170, 150, objects), models["yolov8-obb"], pixel_coords=True, overlap=36
    )
    assert len(table) == len(objects) > 10
    is_inside = ~table["truncated"].to_numpy()
    assert is_inside.sum() > len(objects) / 2
    outlines = table.geometry.to_numpy()
    for outline in outlines[is_inside]:
        centre = np.array(outline.centroid.coords[0])
        x, y, side = min(objects, key=lambda o: float(np.abs(centre - o[:2]).sum()))
        corners = np.array([[1, 0.5], [1, -0.5], [-1, -0.5], [-1, 0.5]]) * side / 2
        turn = np.array([[np.cos(ANGLE), np.sin(ANGLE)], [-np.sin(ANGLE), np.cos(ANGLE)]])
        expected = shapely.Polygon(corners @ turn + [x, y])
        union = outline.union(expected).area
        assert outline.intersection(expected).area > 0.98 * union


def test_oriented_boxes_that_cross_stay_two(tmp_path: Path) -> None:
    cells = 64 + 16 + 4
    values = np.zeros((1, 7, cells), np.float32)
    values[0, :, 0] = [32, 32, 40, 4, 0.9, 0, 0.785]
    values[0, :, 1] = [32, 32, 40, 4, 0.8, 0, -0.785]
    values[0, :, 2] = [33, 32, 40, 4, 0.7, 0, 0.785]  # overlaps the first one
    model = constant_model(tmp_path / "m.onnx", {"output0": values}, layout="yolov8-obb")
    detector = load_detector(model, iou=0.5)
    (found,) = detector(np.zeros((1, 3, 64, 64), np.uint8), np.ones((1, 64, 64), bool))
    np.testing.assert_allclose(found.scores, [0.9, 0.8], rtol=1e-5)


def test_duplicates_at_seams_differ_more_than_those_of_one_tile() -> None:
    """A model that tells neighbours of an IoU up to 0.9 apart leaves none across tiles."""
    calls = iter(range(1000))

    def find(image: NDArray[np.uint8]) -> Any:
        y, x = np.nonzero(image[2] == 15)
        if not len(x):
            return [], [], []
        larger = next(calls) % 2 * 1.5  # each second tile sees the object larger
        return (
            [[x.min() - larger, y.min() - larger, x.max() + 1 + larger, y.max() + 1 + larger]],
            [0.9],
            [0],
        )

    detector = geodetect.CallableDetector(find, identity="larger", tile_px=64)
    detector.card = detector.card.model_copy(update={"iou": 0.9})
    pixels = paint_objects(100, 100, [(50.5, 50.5, 15)])
    assert len(geodetect.predict(pixels, detector, pixel_coords=True, overlap=40)) == 1
    options = {"nms_iou": 0.9, "overlap": 40}
    assert len(geodetect.predict(pixels, detector, pixel_coords=True, **options)) > 1


def test_a_tile_smaller_than_the_input_is_padded_and_a_larger_one_refused(
    models: dict[str, Path],
) -> None:
    detector = load_detector(models["yolov8"])
    pixels = paint_objects(40, 50, [(20.5, 20.5, 15)])
    (found,) = detector(pixels[None], np.ones((1, 40, 50), bool))
    np.testing.assert_allclose(found.boxes, [[13, 13, 28, 28]], atol=0.3)
    with pytest.raises(InputError, match=r"takes images of 64 x 64 px; choose a smaller one"):
        geodetect.predict(np.zeros((3, 200, 200), np.uint8), models["yolov8"], tile_size=128,
                          pixel_coords=True)  # fmt: skip


def test_pixels_without_imagery_are_padding(models: dict[str, Path]) -> None:
    detector = load_detector(models["yolox"])
    pixels = paint_objects(64, 64, [(20.5, 20.5, 15), (44.5, 44.5, 15)])
    valid = np.ones((1, 64, 64), bool)
    valid[:, :32, :32] = False
    (found,) = detector(pixels[None], valid)
    np.testing.assert_allclose(found.boxes, [[37, 37, 52, 52]], atol=0.3)


def test_scores_are_calibrated_before_they_are_compared(tmp_path: Path) -> None:
    values = np.zeros((1, 6, 84), np.float32)
    values[0, :, 0], values[0, :, 1] = [10, 10, 8, 8, 0.5, 0], [40, 40, 8, 8, 0, 0.5]
    model = constant_model(tmp_path / "m.onnx", {"output0": values}, layout="yolov8")
    card, weights = read_model_file(model)
    calibration = Calibration(slope=(1, 1), intercept=(2, -2))
    write_model_file(model, card.model_copy(update={"calibration": calibration}), weights)
    detector = load_detector(model, conf=0.3)
    (found,) = detector(np.zeros((1, 3, 64, 64), np.uint8), np.ones((1, 64, 64), bool))
    np.testing.assert_allclose(found.scores, [1 / (1 + np.exp(-2))], rtol=1e-4)
    assert found.labels.tolist() == [0]


def test_fractions_of_the_image_are_scaled_and_class_numbers_translated(tmp_path: Path) -> None:
    outputs = {
        "boxes": np.array([[0.25, 0.5, 0.5, 0.75], [0.1, 0.1, 0.2, 0.2]], np.float32),
        "scores": np.array([0.9, 0.8], np.float32),
        "labels": np.array([2, 1]),
    }
    model = constant_model(tmp_path / "m.onnx", outputs)  # torchvision: 0 is background
    detector = load_detector(model)
    (found,) = detector(np.zeros((1, 3, 64, 64), np.uint8), np.ones((1, 64, 64), bool))
    np.testing.assert_allclose(found.boxes, [[16, 32, 32, 48], [6.4, 6.4, 12.8, 12.8]], rtol=1e-5)
    assert found.labels.tolist() == [1, 0]


def test_a_class_number_that_is_of_no_class_is_told(tmp_path: Path) -> None:
    outputs = {
        "boxes": np.array([[[1, 2, 30, 40]]], np.float32),
        "scores": np.array([[0.9]], np.float32),
        "labels": np.array([[7]]),
    }
    detector = load_detector(constant_model(tmp_path / "m.onnx", outputs))
    with pytest.raises(ModelFileError, match="the class number 7 for 2 classes; convert it again"):
        detector(np.zeros((1, 3, 64, 64), np.uint8), np.ones((1, 64, 64), bool))


@pytest.mark.parametrize(
    "changes",
    [
        {"layout": "boxes-scores-labels"},
        {"layout": "nanodet"},
        {"input_px": (96, 96)},
    ],
)
def test_a_network_that_does_not_fit_its_card_is_refused_before_it_is_used(
    models: dict[str, Path], changes: dict[str, Any], tmp_path: Path
) -> None:
    card, weights = read_model_file(models["yolov8"])
    assert card.imported is not None
    imported = card.imported.model_copy(update=changes)
    path = tmp_path / "m.safetensors"
    write_model_file(path, card.model_copy(update={"imported": imported}), weights)
    with pytest.raises(ModelFileError, match="does not fit its card") as caught:
        load_detector(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"runtime": "torch"}, "`runtime` torch: not available for model yolov8, which was"),
        ({"device": "cuda"}, "`device` cuda: not available"),
        ({"precision": "int8"}, "`precision` int8: model yolov8 holds no int8"),
    ],
)
def test_other_runtimes_are_refused(
    models: dict[str, Path], options: dict[str, str], text: str
) -> None:
    with pytest.raises(InputError, match=text):
        load_detector(models["yolov8"], **options)  # type: ignore[arg-type]


def test_by_default_it_runs_in_fp32_as_in_its_own_program(models: dict[str, Path]) -> None:
    detector = load_detector(models["yolov8"])
    assert isinstance(detector, ImportedDetector)
    assert "fp32" in detector.runs_on
    assert "fp32" in detector.identity


def test_an_interrupted_run_resumes_with_the_same_bytes(
    models: dict[str, Path], tmp_path: Path, save: Any
) -> None:
    objects = scatter(330, 330, np.random.default_rng(3), 200)
    scene = save(paint_objects(330, 330, objects))
    whole, resumed = tmp_path / "a.geojson", tmp_path / "b.geojson"
    options = {"tile_size": 40, "overlap": 12}
    geodetect.predict_to_file(scene, whole, models["yolov8"], **options)

    class StoppedError(Exception):
        pass

    def stop(completed: int, total: int, **figures: int) -> None:
        if completed > total // 2:
            raise StoppedError

    with pytest.raises(StoppedError):
        geodetect.predict_to_file(scene, resumed, models["yolov8"], progress=stop, **options)
    result = geodetect.predict_to_file(scene, resumed, models["yolov8"], **options)
    assert result.summary.resumed_tiles > 0
    assert resumed.read_bytes() == whole.read_bytes()


def test_nan_that_only_some_pictures_give_is_one_line(tmp_path: Path) -> None:
    graph = GraphBuilder()
    brightest = graph.add("ReduceMax", "images", keepdims=0)
    root = graph.add("Sqrt", graph.add("Add", brightest, graph.constant(-0.5)))
    nothing = graph.add("Mul", root, graph.constant(0.0))
    boxes = graph.constant(np.full((1, 6, 84), 0.5))
    source = write_graph(
        tmp_path / "m.onnx",
        graph,
        {"output0": graph.add("Add", boxes, nothing)},
        input_shape=(1, 3, SIDE_PX, SIDE_PX),
    )
    model = convert(source, classes="a,b", layout="yolov8")
    with pytest.raises(ModelFileError, match="it returns NaN; its weights are damaged") as caught:
        geodetect.predict(np.zeros((3, 90, 90), np.uint8), model, pixel_coords=True)
    assert "\n" not in str(caught.value)
