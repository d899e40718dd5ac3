"""Detections of published ONNX files by the formulas of the programs that wrote them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

SIDE_PX = 416
STRIDES = (8, 16, 32)

Boxes = tuple[NDArray[np.float64], NDArray[np.float64]]  # corners [N, 4], scores [N, classes]


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
