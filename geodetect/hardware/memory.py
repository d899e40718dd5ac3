"""Memory available to this process, and recognition of out-of-memory errors."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil

from geodetect.hardware.cpu import control_groups

OUT_OF_MEMORY = re.compile(
    r"can't allocate memory|cannot allocate memory|bad_alloc|out of memory|not enough memory"
    r"|can't start new thread|failed to map segment|failed to allocate|bad allocation"
    r"|_STATUS_ALLOC_FAILED|invalid buffer size",
    re.IGNORECASE,
)


def available_bytes(groups: Sequence[Path] | None = None) -> int:
    """Return the memory that this process may still take without swapping.

    The least of what the system has available, what the control groups of the process leave, and
    what its address space limit leaves.

    Args:
        groups: Folders of control groups; None: those of this process.
    """
    limits = [
        *map(_available_in_group, control_groups() if groups is None else groups),
        _available_address_space(),
    ]
    system = int(psutil.virtual_memory().available)
    return min([system, *(limit for limit in limits if limit is not None)])


def is_out_of_memory(error: BaseException) -> bool:
    """Return True if an error of Python, or of a library that runs networks, is a lack of memory.

    The libraries have no class of error for it: PyTorch says ``DefaultCPUAllocator: can't allocate
    memory``, OpenVINO ``bad_alloc``, ONNX Runtime ``Failed to allocate memory``, an import of any
    ``failed to map segment``; on accelerators it is ``CUDA out of memory``, ``MPS backend out of
    memory``, ``CUDNN_STATUS_ALLOC_FAILED`` or ``Invalid buffer size``.
    """
    return isinstance(error, MemoryError) or OUT_OF_MEMORY.search(str(error)) is not None


def _available_in_group(group: Path) -> int | None:
    """Return the memory below a group's limit; cached files do not count, as they make room."""
    try:
        limit, used = (int((group / f"memory.{name}").read_text()) for name in ("max", "current"))
        match = re.search(r"^inactive_file (\d+)", (group / "memory.stat").read_text(), re.M)
    except (OSError, ValueError):  # no such file, or "max": no limit
        return None
    cached = 0 if match is None else int(match[1])
    return max(0, limit - used + cached)


def _available_address_space() -> int | None:
    """Return the memory below the limit of ``ulimit -v``; None without one."""
    if sys.platform != "linux":
        return None
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return None
    return max(0, limit - int(psutil.Process().memory_info().vms))
