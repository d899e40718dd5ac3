"""Batches of chips that a thread draws ahead of the training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
import torch

from geodetect.training.data.chip_sampler import Chip
from geodetect.training.data.prefetch import prefetch
from geodetect.training.distributed import SINGLE_PROCESS
from tests.helpers.distributed_scenarios import UnevenChips

THREADS = 3


@pytest.fixture(autouse=True)
def restored_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(before)


def test_chips_are_drawn_with_one_thread_while_the_training_keeps_its_own() -> None:
    threads = []

    class Watched(UnevenChips):
        def __getitem__(self, number: int) -> Chip:
            torch.rand(3, 200, 200).mul_(2)
            threads.append(torch.get_num_threads())
            return super().__getitem__(number)

    batches = prefetch(Watched(), 0, batch_size=2, processes=SINGLE_PROCESS)  # type: ignore[arg-type]
    with closing(batches):
        next(batches)
        next(batches)
        assert torch.get_num_threads() == THREADS
    assert set(threads) == {1}
    assert torch.get_num_threads() == THREADS
