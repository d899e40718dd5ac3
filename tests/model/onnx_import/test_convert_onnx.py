"""Model files from ONNX files: what the card says, and what is refused."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import geodetect
from geodetect.errors import GeodetectError, GeodetectWarning, ModelFileError
from geodetect.model.card import ModelCard
from geodetect.model.file import load_card
from geodetect.model.layouts.registry import LAYOUTS
from geodetect.settings.models import LAYOUTS as LAYOUT_NAMES
from tests.helpers.onnx_detectors import (
    paint_objects,
    write_constant_outputs,
    write_painted_detector,
)

CLASSES = "small,large"
CELLS = 64 + 16 + 4  # of an input of 64 px

ULTRALYTICS = {
    "names": "{0: 'small', 1: 'large'}",
    "imgsz": "[64, 64]",
    "task": "detect",
    "head": "Detect",
}


def convert(source: Path, **settings: Any) -> ModelCard:
    return geodetect.convert(source, source.with_suffix(".safetensors"), overwrite=True, **settings)


def error_of(source: Path, **settings: Any) -> str:
    with pytest.raises(GeodetectError) as caught:
        convert(source, **settings)
    text = str(caught.value)
    assert "\n" not in text
    assert not source.with_suffix(".safetensors").exists()
    return text


def boxes_and_classes(values: int, **options: Any) -> NDArray[np.float32]:
    """Return ``[1, values, N]``, the output of a YOLOv8."""
    return np.full((1, values, CELLS), **({"fill_value": 0.5} | options)).astype(np.float32)


def test_settings_know_all_layouts() -> None:
    assert set(LAYOUT_NAMES) == set(LAYOUTS)


def test_a_graph_that_takes_bytes_gets_them(tmp_path: Path) -> None:
    source = write_painted_detector(tmp_path / "m.onnx", takes_bytes=True)
    convert(source, classes=CLASSES)
    pixels = paint_objects(64, 64, [(30.5, 30.5, 15)])
    table = geodetect.predict(pixels, source.with_suffix(".safetensors"), pixel_coords=True)
    np.testing.assert_allclose(table.total_bounds, [23, 23, 38, 38], atol=0.01)


def test_the_card_is_made_of_the_metadata(tmp_path: Path) -> None:
    source = write_painted_detector(
        tmp_path / "cars.onnx", metadata=ULTRALYTICS | {"resolution": "20", "det_conf": "0.6"}
    )
    card = convert(source)
    assert load_card(source.with_suffix(".safetensors")) == card
    assert card.imported is not None
    assert (card.name, card.classes, card.gsd_m) == ("cars", ("small", "large"), 0.2)
    assert (card.conf, card.iou, card.tile_px) == (0.6, 0.7, 64)
    assert (card.imported.layout, card.imported.input_px) == ("yolov8", (64, 64))
    assert card.training.initial_weights == "YOLOv8, YOLOv9, YOLO11, YOLO12 from cars.onnx"
    assert len(str(card.training.settings["converted_sha256"])) == 64


def test_settings_win_over_the_metadata(tmp_path: Path) -> None:
    source = write_painted_detector(
        tmp_path / "m.onnx", metadata=ULTRALYTICS | {"resolution": "20"}
    )
    card = convert(source, classes="a,b", gsd="0.5", name="n", scaling="imagenet", channels="bgr")
    assert (card.name, card.classes, card.gsd_m) == ("n", ("a", "b"), 0.5)
    assert card.mean == (0.485, 0.456, 0.406)
    card = convert(source, mean="0.1,0.2,0.3", std="1,1,1")
    assert card.mean == (0.1, 0.2, 0.3)


def test_metadata_that_lie_are_told_and_not_believed(tmp_path: Path) -> None:
    lies = {"imgsz": "[640, 640]", "end2end": "True", "resolution": "fine"}
    source = write_painted_detector(tmp_path / "m.onnx", metadata=ULTRALYTICS | lies)
    with pytest.warns(GeodetectWarning) as caught:
        card = convert(source)
    (text,) = [str(w.message) for w in caught]
    assert "cannot be used for resolution" in text
    assert "name the layout yolov10, found yolov8" in text
    assert "640 x 640 px, found 64 x 64 px" in text
    assert card.imported is not None
    assert (card.imported.layout, card.gsd_m) == ("yolov8", None)


@pytest.mark.parametrize("names", ["a", "a,b,c", None])
def test_the_number_of_names_is_that_of_the_classes(names: str | None, tmp_path: Path) -> None:
    source = write_painted_detector(tmp_path / "m.onnx")
    text = error_of(source, classes=names)
    if names is None:
        assert "2 classes without names; state them as `classes`" in text
    else:
        number = {1: "1 name", 3: "3 names"}[len(names.split(","))]
        assert f"2 classes, found {number} in `classes`" in text


def test_names_in_the_metadata_are_counted_too(tmp_path: Path) -> None:
    metadata = ULTRALYTICS | {"names": "['a', 'b', 'c']"}
    text = error_of(write_painted_detector(tmp_path / "m.onnx", metadata=metadata))
    assert "found 3 names in its metadata (a, b, c); state 2 names as `classes`" in text


@pytest.mark.parametrize(
    ("logits", "classes", "numbers"),
    [
        (3, "a,b", (0, 1)),  # the last one is background
        (3, "a,b,c", None),
        (91, None, (1, 2, 90)),  # the numbers of COCO
        (1, None, None),
    ],
)
def test_classes_have_their_numbers_in_the_outputs(
    logits: int, classes: str | None, numbers: tuple[int, ...] | None, tmp_path: Path
) -> None:
    outputs = {
        "dets": np.full((1, 30, 4), 0.5, np.float32),
        "labels": np.zeros((1, 30, logits), np.float32),
    }
    source = write_constant_outputs(tmp_path / "m.onnx", outputs)
    card = convert(source, classes=classes)
    assert card.imported is not None
    actual = card.imported.class_numbers
    if logits == 91:
        assert actual is not None
        actual = (*actual[:2], actual[-1])
        assert card.classes[0] == "person"
    assert actual == numbers
    assert card.imported.output_classes == logits


def test_repeated_and_blank_names_are_told_apart_by_their_numbers(tmp_path: Path) -> None:
    metadata = {"names": "['car', 'car', '']"}
    source = write_constant_outputs(
        tmp_path / "m.onnx", {"output0": boxes_and_classes(7)}, metadata=metadata
    )
    assert convert(source, layout="yolov8").classes == ("car", "car 1", "class 2")


@pytest.mark.parametrize("unit", [None, "px", "fraction"])
def test_the_unit_of_boxes_is_recognised_or_stated(unit: str | None, tmp_path: Path) -> None:
    outputs = {
        "boxes": np.array([[[0.1, 0.1, 0.9, 0.5]]], np.float32),
        "scores": np.array([[0.9]], np.float32),
        "labels": np.array([[1]]),
    }
    source = write_constant_outputs(tmp_path / "m.onnx", outputs)
    card = convert(source, classes=CLASSES, box_unit=unit)
    assert card.imported is not None
    assert card.imported.has_fractions is (unit != "px")


def test_models_of_other_tasks_are_refused(tmp_path: Path) -> None:
    source = write_painted_detector(tmp_path / "m.onnx", metadata={"task": "segment"})
    assert "a model for segmentation, as its metadata say; expected a detector" in error_of(
        source, classes=CLASSES
    )
    assert convert(source, classes=CLASSES, layout="yolov8").classes == ("small", "large")


def test_outputs_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    source = write_constant_outputs(
        tmp_path / "m.onnx", {"output0": boxes_and_classes(6, fill_value=np.nan)}
    )
    assert "NaN or infinite (yolov8)" in error_of(source, classes=CLASSES, layout="yolov8")


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"resize": 640}, "`resize`: only for checkpoints"),
        ({"tile_size": 128}, "fixed to 64 x 64 px, found a `tile_size` of 128"),
        ({"mean": "0,0,0"}, "`mean` and `std` belong together"),
        ({"mean": "0,0", "std": "1,1"}, "2 and 2 numbers for 3 channels"),
        ({"box_unit": "px"}, "the layout yolov8 fixes the unit of boxes"),
        ({"layout": "yolov5"}, "are not those of `layout` yolov5"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    settings: dict[str, Any], text: str, tmp_path: Path
) -> None:
    if "mean" in settings and settings["mean"] == "0,0":
        settings |= {"mean": "0,0.1"}
    source = write_painted_detector(tmp_path / "m.onnx", metadata=ULTRALYTICS)
    assert text in error_of(source, **settings)


def test_settings_of_onnx_files_are_refused_for_checkpoints(tmp_path: Path) -> None:
    source = tmp_path / "m.pth"
    source.write_bytes(b"PK\x03\x04")
    assert "`layout`: only for ONNX files" in error_of(source, layout="yolov8")


def test_a_model_file_names_the_command_that_converts_an_onnx_file(tmp_path: Path) -> None:
    source = write_painted_detector(tmp_path / "m.onnx")
    with pytest.raises(ModelFileError, match="an ONNX model; convert it with `geodetect convert`"):
        load_card(source)


def test_the_same_file_makes_the_same_bytes(tmp_path: Path) -> None:
    source = write_painted_detector(tmp_path / "m.onnx", metadata=ULTRALYTICS)
    target = source.with_suffix(".safetensors")
    convert(source)
    first = target.read_bytes()
    with warnings.catch_warnings(action="error"):
        convert(source)
    assert target.read_bytes() == first


def test_conversion_and_prediction_import_no_pytorch(tmp_path: Path) -> None:
    source = write_painted_detector(tmp_path / "m.onnx", metadata=ULTRALYTICS)
    code = f"""
import sys, numpy, geodetect
geodetect.convert({str(source)!r}, {str(tmp_path / "m.safetensors")!r})
image = numpy.zeros((3, 80, 80), numpy.uint8)
geodetect.predict(image, {str(tmp_path / "m.safetensors")!r}, pixel_coords=True)
print([name for name in ("torch", "torchvision", "onnx") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True,
                          text=True, check=True)  # fmt: skip
    assert done.stdout.strip() == "[]"
