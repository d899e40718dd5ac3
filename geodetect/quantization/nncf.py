"""Post-training quantization to int8 with NNCF, an optional dependency."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING, Any, TypeVar

from geodetect.errors import MissingDependencyError
from geodetect.model.card import ModelCard
from geodetect.model.file import Weights
from geodetect.model.network.input_size import exported_inputs
from geodetect.model.runtimes.cache import Entry
from geodetect.model.runtimes.imported import pad_to_input, read_imported_network
from geodetect.model.runtimes.openvino import read_network
from geodetect.model.runtimes.openvino_library import (
    import_openvino,
    no_telemetry,
    open_core,
    serialize,
)
from geodetect.types import BoolArray, UInt8Array

if TYPE_CHECKING:
    import openvino

T = TypeVar("T")
Image = tuple[UInt8Array, BoolArray]

PRODUCTS = ("Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul")


def quantize_network(
    card: ModelCard, weights: Weights, samples: Sequence[T], *, read: Callable[[T], Image]
) -> Entry:
    """Return a network with its inner convolutions quantized to int8.

    Weights get one scale for each output channel, activations one scale and offset for each layer,
    from their range on the samples. Biases are corrected for the mean quantization error (Nagel et
    al. 2019, "Data-free quantization through weight equalization and bias correction").

    Args:
        card: The model's card.
        weights: All arrays of the model file, by name.
        samples: Calibration samples, like the imagery that the model will be used on.
        read: Returns pixels ``uint8[C, H, W]`` and validity ``bool[H, W]`` of a sample.

    Returns:
        OpenVINO's intermediate representation, as ``store_network`` takes it.

    Raises:
        MissingDependencyError: OpenVINO or NNCF is not installed.
        ModelFileError: The weights do not fit the card.
    """
    nncf = import_nncf()

    def read_inputs(sample: T) -> tuple[Any, ...]:
        pixels, valid = read(sample)
        if card.imported is not None:
            return (pad_to_input(card, pixels, valid)[None],)
        return tuple(exported_inputs(card, pixels, valid).values())

    with _silence():
        read_full = read_network if card.imported is None else read_imported_network
        network = read_full(open_core(), card, weights)
        quantized = nncf.quantize(
            network,
            nncf.Dataset(samples, read_inputs),
            subset_size=len(samples),
            preset=nncf.QuantizationPreset.MIXED,
            # no validation: constants are among them
            ignored_scope=nncf.IgnoredScope(names=float_layers(network), validate=False),
        )
    return serialize(quantized)


def float_layers(network: openvino.Model) -> list[str]:
    """Return the names of the layers that are not quantized.

    They are small, and rounding what they compute costs most accuracy: those before the first
    products, which normalise pixels; and the last products and those after them, which give scores,
    boxes and the features of outlines. Products are convolutions and matrix products. Other layers
    whose results only these take, such as sums, would be rounded for nothing.
    """
    nodes = network.get_ordered_ops()
    inner = _names_from_products(nodes) & _names_before_products(nodes)
    for node in reversed(nodes):
        consumers = {
            consumer.get_node().get_friendly_name()
            for output in node.outputs()
            for consumer in output.get_target_inputs()
        }
        if not _is_product(node) and inner.isdisjoint(consumers):
            inner.discard(node.get_friendly_name())
    return sorted({node.get_friendly_name() for node in nodes} - inner)


def _names_from_products(nodes: list[openvino.Node]) -> set[str]:
    """Return the names of the products, and of the layers that one precedes."""
    names: set[str] = set()
    for node in nodes:
        sources = [node.input_value(i).get_node() for i in range(node.get_input_size())]
        if _is_product(node) or any(s.get_friendly_name() in names for s in sources):
            names.add(node.get_friendly_name())
    return names


def _names_before_products(nodes: list[openvino.Node]) -> set[str]:
    """Return the names of the layers that a product follows."""
    names: set[str] = set()
    for node in reversed(nodes):
        if _is_product(node) or node.get_friendly_name() in names:
            sources = [node.input_value(i).get_node() for i in range(node.get_input_size())]
            names.update(source.get_friendly_name() for source in sources)
    return names


def _is_product(node: openvino.Node) -> bool:
    return node.get_type_name() in PRODUCTS


def library_versions() -> str:
    """Return NNCF and OpenVINO with their versions."""
    openvino, _, _ = import_openvino().get_version().partition("-")  # without its build
    return f"nncf {import_nncf().__version__}, openvino {openvino}"


def import_nncf() -> Any:
    """Import NNCF without its telemetry.

    Raises:
        MissingDependencyError: It is not installed.
    """
    try:
        with _silence():
            import nncf
    except ImportError as error:
        raise MissingDependencyError(
            f"quantizing needs NNCF ({error}); install it with: pip install 'geodetect[int8]'"
        ) from error
    return nncf


@contextmanager
def _silence() -> Iterator[None]:
    """Suppress NNCF's progress bars, log messages and telemetry."""
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        # not stderr, where the caller may show progress
        with no_telemetry(), redirect_stdout(StringIO()):
            yield
    finally:
        logging.disable(level)
