"""Parts of a planned run, by the index and the number of tasks of a scheduler."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from geodetect.errors import InputError, short_repr

EXPECTED = "expected the index and the number of parts, such as 17/400"
SLURM = "SLURM_ARRAY_TASK_ID"
# variables with the index and the number of tasks of other schedulers
SCHEDULERS = (
    ("AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE"),
    ("JOB_COMPLETION_INDEX", "JOB_COMPLETIONS"),
    ("CLOUD_RUN_TASK_INDEX", "CLOUD_RUN_TASK_COUNT"),
)


@dataclass(frozen=True)
class Part:
    """Part of the shards of a run: those whose number is ``index`` modulo ``count``.

    So all indexes from 0 to ``count`` - 1, or from 1 to ``count``, are all shards.

    Args:
        index: Index of the part.
        count: Number of parts; None: as many as shards, so that ``index`` is a shard.
        source: Variable of the environment that states it; empty: the parameter ``shard``.
    """

    index: int
    count: int | None
    source: str = ""

    def numbers(self, shards: int) -> range:
        """Return the numbers of its shards.

        Args:
            shards: Number of all shards.

        Raises:
            InputError: There is no such part.
        """
        count = shards if self.count is None else self.count
        if self.index > count or (self.count is None and self.index == count):
            source = self.source or "`shard`"
            tasks = "shards, counted from 0" if self.count is None else "parts"
            raise InputError(
                f"{source} is {self.index}, and there are {count:,} {tasks}; state index and "
                f"number of the tasks with `shard`, such as {self.index}/{self.index + 1}"
            )
        return range(self.index % count, shards, count)

    def __str__(self) -> str:
        text = f"{self.index}" if self.count is None else f"{self.index}/{self.count}"
        return f"{text} ({self.source})" if self.source else text


def parse_part(text: str) -> Part:
    """Convert ``17/400``, or ``17``: the shard of this number.

    Raises:
        InputError: It is something else.
    """
    match = re.fullmatch(r"\s*(\d+)\s*(?:/\s*(\d+))?\s*", text)
    if match is None or (match[2] and not 0 <= int(match[1]) <= int(match[2]) > 0):
        raise InputError(f"`shard`: {EXPECTED}; found {short_repr(text)}")
    return Part(int(match[1]), int(match[2]) if match[2] else None)


def part_of_environment(environment: Mapping[str, str]) -> Part | None:
    """Return the part that a scheduler states in the environment; None: there is no scheduler.

    Args:
        environment: Variables of the process.

    Raises:
        InputError: A variable is not a number, or an array of SLURM has gaps.
    """
    if environment.get(SLURM):
        return _part_of_slurm(environment)
    for name, size_name in SCHEDULERS:
        if environment.get(name):
            count = _number(environment, size_name) if environment.get(size_name) else None
            return Part(_number(environment, name), count, name)
    return None


def _part_of_slurm(environment: Mapping[str, str]) -> Part:
    """Return the part of a task of an array of SLURM: ``0-399``, ``1-400`` or ``0-798:2``."""
    prefix = SLURM.removesuffix("ID")
    index, count = _number(environment, SLURM), _number(environment, f"{prefix}COUNT")
    names: Sequence[str] = [f"{prefix}{end}" for end in ("MIN", "MAX", "STEP")]
    if not all(environment.get(name) for name in names):
        return Part(index, count, SLURM)
    first, last, step = (_number(environment, name) for name in names)
    if last - first != (count - 1) * step:
        raise InputError(
            f"{SLURM} is {index} of {count} tasks from {first} to {last}: an array with gaps does "
            f"not say which shards are whose; state them with `shard`, such as {index}/{last + 1}"
        )
    return Part((index - first) // step, count, SLURM)


def _number(environment: Mapping[str, str], name: str) -> int:
    text = environment.get(name, "")
    if not text.isdecimal():
        raise InputError(f"{name}: expected a whole number; found {short_repr(text)}")
    return int(text)
