"""The tiny model without group norm: its numbers lie close enough together for 8 bit."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from geodetect.model.card import ModelCard
from geodetect.model.file import write_model_file
from tests.helpers.square_scenes import grid_corners, squares_image, write_raster
from tests.helpers.tiny_model import tiny_card, tiny_network, weights_of

TINY = tiny_card().network
assert TINY is not None
PLAIN = tiny_card(network=TINY.model_copy(update={"head_norm_groups": 0}))
SIDE_PX = 512
CORNERS = grid_corners(SIDE_PX)


def need_nncf() -> None:
    """Skip a test without NNCF; looking for it must not load it, for then it reports its use."""
    if find_spec("nncf") is None:
        pytest.skip("needs the extra int8")


@torch.no_grad()
def plain_weights(card: ModelCard = PLAIN) -> dict[str, NDArray[np.generic]]:
    """Without a norm nothing has to be kept from growing, so brightness is all there is."""
    network = tiny_network(card)
    network.pyramid.fpn.layer_blocks[0][0].bias.zero_()
    network.classification.output.weight[0, 0, 1, 1] = 40
    return weights_of(network)


def save_plain_model(path: Path, **changes: object) -> Path:
    write_model_file(path, PLAIN.model_copy(update=changes), plain_weights())
    return path


def write_squares(path: Path) -> Path:
    """A raster of 16 tiles, none of them flat."""
    image = squares_image(SIDE_PX, CORNERS)
    noise = np.random.default_rng(5).integers(-12, 13, image.shape)
    return write_raster(path, (image + noise).clip(0, 255).astype(np.uint8))
