"""ModelSelection of the best state of a training."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodetect.training.model_selection import ModelSelection, Weights


def constant_weights(step: int) -> Weights:
    return {"a": np.full(3, step, np.float16)}


def after(figures: list[float]) -> ModelSelection:
    selection = ModelSelection()
    for step, ap50 in enumerate(figures, start=1):
        selection = selection.update(step, ap50, constant_weights(step))
    return selection


@given(st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9]), min_size=1, max_size=12))
def test_the_best_figure_is_kept_with_its_weights_and_of_equal_ones_the_last(
    figures: list[float],
) -> None:
    selection = after(figures)
    best = max(figures)
    expected = len(figures) - figures[::-1].index(best)
    assert (selection.best_ap50, selection.best_step) == (best, expected)
    assert selection.best_weights is not None
    assert selection.best_weights["a"].tolist() == [expected] * 3
    assert (selection.validations, selection.last_step) == (len(figures), len(figures))
    assert selection.without_gain == len(figures) - 1 - figures.index(best), "equal is not better"


@pytest.mark.parametrize(
    ("figures", "patience", "stalled"),
    [
        ([0.5, 0.4], 1, True),
        ([0.5, 0.4], 2, False),
        ([0.5, 0.4, 0.5], 2, True),
        ([0.5, 0.4, 0.6], 2, False),
        ([0.5, 0.4, 0.3, 0.2], None, False),
        ([0.5, 0.4, 0.3, 0.2], 0, False),
        ([], 1, False),
    ],
)
def test_patience_counts_validations_without_anything_better(
    figures: list[float], patience: int | None, stalled: bool
) -> None:
    assert after(figures).is_stalled(patience) is stalled


@pytest.mark.parametrize("figures", [[], [0.2, 0.6, 0.3]])
def test_a_selection_survives_a_checkpoint(figures: list[float]) -> None:
    before = after(figures)
    again = ModelSelection.from_state(before.state())
    for selection in (before, again):
        assert selection.validations == len(figures)
    assert (again.best_weights is None) == (not figures)
    if again.best_weights is not None and before.best_weights is not None:
        assert again.best_weights["a"].tolist() == before.best_weights["a"].tolist()
        assert (again.best_step, again.without_gain) == (2, 1)
