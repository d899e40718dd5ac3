"""Non-maximum suppression."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torchvision import ops

from geodetect.detection.detectors import nms as nms_module
from geodetect.detection.detectors.nms import nms, vote_boxes
from geodetect.geo import boxes as box_ops

Box = tuple[int, int, int, int]
places = st.tuples(
    st.integers(0, 12), st.integers(0, 12), st.integers(1, 9), st.integers(1, 9)
).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))
found = st.lists(st.tuples(places, st.integers(0, 3), st.integers(0, 2)), max_size=40)


def one_by_one(
    boxes: NDArray[np.float64], scores: NDArray[np.float32], labels: NDArray[np.int64], iou: float
) -> list[int]:
    """By the definition; of equal scores the lowest coordinates of a class come first."""
    selected: list[int] = []
    keys = [
        (-score, label, *box)
        for score, label, box in zip(scores, labels, boxes.tolist(), strict=True)
    ]
    for row in sorted(range(len(boxes)), key=lambda i: (*keys[i], i)):
        rivals = [k for k in selected if labels[k] == labels[row]]
        if all(box_ops.iou(boxes[[row]], boxes[[k]])[0] <= iou for k in rivals):
            selected.append(row)
    return selected


@given(
    found,
    st.sampled_from([0.0, 0.2, 0.5, 1.0]),
    st.sampled_from([(1, 1), (1, 4), (3, 3), (256, 4096)]),
)
def test_it_does_what_going_through_all_boxes_does(
    rows: list[tuple[Box, int, int]], iou: float, blocks: tuple[int, int]
) -> None:
    boxes = np.array([box for box, _, _ in rows], np.float64).reshape(-1, 4)
    scores = np.array([score for _, score, _ in rows], np.float32)
    labels = np.array([label for _, _, label in rows], np.int64)
    first, largest = blocks
    with patch.multiple(nms_module, FIRST_BLOCK=first, LARGEST_BLOCK=largest):
        selected = nms(boxes, scores, labels, iou=iou)
    assert selected.tolist() == one_by_one(boxes, scores, labels, iou)


@given(found, st.integers(0, 1000))
def test_the_order_of_rows_changes_no_result(rows: list[tuple[Box, int, int]], seed: int) -> None:
    boxes = np.array([box for box, _, _ in rows], np.float64).reshape(-1, 4)
    scores = np.array([score for _, score, _ in rows], np.float32)
    labels = np.array([label for _, _, label in rows], np.int64)
    order = np.random.default_rng(seed).permutation(len(rows))
    selected = nms(boxes, scores, labels, iou=0.3)
    mixed = order[nms(boxes[order], scores[order], labels[order], iou=0.3)]
    for values in (boxes, scores, labels):
        np.testing.assert_array_equal(values[mixed], values[selected])


def test_it_keeps_what_torchvision_keeps() -> None:
    generator = np.random.default_rng(5)
    centre = generator.uniform(0, 300, (2000, 2))
    half = generator.uniform(5, 30, (2000, 2))
    boxes = np.concatenate([centre - half, centre + half], axis=1)
    scores = generator.permutation(2000).astype(np.float32)
    selected = nms(boxes, scores, np.zeros(2000, np.int64), iou=0.4)
    expected = ops.nms(torch.from_numpy(boxes), torch.from_numpy(scores).double(), 0.4)
    assert selected.tolist() == expected.tolist()
    assert 50 < len(selected) < 1900


def test_nothing_leaves_nothing() -> None:
    selected = nms(np.empty((0, 4)), np.empty(0, np.float32), np.empty(0, np.int64), iou=0.5)
    assert selected.shape == (0,)


def test_boxes_that_nearly_agree_vote_by_their_scores() -> None:
    boxes = np.array([[0.0, 0, 10, 10], [0, 0, 10, 12], [0, 0, 10, 30], [50, 50, 60, 60]])
    scores = np.array([0.8, 0.4, 0.8, 0.9], np.float32)
    labels = np.zeros(4, np.int64)
    voted = vote_boxes(boxes, scores, labels, selected=np.array([3, 0]), iou=0.6)
    mean = (0.8 * 10 + 0.4 * 12) / 1.2
    np.testing.assert_allclose(voted, [[50, 50, 60, 60], [0, 0, 10, mean]], rtol=1e-6)


def test_boxes_of_other_classes_and_of_low_scores_do_not_vote() -> None:
    boxes = np.array([[0.0, 0, 10, 10], [0, 0, 10, 11], [0, 0, 11, 10]])
    scores = np.array([0.8, 0.39, 0.8], np.float32)
    voted = vote_boxes(boxes, scores, np.array([0, 0, 1]), selected=np.array([0]), iou=0.6)
    assert voted.tolist() == [[0, 0, 10, 10]]
    labels, nothing = np.zeros(3, np.int64), np.empty(0, np.int64)
    assert len(vote_boxes(boxes, scores, labels, selected=nothing, iou=0.6)) == 0
