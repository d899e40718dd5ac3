from __future__ import annotations

import numpy as np
import pytest

from geodetect.model.layouts.base import Graph, Output
from geodetect.model.layouts.registry import LAYOUTS

SIZE = (64, 64)
BOXES = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float32)


def test_each_box_has_one_class() -> None:
    outputs = [BOXES[None], np.array([[0.2, 0.9]], np.float32), np.array([[0, 3]])]
    found = LAYOUTS["boxes-scores-labels"].decode(outputs, SIZE, np.array([0.5]))
    assert (found.boxes.tolist(), found.labels.tolist()) == ([[5, 6, 7, 8]], [3])


def test_scores_may_be_the_fifth_column_of_boxes() -> None:
    rows = np.hstack([BOXES, [[0.9], [0.1]]]).astype(np.float32)
    outputs = [rows[None], np.array([[1, 0]])]
    found = LAYOUTS["boxes-scores-labels"].decode(outputs, SIZE, np.array([0.5]))
    assert (found.boxes.tolist(), found.labels.tolist()) == ([[1, 2, 3, 4]], [1])
    match = LAYOUTS["boxes-scores-labels"].fit(
        Graph(SIZE, (Output("labels", (1, None), is_integer=True), Output("dets", (1, None, 5))))
    )
    assert match is not None
    assert match.outputs == (1, 0)


def test_a_box_counts_for_each_class_that_reaches_its_threshold() -> None:
    scores = np.array([[[0.1, 0.6, 0.7], [0.9, 0.05, 0.05]]], np.float32)
    found = LAYOUTS["boxes-scores"].decode([BOXES[None], scores], SIZE, np.array([2, 0.5, 0.5]))
    assert (found.boxes.tolist(), found.labels.tolist()) == ([[1, 2, 3, 4]] * 2, [1, 2])


@pytest.mark.parametrize("has_batch", [False, True])
def test_without_a_batch_it_is_torchvision_whose_class_0_is_background(has_batch: bool) -> None:
    batch = (1,) * has_batch
    outputs = (
        Output("labels", (*batch, None), is_integer=True),
        Output("scores", (*batch, None)),
        Output("boxes", (*batch, None, 4)),
    )
    graph = Graph(SIZE, outputs)
    likely = [n for n, layout in LAYOUTS.items() if layout.fit(graph) and layout.is_likely(graph)]
    assert likely == ["boxes-scores-labels" if has_batch else "torchvision"]
    assert LAYOUTS[likely[0]].background == (None if has_batch else 0)
