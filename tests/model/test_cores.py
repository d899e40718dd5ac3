"""Processors that may be used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from geodetect.model.cores import usable_cores


@pytest.mark.parametrize(("text", "cores"), [("100000 100000", 1), ("20000 100000", 1)])
def test_the_quota_of_a_container_is_kept(tmp_path: Path, text: str, cores: int) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(text)
    assert usable_cores(file) == cores


@pytest.mark.parametrize("text", ["max 100000", "99900000 100000", "", "nonsense", None])
def test_without_a_quota_there_are_all_that_the_process_may_use(
    tmp_path: Path, text: str | None
) -> None:
    file = tmp_path / "cpu.max"
    if text is not None:
        file.write_text(text)
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count())
    assert usable_cores(file) == len(allowed)
