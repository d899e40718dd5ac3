"""Batches of chips, the same ones however many processes share them."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor

from geodetect.training.data.chip_sampler import Chip, ChipSampler
from geodetect.training.distributed import Processes

PREFETCHED_BATCHES = 4


def draw_batch(
    sampler: ChipSampler, step: int, *, batch_size: int, processes: Processes
) -> list[Chip]:
    """The chips of a step that this process looks at.

    Args:
        sampler: Where chips come from.
        step: Steps before this one.
        batch_size: Chips of a step in all processes together.
        processes: Each takes every so many-th chip.
    """
    return [sampler[step * batch_size + i] for i in processes.share(batch_size)]


def drawn_ahead(
    sampler: ChipSampler, first: int, *, batch_size: int, processes: Processes
) -> Generator[list[Chip]]:
    """The batches from a step on, drawn ahead by another thread; see ``draw_batch``."""

    def draw(step: int) -> list[Chip]:
        return draw_batch(sampler, step, batch_size=batch_size, processes=processes)

    with ThreadPoolExecutor(1) as pool:
        ahead: list[Future[list[Chip]]] = [
            pool.submit(draw, first + i) for i in range(PREFETCHED_BATCHES)
        ]
        following = first + PREFETCHED_BATCHES
        try:
            while True:
                yield ahead.pop(0).result()
                ahead.append(pool.submit(draw, following))
                following += 1
        finally:
            for future in ahead:
                future.cancel()
