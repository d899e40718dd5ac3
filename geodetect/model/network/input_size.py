"""Input of a network: the image scaled, then padded to multiples of the strides."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geodetect.errors import ModelFileError
from geodetect.model.card import ModelCard
from geodetect.types import BoolArray, UInt8Array

if TYPE_CHECKING:
    from torch import Tensor

Size = tuple[int, int]


def scaled_size(card: ModelCard, height: int, width: int) -> Size:
    """Return height and width of an image after ``card.input_scale``, in input pixels."""
    # 600 * (800 / 600) may be rounded to slightly less than 800
    rows, columns = (max(1, math.floor(n * card.input_scale + 1e-6)) for n in (height, width))
    return rows, columns


def padded_size(card: ModelCard, height: int, width: int) -> Size:
    """Return height and width of the network's input: scaled, then padded to whole multiples.

    Args:
        card: The model's card: scale, strides and ``multiple_px``.
        height: Height of the image in its own pixels.
        width: Width of the image in its own pixels.

    Raises:
        ModelFileError: The card describes no network.
    """
    if card.network is None:
        raise ModelFileError(f"model {card.name}: its card describes no network")
    multiple = card.network.multiple_px or max(card.network.strides)
    rows, columns = (math.ceil(n / multiple) * multiple for n in scaled_size(card, height, width))
    return rows, columns


def resize_and_pad(images: Tensor, card: ModelCard) -> Tensor:
    """Resize normalised images to the network's input size and pad them below and on the right.

    Resizing is bilinear without antialiasing, as in torchvision's ``GeneralizedRCNNTransform``.

    Args:
        images: ``float[B, C, H, W]``, normalised.
        card: The model's card: scale, strides and ``multiple_px``.

    Returns:
        ``float[B, C, H', W']`` with H' and W' as in ``padded_size``.
    """
    import torch.nn.functional as F  # not at the top: OpenVINO needs only the sizes

    height, width = images.shape[2:]
    scaled = scaled_size(card, height, width)
    if scaled != (height, width):
        images = F.interpolate(images, size=scaled, mode="bilinear", align_corners=False)
    rows, columns = padded_size(card, height, width)
    return F.pad(images, (0, columns - scaled[1], 0, rows - scaled[0]))


def exported_inputs(
    card: ModelCard, pixels: UInt8Array, valid: BoolArray
) -> dict[str, NDArray[np.generic]]:
    """Return the inputs of an exported network (OpenVINO, ONNX) for one image, in their order.

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
