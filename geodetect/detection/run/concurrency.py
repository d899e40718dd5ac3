"""How many tiles are worked on at once: as many as are best, or as fit into memory."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from geodetect.detection.detector import Detector
from geodetect.detection.plan import RasterPlan
from geodetect.errors import GeodetectWarning, OutOfMemoryError, error_text
from geodetect.hardware.cpu import usable_cores
from geodetect.hardware.memory import free_bytes, is_shortage
from geodetect.io.raster.dataset import BLOCK_CACHE_BYTES
from geodetect.settings import PredictSettings

BATCH_SIZE = 4  # of detectors that do not say
MOST_WORKERS = 16
QUEUED_PER_STREAM = 2  # batches at work or waiting: no stream waits for the one that is slowest
LEAST_STRETCH, STRETCHES = 2, 8  # tiles: of one thread, and of all when they are few
SHARE = 0.8  # of free memory: the rest is for results, and for what estimates miss
READING = 4  # a tile that is read exists as values, as bytes, as mask and as their product
GIGABYTE = 1e9


@dataclass(frozen=True)
class Capacity:
    """What is worked on at once.

    Args:
        batch_size: Tiles that the detector gets in one call.
        streams: Calls side by side.
        workers: Threads that read.
    """

    batch_size: int
    streams: int
    workers: int

    @property
    def queued(self) -> int:
        """Batches at work or waiting."""
        return QUEUED_PER_STREAM * self.streams

    @property
    def stretch(self) -> int:
        """Neighbouring tiles of a row that one thread reads: they share blocks of the file."""
        return 1 if self.workers == 1 else max(LEAST_STRETCH, STRETCHES // self.workers)

    @property
    def ahead(self) -> int:
        """Tiles that are read before they are needed: a stretch for each thread."""
        return self.batch_size * self.streams + self.workers * self.stretch

    def memory(self, *, tile: int, image: int, most_images: int) -> int:
        """About how many bytes it takes.

        Args:
            tile: Bytes of the pixels and the mask of a tile.
            image: Bytes that the detector takes for a tile at work.
            most_images: Tiles of its batches that the detector works on at once.
        """
        at_work = self.streams if self.batch_size == 1 else most_images
        held = self.batch_size * (self.queued + 1) + 2 * self.ahead  # of the next raster, too
        return at_work * image + (held + READING * self.workers) * tile

    def smaller(self) -> Iterator[Capacity]:
        """This one and less and less of everything, what costs least time first."""
        one = self
        yield one
        while one.batch_size > 1:
            one = replace(one, batch_size=one.batch_size // 2)
            yield one
        while one.streams > 1:
            one = replace(one, streams=one.streams - 1)
            yield one
        while one.workers > 1:
            one = replace(one, workers=one.workers // 2)
            yield one

    def in_words(self) -> str:
        """For people."""
        tiles = "one tile" if self.batch_size == 1 else f"{self.batch_size} tiles"
        threads = "one thread" if self.workers == 1 else f"{self.workers} threads"
        return f"batches of {tiles}, {self.streams} at once, read by {threads}"


def wanted_capacity(detector: Detector, settings: PredictSettings) -> Capacity:
    """What is best for a detector, or what the settings say."""
    return Capacity(
        settings.batch_size or int(getattr(detector, "batch_size", BATCH_SIZE)),
        max(1, int(getattr(detector, "streams", 1))),
        settings.workers or min(MOST_WORKERS, usable_cores()),
    )


def fitting_capacity(
    plans: Sequence[RasterPlan],
    detector: Detector,
    settings: PredictSettings,
    *,
    free: int | None = None,
) -> Capacity:
    """What is best for a detector, or as much of it as fits into memory, with a warning.

    Args:
        plans: How the rasters are looked at.
        detector: With ``bytes_per_px``, if it says what it takes for each pixel of a tile.
        settings: The user's wishes.
        free: Bytes of memory; None: ask the system.

    Raises:
        OutOfMemoryError: Not even one tile fits.
    """
    wanted = wanted_capacity(detector, settings)
    free = free_bytes() if free is None else free
    largest = max(plans, key=_tile_px)
    pixels = _tile_px(largest)
    sizes = {
        "tile": pixels * (largest.raster.band_count + 1),
        "image": int(pixels * getattr(detector, "bytes_per_px", 0)),
        "most_images": wanted.streams,
    }
    least = wanted
    for least in wanted.smaller():
        if least.memory(**sizes) <= SHARE * free - BLOCK_CACHE_BYTES:
            break
    if least == wanted:
        return wanted
    if least.memory(**sizes) > free:
        raise OutOfMemoryError(
            f"{_named(largest)} takes about {least.memory(**sizes) / GIGABYTE:.3g} GB of memory, "
            f"and {free / GIGABYTE:.3g} GB are free; make tiles smaller with --tile-size"
        )
    warnings.warn(
        f"{free / GIGABYTE:.3g} GB of memory are free: {least.in_words()}, instead of "
        f"{wanted.in_words()}; a smaller --tile-size takes less",
        GeodetectWarning,
        stacklevel=2,
    )
    return least


@contextmanager
def shortages_told(plan: RasterPlan, capacity: Capacity) -> Iterator[None]:
    """Say what to lower when memory is used up.

    Raises:
        OutOfMemoryError: It is.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, OutOfMemoryError) or not is_shortage(error):
            raise
        raise OutOfMemoryError(
            f"memory is used up by {_named(plan)} ({capacity.in_words()}; {error_text(error)}): "
            f"lower --tile-size, --batch-size or --workers"
        ) from error


def _tile_px(plan: RasterPlan) -> int:
    side = plan.scheme.tile_px
    return min(side, plan.grid.width) * min(side, plan.grid.height)


def _named(plan: RasterPlan) -> str:
    side, grid = plan.scheme.tile_px, plan.grid
    return f"a tile of {min(side, grid.width):,} x {min(side, grid.height):,} px"
