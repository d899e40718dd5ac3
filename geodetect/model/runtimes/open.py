"""Choice of a runtime and device for a model.

Each runtime imports its library when it is opened. OpenVINO and ONNX Runtime need PyTorch only to
convert a network for the first time, and importing it takes seconds: it is imported late.
"""

from __future__ import annotations

import ctypes
import sys
import warnings
from pathlib import Path

from geodetect.errors import (
    GeodetectWarning,
    InputError,
    MissingDependencyError,
    OutOfMemoryError,
)
from geodetect.hardware.memory import available_bytes
from geodetect.model.card import ModelCard
from geodetect.model.file import Weights
from geodetect.model.runtimes.base import Runtime

RUNTIMES = ("auto", "torch", "openvino", "onnx")
MIN_BYTES = 128 * 1024**2  # with less, threads of OpenVINO end the program
CUDA_DRIVERS = ("libcuda.so.1", "nvcuda.dll")
ROCM_DRIVER = Path("/dev/kfd")


def open_runtime(
    card: ModelCard,
    weights: Weights,
    *,
    runtime: str = "auto",
    precision: str = "auto",
    device: str = "auto",
) -> Runtime:
    """Open a network on the requested runtime, or on the fastest one available.

    Args:
        card: The model's card.
        weights: All arrays of the model file, by name.
        runtime: ``torch``, ``openvino`` or ``onnx``; ``auto``: PyTorch on CUDA and MPS, else
            OpenVINO, or PyTorch with a warning if OpenVINO is not installed.
        precision: ``fp32``, ``bf16``, ``fp16``, or ``int8`` (OpenVINO, with an int8-quantized
            model, on the processor unless a device is named); ``auto``: bf16 or fp16 where they
            are faster on the device, else fp32.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N``, ``mps``.

    Raises:
        InputError: The runtime, precision or device is not available, or the model has no
            int8-quantized network.
        MissingDependencyError: The runtime is not installed.
        ModelFileError: The weights do not fit the card.
        OutOfMemoryError: There is too little memory to load any network.
    """
    free = available_bytes()
    if free < MIN_BYTES:
        raise OutOfMemoryError(f"{free / 1e6:.0f} MB of memory are left")
    if runtime not in RUNTIMES:
        raise InputError(f"`runtime` {runtime}: unknown; expected {', '.join(RUNTIMES)}")
    if runtime == "auto" and ((precision == "int8" and device == "auto") or _is_cpu(device)):
        try:
            return _open_openvino(card, weights, precision)
        except MissingDependencyError as error:
            if precision == "int8":  # PyTorch cannot run it
                raise
            warnings.warn(f"slower with PyTorch: {error}", GeodetectWarning, stacklevel=2)
    if runtime in ("auto", "torch"):
        from geodetect.model.runtimes.torch import TorchRuntime

        return TorchRuntime(card, weights, device, precision=precision)
    if device not in ("auto", "cpu"):
        raise InputError(
            f"`device` {device}: not available with `runtime` {runtime}, which runs on cpu; "
            f"expected cpu, or `runtime` torch"
        )
    if runtime == "openvino":
        return _open_openvino(card, weights, precision)
    from geodetect.model.runtimes.onnx import OnnxRuntime

    return OnnxRuntime(card, weights, precision=precision)


def _open_openvino(card: ModelCard, weights: Weights, precision: str) -> Runtime:
    from geodetect.model.runtimes.openvino import OpenVinoRuntime

    return OpenVinoRuntime(card, weights, precision=precision)


def _is_cpu(device: str) -> bool:
    """Return True if the device is, or ``auto`` becomes, the processor."""
    if device == "cpu" or (device == "auto" and not _may_have_accelerator()):
        return True
    from geodetect.hardware.torch_device import pick_device

    return pick_device(device).type == "cpu"


def _may_have_accelerator() -> bool:
    """Return False if no driver of an accelerator is installed, without importing PyTorch."""
    if sys.platform == "darwin" or sys.modules.get("torch") or ROCM_DRIVER.exists():
        return True
    for driver in CUDA_DRIVERS:
        try:
            ctypes.CDLL(driver)
        except OSError:
            continue
        return True
    return False
