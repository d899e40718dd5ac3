"""Where PyTorch computes."""

from __future__ import annotations

import re
import warnings

import torch

from geodetect.errors import GeodetectWarning, InputError


def pick_device(name: str) -> torch.device:
    """The device of this name; ``auto`` takes CUDA, then Apple's MPS, then the CPU.

    A device that is there but cannot be used (too old, or in use by others alone) is passed over
    by ``auto``, with a warning.

    Raises:
        InputError: There is no such device here.
    """
    if name == "auto":
        return _best_device()
    if re.fullmatch(r"(cpu|cuda|mps)(:\d+)?", name) is None:
        raise InputError(f"--device {name}: unknown; expected auto, cpu, cuda, cuda:N or mps")
    try:
        return _tried(name)
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"--device {name}: not available here ({_reason(error)}); expected auto, cpu, cuda, "
            f"cuda:N or mps"
        ) from error


def _best_device() -> torch.device:
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    for name in (name for name, is_there in there.items() if is_there):
        try:
            return _tried(name)
        except (RuntimeError, AssertionError) as error:
            warnings.warn(
                f"{name} cannot be used ({_reason(error)}), so the processor does the work",
                GeodetectWarning,
                stacklevel=3,
            )
    return torch.device("cpu")


def _tried(name: str) -> torch.device:
    """The device, after a sum on it, with the number that threads would each guess for themselves.

    Raises:
        RuntimeError: It cannot be used. Some versions raise an AssertionError.
    """
    device = torch.device(name)
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", torch.cuda.current_device())
    (torch.zeros(1, device=device) + 1).item()
    return device


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0].partition(". ")[0]
