"""Networks that were exported from PyTorch: what they take, and how they are told apart."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geodetect.model.card import ModelCard
from geodetect.model.file import Weights
from geodetect.model.network.input_size import padded_size, scaled_size
from geodetect.model.runtimes.cache import digest
from geodetect.types import BoolArray, UInt8Array
from geodetect.version import __version__

ARCHITECTURE = (
    "network/retinanet",
    "network/backbones",
    "network/timm_backbone",
    "network/input_size",
    "runtimes/export",
    "runtimes/torch",
)


def prepare(
    card: ModelCard, pixels: UInt8Array, valid: BoolArray
) -> dict[str, NDArray[np.generic]]:
    """One image as an exported network takes it.

    Args:
        card: The network's card.
        pixels: ``uint8[C, H, W]``.
        valid: ``bool[H, W]``.

    Returns:
        ``pixels``, ``uint8[1, C, H', W']``, and ``valid``, ``bool[1, H', W']``, filled up below
        and on the right to ``padded_size``. If the card scales its input they keep their size, and
        there are ``scaled`` and ``padded``, ``int64[2]``: the sizes to make of them, in this order.
    """
    height, width = valid.shape
    padded = padded_size(card, height, width)
    if card.input_scale != 1:
        scaled = scaled_size(card, height, width)
        sizes = {"scaled": np.array(scaled, np.int64), "padded": np.array(padded, np.int64)}
        return {"pixels": _alone(pixels), "valid": _alone(valid), **sizes}
    if padded != (height, width):
        below = ((0, padded[0] - height), (0, padded[1] - width))
        pixels, valid = np.pad(pixels, ((0, 0), *below)), np.pad(valid, below)
    return {"pixels": _alone(pixels), "valid": _alone(valid)}


def network_key(card: ModelCard, weights: Weights, *versions: str) -> str:
    """What an exported network depends on: its numbers, how it is built, and the programs.

    Args:
        card: Its card.
        weights: Arrays by parameter name.
        versions: Of the libraries it is made with, besides this one.
    """
    folder = Path(__file__).parents[1]
    code = [(folder / f"{module}.py").read_bytes() for module in ARCHITECTURE]
    names = [f"{name} {weights[name].dtype} {weights[name].shape}" for name in sorted(weights)]
    arrays = [np.ascontiguousarray(weights[name]).data for name in sorted(weights)]
    versions = (__version__, *versions, *_trunk_versions(card))
    return digest(*versions, card.model_dump_json(), *code, *names, *arrays)


def _trunk_versions(card: ModelCard) -> tuple[str, ...]:
    """The version of the library that knows how the trunk is built, unless it is torchvision."""
    if card.network is None or not card.network.backbone.startswith("timm:"):
        return ()
    try:
        return (version("timm"),)
    except PackageNotFoundError:  # then it cannot be built either
        return ()


def _alone(image: NDArray[np.generic]) -> NDArray[np.generic]:
    return np.ascontiguousarray(image)[None]
