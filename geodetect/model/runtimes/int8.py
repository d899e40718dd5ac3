"""The int8-quantized network that a model file may hold beside its parameters.

It is stored as OpenVINO's intermediate representation, an XML graph and its binary weights, in
arrays whose names start with ``int8/``: one file, one checksum.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geodetect.errors import InputError, ModelFileError
from geodetect.model.card import ModelCard
from geodetect.model.file import Weights
from geodetect.model.runtimes.cache import Entry, array_parts, digest
from geodetect.types import UInt8Array

PREFIX = "int8/"
PARTS = ("model", "weights")
SOURCE = f"{PREFIX}source"


def add_int8_network(
    card: ModelCard, weights: Weights, network: Entry
) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of a model file with an int8-quantized network.

    Args:
        card: The model's card.
        weights: Arrays of the model; an int8-quantized network among them is replaced.
        network: ``model`` and ``weights`` of OpenVINO's intermediate representation.
    """
    arrays = {PREFIX + part: np.frombuffer(network[part], np.uint8) for part in PARTS}
    return {**drop_int8_network(weights), **arrays, SOURCE: _source_checksum(card, weights)}


def drop_int8_network(weights: Weights) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of a model file that are parameters."""
    return {name: array for name, array in weights.items() if not name.startswith(PREFIX)}


def int8_network(card: ModelCard, weights: Weights) -> Entry:
    """Return ``model`` and ``weights`` of the int8-quantized network in the arrays of a file.

    Raises:
        InputError: The file holds none.
        ModelFileError: It was made from other parameters.
    """
    if not all(name in weights for name in (SOURCE, *(PREFIX + part for part in PARTS))):
        raise InputError(
            f"`precision` int8: model {card.name} holds no int8-quantized network; add one with "
            f"`geodetect quantize`, or choose another `precision`"
        )
    if not np.array_equal(weights[SOURCE], _source_checksum(card, weights)):
        raise ModelFileError(
            f"model {card.name}: its int8-quantized network was made from other weights than it "
            f"holds now; make it again with `geodetect quantize`, or choose another `precision`"
        )
    return {part: weights[PREFIX + part].tobytes() for part in PARTS}


def _source_checksum(card: ModelCard, weights: Weights) -> UInt8Array:
    """Return the SHA-256 of parameters and input normalisation, ``uint8[32]``."""
    normalisation = f"{card.mean} {card.std} {card.input_scale}"
    checksum = digest(normalisation, *array_parts(drop_int8_network(weights)))
    return np.frombuffer(bytes.fromhex(checksum), np.uint8)
