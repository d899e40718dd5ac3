"""Inputs of an exported network (OpenVINO, ONNX) for one image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geodetect.model.card import ModelCard
from geodetect.model.network.input_size import padded_size, scaled_size
from geodetect.types import BoolArray, UInt8Array


def exported_inputs(
    card: ModelCard, pixels: UInt8Array, valid: BoolArray
) -> dict[str, NDArray[np.generic]]:
    """Return the inputs of an exported network for one image, in the order of its signature.

    Args:
        card: The model's card.
        pixels: ``uint8[C, H, W]``.
        valid: ``bool[H, W]``.

    Returns:
        ``pixels``, ``uint8[1, C, H', W']``, and ``valid``, ``bool[1, H', W']``, padded below and
        on the right to ``padded_size``. If the card scales its input, they keep their size, and
        ``scaled`` and ``padded``, ``int64[2]``, follow: the sizes that the network resizes and
        then pads them to.
    """
    height, width = valid.shape
    padded = padded_size(card, height, width)
    sizes = {}
    if card.input_scale != 1:
        scaled = scaled_size(card, height, width)
        sizes = {"scaled": np.array(scaled, np.int64), "padded": np.array(padded, np.int64)}
    elif padded != (height, width):
        padding = ((0, padded[0] - height), (0, padded[1] - width))
        pixels, valid = np.pad(pixels, ((0, 0), *padding)), np.pad(valid, padding)
    images = {"pixels": np.ascontiguousarray(pixels), "valid": np.ascontiguousarray(valid)}
    return {name: image[None] for name, image in images.items()} | sizes
