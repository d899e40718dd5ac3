"""Networks in OpenVINO's form that a model file holds beside its parameters, each by a name.

``network`` runs in fp32, bf16 and fp16, ``int8`` is the int8-quantized one, ``outline`` the outline
head. A network is stored as
OpenVINO's intermediate representation, an XML graph and its binary constants, in arrays whose names
start with the network's name and a slash: one file, one checksum.

Most constants are parameters of the file, in single precision, times one factor for each output
channel where a batch norm was folded into a convolution. These are not stored a second time: the
factors take their place, a hundredth of the size, and the constants are computed from parameters
and factors when the network is read, to the same bits. So the file grows by a few percent, not to
three times its size.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from geodetect.errors import ModelFileError, translate_errors
from geodetect.model.card import ModelCard
from geodetect.model.file import Weights, model_path
from geodetect.model.runtimes.cache import Entry, array_parts, digest
from geodetect.types import Float32Array, PathLike, UInt8Array

NETWORK, INT8, OUTLINE = "network", "int8", "outline"
SEPARATOR = "/"  # ends the name of a network; no parameter of PyTorch has one
PARTS = ("model", "weights")
SOURCE, SHARED = "source", "shared"  # arrays of a network beside its parts
RESULT_LAYER = b'type="Result"'
MAX_ROUNDING = 2  # of the factor of a channel, in its last digits


def network_parameters(weights: Weights) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of a model file that are parameters."""
    return {name: array for name, array in weights.items() if SEPARATOR not in name}


def holds_network(weights: Weights, name: str) -> bool:
    """Return True if the arrays of a model file hold a network of this name."""
    return all(_key(name, part) in weights for part in (SOURCE, *PARTS))


def list_networks(model: PathLike) -> list[str]:
    """Return the names of the networks in a model file, without reading them.

    Raises:
        ModelFileError: There is no such model, or the file is damaged.
    """
    path = model_path(model)
    with (
        translate_errors(f"{path}: not a model file", ModelFileError),
        safe_open(path, framework="numpy") as file,
    ):
        keys = list(file.keys())
    return sorted({key.partition(SEPARATOR)[0] for key in keys if SEPARATOR in key})


def count_outputs(weights: Weights, name: str) -> int:
    """Return the number of outputs of a network in the arrays of a file, without reading it."""
    return weights[_key(name, "model")].tobytes().count(RESULT_LAYER)


