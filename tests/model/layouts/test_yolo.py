from __future__ import annotations

import numpy as np
import pytest

from geodetect.model.layouts.base import Graph, Output
from geodetect.model.layouts.registry import LAYOUTS

SIZE = (64, 64)
CELLS = 64 + 16 + 4
RNG_BOXES = np.array([[20.0, 10, 8, 4], [40, 40, 20, 30], [5, 5, 2, 2]])
THRESHOLD = np.array([0.3])


def test_scores_of_yolov5_are_those_of_the_object_times_those_of_the_class() -> None:
    objects, scores = [[0.9], [0.5], [1]], [[0.5, 0.9], [0.5, 0.4], [0.2, 0.29]]
    rows = np.hstack([RNG_BOXES, objects, scores]).astype(np.float32)
    found = LAYOUTS["yolov5"].decode([rows[None]], SIZE, THRESHOLD)
    np.testing.assert_allclose(found.boxes, [[16, 8, 24, 12]])
    np.testing.assert_allclose(found.scores, [0.81], rtol=1e-6)
    assert found.labels.tolist() == [1]


@pytest.mark.parametrize("is_row", [False, True])
def test_yolov8_is_read_with_boxes_as_columns_and_as_rows(is_row: bool) -> None:
    values = np.zeros((CELLS, 6), np.float32)
    values[[3, 50, 80], :4] = RNG_BOXES
    values[[3, 50, 80], 4:] = [[0.1, 0.8], [0.7, 0.6], [0.2, 0.1]]
    found = LAYOUTS["yolov8"].decode([(values if is_row else values.T)[None]], SIZE, THRESHOLD)
    np.testing.assert_allclose(found.boxes, [[16, 8, 24, 12], [30, 25, 50, 55]])
    assert found.labels.tolist() == [1, 0]


def test_each_class_has_its_own_threshold() -> None:
    values = np.zeros((CELLS, 6), np.float32)
    values[[3, 50], :4], values[3, 4], values[50, 5] = RNG_BOXES[:2], 0.5, 0.5
    found = LAYOUTS["yolov8"].decode([values.T[None]], SIZE, np.array([0.6, 0.4]))
    assert found.labels.tolist() == [1]


@pytest.mark.parametrize("layout", ["yolov8-obb", "yolov10-obb"])
def test_oriented_boxes_turn_clockwise_on_the_image(layout: str) -> None:
    angle = np.arctan2(3, 4)  # cos 0.8, sin 0.6
    box, rest = [30, 20, 20, 10], [0.9, 0, angle]
    values = np.array([[*box, *rest]] + [[0] * 7] * (CELLS - 1), np.float32)
    if layout == "yolov8-obb":
        values = values.T  # two classes
    found = LAYOUTS[layout].decode([values[None]], SIZE, THRESHOLD)
    assert found.corners is not None
    expected = {(35, 30), (41, 22), (25, 10), (19, 18)}
    assert {tuple(np.round(xy, 4)) for xy in found.corners[0]} == expected
    np.testing.assert_allclose(found.boxes, [[19, 10, 41, 30]], atol=1e-4)
    assert (found.scores[0], found.labels[0]) == (np.float32(0.9), 0)


def test_boxes_selected_by_the_graph_are_read_with_their_class() -> None:
    row = [10, 20, 30, 40, 0.5, 2]
    found = LAYOUTS["yolov10"].decode([np.array([[row, [0] * 6]], np.float32)], SIZE, THRESHOLD)
    assert (found.boxes.tolist(), found.labels.tolist()) == ([[10, 20, 30, 40]], [2])
    rows = np.array([[0, 10, 20, 30, 40, 2, 0.5], [0, 1, 1, 2, 2, 0, 0.1]], np.float32)
    found = LAYOUTS["yolov7-nms"].decode([rows], SIZE, THRESHOLD)
    assert (found.boxes.tolist(), found.labels.tolist()) == ([[10, 20, 30, 40]], [2])


def test_further_outputs_of_yolov5_are_ignored() -> None:
    decoded = Output("output", (1, 3 * CELLS, 7))
    raw = [Output(str(s), (1, 3, s, s, 7)) for s in (8, 4, 2)]
    match = LAYOUTS["yolov5"].fit(Graph(SIZE, (*raw, decoded)))
    assert match is not None
    assert (match.outputs, match.classes) == ((3,), 2)


def test_few_boxes_of_many_classes_are_read_as_columns() -> None:
    values = np.zeros((84, 3), np.float32)
    values[:4, 1], values[4 + 7, 1] = [20, 10, 8, 4], 0.9
    found = LAYOUTS["yolov8"].decode([values[None]], SIZE, np.full(80, 0.3))
    assert (found.boxes.tolist(), found.labels.tolist()) == ([[16, 8, 24, 12]], [7])
