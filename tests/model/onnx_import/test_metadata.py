from __future__ import annotations

import pytest

from geodetect.model.onnx_import.metadata import read_metadata


def test_ultralytics_metadata_is_python_literals() -> None:
    found = read_metadata(
        {
            "names": "{0: 'car', 1: 'it\\'s a bus'}",
            "imgsz": "[480, 640]",
            "task": "detect",
            "head": "Detect",
            "end2end": "False",
            "args": "{'nms': None}",
        }
    )
    assert found.classes == ("car", "it's a bus")
    assert (found.layout, found.input_px, found.other_task) == ("yolov8", (480, 640), "")


@pytest.mark.parametrize(
    ("further", "layout"),
    [
        ({"end2end": "True"}, "yolov10"),
        ({"args": "{'nms': True}"}, "yolov10"),
        ({"head": "RTDETRDecoder"}, "rtdetr-topk"),
        ({"description": "Ultralytics rtdetr-l model"}, "rtdetr"),
        ({"task": "obb"}, "yolov8-obb"),
        ({"task": "obb", "end2end": "True"}, "yolov10-obb"),
        ({"task": ""}, None),
        ({"det_type": '"YOLO_v5_or_v7_default"'}, "yolov5"),
        ({"det_type": '"retinanet"'}, "boxes-scores-labels"),
    ],
)
def test_the_layout_is_stated_by_task_and_export_options(
    further: dict[str, str], layout: str | None
) -> None:
    assert read_metadata({"task": "detect"} | further).layout == layout


def test_deepness_metadata_is_json_with_centimetres() -> None:
    found = read_metadata(
        {
            "class_names": '{"1": "tree", "0": "car"}',
            "resolution": "12.5",
            "tile_size": "512",
            "standardization_mean": "[0.4, 0.5, 0.6]",
            "standardization_std": "[0.2, 0.2, 0.2]",
            "det_conf": "0.4",
            "det_iou_thresh": '"0.5"',
            "model_type": '"Detector"',
        }
    )
    assert found.classes == ("car", "tree")
    assert (found.gsd_m, found.input_px, found.conf, found.iou) == (0.125, (512, 512), 0.4, 0.5)
    assert (found.mean, found.std) == ((0.4, 0.5, 0.6), (0.2, 0.2, 0.2))
    assert found.unusable == ()


@pytest.mark.parametrize(
    ("key", "value", "task"),
    [
        ("task", "segment", "segmentation"),
        ("task", "classify", "classification"),
        ("model_type", '"Segmentor"', "segmentation"),
        ("det_type", '"YOLO_Ultralytics_segmentation"', "segmentation"),
    ],
)
def test_other_tasks_are_told(key: str, value: str, task: str) -> None:
    assert read_metadata({key: value}).other_task == task


def test_unusable_values_are_noted_by_key() -> None:
    found = read_metadata(
        {
            "names": "{0: 'a', 2: 'b'}",
            "imgsz": "[-1, 2]",
            "resolution": "nan",
            "det_conf": "7",
            "det_iou_thresh": "[" * 100_000,
            "standardization_mean": "__import__('os').system('true')",
        }
    )
    assert set(found.unusable) == {
        "names", "imgsz", "resolution", "det_conf", "det_iou_thresh", "standardization_mean"
    }  # fmt: skip
    assert (found.classes, found.input_px, found.gsd_m, found.conf) == (None,) * 4
