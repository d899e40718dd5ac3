"""Processor: its model and units, the cores that this process may use, and what limits them."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Sequence
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")  # version 2, on Linux
PROCESS_CGROUP = Path("/proc/self/cgroup")
CPU_INFO = Path("/proc/cpuinfo")  # on Linux
INT8_FLAGS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})
INT8_FEATURES = ("AVX512CLX", "AVX512_CLX", "AVX512_ICL", "AVX512_SPR")  # of numpy, all with VNNI
INTEL = "GenuineIntel"
THREADS_VARIABLE = "OMP_NUM_THREADS"  # stated by users, schedulers and Ray for their workers


def control_groups(root: Path = CGROUP_ROOT, process: Path = PROCESS_CGROUP) -> list[Path]:
    """Return the folder of this process's control group and those of its parents.

    Each of them may limit the process. A container, a batch system or systemd sets the limits;
    inside a container its group appears as the root.

    Args:
        root: Folder where control groups are mounted.
        process: File that names the group of this process.
    """
    try:
        lines = process.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.removeprefix("0::/") for line in lines if line.startswith("0::/")]
    group = root / (names[0] if names else "")
    if not group.is_dir():
        group = root
    return [group, *(parent for parent in group.parents if parent.is_relative_to(root))]


def usable_cores(groups: Sequence[Path] | None = None) -> int:
    """Return the number of cores this process may use: its affinity, limited by its groups' quota.

    ``OMP_NUM_THREADS`` in the environment limits it further, for several processes on one machine.

    Args:
        groups: Folders of control groups; None: those of this process.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    for group in control_groups() if groups is None else groups:
        try:
            quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
            cores = min(cores, math.ceil(int(quota) / int(period)))
        except (OSError, ValueError):  # no such file, or "max": no quota
            continue
    stated = os.environ.get(THREADS_VARIABLE, "").partition(",")[0]
    return max(1, min(cores, int(stated)) if stated.isdecimal() else cores)


def cpu_model() -> str:
    """Return the model name of the processor: other models may round in other ways."""
    return _cpu_info("model name") or platform.processor() or platform.machine()


def has_int8_units() -> bool:
    """Return True if the processor multiplies and adds bytes in one instruction: VNNI or AMX.

    Without them an int8-quantized network is no faster than one in single precision.
    """
    flags = _cpu_info("flags")
    if flags:
        return not INT8_FLAGS.isdisjoint(flags.split())
    import numpy as np  # not for those that ask for cores only

    core = getattr(np, "_core", None) or getattr(np, "core", None)  # of version 2, of version 1
    features = getattr(getattr(core, "_multiarray_umath", None), "__cpu_features__", {})
    return any(features.get(name) for name in INT8_FEATURES)


def is_bf16_slow() -> bool:
    """Return True if the processor computes in bf16, but more slowly than in single precision.

    So do Intel's AVX-512 units without AMX, which virtual machines may hide: 1.5 times slower
    (``benchmarks.speed.predict``, with ``ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16``). AMX and the units
    of AMD are faster.
    """
    flags = _cpu_info("flags").split()
    is_intel = _cpu_info("vendor_id") == INTEL
    return is_intel and "avx512_bf16" in flags and "amx_bf16" not in flags


def _cpu_info(name: str) -> str:
    """Return an entry on the first core, as Linux states it; empty: there is none."""
    try:
        lines = CPU_INFO.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return ""
    values = (line.partition(":")[2].strip() for line in lines if line.startswith(name))
    return next(values, "")
