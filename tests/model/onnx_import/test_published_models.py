"""Published ONNX files, not part of the repository, against formulas of their programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

import geodetect
from geodetect.detection.detectors.retinanet_detector import load_detector
from tests.conftest import SHARED

SIDE_PX = 416
STRIDES = (8, 16, 32)
MIN_SCORE = 0.005
MAX_BOX_PX, MAX_SCORE = 0.5, 1e-3  # differences

Boxes = tuple[NDArray[np.float64], NDArray[np.float64]]


@pytest.fixture
def published(request: pytest.FixtureRequest) -> Path:
    path = SHARED.parent / "weights" / "onnx" / request.param
    if not path.is_file():
        pytest.skip(f"needs ../shared/weights/onnx/{request.param}")
    return path


def run_onnx(path: Path, images: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return [o[0].astype(np.float64) for o in session.run(None, {name: images.astype(np.float32)})]


def grid(stride: int) -> NDArray[np.float64]:
    side = SIDE_PX // stride
    return np.stack(np.meshgrid(np.arange(side), np.arange(side)), 2).reshape(-1, 2).astype(float)


def yolox_boxes(path: Path, pixels: NDArray[np.uint8]) -> Boxes:
    """Return corners and scores of classes, as ``demo_postprocess`` of YOLOX computes them."""
    (rows,) = run_onnx(path, pixels[None, ::-1].astype(float))
    cells = np.concatenate([grid(s) for s in STRIDES])
    stride = np.concatenate([np.full((len(grid(s)), 1), s) for s in STRIDES])
    centres, sizes = (rows[:, :2] + cells) * stride, np.exp(rows[:, 2:4]) * stride
    return np.hstack([centres - sizes / 2, centres + sizes / 2]), rows[:, 4:5] * rows[:, 5:]


def nanodet_boxes(path: Path, pixels: NDArray[np.uint8]) -> Boxes:
    """Return corners and scores of classes, as ``GFLHead.get_bboxes`` of NanoDet computes them."""
    mean = np.array([103.53, 116.28, 123.675])[:, None, None]
    std = np.array([57.375, 57.12, 58.395])[:, None, None]
    outputs = run_onnx(path, ((pixels[::-1] - mean) / std)[None])
    boxes = []
    for stride, logits in zip(STRIDES, outputs[3:], strict=True):
        weights = np.exp(logits.reshape(-1, 4, 8))
        sides = (weights / weights.sum(2, keepdims=True)) @ np.arange(8) * stride
        centres = (grid(stride) + 0.5) * stride
        boxes.append(np.hstack([centres - sides[:, :2], centres + sides[:, 2:]]))
    return np.concatenate(boxes), np.concatenate(outputs[:3])


@pytest.mark.parametrize(
    ("published", "layout", "decode"),
    [
        ("yolox_nano.onnx", "yolox", yolox_boxes),
        ("nanodet_m.onnx", "nanodet", nanodet_boxes),
    ],
    indirect=["published"],
)
def test_detections_are_those_of_the_program_that_wrote_the_file(
    published: Path, layout: str, decode: object, tmp_path: Path
) -> None:
    model = tmp_path / "m.safetensors"
    card = geodetect.convert(published, model)
    assert card.imported is not None
    assert (card.imported.layout, len(card.classes)) == (layout, 80)
    pixels = np.random.default_rng(0).integers(0, 256, (3, SIDE_PX, SIDE_PX), np.uint8)
    pixels[:, 100:260, 80:300] = np.array([30, 120, 200], np.uint8)[:, None, None]
    detector = load_detector(model, conf=MIN_SCORE, iou=1.0)  # of equal boxes one remains
    (detections,) = detector(pixels[None], np.ones((1, SIDE_PX, SIDE_PX), bool))
    boxes, scores = decode(published, pixels)  # type: ignore[operator]
    boxes = np.clip(boxes, 0, SIDE_PX)
    assert len(detections) > 5
    for label in np.unique(detections.labels):
        of_class = detections[detections.labels == label]
        distances = cdist(of_class.boxes, boxes, "chebyshev") / MAX_BOX_PX
        distances += np.abs(of_class.scores[:, None] - scores[:, label]) / MAX_SCORE
        assert (distances.min(axis=1) < 1).all()
