"""A small campaign: no case of any part finds a fault.

Larger ones run with ``python -m tests.campaign``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.campaign.runner import Workers

CASES = {
    "rasters": 30,
    "vectors": 30,
    "labels": 30,
    "models": 10,
    "cache_entries": 2,
    "journals": 6,
    "kills": 4,
    "signals": 8,
    "full_disks": 10,
    "bad_servers": 8,
    "odd_environments": 8,
}
CLEAN = ("rasters", "vectors", "labels", "models", "cache_entries", "full_disks", "bad_servers")

pytestmark = pytest.mark.skipif(
    not hasattr(os, "pidfd_open"), reason="needs Linux, where processes are forked and limited"
)


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with Workers() as workers:
        yield workers


@pytest.mark.parametrize("part", CLEAN)
def test_no_case_of_a_part_finds_a_fault(part: str, workers: Workers) -> None:
    results = list(workers.run(part, cases=CASES[part]))
    assert len(results) == CASES[part]
    assert [str(finding) for _, findings in results for finding in findings] == []
