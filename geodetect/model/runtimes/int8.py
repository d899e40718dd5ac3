"""The network in 8 bit that a model file may hold beside its weights.

It is kept as OpenVINO's intermediate representation, a description and an array of numbers, under
names that no parameter has. So it goes wherever the weights go, under the same checksum.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geodetect.errors import InputError, ModelFileError
from geodetect.model.card import ModelCard
from geodetect.model.file import Weights
from geodetect.model.runtimes.cache import Entry, digest
from geodetect.types import UInt8Array

PREFIX = "int8/"
PARTS = ("model", "weights")
SOURCE = f"{PREFIX}source"


def with_int8(card: ModelCard, weights: Weights, network: Entry) -> dict[str, NDArray[np.generic]]:
    """The arrays of a model file that holds this network too.

    Args:
        card: The model's card.
        weights: Arrays by parameter name, which the network was made from.
        network: ``model`` and ``weights`` of OpenVINO's intermediate representation.
    """
    added = {PREFIX + part: np.frombuffer(network[part], np.uint8) for part in PARTS}
    return {**without_int8(weights), **added, SOURCE: _source(card, weights)}


def without_int8(weights: Weights) -> dict[str, NDArray[np.generic]]:
    """Only the arrays that are parameters."""
    return {name: array for name, array in weights.items() if not name.startswith(PREFIX)}


def int8_network(card: ModelCard, weights: Weights) -> Entry:
    """``model`` and ``weights`` of the network in 8 bit.

    Args:
        card: The model's card.
        weights: All arrays of its file.

    Raises:
        InputError: The file holds none.
        ModelFileError: It was made from other weights.
    """
    if not all(name in weights for name in (SOURCE, *(PREFIX + part for part in PARTS))):
        raise InputError(
            f"--precision int8: model {card.name} holds no network in 8 bit; add one with "
            f"`geodetect quantize`, or choose another --precision"
        )
    if not np.array_equal(weights[SOURCE], _source(card, weights)):
        raise ModelFileError(
            f"model {card.name}: its network in 8 bit was made from other weights than it holds "
            f"now; make it again with `geodetect quantize`, or choose another --precision"
        )
    return {part: weights[PREFIX + part].tobytes() for part in PARTS}


def _source(card: ModelCard, weights: Weights) -> UInt8Array:
    """SHA-256 of what a network in 8 bit is made from: the parameters, and what enters them."""
    own = without_int8(weights)
    names = [f"{name} {own[name].dtype} {own[name].shape}" for name in sorted(own)]
    arrays = [np.ascontiguousarray(own[name]).data for name in sorted(own)]
    known = digest(f"{card.mean} {card.std} {card.input_scale}", *names, *arrays)
    return np.frombuffer(bytes.fromhex(known), np.uint8)
