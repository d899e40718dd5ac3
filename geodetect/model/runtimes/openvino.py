"""Networks run by OpenVINO, the fastest way on processors."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from geodetect.errors import MissingDependencyError, ModelFileError, OutputError, error_text
from geodetect.hardware.cpu import processor, usable_cores
from geodetect.model.card import ModelCard
from geodetect.model.file import Weights
from geodetect.model.network.input_size import padded_size
from geodetect.model.network.memory_use import network_bytes_per_px
from geodetect.model.runtimes.cache import Entry, cached
from geodetect.model.runtimes.exported import network_key, prepare
from geodetect.model.runtimes.int8 import int8_network, without_int8
from geodetect.model.runtimes.open import Output, pick_precision
from geodetect.types import BoolArray, UInt8Array

if TYPE_CHECKING:
    import openvino

DEVICE = "CPU"
MOST_STREAMS = 16  # each holds the features of a tile: 50 MB of a built-in model's in bf16
HINTS = {"bf16": "bf16", "fp32": "f32", "fp16": "f16"}
CAPABILITIES = {"bf16": "BF16", "fp32": "FP32", "fp16": "FP16", "int8": "INT8"}  # best first
REPORTER = "openvino_telemetry"


class OpenVinoRuntime:
    """A network run by OpenVINO on the processor.

    Each image is a request of its own, and as many run side by side as there are streams. With one
    or a few threads each they hardly wait for each other, and results do not depend on the batch.

    Args:
        card: Its card.
        weights: Arrays by parameter name.
        precision: ``auto`` (bf16 where the processor computes in it, else fp32), ``fp32``,
            ``bf16``, ``fp16``; ``int8`` if the weights hold a network in it (see ``int8``), with
            what is not in 8 bit as ``auto`` takes it.

    Raises:
        MissingDependencyError: OpenVINO is not installed.
        ModelFileError: The weights do not fit the card, or the network in 8 bit is damaged.
        InputError: The processor does not compute in this precision, or the weights hold no
            network in it.
    """

    def __init__(self, card: ModelCard, weights: Weights, *, precision: str = "auto") -> None:
        self.card = card
        core = import_openvino().Core()
        available = _precisions(core)
        self.precision = pick_precision(precision, available, where="openvino on this processor")
        is_int8 = self.precision == "int8"
        network = _load_int8(core, card, weights) if is_int8 else load(core, card, weights)
        self._floats = available[0] if is_int8 else self.precision
        self._compiled = core.compile_model(network, DEVICE, _options(self._floats))
        self.streams = int(self._compiled.get_property("NUM_STREAMS"))
        self._idle: SimpleQueue[Any] = SimpleQueue()
        for _ in range(self.streams):
            self._idle.put(self._compiled.create_infer_request())
        self._first_pass()
        self._threads = ThreadPoolExecutor(self.streams, thread_name_prefix="geodetect-openvino")

    @property
    def title(self) -> str:
        """See ``Runtime``."""
        return f"OpenVINO {self.precision} on cpu"

    @property
    def identity(self) -> str:
        """See ``Runtime``. Sums are split among the threads of a stream, and so rounded."""
        threads = int(self._compiled.get_property("INFERENCE_NUM_THREADS"))
        share = f"{self._floats}, {threads} threads in {self.streams} streams"
        return f"{self.title}, {share}, {processor()}, openvino {import_openvino().get_version()}"

    @property
    def batch_size(self) -> int:
        """See ``Runtime``: each image is a request of its own."""
        return 1

    @property
    def depends_on_batch(self) -> bool:
        """See ``Runtime``."""
        return False

    @property
    def bytes_per_px(self) -> int:
        """See ``Runtime``."""
        return network_bytes_per_px(self.card.network, self._floats)

    def forward(self, pixels: UInt8Array, valid: BoolArray) -> Output:
        """See ``Runtime``."""
        size = padded_size(self.card, *pixels.shape[2:])
        side_by_side = map if len(pixels) == 1 else self._threads.map
        logits, deltas = zip(*side_by_side(self._run, pixels, valid), strict=True)
        return np.stack(logits), np.stack(deltas), size

    def _first_pass(self) -> None:
        """Run a tiny image while there is one thread.

        OpenVINO's Python module sets up its use of numpy when it is first called. Two threads that
        call it first at once wait for each other for ever: one holds the interpreter lock and
        waits for the set-up, the other holds the set-up and waits for the interpreter lock.
        """
        side = self.card.network.strides[-1] if self.card.network else 1
        bands = len(self.card.mean)
        self._run(np.zeros((bands, side, side), np.uint8), np.ones((side, side), np.bool_))

    def _run(self, pixels: UInt8Array, valid: BoolArray) -> Any:
        """Logits ``float32[N, classes]`` and offsets ``float32[N, 4]`` of one image."""
        request = self._idle.get()
        try:
            inputs = tuple(prepare(self.card, pixels, valid).values())
            found = request.infer(inputs, share_inputs=True)
            return found[0][0], found[1][0]
        finally:
            self._idle.put(request)


def _options(precision: str) -> dict[str, Any]:
    cores = usable_cores()
    options = {
        "INFERENCE_PRECISION_HINT": HINTS[precision],
        "NUM_STREAMS": min(cores, MOST_STREAMS),
        # threads that stay where they are get in each other's way when two runs share a machine
        "ENABLE_CPU_PINNING": False,
    }
    if cores < (os.cpu_count() or 1):  # OpenVINO does not see the quota of a container
        options["INFERENCE_NUM_THREADS"] = cores
    return options


def _precisions(core: openvino.Core) -> list[str]:
    """What the processor computes in, best first."""
    capable = core.get_property(DEVICE, "OPTIMIZATION_CAPABILITIES")
    return [name for name, capability in CAPABILITIES.items() if capability in capable]


def load(core: openvino.Core, card: ModelCard, weights: Weights) -> openvino.Model:
    """The converted network, from the cache if it is there.

    Raises:
        ModelFileError: The weights do not fit the card.
    """
    parameters = without_int8(weights)
    key = network_key(card, parameters, import_openvino().get_version())
    entry = cached("openvino", key, partial(_convert, card, parameters))
    return core.read_model(model=entry["model"], weights=entry["weights"])


def _load_int8(core: openvino.Core, card: ModelCard, weights: Weights) -> openvino.Model:
    entry = int8_network(card, weights)
    try:
        return core.read_model(model=entry["model"], weights=entry["weights"])
    except RuntimeError as error:
        raise ModelFileError(
            f"model {card.name}: its network in 8 bit cannot be read by OpenVINO "
            f"{import_openvino().get_version()} ({error_text(error)}); make it again with "
            f"`geodetect quantize`, or choose another --precision"
        ) from error


def _convert(card: ModelCard, weights: Weights) -> Entry:
    """The network as OpenVINO's intermediate representation, for single images of any size."""
    import torch  # which is not needed any more afterwards

    from geodetect.model.runtimes import export

    ov = import_openvino()
    module, named = export.traceable(card, weights)
    example = tuple(named.values())
    shapes = [ov.PartialShape(_any_size(one.shape)) for one in example]
    with export.recording(), no_reports():
        graph = torch.jit.trace(module, example, check_trace=False)  # type: ignore[no-untyped-call]
        model = ov.convert_model(graph, example_input=example, input=shapes)
    return representation(model)


