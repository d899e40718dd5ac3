"""Batches of chips, drawn ahead of the training step that uses them."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count

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
    """Yield the batches from a step on, see ``draw_batch``; a thread draws them in advance."""
    draw = partial(draw_batch, sampler, batch_size=batch_size, processes=processes)
    steps = count(first_step)
    with ThreadPoolExecutor(1) as pool:
        futures = [pool.submit(draw, next(steps)) for _ in range(PREFETCHED_BATCHES)]
        try:
            while True:
                yield futures.pop(0).result()
                futures.append(pool.submit(draw, next(steps)))
        finally:
            pool.shutdown(cancel_futures=True)
