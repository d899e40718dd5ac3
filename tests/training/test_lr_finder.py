"""A learning rate found by a range test."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from geodetect.model.network.retinanet import RetinaNet
from geodetect.settings import TrainSettings
from geodetect.training import lr_finder
from geodetect.training.distributed import Processes
from geodetect.training.lr_finder import RangeTest, run_range_test
from tests.helpers.tiny_model import tiny_card
from tests.helpers.training_loops import CHIP_PX, NETWORK, SquareChips

RATES = np.geomspace(1e-5, 1e-1, 48)


def curve(rates: NDArray[np.float64], *, edge: float, floor: float) -> NDArray[np.float64]:
    """A loss that falls a little and rises steeply beyond a rate."""
    return floor + 0.2 * np.exp(-rates / edge * 8) + np.maximum(rates / edge - 1, 0) ** 2


@given(
    edge=st.sampled_from([1e-3, 4e-3, 1.5e-2]),
    floor=st.sampled_from([0.2, 0.5]),
    seed=st.integers(0, 99),
)
def test_the_rate_is_about_a_tenth_of_where_the_loss_begins_to_rise(
    edge: float, floor: float, seed: int
) -> None:
    noise = np.random.default_rng(seed).normal(0, 0.05 * floor, len(RATES))
    lr = RangeTest(RATES, curve(RATES, edge=edge, floor=floor) + noise).lr
    assert 0.3 * edge / 10 <= lr <= 3 * edge / 10


def test_the_rate_has_two_digits() -> None:
    lr = RangeTest(RATES, curve(RATES, edge=3e-3, floor=0.3)).lr
    assert lr == float(f"{lr:.1e}")


def test_the_running_mean_starts_at_the_first_loss() -> None:
    means = RangeTest(RATES[:3], np.array([1.0, 1.0, 2.0])).smoothed
    assert means[:2] == pytest.approx([1, 1])
    assert 1 < means[2] < 2


def test_a_network_is_left_as_it_was_and_rates_grow_until_it_is_hopeless(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lr_finder, "HIGHEST_LR", 1e4)
    torch.manual_seed(0)
    network = RetinaNet(NETWORK, 1)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    settings = TrainSettings(tile_size=CHIP_PX, batch_size=2)
    processes = Processes(device="cpu")
    card = tiny_card(network=NETWORK)
    first, again = (
        run_range_test(network, card, SquareChips(), settings, processes=processes)  # type: ignore[arg-type]
        for _ in range(2)
    )
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert len(first.losses) == len(first.rates) < lr_finder.STEPS
    assert np.isfinite(first.losses).all()
    assert (np.diff(first.rates) > 0).all()
    assert first.losses.tolist() == again.losses.tolist()
    assert first.lr < 1
