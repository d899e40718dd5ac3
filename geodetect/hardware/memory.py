"""Memory available to this process, and recognition of out-of-memory errors."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil

from geodetect.hardware.cpu import control_groups

OUT_OF_MEMORY = re.compile(
    r"can't alloc|cannot allocate memory|bad_alloc|out of memory|not enough memory"
    r"|can't start new thread|resource temporarily unavailable|failed to map segment"
    r"|failed to allocate|bad allocation|_STATUS_ALLOC_FAILED|invalid buffer size",
    re.IGNORECASE,
)


def available_bytes(groups: Sequence[Path] | None = None) -> int:
    """Return the memory that this process may still take without swapping.

    The least of what the system has available, what the control groups of the process leave, and
    what the limits of its address space and data (``ulimit -v``, ``-d``) leave.

    Args:
        groups: Folders of control groups; None: those of this process.
    """
    limits = [int(psutil.virtual_memory().available)]
    for group in control_groups() if groups is None else groups:
        try:
            limit, used = (int((group / f"memory.{k}").read_text()) for k in ("max", "current"))
            statistics = (group / "memory.stat").read_text()
        except (OSError, ValueError):  # no such file, or "max": no limit
            continue
        cached = re.search(r"^inactive_file (\d+)", statistics, re.MULTILINE)  # freed when needed
        limits.append(max(0, limit - used + (int(cached[1]) if cached else 0)))
    if sys.platform == "linux":
        import resource  # Unix only

        taken = psutil.Process().memory_info()
        for number, used_bytes in (
            (resource.RLIMIT_AS, taken.vms),
            (resource.RLIMIT_DATA, taken.data),
        ):
            limit, _ = resource.getrlimit(number)
            if limit != resource.RLIM_INFINITY:
                limits.append(max(0, limit - int(used_bytes)))
    return min(limits)


def is_out_of_memory(error: BaseException) -> bool:
    """Return True if an error of Python, or of a library that runs networks, is a lack of memory.

    Threads that cannot start are one, too.

    The libraries have no class of error for it: PyTorch says ``DefaultCPUAllocator: can't allocate
    memory``, OpenVINO ``bad_alloc`` or ``can't alloc``, ONNX Runtime ``Failed to allocate memory``,
    an import of any ``failed to map segment``; on accelerators it is ``CUDA out of memory``, ``MPS
    backend out of memory``, ``CUDNN_STATUS_ALLOC_FAILED`` or ``Invalid buffer size``.
    """
    return isinstance(error, MemoryError) or OUT_OF_MEMORY.search(str(error)) is not None
