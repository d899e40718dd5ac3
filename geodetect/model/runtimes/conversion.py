"""Conversion of a network from PyTorch to OpenVINO's form, for the model file or the cache."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from geodetect.errors import ModelFileError, translate_errors
from geodetect.model.card import ModelCard
from geodetect.model.file import Weights
from geodetect.model.runtimes.cache import Entry
from geodetect.model.runtimes.export import (
    DYNAMIC_AXES,
    exported_network,
    exported_outline_head,
    tracing,
)
from geodetect.model.runtimes.openvino_library import (
    import_openvino,
    no_telemetry,
    number_nodes,
    serialize,
)
from geodetect.model.runtimes.stored_networks import (
    NETWORK,
    OUTLINE,
    network_parameters,
    store_network,
)
from geodetect.progress import phase

Export = Callable[[ModelCard, Weights], tuple[nn.Module, dict[str, Tensor]]]
EXPORTS: Mapping[str, Export] = MappingProxyType(  # by the names of networks in model files
    {NETWORK: exported_network, OUTLINE: exported_outline_head}
)


def network_names(card: ModelCard) -> tuple[str, ...]:
    """Return the names of the networks that a model has in its file, but for quantized ones."""
    has_head = card.network is not None and card.network.outline is not None
    return (NETWORK, OUTLINE) if has_head else (NETWORK,)


@phase("Converting the network for OpenVINO")
def add_networks(card: ModelCard, weights: Weights) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of a model file with the networks that run without PyTorch.

    Args:
        card: The model's card.
        weights: Arrays of the model; its int8-quantized network stays.

    Raises:
        ModelFileError: The parameters do not fit the card, or OpenVINO cannot convert the network.
        MissingDependencyError: OpenVINO is not installed.
        OutputError: The folder for temporary files is full.
    """
    arrays = dict(weights)
    for name in network_names(card):
        network = convert_network(card, network_parameters(arrays), name)
        arrays = store_network(card, arrays, name, network)
    return arrays


def convert_network(card: ModelCard, parameters: Weights, name: str = NETWORK) -> Entry:
    """Return a network in OpenVINO's intermediate representation: ``model`` and ``weights``.

    Args:
        card: The model's card.
        parameters: Arrays by parameter name.
        name: Key of ``EXPORTS``.

    Raises:
        ModelFileError: The parameters do not fit the card, or OpenVINO cannot convert the network.
        MissingDependencyError: OpenVINO is not installed.
        OutputError: The folder for temporary files is full.
    """
    ov = import_openvino()
    module, inputs = EXPORTS[name](card, parameters)
    example = tuple(inputs.values())
    shapes = []
    for input_name, tensor in inputs.items():
        shape = list(tensor.shape)
        for axis in DYNAMIC_AXES.get(input_name, {}):
            shape[axis] = -1
        shapes.append(ov.PartialShape(shape))
    with (
        translate_errors(f"model {card.name}: OpenVINO cannot convert it", ModelFileError),
        tracing(),
        no_telemetry(),
    ):
        graph = torch.jit.trace(module, example, check_trace=False)  # type: ignore[no-untyped-call]
        network = ov.convert_model(graph, example_input=example, input=shapes)
        number_nodes(network, name)
        return serialize(network)
