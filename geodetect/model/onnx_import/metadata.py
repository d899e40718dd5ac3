"""Metadata of ONNX files: the keys of Ultralytics, Deepness and GeoDeep."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_CHARACTERS = 1_000_000  # of a value that is parsed
CENTIMETRES = 100
DETECTOR_TYPES = {  # det_type of Deepness and GeoDeep
    "YOLO_v5_or_v7_default": "yolov5",
    "YOLO_v6": "yolov6",
    "YOLO_v8": "yolov8",
    "YOLO_v9": "yolov8",
    "YOLO_Ultralytics": "yolov8",
    "YOLO_Ultralytics_obb": "yolov8-obb",
    "retinanet": "boxes-scores-labels",
}
OTHER_TASKS = {  # that are no detection: task of Ultralytics, model_type and det_type of Deepness
    "segment": "segmentation",
    "semantic": "segmentation",
    "classify": "classification",
    "pose": "pose estimation",
    "depth": "depth estimation",
    "segmentor": "segmentation",
    "regressor": "regression",
    "recognition": "recognition",
    "superresolution": "super-resolution",
    "yolo_ultralytics_segmentation": "segmentation",
}


@dataclass(frozen=True)
class OnnxMetadata:
    """Statements of an ONNX file about itself; None: it makes none, or an unusable one.

    Args:
        other_task: Task that is not detection, such as ``segmentation``; empty: detection, or not
            stated.
        layout: Name of the layout of its outputs.
        classes: Class names.
        gsd_m: Ground resolution, in metres per pixel.
        input_px: Height and width of its input.
        mean: Mean of each channel in 0..1.
        std: Standard deviation of each channel in 0..1.
        conf: Score threshold.
        iou: IoU threshold of its non-maximum suppression.
        unusable: Keys whose values have an unexpected form.
    """

    other_task: str = ""
    layout: str | None = None
    classes: tuple[str, ...] | None = None
    gsd_m: float | None = None
    input_px: tuple[int, int] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    conf: float | None = None
    iou: float | None = None
    unusable: tuple[str, ...] = ()


def read_metadata(texts: Mapping[str, str]) -> OnnxMetadata:
    """Return the statements in the metadata of an ONNX file.

    Args:
        texts: Its metadata by key; of Ultralytics as Python, of the others as JSON.
    """
    reader = _Reader(texts)
    size = reader.integers("imgsz") or reader.integers("tile_size")
    resolution_cm = reader.number("resolution")
    return OnnxMetadata(
        other_task=reader.other_task(),
        layout=reader.layout(),
        classes=reader.names("names") or reader.names("class_names"),
        gsd_m=None if resolution_cm is None else resolution_cm / CENTIMETRES,
        input_px=None if size is None else (size[0], size[-1]),
        mean=reader.numbers("standardization_mean"),
        std=reader.numbers("standardization_std"),
        conf=reader.number("det_conf", maximum=1),
        iou=reader.number("det_iou_thresh", maximum=1),
        unusable=tuple(reader.unusable),
    )


class _Reader:
    """Values of metadata; keys whose values cannot be used are noted."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts
        self.unusable: list[str] = []

    def value(self, key: str) -> Any:
        """Return a value of JSON or Python, else its text; None: there is none."""
        text = self._texts.get(key, "").strip()
        if not text or len(text) > MAX_CHARACTERS:
            return None
        for parse in (json.loads, ast.literal_eval):  # literals only: no code is run
            try:
                return parse(text)
            except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
                continue
        return text

    def word(self, key: str) -> str:
        """Return a text, empty if there is none."""
        value = self.value(key)
        return value if isinstance(value, str) else ""

    def number(self, key: str, *, maximum: float = math.inf) -> float | None:
        """Return a positive number."""
        numbers = self.numbers(key)
        if numbers is None:
            return None
        if len(numbers) != 1 or not 0 < numbers[0] <= maximum:
            self._refuse(key)
            return None
        return numbers[0]

    def integers(self, key: str) -> list[int] | None:
        """Return one or two positive integers."""
        numbers = self.numbers(key)
        if numbers is None:
            return None
        if len(numbers) > 2 or any(n < 1 or n != int(n) for n in numbers):
            self._refuse(key)
            return None
        return [int(n) for n in numbers]

    def numbers(self, key: str) -> tuple[float, ...] | None:
        """Return at least one finite number."""
        value = self.value(key)
        if value is None:
            return None
        values = value if isinstance(value, list | tuple) else [value]
        try:
            numbers = tuple(float(v) for v in values)
        except (TypeError, ValueError):
            self._refuse(key)
            return None
        if not numbers or not all(map(math.isfinite, numbers)):
            self._refuse(key)
            return None
        return numbers

    def names(self, key: str) -> tuple[str, ...] | None:
        """Return names, listed or by their numbers 0 to N - 1."""
        value = self.value(key)
        if value is None:
            return None
        if isinstance(value, Mapping):
            try:
                by_number = {int(number): name for number, name in value.items()}
            except (TypeError, ValueError):
                self._refuse(key)
                return None
            if sorted(by_number) != list(range(len(value))):
                self._refuse(key)
                return None
            value = [by_number[number] for number in range(len(value))]
        if isinstance(value, str):
            value = [value]
        if not isinstance(value, list | tuple) or not value:
            self._refuse(key)
            return None
        return tuple(str(name) for name in value)

    def other_task(self) -> str:
        """Return a task that is not detection."""
        words = (self.word(key).lower() for key in ("task", "model_type", "det_type"))
        return next((OTHER_TASKS[word] for word in words if word in OTHER_TASKS), "")

    def layout(self) -> str | None:
        """Return the layout that Ultralytics or Deepness states."""
        if (kind := self.word("det_type")) in DETECTOR_TYPES:
            return DETECTOR_TYPES[kind]
        task = self.word("task")
        if task not in ("detect", "obb"):
            return None
        if self.word("head") == "RTDETRDecoder":  # since 8.4
            return "rtdetr-topk"
        if "rtdetr" in self.word("description").lower():
            return "rtdetr"
        options = self.value("args")
        has_nms = isinstance(options, Mapping) and options.get("nms") is True
        name = "yolov10" if has_nms or self.value("end2end") in (True, "True") else "yolov8"
        return f"{name}-obb" if task == "obb" else name

    def _refuse(self, key: str) -> None:
        self.unusable.append(key)
