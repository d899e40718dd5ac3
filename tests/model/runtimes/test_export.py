"""What exported networks take, and how they are told apart."""

from __future__ import annotations

import numpy as np
import pytest

from geodetect.model.network.input_size import padded_size
from geodetect.model.runtimes.exported import network_key, prepare
from tests.helpers.tiny import tiny_card, tiny_network, weights_of

CARD = tiny_card()


def test_images_are_filled_up_with_what_is_not_valid() -> None:
    pixels = np.full((3, 13, 21), 200, np.uint8)
    found = prepare(CARD, pixels, np.ones((13, 21), bool))
    assert list(found) == ["pixels", "valid"]
    assert found["pixels"].shape == (1, 3, 16, 24)
    assert found["valid"].sum() == 13 * 21
    assert found["valid"][0, :13, :21].all()
    np.testing.assert_array_equal(found["pixels"][0, :, :13, :21], pixels)


def test_an_image_of_whole_cells_goes_in_as_it_is() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 16, 24), np.uint8)
    found = prepare(CARD, pixels, np.ones((16, 24), bool))
    assert np.shares_memory(found["pixels"], pixels)


def test_images_that_are_scaled_keep_their_size_and_bring_the_new_ones() -> None:
    card = tiny_card(input_scale=1.5)
    found = prepare(card, np.zeros((3, 30, 40), np.uint8), np.ones((30, 40), bool))
    assert found["pixels"].shape == (1, 3, 30, 40)
    assert found["scaled"].tolist() == [45, 60]
    assert tuple(found["padded"]) == padded_size(card, 30, 40) == (48, 64)


def test_the_key_of_a_network_changes_with_all_it_depends_on() -> None:
    weights = weights_of(tiny_network(CARD))
    other = {key: value.copy() for key, value in weights.items()}
    other["trunk.conv1.weight"].flat[0] += 1
    keys = [
        network_key(CARD, weights, "1"),
        network_key(CARD, weights, "2"),
        network_key(tiny_card(mean=(0.1, 0.0, 0.0)), weights, "1"),
        network_key(CARD, other, "1"),
        network_key(CARD, dict(list(weights.items())[1:]), "1"),
    ]
    assert len(set(keys)) == len(keys)
    same = {key: value.copy() for key, value in reversed(weights.items())}
    assert network_key(tiny_card(), same, "1") == keys[0]


@pytest.mark.parametrize("scale", [1.0, 1.5])
def test_pixels_are_not_copied_to_other_types(scale: float) -> None:
    card = tiny_card(input_scale=scale)
    found = prepare(card, np.zeros((3, 16, 16), np.uint8), np.ones((16, 16), bool))
    assert found["pixels"].dtype == np.uint8
    assert found["valid"].dtype == np.bool_
