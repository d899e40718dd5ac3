"""A small campaign: no case of any part finds a fault.

Larger ones run with ``python -m tests.campaign``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.campaign.runner import PARTS, Workers

CASES = {
    "rasters": 12,
    "vectors": 10,
    "labels": 6,
    "models": 5,
    "cache_entries": 1,
    "journals": 2,
    "kills": 2,
    "signals": 4,
    "full_disks": 5,
    "bad_servers": 2,
    "odd_environments": 4,
}

pytestmark = pytest.mark.skipif(
    not hasattr(os, "pidfd_open"), reason="needs Linux, where processes are forked and limited"
)


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with Workers() as workers:
        yield workers


@pytest.mark.parametrize("part", PARTS)
def test_no_case_of_a_part_finds_a_fault(part: str, workers: Workers) -> None:
    results = list(workers.run(part, cases=CASES[part]))
    assert len(results) == CASES[part]
    assert [str(finding) for _, findings in results for finding in findings] == []
