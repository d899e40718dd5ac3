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
from numpy.typing import NDArray

from geodetect.errors import MissingDependencyError
from geodetect.model.bundle import Weights
from geodetect.model.cache import Entry, cached
from geodetect.model.card import ModelCard
from geodetect.model.cores import usable_cores
from geodetect.model.inputs import padded_size
from geodetect.model.runtime import Output, pick_precision
from geodetect.model.runtimes.exported import network_key, prepare

if TYPE_CHECKING:
    import openvino

DEVICE = "CPU"
MOST_STREAMS = 16  # each holds the features of a tile: 50 MB of a built-in model's in bf16
HINTS = {"bf16": "bf16", "fp32": "f32", "fp16": "f16"}
CAPABILITIES = {"bf16": "BF16", "fp32": "FP32", "fp16": "FP16"}
REPORTER = "openvino_telemetry"


class OpenVinoRuntime:
    """A network run by OpenVINO on the processor.

    Each image is a request of its own, and as many run side by side as there are streams. With one
    or a few threads each they hardly wait for each other, and results do not depend on the batch.

    Args:
        card: Its card.
        weights: Arrays by parameter name.
        precision: ``auto`` (bf16 where the processor computes in it, else fp32), ``fp32``,
            ``bf16``, ``fp16``.

    Raises:
        MissingDependencyError: OpenVINO is not installed.
        ModelFileError: The weights do not fit the card.
        InputError: The processor does not compute in this precision.
    """

    def __init__(self, card: ModelCard, weights: Weights, *, precision: str = "auto") -> None:
        self.card = card
        core = _import_openvino().Core()
        self.precision = pick_precision(
            precision, _precisions(core), where="openvino on this processor"
        )
        self._compiled = core.compile_model(
            _load(core, card, weights), DEVICE, _options(self.precision)
        )
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
        share = f"{threads} threads in {self.streams} streams"
        return f"{self.title}, {share}, openvino {_import_openvino().get_version()}"

    def forward(self, pixels: NDArray[np.uint8], valid: NDArray[np.bool_]) -> Output:
        """See ``Runtime``."""
        size = padded_size(self.card, *pixels.shape[2:])
        logits, deltas = zip(*self._threads.map(self._run, pixels, valid), strict=True)
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

    def _run(self, pixels: NDArray[np.uint8], valid: NDArray[np.bool_]) -> Any:
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
    return [name for name in ("bf16", "fp32", "fp16") if CAPABILITIES[name] in capable]


def _load(core: openvino.Core, card: ModelCard, weights: Weights) -> openvino.Model:
    """The converted network, from the cache if it is there."""
    key = network_key(card, weights, _import_openvino().get_version())
    entry = cached("openvino", key, partial(_convert, card, weights))
    return core.read_model(model=entry["model"], weights=entry["weights"])


def _convert(card: ModelCard, weights: Weights) -> Entry:
    """The network as OpenVINO's intermediate representation, for single images of any size."""
    import torch  # which is not needed any more afterwards

    from geodetect.model import export

    ov = _import_openvino()
    module, named = export.traceable(card, weights)
    example = tuple(named.values())
    shapes = [ov.PartialShape(_any_size(one.shape)) for one in example]
    with export.recording(), _no_reports():
        graph = torch.jit.trace(module, example, check_trace=False)  # type: ignore[no-untyped-call]
        model = ov.convert_model(graph, example_input=example, input=shapes)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "model.xml"
        ov.serialize(model, file)
        return {"model": file.read_bytes(), "weights": file.with_suffix(".bin").read_bytes()}


def _any_size(shape: Sequence[int]) -> list[int]:
    """The shape of an input; images have any height and width."""
    return list(shape) if len(shape) == 1 else [*shape[:-2], -1, -1]


def _import_openvino() -> Any:
    try:
        with _no_reports():
            import openvino
    except ImportError as error:
        raise MissingDependencyError(
            f"--runtime openvino needs OpenVINO ({error}); install it with: pip install openvino, "
            f"or choose --runtime torch"
        ) from error
    return openvino


@contextmanager
def _no_reports() -> Iterator[None]:
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
