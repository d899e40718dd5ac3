"""Running a network: pixels in, logits and offsets out.

A runtime does nothing else. Whatever runs the network, boxes are made of its output by the same
code. Runtimes load their library when they are opened; PyTorch only has to be there to run a
network itself or to convert one for the first time.
"""

from __future__ import annotations

import ctypes
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from geodetect.errors import GeodetectWarning, InputError, MissingDependencyError
from geodetect.model.card import ModelCard
from geodetect.model.file import Weights
from geodetect.model.network.input_size import Size
from geodetect.types import BoolArray, Float32Array, UInt8Array

Output = tuple[Float32Array, Float32Array, Size]

RUNTIMES = ("auto", "torch", "openvino", "onnx")
CUDA_DRIVERS = ("libcuda.so.1", "nvcuda.dll")
ROCM_DRIVER = Path("/dev/kfd")


class Runtime(Protocol):
    """A network, ready to run. Several threads may call ``forward`` at once."""

    card: ModelCard

    @property
    def title(self) -> str:
        """What runs the network where, for people: ``OpenVINO bf16 on cpu``."""

    @property
    def identity(self) -> str:
        """Text that changes with whatever about it changes results."""

    @property
    def streams(self) -> int:
        """Batches that are worked on side by side; fewer leave processors idle."""

    @property
    def batch_size(self) -> int:
        """Images of the card's tile size that are best run at once."""

    @property
    def depends_on_batch(self) -> bool:
        """Whether other images of its batch change an image's result, if only by rounding."""

    @property
    def bytes_per_px(self) -> int:
        """Memory of this machine that an image takes while it is run.

        For each pixel of the network's input; 0 where the memory of an accelerator matters.
        """

    def forward(self, pixels: UInt8Array, valid: BoolArray) -> Output:
        """Run a batch.

        Args:
            pixels: ``uint8[B, C, H, W]``.
            valid: ``bool[B, H, W]``.

        Returns:
            Logits ``float32[B, N, classes]``, offsets ``float32[B, N, 4]``, and the height and
            width of the network's input (see ``padded_size``), which the anchors belong to.
        """


def open_runtime(
    card: ModelCard,
    weights: Weights,
    *,
    runtime: str = "auto",
    precision: str = "auto",
    device: str = "auto",
) -> Runtime:
    """A network on the fastest runtime there is, or on the one asked for.

    Args:
        card: Its card.
        weights: Arrays by parameter name.
        runtime: ``auto`` takes PyTorch on CUDA and MPS, else OpenVINO, and PyTorch, with a
            warning, where that is missing; ``torch``, ``openvino``, ``onnx``.
        precision: ``auto`` takes bf16 or fp16 where the runtime is faster in it on this device,
            else fp32; ``fp32``, ``bf16``, ``fp16``; ``int8`` with OpenVINO, on the processor unless
            a device is named, and a model that holds such a network.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N``, ``mps``.

    Raises:
        InputError: There is no such runtime, precision or device here, or the model holds no
            network in this precision.
        MissingDependencyError: The runtime is not installed.
        ModelFileError: The weights do not fit the card.
    """
    if runtime not in RUNTIMES:
        raise InputError(f"--runtime {runtime}: unknown; expected {', '.join(RUNTIMES)}")
    if runtime == "auto" and ((precision == "int8" and device == "auto") or _on_cpu(device)):
        try:
            return _open_openvino(card, weights, precision)
        except MissingDependencyError as error:  # then PyTorch, which is always there
            if precision == "int8":  # but does not compute in it
                raise
            warnings.warn(f"slower with PyTorch: {error}", GeodetectWarning, stacklevel=2)
    if runtime in ("auto", "torch"):
        from geodetect.model.runtimes.torch import TorchRuntime

        return TorchRuntime(card, weights, device, precision=precision)
    if device not in ("auto", "cpu"):
        raise InputError(
            f"--device {device}: not available with --runtime {runtime}, which runs on cpu; "
            f"expected cpu, or --runtime torch"
        )
    if runtime == "openvino":
        return _open_openvino(card, weights, precision)
    from geodetect.model.runtimes.onnx import OnnxRuntime

    return OnnxRuntime(card, weights, precision=precision)


def _open_openvino(card: ModelCard, weights: Weights, precision: str) -> Runtime:
    from geodetect.model.runtimes.openvino import OpenVinoRuntime

    return OpenVinoRuntime(card, weights, precision=precision)


def pick_precision(name: str, available: Sequence[str], *, where: str) -> str:
    """The precision of this name; ``auto`` takes the first one.

    Args:
        name: ``auto``, ``fp32``, ``bf16``, ``fp16`` or ``int8``.
        available: What there is, best first.
        where: What computes in it, for the message.

    Raises:
        InputError: It is not available.
    """
    if name == "auto":
        return available[0]
    if name not in available:
        raise InputError(
            f"--precision {name}: not available with {where}; expected auto or "
            f"{' or '.join(available)}, or another --runtime or --device"
        )
    return name


def _on_cpu(device: str) -> bool:
    if device == "cpu" or (device == "auto" and not _may_have_accelerator()):
        return True
    from geodetect.hardware.torch_device import pick_device

    return pick_device(device).type == "cpu"


def _may_have_accelerator() -> bool:
    """Whether it is worth asking PyTorch, which takes seconds to load: is there any driver?"""
    if sys.platform == "darwin" or "torch" in sys.modules or ROCM_DRIVER.exists():
        return True
    return any(_can_load(name) for name in CUDA_DRIVERS)


def _can_load(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
