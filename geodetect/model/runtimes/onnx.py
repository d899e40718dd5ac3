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
from geodetect.model.runtimes.stored_networks import network_parameters
from geodetect.types import BoolArray, UInt8Array

PROVIDER = "CPUExecutionProvider"
OUTPUTS = ("logits", "deltas")


class OnnxRuntime:
    """A network run by ONNX Runtime on the processor, in single precision, image by image.

    Args:
        card: The model's card.
        weights: All arrays of the model file, by name.
        precision: ``auto`` or ``fp32``.

    Raises:
        MissingDependencyError: The extra ``onnx`` is not installed.
        ModelFileError: The weights do not fit the card.
        InputError: The precision is not available.
    """

    streams = 1
    batch_size = 1
    depends_on_batch = False

    def __init__(self, card: ModelCard, weights: Weights, *, precision: str = "auto") -> None:
        self.card = card
        library = _import_library("onnxruntime")
        library.disable_telemetry_events()
        self.precision = pick_precision(precision, ["fp32"], runtime="onnx")
        self.title = f"ONNX Runtime {self.precision} on cpu"
        # the number of threads changes the order of sums, and so rounding
        threads = f"{usable_cores()} threads, {cpu_model()}"
        self.identity = f"{self.title}, {threads}, onnxruntime {library.__version__}"
        self.bytes_per_px = network_bytes_per_px(card.network, self.precision)
        parameters = network_parameters(weights)

        def convert() -> Entry:
            require_torch("`runtime` onnx", remedy="or set `runtime` to openvino")
            _import_library("onnx")  # PyTorch imports it at the end of an export
            from geodetect.model.runtimes.export import to_onnx  # imports PyTorch

            return {"model": to_onnx(card, parameters)}

        options = library.SessionOptions()
        options.intra_op_num_threads = usable_cores()
        # idle threads that spin would take cores from the threads that read rasters
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")

        def read(entry: Entry) -> Any:
            with _memory_errors():
                session = library.InferenceSession(entry["model"], options, providers=[PROVIDER])
            names = tuple(output.name for output in session.get_outputs())
            if names != OUTPUTS:
                raise ModelFileError(f"found outputs {list_names(names)}")
            return session

        key = network_key(card, parameters)
        self._session = cached("onnx", key, make=convert, read=read)

    def forward(self, pixels: UInt8Array, valid: BoolArray) -> NetworkOutput:
        """See ``Runtime``."""
        outputs = []
        for image, mask in zip(pixels, valid, strict=True):
            with _memory_errors():
                inputs = exported_inputs(self.card, image, mask)
                outputs.append(self._session.run(OUTPUTS, inputs))
        logits, deltas = map(np.concatenate, zip(*outputs, strict=True))
        return logits, deltas, padded_size(self.card, *pixels.shape[2:])


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
