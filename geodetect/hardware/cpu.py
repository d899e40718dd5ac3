"""Processors that this process may use, and the groups that limit it."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Sequence
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")  # of version 2 on Linux
OWN_GROUP = Path("/proc/self/cgroup")


def control_groups(root: Path = GROUPS, own: Path = OWN_GROUP) -> list[Path]:
    """The control group of this process and those around it: each may limit it.

    A container, a batch system or systemd sets the limits; whoever is in a container sees its own
    group as the root.
    """
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.removeprefix("0::/") for line in lines if line.startswith("0::/")]
    group = root / (names[0] if names else "")
    inside = group if group.is_dir() else root
    return [inside, *(one for one in inside.parents if one.is_relative_to(root))]


def usable_cores(groups: Sequence[Path] | None = None) -> int:
    """Processors this process may use: its affinity, limited by the quota of its groups.

    Args:
        groups: Folders of control groups; None: those of this process.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    quotas = map(_quota, control_groups() if groups is None else groups)
    return max(1, min([cores, *(one for one in quotas if one is not None)]))


def processor() -> str:
    """What the processor is called: another one may round another way."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _quota(group: Path) -> int | None:
    """Processors that the time of a group is worth: of "quota period" or "max period"."""
    try:
        limit, period = (group / "cpu.max").read_text(encoding="ascii").split()
        return math.ceil(int(limit) / int(period))
    except (OSError, ValueError):  # no such file, or "max"
        return None
