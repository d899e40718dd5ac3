"""All layouts alike."""

from __future__ import annotations

import numpy as np
import pytest

from geodetect.model.layouts.registry import LAYOUTS

SIDE_PX, CLASSES, ROWS = 64, 3, 84 + 1  # cells of the strides 8 to 64
GRIDS = (64, 16, 4)  # cells
SHAPES: dict[str, list[tuple[int, ...]]] = {
    "yolov5": [(1, 3 * ROWS, 5 + CLASSES)],
    "yolov6": [(1, ROWS, 5 + CLASSES)],
    "yolov7-nms": [(ROWS, 7)],
    "yolov8": [(1, 4 + CLASSES, ROWS)],
    "yolov8-obb": [(1, 5 + CLASSES, ROWS)],
    "yolov10": [(1, ROWS, 6)],
    "yolov10-obb": [(1, ROWS, 7)],
    "yolox": [(1, ROWS - 1, 5 + CLASSES)],
    "yolox-decoded": [(1, ROWS - 1, 5 + CLASSES)],
    "nanodet": [(1, n, values) for values in (CLASSES, 32) for n in GRIDS],
    "nanodet-plus": [(1, ROWS, CLASSES + 32)],
    "rtdetr": [(1, ROWS, 4 + CLASSES)],
    "rtdetr-topk": [(1, ROWS, 6)],
    "detr": [(1, ROWS, 4), (1, ROWS, CLASSES)],
    "boxes-scores-labels": [(1, ROWS, 4), (1, ROWS), (1, ROWS)],
    "torchvision": [(ROWS, 4), (ROWS,), (ROWS,)],
    "boxes-scores": [(1, ROWS, 4), (1, ROWS, CLASSES)],
}


NO_ROWS: dict[str, list[tuple[int, ...]]] = {  # of graphs that select their boxes themselves
    "yolov7-nms": [(0, 7)],
    "yolov10": [(1, 0, 6)],
    "boxes-scores-labels": [(1, 0, 4), (1, 0), (1, 0)],
    "torchvision": [(0, 4), (0,), (0,)],
}


@pytest.mark.parametrize(("name", "shapes"), [*SHAPES.items(), *NO_ROWS.items()])
def test_a_picture_without_objects_has_no_candidates(
    name: str, shapes: list[tuple[int, ...]]
) -> None:
    outputs = [np.zeros(shape, np.float32) for shape in shapes]
    layout = LAYOUTS[name]
    candidates = layout.decode(outputs, (SIDE_PX, SIDE_PX), np.full(CLASSES, 0.9))
    assert candidates.boxes.shape == (0, 4)
    assert candidates.scores.shape == candidates.labels.shape == (0,)
    assert (candidates.corners is not None) == layout.is_oriented
    if candidates.corners is not None:
        assert candidates.corners.shape == (0, 4, 2)


def test_every_layout_is_among_them() -> None:
    assert SHAPES.keys() == LAYOUTS.keys()
