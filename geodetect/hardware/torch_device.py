"""Device that PyTorch computes on."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING

from geodetect.errors import GeodetectWarning, InputError, suggest
from geodetect.hardware.torch_library import require_torch

if TYPE_CHECKING:  # a processor with OpenVINO needs no PyTorch, nor the seconds of its import
    import torch

DEVICE_TYPES = ("auto", "cpu", "cuda", "mps")


def pick_device(name: str) -> torch.device:
    """Return the device of this name; ``auto`` takes CUDA, then Apple's MPS, then the CPU.

    ``auto`` skips a device that is present but cannot be used (too old, or reserved by another
    process), with a warning.

    Raises:
        InputError: There is no such device.
        MissingDependencyError: PyTorch is not installed.
    """
    expected = "expected auto, cpu, cuda, cuda:N or mps"
    if name != "auto" and re.fullmatch(r"(cpu|cuda|mps)(:\d+)?", name) is None:
        hint = "; did you mean cuda?" if "gpu" in name.lower() else suggest(name, DEVICE_TYPES)
        if name.isdecimal():
            hint = f"; did you mean cuda:{name}?"
        raise InputError(f"`device` {name}: unknown; {expected}{hint}")
    require_torch(f"`device` {name}", remedy="or set `device` to cpu")
    import torch

    if name == "auto":
        for accelerator, backend in (("cuda", torch.cuda), ("mps", torch.backends.mps)):
            if not backend.is_available():
                continue
            try:
                return _open_device(accelerator)
            except (RuntimeError, AssertionError) as error:
                reason = _reason(error)
                warnings.warn(
                    f"{accelerator} cannot be used ({reason}), so the processor does the work",
                    GeodetectWarning,
                    stacklevel=2,
                )
        return torch.device("cpu")
    try:
        return _open_device(name)
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"`device` {name}: not available here ({_reason(error)}); {expected}"
        ) from error


def _open_device(name: str) -> torch.device:
    """Return a device once it has computed a sum, with a number even for the current CUDA device.

    Without the number each thread would take its own current device.

    Raises:
        RuntimeError: It cannot be used. Some versions raise an AssertionError.
    """
    import torch

    device = torch.device(name)
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", torch.cuda.current_device())
    (torch.zeros(1, device=device) + 1).item()
    return device


def _reason(error: Exception) -> str:
    """Return the first sentence of PyTorch's message."""
    return str(error).splitlines()[0].partition(". ")[0]
