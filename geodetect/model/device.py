"""Where PyTorch computes."""

from __future__ import annotations

import re

import torch

from geodetect.errors import InputError


def pick_device(name: str) -> torch.device:
    """The device of this name; ``auto`` takes CUDA, then Apple's MPS, then the CPU.

    Raises:
        InputError: There is no such device here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if re.fullmatch(r"(cpu|cuda|mps)(:\d+)?", name) is None:
        raise InputError(f"--device {name}: unknown; expected auto, cpu, cuda, cuda:N or mps")
    device = torch.device(name)
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].partition(". ")[0]
        raise InputError(
            f"--device {name}: not available here ({reason}); expected auto, cpu, cuda, cuda:N or "
            f"mps"
        ) from error
    return device
