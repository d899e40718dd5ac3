"""Networks run by ONNX Runtime, an optional dependency."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np

from geodetect.errors import MissingDependencyError, ModelFileError, list_names
from geodetect.hardware.cpu import cpu_model, usable_cores
from geodetect.hardware.memory import is_out_of_memory
from geodetect.hardware.torch_library import require_torch
from geodetect.model.card import ModelCard
from geodetect.model.file import Weights
from geodetect.model.network.input_size import exported_inputs, padded_size
from geodetect.model.runtimes.base import NetworkOutput, network_bytes_per_px, pick_precision
from geodetect.model.runtimes.cache import Entry, cached, network_key
from geodetect.model.runtimes.stored_networks import NETWORK, OUTLINE, network_parameters
from geodetect.types import BoolArray, Float32Array, UInt8Array

PROVIDER = "CPUExecutionProvider"
OUTPUTS, MASKS = ("logits", "deltas", "features"), ("masks",)


class OnnxRuntime:
    """A network run by ONNX Runtime on the processor, in single precision, image by image.

    Args:
        card: The model's card.
        weights: All arrays of the model file, by name.
        precision: ``auto`` or ``fp32``.
        outlines: Run the outline head as well, which the network must have.

    Raises:
        MissingDependencyError: The extra ``onnx`` is not installed.
        ModelFileError: The weights do not fit the card.
        InputError: The precision is not available.
    """

    streams = 1
    batch_size = 1
    depends_on_batch = False

    def __init__(
        self, card: ModelCard, weights: Weights, *, precision: str = "auto", outlines: bool = False
    ) -> None:
        self.card = card
        self.has_outlines = outlines
        library = _import_library("onnxruntime")
        library.disable_telemetry_events()
        self.precision = pick_precision(precision, ["fp32"], runtime="onnx")
        self.title = f"ONNX Runtime {self.precision} on cpu"
        # the number of threads changes the order of sums, and so rounding
        threads = f"{usable_cores()} threads, {cpu_model()}"
        self.identity = f"{self.title}, {threads}, onnxruntime {library.__version__}"
        self.bytes_per_px = network_bytes_per_px(card.network, self.precision)
        parameters = network_parameters(weights)

        options = library.SessionOptions()
        options.intra_op_num_threads = usable_cores()
        # idle threads that spin would take cores from the threads that read rasters
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")

        def open_session(name: str, outputs: tuple[str, ...]) -> Any:
            """Return a network, ready to run; converted if it is not in the cache."""

            def convert() -> Entry:
                require_torch("`runtime` onnx", remedy="or set `runtime` to openvino")
                _import_library("onnx")  # PyTorch imports it at the end of an export
                from geodetect.model.runtimes.export import (  # imports PyTorch
                    exported_network,
                    exported_outline_head,
                    to_onnx,
                    without_outline_head,
                )

                if name == OUTLINE:
                    head, example = exported_outline_head(card, parameters)
                    return {"model": to_onnx(head, example, outputs)}
                plain = without_outline_head(card, parameters)
                network, example = exported_network(*((card, parameters) if outlines else plain))
                return {"model": to_onnx(network, example, outputs)}

            def read(entry: Entry) -> Any:
                with _memory_errors():
                    session = library.InferenceSession(
                        entry["model"], options, providers=[PROVIDER]
                    )
                names = tuple(output.name for output in session.get_outputs())
                if names != outputs:
                    raise ModelFileError(f"found outputs {list_names(names)}")
                return session

            key = network_key(card, parameters, name, *outputs)
            return cached("onnx", key, make=convert, read=read)

        self._outputs = OUTPUTS[: None if outlines else 2]
        self._session = open_session(NETWORK, self._outputs)
        if outlines:
            self._head = open_session(OUTLINE, MASKS)

    def forward(self, pixels: UInt8Array, valid: BoolArray) -> NetworkOutput:
        """See ``Runtime``."""
        outputs = []
        for image, mask in zip(pixels, valid, strict=True):
            with _memory_errors():
                inputs = exported_inputs(self.card, image, mask)
                outputs.append(self._session.run(self._outputs, inputs))
        logits, deltas, *features = map(np.concatenate, zip(*outputs, strict=True))
        size = padded_size(self.card, *pixels.shape[2:])
        return NetworkOutput(logits, deltas, size, *features)

    def draw_masks(self, features: Float32Array, boxes: Float32Array) -> Float32Array:
        """See ``Runtime``."""
        with _memory_errors():
            (masks,) = self._head.run(MASKS, {"features": features[None], "boxes": boxes})
        return np.asarray(masks)


@contextmanager
def _memory_errors() -> Iterator[None]:
    """Raise ``MemoryError`` for ONNX Runtime's, which derive from ``Exception`` only.

    Raises:
        MemoryError: Memory is used up.
    """
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise MemoryError(str(error)) from error
        raise


def _import_library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingDependencyError(
            f"`runtime` onnx is not installed ({error}); install it with: "
            f"pip install 'geodetect[onnx]', or choose another `runtime`"
        ) from error
