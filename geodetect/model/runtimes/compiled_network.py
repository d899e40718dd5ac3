"""Networks compiled by OpenVINO for the processor."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np

from geodetect.hardware.cpu import cpu_model, usable_cores
from geodetect.model.runtimes.openvino_library import DEVICE, import_openvino
from geodetect.types import AnyArray

if TYPE_CHECKING:
    import openvino

Shapes = tuple[tuple[int, ...], ...]  # of the inputs of a network

MAX_FIXED_SHAPES = 2  # sizes of images, those last used, that a network is kept compiled for
MAX_STREAMS = 16  # each holds the features of a tile: 50 MB a megapixel for `pools` in bf16
HINTS = {"bf16": "bf16", "fp32": "f32", "fp16": "f16"}


@dataclass(frozen=True)
class Streams:
    """Calls of a network that run at once on the processor.

    Args:
        count: Their number.
        threads: Of all of them.
        options: Options of OpenVINO that give these.
    """

    count: int
    threads: int
    options: Mapping[str, int]

    @classmethod
    def set_up(cls, core: openvino.Core) -> Streams:
        """Return the streams for the cores of this process, once OpenVINO has run a network.

        The network of a single value sets up OpenVINO's use of numpy, too. Two threads that do so
        at once deadlock, one holding the interpreter lock, the other that of the set-up: so it is
        done before there are threads.
        """
        cores = usable_cores()
        options = {
            "NUM_STREAMS": min(cores, MAX_STREAMS),
            # pinned threads of two runs on one machine compete for the same cores
            "ENABLE_CPU_PINNING": False,
        }
        if cores < (os.cpu_count() or 1):  # OpenVINO does not see the CPU quota of a container
            options["INFERENCE_NUM_THREADS"] = cores
        ov = import_openvino()
        value = ov.op.Parameter(ov.Type.f32, ov.Shape([1]))
        compiled = core.compile_model(ov.Model([value], [value]), DEVICE, options)
        compiled.create_infer_request().infer([np.zeros(1, np.float32)])
        count, threads = (
            int(compiled.get_property(name)) for name in ("NUM_STREAMS", "INFERENCE_NUM_THREADS")
        )
        return cls(count, threads, options)


class CompiledNetwork:
    """A network compiled by OpenVINO at the first call, which several threads run at once.

    A network for inputs of any shape reorders what one for fixed shapes does not: of the time of
    the built-in model, a tenth to a sixth.

    Args:
        core: Of ``open_core``.
        network: The network.
        precision: Precision of layers that are not quantized: ``fp32``, ``bf16`` or ``fp16``.
        streams: Calls to run at once.

    Attributes:
        identity: Text that differs between machines and libraries that may give different results.
    """

    def __init__(
        self, core: openvino.Core, network: openvino.Model, precision: str, streams: Streams
    ) -> None:
        self._core, self._network, self._streams = core, network, streams
        self._options = {"INFERENCE_PRECISION_HINT": HINTS[precision], **streams.options}
        # the threads that share an image change the order of sums, and so rounding
        threads = f"{streams.threads / streams.count:g} threads per stream"
        version = import_openvino().get_version()
        self.identity = f"{precision}, {threads}, {cpu_model()}, openvino {version}"
        self._lock = threading.Lock()
        self._requests: dict[Shapes | None, SimpleQueue[Any]] = {}

    def run(self, *inputs: AnyArray, is_shape_fixed: bool = False) -> list[AnyArray]:
        """Return the outputs for one input of each kind, by the next request that is free.

        Args:
            inputs: In the order of the network.
            is_shape_fixed: Run the network that is compiled for these shapes, not for any.
        """
        shapes = tuple(array.shape for array in inputs)
        requests = self.compile_for(shapes if is_shape_fixed else None)
        request = requests.get()
        try:
            return list(request.infer(inputs, share_inputs=True).values())
        finally:
            requests.put(request)

    def compile_for(self, shapes: Shapes | None) -> SimpleQueue[Any]:
        """Return the requests of the network compiled for shapes, one for each stream.

        Args:
            shapes: Of the inputs; None: those of the network, which may be any.
        """
        with self._lock:
            requests = self._requests.pop(shapes, None)
            if requests is None:
                requests = self._compile(shapes)
            self._requests[shapes] = requests  # the last one now
            fixed = [key for key in self._requests if key is not None]
            if len(fixed) > MAX_FIXED_SHAPES:
                del self._requests[fixed[0]]
            return requests

    def _compile(self, shapes: Shapes | None) -> SimpleQueue[Any]:
        network = self._network
        if shapes is not None:
            network = network.clone()
            network.reshape(dict(enumerate(shapes)))
        compiled = self._core.compile_model(network, DEVICE, self._options)
        requests: SimpleQueue[Any] = SimpleQueue()
        for _ in range(self._streams.count):
            requests.put(compiled.create_infer_request())
        return requests
