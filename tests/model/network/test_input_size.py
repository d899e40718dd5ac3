"""The size at which an image enters a network."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from geodetect.errors import ModelFileError
from geodetect.model.card import ModelCard, NetworkConfig
from geodetect.model.network.input_size import padded_size, resize_and_pad, scaled_size
from tests.helpers.tiny_model import tiny_card

sides = st.integers(1, 300)


def scaled_card(scale: float = 1.0, multiple_px: int | None = None) -> ModelCard:
    network = NetworkConfig(strides=(8, 16), anchor_sizes_px=((8,), (16,)), multiple_px=multiple_px)
    return tiny_card(input_scale=scale, network=network)


@given(tile_px=st.integers(1, 2000), resize_px=st.integers(1, 2000))
def test_a_tile_of_the_models_size_becomes_exactly_as_large_as_stated(
    tile_px: int, resize_px: int
) -> None:
    assert scaled_size(scaled_card(resize_px / tile_px), tile_px, tile_px) == (resize_px, resize_px)


@given(height=sides, width=sides, scale=st.floats(0.2, 3), multiple=st.sampled_from([None, 1, 32]))
def test_inputs_are_whole_multiples_that_hold_the_scaled_image(
    height: int, width: int, scale: float, multiple: int | None
) -> None:
    model_card = scaled_card(scale, multiple)
    scaled, padded = scaled_size(model_card, height, width), padded_size(model_card, height, width)
    for inner, outer in zip(scaled, padded, strict=True):
        assert outer % (multiple or 16) == 0
        assert 0 <= outer - inner < (multiple or 16)
        assert inner >= 1


@given(height=sides, width=sides)
def test_an_image_at_its_own_size_is_only_padded(height: int, width: int) -> None:
    image = torch.rand(1, 2, height, width)
    padded = resize_and_pad(image, scaled_card())
    assert padded.shape[2:] == padded_size(scaled_card(), height, width)
    assert torch.equal(padded[:, :, :height, :width], image)
    assert padded[:, :, height:].abs().sum() == padded[..., width:].abs().sum() == 0


def test_scaling_is_bilinear_between_pixel_centres() -> None:
    image = torch.tensor([[[[0.0, 4.0]]]])
    padded = resize_and_pad(image, scaled_card(2.0, multiple_px=1))
    torch.testing.assert_close(padded, torch.tensor([0.0, 1, 3, 4]).expand(1, 1, 2, 4))


def test_scaling_down_does_not_blur_first() -> None:
    image = torch.rand(1, 1, 64, 64)
    expected = F.interpolate(image, scale_factor=0.25, mode="bilinear", antialias=False)
    torch.testing.assert_close(resize_and_pad(image, scaled_card(0.25)), expected)


def test_a_card_without_network_has_no_input() -> None:
    with pytest.raises(ModelFileError, match="describes no network"):
        padded_size(tiny_card(network=None), 64, 64)
