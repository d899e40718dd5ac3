"""Processor cores that this process may use, and the control groups that limit it."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Sequence
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")  # version 2, on Linux
PROCESS_CGROUP = Path("/proc/self/cgroup")
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
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