def representation(network: openvino.Model) -> Entry:
    """A network as OpenVINO's intermediate representation: ``model`` and ``weights``.

    Raises:
        OutputError: The folder for temporary files is full.
    """
    with TemporaryDirectory() as folder:
        file = Path(folder) / "model.xml"
        try:
            import_openvino().serialize(network, file)
        except RuntimeError as error:
            raise OutputError(
                f"{folder}: the converted network cannot be written there ({error}); make room, "
                f"or name another folder for temporary files with the variable TMPDIR"
            ) from error
        return {"model": file.read_bytes(), "weights": file.with_suffix(".bin").read_bytes()}


def _any_size(shape: Sequence[int]) -> list[int]:
    """The shape of an input; images have any height and width."""
    return list(shape) if len(shape) == 1 else [*shape[:-2], -1, -1]


def import_openvino() -> Any:
    """The module, which then sends no reports.

    Raises:
        MissingDependencyError: It is not installed.
    """
    try:
        with no_reports():
            import openvino
    except ImportError as error:
        raise MissingDependencyError(
            f"--runtime openvino needs OpenVINO ({error}); install it with: pip install openvino, "
            f"or choose --runtime torch"
        ) from error
    return openvino


@contextmanager
def no_reports() -> Iterator[None]:
    """Keep OpenVINO from sending reports of its use over the network.

    It does so on import and conversion unless its reporting library is missing. A program that has
    loaded that library itself decides for itself.
    """
    if REPORTER in sys.modules:
        yield
        return
    sys.modules[REPORTER] = None  # type: ignore[assignment]  # imports of it fail
    try:
        yield
    finally:
        sys.modules.pop(REPORTER, None)
