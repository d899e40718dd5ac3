"""Size of a network's input: the image scaled, then padded to multiples of the strides."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from geodetect.errors import ModelFileError
from geodetect.model.card import ModelCard

if TYPE_CHECKING:
    from torch import Tensor

Size = tuple[int, int]


def scaled_size(card: ModelCard, height: int, width: int) -> Size:
    """Return height and width of an image after ``card.input_scale``, in input pixels."""
    # 600 * (800 / 600) may come out a hair below 800
    high, wide = (max(1, math.floor(n * card.input_scale + 1e-6)) for n in (height, width))
    return high, wide


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
    high, wide = (math.ceil(n / multiple) * multiple for n in scaled_size(card, height, width))
    return high, wide


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
    high, wide = padded_size(card, height, width)
    return F.pad(images, (0, wide - scaled[1], 0, high - scaled[0]))
