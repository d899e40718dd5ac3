"""The size at which an image enters a network."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from geodetect.errors import ModelFileError
from geodetect.model.card import ModelCard

if TYPE_CHECKING:
    from torch import Tensor

Size = tuple[int, int]


def scaled_size(card: ModelCard, height: int, width: int) -> Size:
    """Height and width of an image after ``card.input_scale``, in input pixels."""
    return _scaled(height, card.input_scale), _scaled(width, card.input_scale)


def padded_size(card: ModelCard, height: int, width: int) -> Size:
    """Height and width of the network's input: scaled, then filled up to whole multiples.

    Args:
        card: Its scale, strides and ``multiple_px``.
        height: Of the image, in its pixels.
        width: Of the image, in its pixels.

    Raises:
        ModelFileError: The card describes no network.
    """
    if card.network is None:
        raise ModelFileError(f"model {card.name}: its card describes no network")
    multiple = card.network.multiple_px or max(card.network.strides)
    high, wide = (math.ceil(n / multiple) * multiple for n in scaled_size(card, height, width))
    return high, wide


def fit_input(images: Tensor, card: ModelCard) -> Tensor:
    """Normalised images as the network takes them: scaled, then padded on the right and below.

    Scaling is bilinear without antialiasing, as in torchvision's ``GeneralizedRCNNTransform``.

    Args:
        images: ``float[B, C, H, W]``, normalised.
        card: Its scale, strides and ``multiple_px``.

    Returns:
        ``float[B, C, H', W']`` with H' and W' as ``padded_size`` gives them.
    """
    import torch.nn.functional as F  # sizes are needed where PyTorch is not

    height, width = images.shape[2:]
    scaled = scaled_size(card, height, width)
    if scaled != (height, width):
        images = F.interpolate(images, size=scaled, mode="bilinear", align_corners=False)
    high, wide = padded_size(card, height, width)
    return F.pad(images, (0, wide - scaled[1], 0, high - scaled[0]))


def _scaled(side_px: int, scale: float) -> int:
    # 600 * (800 / 600) may come out a hair below 800
    return max(1, math.floor(side_px * scale + 1e-6))
