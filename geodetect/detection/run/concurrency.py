"""Tiles in progress at once: as many as are fastest, or as fit into memory."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from geodetect.detection.detectors.detector import Detector
from geodetect.detection.plan import GroundPlan
from geodetect.errors import GeodetectWarning, OutOfMemoryError, error_text
from geodetect.hardware.cpu import usable_cores
from geodetect.hardware.memory import available_bytes, is_out_of_memory
from geodetect.settings import PredictSettings

BATCH_SIZE = 4  # of detectors without a `batch_size`
MAX_WORKERS = 16
QUEUED_PER_STREAM = 2  # batches in progress or waiting, so that no stream waits for another
MIN_COLUMN_CHUNK = 2  # adjacent columns of tiles per thread
CHUNKED_COLUMNS = 8  # columns of tiles that a few threads share
MEMORY_FRACTION = 0.8  # of free memory: the rest is for results, and for what estimates miss
TILE_COPIES = 4  # a tile that is read exists as values, as bytes, as mask and as their product
NO_THREAD = "start new thread"  # in an error of Python, which may as well be short of memory
GIGABYTE = 1e9


@dataclass(frozen=True)
class Concurrency:
    """Size and number of batches in progress, and threads that read.

    Args:
        batch_size: Tiles in one call of the detector.
        streams: Parallel calls of the detector.
        workers: Threads that read.
    """

    batch_size: int
    streams: int
    workers: int

    @property
    def queued(self) -> int:
        """Batches in progress or waiting."""
        return QUEUED_PER_STREAM * self.streams

    @property
    def column_chunk(self) -> int:
        """Adjacent columns of tiles that one thread reads, as they share blocks of the file."""
        return 1 if self.workers == 1 else max(MIN_COLUMN_CHUNK, CHUNKED_COLUMNS // self.workers)

    @property
    def read_ahead(self) -> int:
        """Tiles that are read before they are needed: a chunk of columns for each thread."""
        return self.batch_size * self.streams + self.workers * self.column_chunk

    def memory_bytes(self, *, tile: int, image: int, max_images: int) -> int:
        """Estimate the memory that tiles in progress take.

        Args:
            tile: Bytes of the pixels and the mask of a tile.
            image: Bytes that the detector takes for a tile in progress.
            max_images: Tiles of its batches that the detector works on at once.
        """
        images = self.streams if self.batch_size == 1 else max_images
        tiles = self.batch_size * (self.queued + 1) + 2 * self.read_ahead  # of the next raster, too
        return images * image + (tiles + TILE_COPIES * self.workers) * tile

    def reductions(self) -> Iterator[Concurrency]:
        """Yield this concurrency, then smaller ones; what costs least time is reduced first."""
        reduced = self
        yield reduced
        while reduced.batch_size > 1:
            reduced = replace(reduced, batch_size=reduced.batch_size // 2)
            yield reduced
        while reduced.streams > 1:
            reduced = replace(reduced, streams=reduced.streams - 1)
            yield reduced
        while reduced.workers > 1:
            reduced = replace(reduced, workers=reduced.workers // 2)
            yield reduced

    def __str__(self) -> str:
        tiles = "one tile" if self.batch_size == 1 else f"{self.batch_size} tiles"
        threads = "one thread" if self.workers == 1 else f"{self.workers} threads"
        return f"batches of {tiles}, {self.streams} at once, read by {threads}"


def preferred_concurrency(detector: Detector, settings: PredictSettings) -> Concurrency:
    """Return the concurrency of the settings, by default the one that the detector prefers."""
    return Concurrency(
        settings.batch_size or int(getattr(detector, "batch_size", BATCH_SIZE)),
        max(1, int(getattr(detector, "streams", 1))),
        settings.workers or min(MAX_WORKERS, usable_cores()),
    )


def concurrency_within_memory(
    plans: Sequence[GroundPlan],
    detector: Detector,
    settings: PredictSettings,
    *,
    free: int | None = None,
) -> Concurrency:
    """Return the preferred concurrency, or as much of it as fits into memory, with a warning.

    Args:
        plans: Plans of the grounds.
        detector: With ``bytes_per_px``, if it states what it takes for each pixel of a tile.
        settings: Batch size and threads.
        free: Bytes of free memory; None: ask the system.

    Raises:
        OutOfMemoryError: Not even one tile fits.
    """
    preferred = preferred_concurrency(detector, settings)
    free = available_bytes() if free is None else free
    largest = max(plans, key=lambda plan: math.prod(_tile_shape(plan)))
    pixels = math.prod(_tile_shape(largest))
    sizes = {
        "tile": pixels * (largest.ground.band_count + 1),
        "image": int(pixels * getattr(detector, "bytes_per_px", 0)),
        "max_images": preferred.streams,
    }
    reduced = preferred
    cache = max(plan.ground.cache_bytes for plan in plans)
    for reduced in preferred.reductions():
        if reduced.memory_bytes(**sizes) <= MEMORY_FRACTION * free - cache:
            break
    if reduced.memory_bytes(**sizes) > free:
        raise OutOfMemoryError(
            f"{_tile_size(largest)} takes about {reduced.memory_bytes(**sizes) / GIGABYTE:.3g} GB "
            f"of memory, and {free / GIGABYTE:.3g} GB are free; reduce `tile_size`"
        )
    if reduced == preferred:
        return preferred
    warnings.warn(
        f"{free / GIGABYTE:.3g} GB of memory are free: {reduced}, instead of {preferred}; a "
        f"smaller `tile_size` takes less",
        GeodetectWarning,
        stacklevel=2,
    )
    return reduced


@contextmanager
def explain_memory_errors(plan: GroundPlan, concurrency: Concurrency) -> Iterator[None]:
    """Turn errors for lack of memory into one that names the settings to reduce.

    Raises:
        OutOfMemoryError: Memory is used up.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, OutOfMemoryError) or not is_out_of_memory(error):
            raise
        if NO_THREAD in str(error):
            raise OutOfMemoryError(
                f"the system starts no more threads ({concurrency}): reduce `workers`, or raise "
                f"its limits of processes and memory (ulimit -u, ulimit -v)"
            ) from error
        raise OutOfMemoryError(
            f"memory is used up by {_tile_size(plan)} ({concurrency}; {error_text(error)}): "
            f"reduce `tile_size`, `batch_size` or `workers`"
        ) from error


def _tile_shape(plan: GroundPlan) -> tuple[int, int]:
    """Return width and height of the tiles, which are no larger than the raster."""
    return min(plan.scheme.tile_px, plan.grid.width), min(plan.scheme.tile_px, plan.grid.height)


def _tile_size(plan: GroundPlan) -> str:
    return "a tile of {:,} x {:,} px".format(*_tile_shape(plan))
