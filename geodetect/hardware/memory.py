"""Memory that this process may still take."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil

from geodetect.hardware.cpu import control_groups

SHORTAGES = re.compile(
    r"can't allocate memory|cannot allocate memory|bad_alloc|out of memory|not enough memory"
    r"|can't start new thread|failed to map segment|failed to allocate|bad allocation"
    r"|_STATUS_ALLOC_FAILED|invalid buffer size",
    re.IGNORECASE,
)


def free_bytes(groups: Sequence[Path] | None = None) -> int:
    """Memory that this process may still take, without making others swap.

    The least of what the system has, what its control groups leave, and what the process may
    address.

    Args:
        groups: Folders of control groups; None: those of this process.
    """
    left = map(_of_group, control_groups() if groups is None else groups)
    limits = [one for one in (*left, _of_addresses()) if one is not None]
    return min([int(psutil.virtual_memory().available), *limits])


def is_shortage(error: BaseException) -> bool:
    """Whether an error, of Python or of a library that runs networks, says that memory is used up.

    The libraries have no class of error for it: PyTorch says ``DefaultCPUAllocator: can't allocate
    memory``, OpenVINO ``bad_alloc``, ONNX Runtime ``Failed to allocate memory``, an import of any
    ``failed to map segment``; on accelerators it is ``CUDA out of memory``, ``MPS backend out of
    memory``, ``CUDNN_STATUS_ALLOC_FAILED`` or ``Invalid buffer size``.
    """
    return isinstance(error, MemoryError) or SHORTAGES.search(str(error)) is not None


def _of_group(folder: Path) -> int | None:
    """What is left below its limit; cached files do not count, they make room when it is needed."""
    try:
        limit, used = (int((folder / f"memory.{one}").read_text()) for one in ("max", "current"))
        found = re.search(r"^inactive_file (\d+)", (folder / "memory.stat").read_text(), re.M)
    except (OSError, ValueError):  # no such file, or "max": no limit
        return None
    cached = 0 if found is None else int(found[1])
    return max(0, limit - used + cached)


def _of_addresses() -> int | None:
    """What ``ulimit -v`` leaves."""
    if sys.platform != "linux":
        return None
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return None
    return max(0, limit - int(psutil.Process().memory_info().vms))
