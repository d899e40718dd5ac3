from __future__ import annotations

import numpy as np

from geodetect.model.layouts.base import Graph, Output
from geodetect.model.layouts.registry import LAYOUTS

SIZE = (100, 200)
BOXES = np.array([[0.5, 0.5, 0.1, 0.2], [0.25, 0.1, 0.05, 0.1]], np.float32)
IN_PIXELS = [[90, 40, 110, 60], [45, 5, 55, 15]]


def test_fractions_of_the_image_become_pixels() -> None:
    values = np.hstack([BOXES, [[0.1, 0.9], [0.8, 0.7]]]).astype(np.float32)
    found = LAYOUTS["rtdetr"].decode([values[None]], SIZE, np.array([0.3]))
    np.testing.assert_allclose(found.boxes, IN_PIXELS, rtol=1e-5)
    assert found.labels.tolist() == [1, 0]


def test_best_boxes_of_transformers_are_fractions_with_their_class() -> None:
    values = np.hstack([BOXES, [[0.9, 3], [0.1, 0]]]).astype(np.float32)
    found = LAYOUTS["rtdetr-topk"].decode([values[None]], SIZE, np.array([0.3]))
    np.testing.assert_allclose(found.boxes, IN_PIXELS[:1], rtol=1e-5)
    assert (found.scores.tolist(), found.labels.tolist()) == ([np.float32(0.9)], [3])


def test_logits_become_scores_of_each_class() -> None:
    logits = np.array([[-9, 2.0], [1.0, 3.0]], np.float32)
    found = LAYOUTS["detr"].decode([BOXES[None], logits[None]], SIZE, np.array([0.7]))
    np.testing.assert_allclose(found.boxes, [IN_PIXELS[0], IN_PIXELS[1], IN_PIXELS[1]], rtol=1e-5)
    np.testing.assert_allclose(found.scores, 1 / (1 + np.exp(-np.array([2.0, 1, 3]))), rtol=1e-6)
    assert found.labels.tolist() == [1, 0, 1]


def test_rf_detr_alone_subtracts_the_mean_of_imagenet() -> None:
    layout = LAYOUTS["detr"]
    for name, mean in (("dets", 0.485), ("pred_boxes", 0.0)):
        outputs = Output(name, (1, 300, 4)), Output("logits", (1, 300, 5))
        assert layout.preprocessing_of(Graph((64, 64), outputs)).mean[0] == mean


def test_four_classes_are_told_from_boxes_by_their_names() -> None:
    outputs = Output("labels", (1, 300, 4)), Output("dets", (1, 300, 4))
    match = LAYOUTS["detr"].fit(Graph((64, 64), outputs))
    assert match is not None
    assert (match.outputs, match.classes) == ((1, 0), 4)