def store_network(
    card: ModelCard, weights: Weights, name: str, network: Entry
) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of a model file with a network.

    Args:
        card: The model's card.
        weights: Arrays of the model; a network of this name among them is replaced.
        name: Name of the network.
        network: ``model`` and ``weights`` of OpenVINO's intermediate representation.
    """
    parameters = network_parameters(weights)
    content, shared = _drop_shared_constants(network, parameters)
    arrays = {
        "model": network["model"],
        "weights": content,
        SHARED: json.dumps(shared, separators=(",", ":")).encode(),
        SOURCE: _source_checksum(card, parameters),
    }
    prefix = name + SEPARATOR
    remaining = {key: array for key, array in weights.items() if not key.startswith(prefix)}
    return remaining | {_key(name, part): _as_array(data) for part, data in arrays.items()}


def stored_network(card: ModelCard, weights: Weights, name: str) -> Entry | None:
    """Return ``model`` and ``weights`` of a network in the arrays of a file; None: it holds none.

    Raises:
        ModelFileError: It was made from other parameters, or cannot be read.
    """
    if not holds_network(weights, name):
        return None
    parameters = network_parameters(weights)
    if weights[_key(name, SOURCE)].tobytes() != _source_checksum(card, parameters):
        raise ModelFileError(
            f"model {card.name}: its {network_title(name)} was made from other weights than it "
            f"holds now; make it again with {remake_command(name)}, or choose another `precision`"
        )
    content = weights[_key(name, "weights")].tobytes()
    with translate_errors(
        f"model {card.name}: its {network_title(name)} cannot be read; make it again with "
        f"{remake_command(name)}",
        ModelFileError,
    ):
        table = weights.get(_key(name, SHARED))  # files of version 1 have none
        if table is not None:
            content = _restore_constants(content, json.loads(table.tobytes()), parameters)
    return {"model": weights[_key(name, "model")].tobytes(), "weights": content}


def network_title(name: str) -> str:
    """Return the title of a network for messages."""
    return "int8-quantized network" if name == INT8 else f"{name} in OpenVINO's form"


def remake_command(name: str) -> str:
    """Return the command that makes a network again, for messages."""
    return "`geodetect quantize`" if name == INT8 else "`geodetect convert`"


def _drop_shared_constants(
    network: Entry, parameters: Weights
) -> tuple[bytes, list[tuple[str, int]]]:
    """Return the constants of a network, with factors in place of those that are parameters.

    Returns:
        The bytes that remain; and the parameters' names with the offsets of their constants in the
        network's own bytes, ascending.
    """
    content, end = network["weights"], 0
    pieces: list[bytes] = []
    shared: list[tuple[str, int]] = []
    for name, offset, size in sorted(_constants(network), key=lambda constant: constant[1]):
        parameter = _find_parameter(name, parameters)
        if offset < end or parameter is None:  # constants of the same bytes are stored once
            continue
        values = parameters[parameter].astype(np.float32)
        if values.ndim < 2 or values.nbytes != size:
            continue
        constant = np.frombuffer(content, np.float32, values.size, offset)
        factors = _channel_factors(values.reshape(len(values), -1), constant)
        if factors is not None:
            pieces += [content[end:offset], factors.tobytes()]
            shared.append((parameter, offset))
            end = offset + size
    return b"".join([*pieces, content[end:]]), shared


def _restore_constants(content: bytes, shared: list[tuple[str, int]], parameters: Weights) -> bytes:
    """Return all constants of a network: inverse of ``_drop_shared_constants``."""
    pieces: list[bytes] = []
    position = length = 0  # in the stored and in the restored bytes
    for name, offset in shared:
        values = parameters[name].astype(np.float32)
        end = position + offset - length
        factors = np.frombuffer(content, np.float32, len(values), end)
        constant = values.reshape(len(values), -1) * factors[:, None]
        pieces += [content[position:end], constant.tobytes()]
        position, length = end + factors.nbytes, offset + constant.nbytes
    return b"".join([*pieces, content[position:]])


def _constants(network: Entry) -> Iterator[tuple[str, int, int]]:
    """Return name, offset and size in bytes of each constant in single precision."""
    for layer in ElementTree.fromstring(network["model"]).iter("layer"):
        data = layer.find("data")
        if layer.get("type") == "Const" and data is not None and data.get("element_type") == "f32":
            yield layer.get("name", ""), int(data.get("offset", 0)), int(data.get("size", 0))


def _find_parameter(constant: str, parameters: Weights) -> str | None:
    """Return the parameter that a constant is named after: modules around it come first."""
    name = constant
    while name not in parameters:
        _, point, name = name.partition(".")
        if not point:
            return None
    return name


def _channel_factors(values: Float32Array, constant: Float32Array) -> Float32Array | None:
    """Return the factor of each output channel by which a parameter becomes a constant.

    Args:
        values: Parameter, ``float32[channels, N]``.
        constant: ``float32[channels * N]``.

    Returns:
        ``float32[channels]`` whose products are the constant, to the bit; None: there are none.
    """
    expected = constant.reshape(values.shape)
    rows, largest = np.arange(len(values)), np.abs(values).argmax(axis=1)
    divisor = values[rows, largest]
    ratio = np.divide(
        expected[rows, largest], divisor, out=np.ones_like(divisor), where=divisor != 0
    )
    factors, is_exact = np.ones_like(ratio), np.zeros(len(ratio), np.bool_)
    for step in range(-MAX_ROUNDING, MAX_ROUNDING + 1):
        factor = (ratio.view(np.int32) + np.int32(step)).view(np.float32)
        with np.errstate(all="ignore"):
            product = values * factor[:, None]
        equals = (product.view(np.uint32) == expected.view(np.uint32)).all(axis=1)
        factors[equals & ~is_exact] = factor[equals & ~is_exact]
        is_exact |= equals
    return factors if is_exact.all() else None


def _source_checksum(card: ModelCard, parameters: Weights) -> bytes:
    """Return the SHA-256 of parameters and input normalisation."""
    normalisation = f"{card.mean} {card.std} {card.input_scale}"
    return bytes.fromhex(digest(normalisation, *array_parts(parameters)))


def _key(name: str, part: str) -> str:
    return f"{name}{SEPARATOR}{part}"


def _as_array(data: bytes) -> UInt8Array:
    return np.frombuffer(data, np.uint8)
