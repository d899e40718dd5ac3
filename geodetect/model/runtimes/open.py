"""Choice of a runtime and device for a model.

Each runtime imports its library when it is opened. PyTorch may be missing, and importing it takes
seconds; OpenVINO needs it only to convert the network of a model file that holds none in its form.
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
from geodetect.hardware.torch_library import has_torch, missing_torch, require_torch
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
    outlines: bool = False,
) -> Runtime:
    """Open a network on the requested runtime, or on the fastest one available.

    Args:
        card: The model's card.
        weights: All arrays of the model file, by name.
        runtime: ``torch``, ``openvino`` or ``onnx``; ``auto``: PyTorch on CUDA and MPS, else
            OpenVINO, or PyTorch with a warning if OpenVINO is not installed.
        precision: ``fp32``, ``bf16``, ``fp16``, or ``int8`` (OpenVINO, with an int8-quantized
            model, on the processor unless a device is named); ``auto``: on a processor int8 where
            it is fast and accurate (see ``OpenVinoRuntime``), bf16 or fp16 where they are faster
            on the device, else fp32.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N``, ``mps``.
        outlines: Run the outline head as well, which the network must have.

    Raises:
        InputError: The runtime, precision or device is not available, or the model has no
            int8-quantized network.
        MissingDependencyError: The runtime is not installed, or PyTorch is not, which CUDA, MPS,
            and models of older versions need.
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
            return _open_openvino(card, weights, precision, outlines)
        except MissingDependencyError as error:
            if precision == "int8" or not has_torch():  # PyTorch cannot run int8
                raise
            warnings.warn(f"slower with PyTorch: {error}", GeodetectWarning, stacklevel=2)
    if runtime in ("auto", "torch"):
        if runtime == "torch":
            require_torch("`runtime` torch", remedy="or set `runtime` to openvino")
        from geodetect.model.runtimes.torch import TorchRuntime

        return TorchRuntime(card, weights, device, precision=precision, outlines=outlines)
    if device not in ("auto", "cpu"):
        raise InputError(
            f"`device` {device}: not available with `runtime` {runtime}, which runs on cpu; "
            f"expected cpu, or `runtime` torch"
        )
    if runtime == "openvino":
        return _open_openvino(card, weights, precision, outlines)
    from geodetect.model.runtimes.onnx import OnnxRuntime

    return OnnxRuntime(card, weights, precision=precision, outlines=outlines)


def _open_openvino(card: ModelCard, weights: Weights, precision: str, outlines: bool) -> Runtime:
    from geodetect.model.runtimes.openvino import OpenVinoRuntime

    return OpenVinoRuntime(card, weights, precision=precision, outlines=outlines)


def _is_cpu(device: str) -> bool:
    """Return True if the device is, or ``auto`` becomes, the processor."""
    if device == "cpu":
        return True
    if device == "auto":
        if not _may_have_accelerator():
            return True
        if not has_torch():
            if _has_driver():
                warnings.warn(
                    f"{missing_torch('the graphics card', remedy='or set `device` to cpu')}; the "
                    f"processor does the work",
                    GeodetectWarning,
                    stacklevel=3,
                )
            return True
    from geodetect.hardware.torch_device import pick_device

    return pick_device(device).type == "cpu"


def _may_have_accelerator() -> bool:
    """Return False if no driver of an accelerator is installed, without importing PyTorch."""
    return sys.platform == "darwin" or bool(sys.modules.get("torch")) or _has_driver()


def _has_driver() -> bool:
    """Return True if a driver of CUDA or ROCm is installed."""
    if ROCM_DRIVER.exists():
        return True
    for driver in CUDA_DRIVERS:
        try:
            ctypes.CDLL(driver)
        except OSError:
            continue
        return True
    return False
