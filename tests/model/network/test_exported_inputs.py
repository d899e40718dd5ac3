"""Inputs of exported networks."""

from __future__ import annotations

import numpy as np
import pytest

from geodetect.model.network.input_size import exported_inputs, padded_size
from tests.helpers.tiny_model import tiny_card

CARD = tiny_card()


def test_images_are_filled_up_with_what_is_not_valid() -> None:
    pixels = np.full((3, 13, 21), 200, np.uint8)
    inputs = exported_inputs(CARD, pixels, np.ones((13, 21), bool))
    assert list(inputs) == ["pixels", "valid"]
    assert inputs["pixels"].shape == (1, 3, 16, 24)
    assert inputs["valid"].sum() == 13 * 21
    assert inputs["valid"][0, :13, :21].all()
    np.testing.assert_array_equal(inputs["pixels"][0, :, :13, :21], pixels)


def test_an_image_of_whole_cells_goes_in_as_it_is() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 16, 24), np.uint8)
    inputs = exported_inputs(CARD, pixels, np.ones((16, 24), bool))
    assert np.shares_memory(inputs["pixels"], pixels)


def test_images_that_are_scaled_keep_their_size_and_bring_the_new_ones() -> None:
    card = tiny_card(input_scale=1.5)
    inputs = exported_inputs(card, np.zeros((3, 30, 40), np.uint8), np.ones((30, 40), bool))
    assert inputs["pixels"].shape == (1, 3, 30, 40)
    assert inputs["scaled"].tolist() == [45, 60]
    assert tuple(inputs["padded"]) == padded_size(card, 30, 40) == (48, 64)


@pytest.mark.parametrize("scale", [1.0, 1.5])
def test_pixels_are_not_copied_to_other_types(scale: float) -> None:
    card = tiny_card(input_scale=scale)
    inputs = exported_inputs(card, np.zeros((3, 16, 16), np.uint8), np.ones((16, 16), bool))
    assert inputs["pixels"].dtype == np.uint8
    assert inputs["valid"].dtype == np.bool_
