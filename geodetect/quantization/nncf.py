"""Networks in 8 bit by post-training quantization, with NNCF, an extra."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from typing import Any, TypeVar

from geodetect.errors import MissingDependencyError
from geodetect.model.card import ModelCard
from geodetect.model.file import Weights
from geodetect.model.runtimes.cache import Entry
from geodetect.model.runtimes.inputs import exported_inputs
from geodetect.model.runtimes.openvino import import_openvino, load_network, no_telemetry, serialize
from geodetect.types import BoolArray, UInt8Array

T = TypeVar("T")
Image = tuple[UInt8Array, BoolArray]

# Few numbers wide, and next to what goes in and comes out: in 8 bit they cost most and gain least.
FULL_LAYERS = (
    r".*network\.trunk\.conv1/.*",
    r".*network\.(classification|regression)\.output/.*",
)


def quantize_network(
    card: ModelCard, weights: Weights, samples: Sequence[T], *, read: Callable[[T], Image]
) -> Entry:
    """A network with its inner convolutions in 8 bit.

    Weights get one scale for each output channel, what flows between layers one scale and offset
    for each layer, from the range it has on the samples. Biases are corrected for the mean error
    this makes (Nagel et al. 2019, "Data-free quantization through weight equalization and bias
    correction").

    Args:
        card: Its card.
        weights: Arrays by parameter name.
        samples: Places like those it is going to see.
        read: Makes ``uint8[C, H, W]`` and ``bool[H, W]`` of one, when its turn comes.

    Returns:
        OpenVINO's intermediate representation, as ``int8.with_int8`` takes it.

    Raises:
        MissingDependencyError: OpenVINO or NNCF is not installed.
        ModelFileError: The weights do not fit the card.
    """
    nncf = import_nncf()
    images = nncf.Dataset(samples, lambda one: tuple(exported_inputs(card, *read(one)).values()))
    with _silence():
        network = load_network(import_openvino().Core(), card, weights)
        quantized = nncf.quantize(
            network,
            images,
            subset_size=len(samples),
            preset=nncf.QuantizationPreset.MIXED,
            # the first layers of other trunks have other names
            ignored_scope=nncf.IgnoredScope(patterns=list(FULL_LAYERS), validate=False),
        )
    return serialize(quantized)


def versions() -> str:
    """The programs that quantize, with their versions."""
    openvino, _, _ = import_openvino().get_version().partition("-")  # without its build
    return f"nncf {import_nncf().__version__}, openvino {openvino}"


def import_nncf() -> Any:
    """NNCF's module, which then sends no reports.

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
    """Keep NNCF from drawing bars of its own, telling of each layer and reporting its use."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        # the error stream is left to whoever watches progress
        with no_telemetry(), redirect_stdout(StringIO()):
            yield
    finally:
        logging.disable(before)
