"""Batches of chips, drawn ahead of the training step that uses them."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count

import torch

from geodetect.training.data.chip_sampler import Chip, ChipSampler
from geodetect.training.distributed import Processes

PREFETCHED_BATCHES = 4


def draw_batch(
    sampler: ChipSampler, step: int, *, batch_size: int, processes: Processes
) -> list[Chip]:
    """Draw this process's part of the batch of a step.

    The batch as a whole is the same for any number of processes.

    Args:
        sampler: Source of chips.
        step: Number of the step, from 0.
        batch_size: Chips per step, of all processes together.
        processes: Processes that share the batch.
    """
    return [sampler[step * batch_size + row] for row in processes.batch_rows(batch_size)]


def prefetch(
    sampler: ChipSampler, first_step: int, *, batch_size: int, processes: Processes
) -> Generator[list[Chip]]:
    """Yield the batches from a step on, see ``draw_batch``; a thread draws them in advance.

    It computes by itself: several threads of PyTorch would take longer for the small images of
    chips, waiting for one another, and slow the training beside them.
    """
    draw = partial(draw_batch, sampler, batch_size=batch_size, processes=processes)
    steps = count(first_step)
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(_compute_in_one_thread).result()
        torch.set_num_threads(threads)  # the value for threads to come
        futures = [pool.submit(draw, next(steps)) for _ in range(PREFETCHED_BATCHES)]
        try:
            while True:
                yield futures.pop(0).result()
                futures.append(pool.submit(draw, next(steps)))
        finally:
            pool.shutdown(cancel_futures=True)


def _compute_in_one_thread() -> None:
    """Let PyTorch compute in the calling thread alone, whatever other threads do."""
    torch.get_num_threads()  # a thread that has not computed yet would take the number of others
    torch.set_num_threads(1)
