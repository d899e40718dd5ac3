"""The learning rate over a training, and how often its result is measured."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodetect.settings import TrainSettings
from geodetect.training.lr_schedule import learning_rate, validation_cost, validation_interval


def test_the_learning_rate_warms_up_and_falls_to_a_hundredth() -> None:
    rates = [learning_rate(share) for share in np.linspace(0, 1, 201)]
    assert rates[0] == pytest.approx(0.05)
    assert max(rates) == pytest.approx(1, abs=1e-3)
    assert rates.index(max(rates)) == 6
    assert rates[-1] == pytest.approx(0.01)
    assert all(a > b for a, b in pairwise(rates[6:]))


@given(cost=st.floats(0, 1e4), total=st.floats(1, 1e6))
def test_validations_take_at_most_a_tenth_and_are_at_most_twenty(cost: float, total: float) -> None:
    every = validation_interval(cost, total)
    count = total / every
    assert count <= 20.001
    assert count * cost <= 0.1 * (total + count * cost) * 1.001


def test_a_pass_forward_costs_a_third_of_a_step() -> None:
    assert validation_cost(8 * 384**2, TrainSettings(batch_size=8, tile_size=384)) == pytest.approx(
        1 / 3
    )
