"""The loss of anchors."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from geodetect.model.network.anchors_torch import encode
from geodetect.training.anchors.assignment import IGNORED, Target, assign_anchors
from geodetect.training.losses import BOX_WEIGHT, FOCAL_ALPHA, FOCAL_GAMMA, retinanet_loss
from tests.helpers.sample_anchors import ANCHORS, LEVELS, target


def loss_of(logits: Tensor, deltas: Tensor, targets: list[Target]) -> tuple[Tensor, Tensor]:
    return retinanet_loss(logits, deltas, targets, levels=LEVELS, assignment="overlap")


def focal(logit: float, is_object: bool) -> float:
    """Lin et al. 2017, equation 5, written out."""
    p = torch.sigmoid(torch.tensor(logit, dtype=torch.float64)).item()
    p_t, alpha_t = (p, FOCAL_ALPHA) if is_object else (1 - p, 1 - FOCAL_ALPHA)
    return float(-alpha_t * (1 - p_t) ** FOCAL_GAMMA * torch.log(torch.tensor(p_t)))


@settings(deadline=None)
@given(logits=st.lists(st.floats(-6, 6), min_size=10, max_size=10))
def test_the_classification_loss_is_the_focal_loss_per_positive_anchor(
    logits: list[float],
) -> None:
    truth = target([[0, 0, 10, 10], [50, 50, 60, 60]], label=1)
    values = torch.tensor(logits).reshape(1, 5, 2)
    owner = assign_anchors(truth, LEVELS, "overlap")
    expected = sum(
        focal(values[0, a, c].item(), owner[a].item() >= 0 and c == 1)
        for a in range(5)
        if owner[a] != IGNORED
        for c in range(2)
    )
    loss, _ = loss_of(values, torch.zeros(1, 5, 4), [truth])
    assert loss.item() == pytest.approx(expected / (owner >= 0).sum().item(), rel=1e-4)


def test_perfect_boxes_cost_nothing_and_wrong_ones_up_to_twice_the_weight() -> None:
    truth = target([[0, 0, 10, 10]])
    deltas = torch.zeros(1, 5, 4)
    _, perfect = loss_of(torch.zeros(1, 5, 1), deltas, [truth])
    assert perfect.item() == pytest.approx(0, abs=1e-5)
    deltas[0, 0] = encode(torch.tensor([[900.0, 900, 910, 910]]), ANCHORS[:1])[0]
    _, far = loss_of(torch.zeros(1, 5, 1), deltas, [truth])
    assert BOX_WEIGHT < far.item() <= 2 * BOX_WEIGHT


def test_ignored_places_do_not_enter_the_loss() -> None:
    truth = target([[0, 0, 10, 10]], ignored=[[48, 48, 64, 64]])

    def loss(logits: Tensor) -> float:
        deltas = torch.zeros(1, 5, 4)
        return loss_of(logits, deltas, [truth])[0].item()

    other = torch.zeros(1, 5, 1)
    other[0, 3:] = 5
    assert loss(other) == loss(torch.zeros(1, 5, 1))


def test_a_batch_without_objects_has_a_finite_loss() -> None:
    logits = torch.zeros(2, 5, 3, requires_grad=True)
    deltas = torch.zeros(2, 5, 4, requires_grad=True)
    classification, box = loss_of(logits, deltas, [target([])] * 2)
    (classification + box).backward()
    assert classification.item() > 0
    assert box.item() == 0
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
