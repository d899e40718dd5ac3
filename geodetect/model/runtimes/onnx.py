"""Networks run by ONNX Runtime, an extra."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from geodetect.errors import MissingDependencyError
from geodetect.hardware.cpu import processor, usable_cores
from geodetect.hardware.memory import is_shortage
from geodetect.model.card import ModelCard
from geodetect.model.file import Weights
from geodetect.model.network.input_size import padded_size
from geodetect.model.network.memory_use import network_bytes_per_px
from geodetect.model.runtimes.cache import Entry, cached
from geodetect.model.runtimes.exported import network_key, prepare
from geodetect.model.runtimes.open import Output, pick_precision
from geodetect.types import BoolArray, UInt8Array

PROVIDER = "CPUExecutionProvider"


class OnnxRuntime:
    """A network run by ONNX Runtime on the processor, in single precision, image by image.

    Args:
        card: Its card.
        weights: Arrays by parameter name.
        precision: ``auto`` or ``fp32``.

    Raises:
        MissingDependencyError: The extra ``onnx`` is not installed.
        ModelFileError: The weights do not fit the card.
        InputError: There is no such precision.
    """

    def __init__(self, card: ModelCard, weights: Weights, *, precision: str = "auto") -> None:
        self.card = card
        library = _import_onnxruntime()
        self.precision = pick_precision(precision, ["fp32"], where="onnx")
        self._version = str(library.__version__)
        key = network_key(card, weights)
        entry = cached("onnx", key, partial(_convert, card, weights))
        options = library.SessionOptions()
        options.intra_op_num_threads = usable_cores()
        # threads that wait in a loop would take their core from those that read
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        with _shortages_as_in_python():
            self._session = library.InferenceSession(entry["model"], options, providers=[PROVIDER])

    @property
    def title(self) -> str:
        """See ``Runtime``."""
        return f"ONNX Runtime {self.precision} on cpu"

    @property
    def identity(self) -> str:
        """See ``Runtime``. Sums are split among threads, and so rounded."""
        where = f"{usable_cores()} threads, {processor()}"
        return f"{self.title}, {where}, onnxruntime {self._version}"

    @property
    def streams(self) -> int:
        """See ``Runtime``."""
        return 1

    @property
    def batch_size(self) -> int:
        """See ``Runtime``: images are run one by one."""
        return 1

    @property
    def depends_on_batch(self) -> bool:
        """See ``Runtime``."""
        return False

    @property
    def bytes_per_px(self) -> int:
        """See ``Runtime``."""
        return network_bytes_per_px(self.card.network, self.precision)

    def forward(self, pixels: UInt8Array, valid: BoolArray) -> Output:
        """See ``Runtime``."""
        size = padded_size(self.card, *pixels.shape[2:])
        found = [self._run(*one) for one in zip(pixels, valid, strict=True)]
        logits, deltas = map(np.concatenate, zip(*found, strict=True))
        return logits, deltas, size

    def _run(self, pixels: UInt8Array, valid: BoolArray) -> Any:
        with _shortages_as_in_python():
            return self._session.run(["logits", "deltas"], prepare(self.card, pixels, valid))


@contextmanager
def _shortages_as_in_python() -> Iterator[None]:
    """ONNX Runtime's errors are of no class that those of other libraries have.

    Raises:
        MemoryError: Memory is used up.
    """
    try:
        yield
    except Exception as error:
        if is_shortage(error):
            raise MemoryError(str(error)) from error
        raise


def _convert(card: ModelCard, weights: Weights) -> Entry:
    try:
        import onnx  # noqa: F401, PyTorch asks for it when all is done
    except ImportError as error:
        raise _missing(error) from error
    from geodetect.model.runtimes import export  # PyTorch, which is not needed any more afterwards

    return {"model": export.to_onnx(card, weights)}


def _import_onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise _missing(error) from error
    onnxruntime.disable_telemetry_events()
    return onnxruntime


def _missing(error: ImportError) -> MissingDependencyError:
    return MissingDependencyError(
        f"--runtime onnx is not installed ({error}); install it with: "
        f"pip install 'geodetect[onnx]', or choose another --runtime"
    )
