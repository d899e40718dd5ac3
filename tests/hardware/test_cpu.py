"""Processors that may be used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from geodetect.hardware.cpu import THREADS_VARIABLE, control_groups, usable_cores


@pytest.mark.parametrize(("text", "cores"), [("100000 100000", 1), ("20000 100000", 1)])
def test_the_quota_of_a_container_is_kept(tmp_path: Path, text: str, cores: int) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(text)
    assert usable_cores([tmp_path]) == cores


@pytest.mark.parametrize("text", ["max 100000", "99900000 100000", "", "nonsense", None])
def test_without_a_quota_there_are_all_that_the_process_may_use(
    tmp_path: Path, text: str | None
) -> None:
    file = tmp_path / "cpu.max"
    if text is not None:
        file.write_text(text)
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count())
    assert usable_cores([tmp_path]) == len(allowed)


@pytest.mark.parametrize(
    ("text", "cores"), [("1", 1), ("1,4", 1), ("0", 1), ("9999", None), ("many", None)]
)
def test_the_environment_may_state_fewer_cores(
    tmp_path: Path, text: str, cores: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(THREADS_VARIABLE, raising=False)
    expected = usable_cores([tmp_path]) if cores is None else cores
    monkeypatch.setenv(THREADS_VARIABLE, text)
    assert usable_cores([tmp_path]) == expected


def test_groups_are_those_around_this_process(tmp_path: Path) -> None:
    root, process = tmp_path / "root", tmp_path / "own"
    inner = root / "jobs/one"
    inner.mkdir(parents=True)
    process.write_text("4:memory:/elsewhere\n0::/jobs/one\n")
    assert control_groups(root, process) == [inner, inner.parent, root]
    process.write_text("0::/not/seen/from/here\n")  # in a container
    assert control_groups(root, process) == [root]
    assert control_groups(root, tmp_path / "none") == [root]
    (inner.parent / "cpu.max").write_text("50000 100000")
    assert usable_cores([inner, inner.parent, root]) == 1
