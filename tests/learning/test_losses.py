"""Assignment of anchors, and the loss."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from geodetect.learning.losses import (
    BACKGROUND_IOU,
    BOX_WEIGHT,
    FOCAL_ALPHA,
    FOCAL_GAMMA,
    POSITIVE_IOU,
    Target,
    assign,
    retinanet_loss,
)
from geodetect.model.anchors import encode

BACKGROUND, NOT_COUNTED = -1, -2
ANCHORS = torch.tensor(
    [[0, 0, 10, 10], [4, 0, 14, 10], [7, 0, 17, 10], [50, 50, 60, 60], [52, 50, 62, 60]],
    dtype=torch.float32,
)


def target(
    boxes: list[list[float]], ignored: list[list[float]] | None = None, label: int = 0
) -> Target:
    return Target(
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.full((len(boxes),), label),
        torch.tensor(ignored or [], dtype=torch.float32).reshape(-1, 4),
    )


def iou(a: list[float], b: list[float]) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return width * height / (areas - width * height)


def test_anchors_answer_by_overlap() -> None:
    owner = assign(target([[0, 0, 10, 10]]), ANCHORS)
    assert owner.tolist() == [0, NOT_COUNTED, BACKGROUND, BACKGROUND, BACKGROUND]


def test_an_object_that_no_anchor_fits_has_its_best_anchor_all_the_same() -> None:
    owner = assign(target([[0, 0, 10, 10], [54, 54, 57, 57]]), ANCHORS)
    assert owner[3:].tolist() == [1, 1], "both cover it equally"


def test_an_object_that_touches_no_anchor_has_none() -> None:
    owner = assign(target([[200, 200, 210, 210]]), ANCHORS)
    assert (owner == BACKGROUND).all()


def test_without_objects_everything_is_background() -> None:
    assert (assign(target([]), ANCHORS) == BACKGROUND).all()


def test_anchors_on_ignored_places_are_not_counted() -> None:
    owner = assign(target([], ignored=[[48, 48, 61, 64]]), ANCHORS)
    assert owner.tolist() == [BACKGROUND] * 3 + [NOT_COUNTED] * 2


def test_an_object_comes_before_an_ignored_place() -> None:
    owner = assign(target([[50, 50, 60, 60]], ignored=[[48, 48, 64, 64]]), ANCHORS)
    assert owner[3:].tolist() == [0, 0]


coordinates = st.integers(0, 40)
rectangles = st.tuples(coordinates, coordinates, st.integers(2, 20), st.integers(2, 20)).map(
    lambda b: [float(b[0]), float(b[1]), float(b[0] + b[2]), float(b[1] + b[3])]
)


@given(objects=st.lists(rectangles, min_size=1, max_size=5), rows=st.lists(rectangles, min_size=1))
def test_assignment_follows_its_rules(objects: list[list[float]], rows: list[list[float]]) -> None:
    owner = assign(target(objects), torch.tensor(rows)).tolist()
    for anchor, owned in zip(rows, owner, strict=True):
        overlaps = [iou(anchor, one) for one in objects]
        best = max(overlaps)
        if owned == BACKGROUND:
            assert best < BACKGROUND_IOU + 1e-6
        elif owned == NOT_COUNTED:
            assert BACKGROUND_IOU - 1e-6 <= best < POSITIVE_IOU + 1e-6
        else:
            forced = overlaps[owned] >= max(iou(row, objects[owned]) for row in rows) - 1e-6
            assert forced or (best >= POSITIVE_IOU - 1e-6 and overlaps[owned] >= best - 1e-6)
    for number, one in enumerate(objects):
        overlaps = [iou(row, one) for row in rows]
        if max(overlaps) > 0 and number not in owner:
            best_rows = [r for r, o in enumerate(overlaps) if o >= max(overlaps) - 1e-6]
            assert all(owner[r] >= 0 for r in best_rows), "only another object may take its anchor"


def focal(logit: float, wanted: bool) -> float:
    """Lin et al. 2017, equation 5, written out."""
    p = torch.sigmoid(torch.tensor(logit, dtype=torch.float64)).item()
    p_t, alpha_t = (p, FOCAL_ALPHA) if wanted else (1 - p, 1 - FOCAL_ALPHA)
    return float(-alpha_t * (1 - p_t) ** FOCAL_GAMMA * torch.log(torch.tensor(p_t)))


@settings(deadline=None)
@given(logits=st.lists(st.floats(-6, 6), min_size=10, max_size=10))
def test_the_classification_loss_is_the_focal_loss_per_positive_anchor(
    logits: list[float],
) -> None:
    wanted = target([[0, 0, 10, 10], [50, 50, 60, 60]], label=1)
    values = torch.tensor(logits).reshape(1, 5, 2)
    owner = assign(wanted, ANCHORS)
    expected = sum(
        focal(values[0, a, c].item(), owner[a].item() >= 0 and c == 1)
        for a in range(5)
        if owner[a] != NOT_COUNTED
        for c in range(2)
    )
    found, _ = retinanet_loss(values, torch.zeros(1, 5, 4), [wanted], anchors=ANCHORS)
    assert found.item() == pytest.approx(expected / (owner >= 0).sum().item(), rel=1e-4)


def test_perfect_boxes_cost_nothing_and_wrong_ones_up_to_twice_the_weight() -> None:
    wanted = target([[0, 0, 10, 10]])
    deltas = torch.zeros(1, 5, 4)
    _, perfect = retinanet_loss(torch.zeros(1, 5, 1), deltas, [wanted], anchors=ANCHORS)
    assert perfect.item() == pytest.approx(0, abs=1e-5)
    deltas[0, 0] = encode(torch.tensor([[900.0, 900, 910, 910]]), ANCHORS[:1])[0]
    _, far = retinanet_loss(torch.zeros(1, 5, 1), deltas, [wanted], anchors=ANCHORS)
    assert BOX_WEIGHT < far.item() <= 2 * BOX_WEIGHT


def test_ignored_places_do_not_enter_the_loss() -> None:
    wanted = target([[0, 0, 10, 10]], ignored=[[48, 48, 64, 64]])

    def loss(logits: Tensor) -> float:
        deltas = torch.zeros(1, 5, 4)
        return retinanet_loss(logits, deltas, [wanted], anchors=ANCHORS)[0].item()

    other = torch.zeros(1, 5, 1)
    other[0, 3:] = 5
    assert loss(other) == loss(torch.zeros(1, 5, 1))


def test_a_batch_without_objects_has_a_finite_loss() -> None:
    logits = torch.zeros(2, 5, 3, requires_grad=True)
    deltas = torch.zeros(2, 5, 4, requires_grad=True)
    classification, box = retinanet_loss(logits, deltas, [target([])] * 2, anchors=ANCHORS)
    (classification + box).backward()
    assert classification.item() > 0
    assert box.item() == 0
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
