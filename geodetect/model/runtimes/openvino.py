"""Networks run by OpenVINO, the fastest runtime on processors."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from geodetect.errors import (
    InputError,
    ModelFileError,
    translate_errors,
)
from geodetect.hardware.cpu import has_int8_units, is_bf16_slow
from geodetect.hardware.torch_library import require_torch
from geodetect.model.card import ModelCard
from geodetect.model.file import Weights
from geodetect.model.network.input_size import exported_inputs, padded_size
from geodetect.model.runtimes.base import NetworkOutput, network_bytes_per_px, pick_precision
from geodetect.model.runtimes.cache import Entry, cached, network_key
from geodetect.model.runtimes.compiled_network import CompiledNetwork, Streams
from geodetect.model.runtimes.openvino_library import DEVICE, import_openvino, open_core
from geodetect.model.runtimes.stored_networks import (
    INT8,
    NETWORK,
    OUTLINE,
    count_outputs,
    holds_network,
    network_parameters,
    network_title,
    remake_command,
    stored_network,
)
from geodetect.types import BoolArray, Float32Array, UInt8Array

if TYPE_CHECKING:
    import openvino

CAPABILITIES = {"bf16": "BF16", "fp32": "FP32", "fp16": "FP16", "int8": "INT8"}  # fastest first
MAX_INT8_LOSS = 0.002  # of average precision: less than the error of its measurement
BOX_OUTPUTS = 2  # logits and offsets; then the features of the outline head
BOX_VALUES = 4  # of the second output
AXES = 3  # of each output


class OpenVinoRuntime:
    """A network run by OpenVINO on the processor.

    Each image is an inference request of its own, and as many run concurrently as there are
    streams. With one or a few threads each, requests hardly wait for each other, and results do
    not depend on the batch. For square images, as tiles are, the network is compiled for their
    size, which is faster, and rounds differently; others share one that takes any size.

    Args:
        card: The model's card.
        weights: All arrays of the model file, by name.
        precision: ``fp32``, ``bf16``, ``fp16``, or ``int8`` if the file holds an int8-quantized
            network (see ``stored_networks``), whose layers that are not quantized run in bf16 if
            the processor gains by it, else in fp32. ``auto``: int8 if the processor has units for
            it and the card states a loss of less than ``MAX_INT8_LOSS``, else bf16 or fp32.
        outlines: Run the outline head as well, which the network must have.

    Raises:
        MissingDependencyError: OpenVINO is not installed.
        ModelFileError: The weights do not fit the card, or the int8-quantized network is damaged.
        InputError: The processor does not support the precision, or the file holds no
            int8-quantized network.
    """

    batch_size = 1
    depends_on_batch = False

    def __init__(
        self, card: ModelCard, weights: Weights, *, precision: str = "auto", outlines: bool = False
    ) -> None:
        self.card = card
        self.has_outlines = outlines
        core = open_core()
        if precision == "auto" and is_int8_best(card, weights, outlines=outlines):
            precision = "int8"
        self.precision, float_precision = pick_precisions(core, precision)
        read = read_int8_network if self.precision == "int8" else read_network
        network = read(core, card, weights)
        if not outlines:
            network = _select_outputs(network, BOX_OUTPUTS)
        elif len(network.outputs) == BOX_OUTPUTS:
            raise ModelFileError(
                f"model {card.name}: its int8-quantized network was made without its outline head; "
                f"make it again with `geodetect quantize`, or choose another `precision` or "
                f"`geometry` box"
            )
        streams = Streams.set_up(core)
        self._network = CompiledNetwork(core, network, float_precision, streams)
        self.streams = streams.count
        self.title = f"OpenVINO {self.precision} on cpu"
        self.identity = f"{self.title}, {self._network.identity}"
        self.bytes_per_px = network_bytes_per_px(card.network, float_precision)
        if outlines:
            pooling, tower = split_at_convolutions(read_network(core, card, weights, OUTLINE))
            # boxes in bf16 would be off by pixels
            self._pooling = CompiledNetwork(core, pooling, "fp32", streams)
            self._tower = CompiledNetwork(core, tower, float_precision, streams)
        self._threads = ThreadPoolExecutor(self.streams, thread_name_prefix="geodetect-openvino")

    def forward(self, pixels: UInt8Array, valid: BoolArray) -> NetworkOutput:
        """See ``Runtime``."""
        run_all = map if len(pixels) == 1 else self._threads.map
        columns = zip(*run_all(self._run, pixels, valid), strict=True)
        logits, deltas, *features = map(_stack, columns)
        size = padded_size(self.card, *pixels.shape[2:])
        return NetworkOutput(logits, deltas, size, *features)

    def draw_masks(self, features: Float32Array, boxes: Float32Array) -> Float32Array:
        """See ``Runtime``."""
        (masks,) = self._tower.run(*self._pooling.run(features[None], boxes))
        return masks

    def _run(self, pixels: UInt8Array, valid: BoolArray) -> list[Float32Array]:
        """Return logits ``float32[N, classes]``, offsets ``float32[N, 4]``, maybe features."""
        inputs = exported_inputs(self.card, pixels, valid).values()
        outputs = self._network.run(*inputs, is_shape_fixed=valid.shape[0] == valid.shape[1])
        return [output[0] for output in outputs]


def _stack(arrays: Sequence[Float32Array]) -> Float32Array:
    """Return the outputs of images as those of a batch, without a copy for one image."""
    return arrays[0][None] if len(arrays) == 1 else np.stack(arrays)


def pick_precisions(core: openvino.Core, precision: str) -> tuple[str, str]:
    """Return the precision of a network, and that of its layers that are not quantized.

    Raises:
        InputError: The processor does not support the precision.
    """
    capabilities = core.get_property(DEVICE, "OPTIMIZATION_CAPABILITIES")
    available = [name for name, code in CAPABILITIES.items() if code in capabilities]
    if is_bf16_slow():
        available.sort(key="bf16".__eq__)
    picked = pick_precision(precision, available, runtime="openvino on this processor")
    return picked, available[0] if picked == "int8" else picked


def split_at_convolutions(network: openvino.Model) -> tuple[openvino.Model, openvino.Model]:
    """Return what a network does before its first convolution, and from it on."""
    ov = import_openvino()

    def first_input(model: openvino.Model) -> openvino.Input:
        nodes = model.get_ordered_ops()
        return next(node.input(0) for node in nodes if node.get_type_name() == "Convolution")

    end, following = first_input(network).get_source_output(), network.clone()
    start = ov.op.Parameter(end.get_element_type(), end.get_partial_shape())
    first_input(following).replace_source_output(start.output(0))
    name = network.get_friendly_name()
    return (
        ov.Model([end], network.get_parameters(), name),
        ov.Model(following.outputs, [start], name),
    )


def _select_outputs(network: openvino.Model, count: int) -> openvino.Model:
    """Return the network with its first outputs alone: nothing is computed for the others."""
    if len(network.outputs) <= count:
        return network
    ov = import_openvino()
    return ov.Model(network.outputs[:count], network.get_parameters(), network.get_friendly_name())


def is_int8_best(card: ModelCard, weights: Weights, *, outlines: bool = False) -> bool:
    """Return True if the int8-quantized network is faster than the full one, and as good."""
    if card.int8 is None or card.int8.loss >= MAX_INT8_LOSS or not holds_network(weights, INT8):
        return False
    is_complete = not outlines or count_outputs(weights, INT8) > BOX_OUTPUTS
    return is_complete and has_int8_units()


def read_network(
    core: openvino.Core, card: ModelCard, weights: Weights, name: str = NETWORK
) -> openvino.Model:
    """Return a network of a model file; converted, or from the cache, if the file holds none.

    Args:
        core: OpenVINO.
        card: The model's card.
        weights: All arrays of the model file, by name.
        name: ``NETWORK`` or ``OUTLINE``.

    Raises:
        MissingDependencyError: The file holds none, and PyTorch is not installed.
        ModelFileError: It was made from other parameters, or OpenVINO cannot read it, or the
            weights do not fit the card.
    """
    entry = stored_network(card, weights, name)
    if entry is not None:
        return _read_stored_network(core, card, name, entry)
    parameters = network_parameters(weights)

    def convert() -> Entry:
        require_torch(
            f"model {card.name} holds no network in OpenVINO's form, as files of older versions: "
            f"converting it",
            remedy="or convert the file on a machine that has it: `geodetect convert "
            "old.safetensors -o new.safetensors`",
        )
        # only when a network is converted: it imports PyTorch, which takes seconds
        from geodetect.model.runtimes.conversion import convert_network

        return convert_network(card, parameters, name)

    def read(entry: Entry) -> openvino.Model:
        network = core.read_model(model=entry["model"], weights=entry["weights"])
        _check_outputs(network, card, name)
        return network

    key = network_key(card, parameters, name, import_openvino().get_version())
    return cached("openvino", key, make=convert, read=read)


def read_int8_network(core: openvino.Core, card: ModelCard, weights: Weights) -> openvino.Model:
    """Return the int8-quantized network of a model file.

    Raises:
        InputError: The file holds none.
        ModelFileError: It was made from other parameters, or OpenVINO cannot read it.
    """
    return _read_stored_network(core, card, INT8, stored_int8_network(card, weights))


def stored_int8_network(card: ModelCard, weights: Weights) -> Entry:
    """Return ``model`` and ``weights`` of the int8-quantized network of a model file.

    Raises:
        InputError: The file holds none.
        ModelFileError: It was made from other parameters.
    """
    entry = stored_network(card, weights, INT8)
    if entry is None:
        raise InputError(
            f"`precision` int8: model {card.name} holds no int8-quantized network; add one with "
            f"`geodetect quantize`, or choose another `precision`"
        )
    return entry


def _read_stored_network(
    core: openvino.Core, card: ModelCard, name: str, entry: Entry
) -> openvino.Model:
    remedy = f"make it again with {remake_command(name)}, or choose another `precision`"
    with translate_errors(
        f"model {card.name}: its {network_title(name)} cannot be read by OpenVINO "
        f"{import_openvino().get_version()}; {remedy}",
        ModelFileError,
    ):
        network = core.read_model(model=entry["model"], weights=entry["weights"])
        _check_outputs(network, card, name)
        for node in network.get_ops():
            is_real = node.get_type_name() == "Constant" and node.get_element_type().is_real()
            if is_real and not np.isfinite(node.data).all():  # scales, biases, ranges
                raise ModelFileError(
                    f"model {card.name}: its {network_title(name)} holds NaN or infinity in "
                    f"{node.get_friendly_name()}; {remedy}"
                )
    return network


def _check_outputs(network: openvino.Model, card: ModelCard, name: str) -> None:
    shapes = [list(output.get_partial_shape()) for output in network.outputs]
    head = None if card.network is None else card.network.outline
    expected = [len(card.classes), BOX_VALUES]
    if name == OUTLINE and head is not None:
        expected = [head.mask_cells]
    values = [shape[-1].get_max_length() for shape in shapes[: len(expected)]]
    has_features = name != OUTLINE and head is not None and len(shapes) > BOX_OUTPUTS
    if (
        values != expected
        or len(shapes) != len(expected) + has_features
        or any(len(shape) != AXES for shape in shapes)
    ):
        sizes = " and ".join(str(output.get_partial_shape()) for output in network.outputs)
        raise ModelFileError(
            f"model {card.name}: its {network_title(name)} has outputs of shape {sizes}, expected "
            f"{AXES} axes, the last of {' and '.join(map(str, expected))} values; make it again "
            f"with {remake_command(name)}"
        )
