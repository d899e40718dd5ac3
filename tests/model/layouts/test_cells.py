from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from geodetect.model.layouts.registry import LAYOUTS

SIZE = (64, 96)


def reference_cells(strides: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """Return column, row and stride of all cells, row by row."""
    return [
        (x, y, stride)
        for stride in strides
        for y in range(math.ceil(SIZE[0] / stride))
        for x in range(math.ceil(SIZE[1] / stride))
    ]


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def test_boxes_of_yolox_are_decoded_as_by_its_own_formula() -> None:
    cells = reference_cells((8, 16, 32))
    values = np.random.default_rng(0).normal(size=(len(cells), 7)).astype(np.float32)
    values[:, 4:] = 1 / (1 + np.exp(-values[:, 4:]))
    found = LAYOUTS["yolox"].decode([values[None]], SIZE, np.array([0.5]))
    expected = []
    for (column, row, stride), (x, y, w, h, objectness, *scores) in zip(
        cells, values.astype(np.float64), strict=True
    ):
        if objectness * max(scores) < 0.5:
            continue
        centre = (x + column) * stride, (y + row) * stride
        half = math.exp(w) * stride / 2, math.exp(h) * stride / 2
        corners = [c + sign * s for sign in (-1, 1) for c, s in zip(centre, half, strict=True)]
        expected.append([*corners, objectness * max(scores), scores.index(max(scores))])
    assert len(expected) > 5
    np.testing.assert_allclose(found.boxes, [row[:4] for row in expected], rtol=1e-5)
    np.testing.assert_allclose(found.scores, [row[4] for row in expected], rtol=1e-5)
    assert found.labels.tolist() == [row[5] for row in expected]


@pytest.mark.parametrize(
    ("layout", "strides", "centre"),
    [("nanodet", (8, 16, 32), 0.5), ("nanodet-plus", (8, 16, 32, 64), 0.0)],
)
def test_boxes_of_nanodet_are_expected_distances_from_its_cells(
    layout: str, strides: tuple[int, ...], centre: float
) -> None:
    cells, rng = reference_cells(strides), np.random.default_rng(1)
    scores = rng.uniform(size=(len(cells), 3)).astype(np.float32)
    distances = rng.normal(0, 2, size=(len(cells), 32)).astype(np.float32)
    outputs = [np.hstack([scores, distances])[None]]
    if layout == "nanodet":
        ends = np.cumsum([sum(c[2] == stride for c in cells) for stride in strides])[:-1]
        outputs = [part[None] for array in (scores, distances) for part in np.split(array, ends)]
    found = LAYOUTS[layout].decode(outputs, SIZE, np.array([0.9, 0.8, 0.95]))
    boxes, labels = [], []
    for (column, row, stride), of_classes, logits in zip(cells, scores, distances, strict=True):
        x, y = (column + centre) * stride, (row + centre) * stride
        sides = [softmax(part.astype(float)) @ np.arange(8) * stride for part in
                 np.split(logits, 4)]  # fmt: skip
        for label in np.flatnonzero(of_classes >= [0.9, 0.8, 0.95]).tolist():
            boxes.append([x - sides[0], y - sides[1], x + sides[2], y + sides[3]])
            labels.append(label)
    assert len(boxes) > 10
    np.testing.assert_allclose(found.boxes, boxes, rtol=1e-5, atol=1e-4)
    assert found.labels.tolist() == labels
