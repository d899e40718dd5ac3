"""Rows of tiles through the detector: read ahead, detected side by side, given back in order."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np

from geodetect.detection.coverage import CoverageCells
from geodetect.detection.detections import Detections
from geodetect.detection.detector import Detector
from geodetect.detection.plan import RasterPlan
from geodetect.detection.run.concurrency import Capacity, shortages_told
from geodetect.detection.run.truncation import on_imagery
from geodetect.errors import InputError
from geodetect.geo.tiles import Tile
from geodetect.io.raster.dataset import BLOCK_CACHE_BYTES
from geodetect.io.raster.reader import Pixels
from geodetect.settings import PredictSettings
from geodetect.types import BoolArray, IntArray

View = tuple[Tile, Pixels | None]  # a tile and what is seen there; None: no imagery


class ReadAhead:
    """Tiles of one raster in order, while the next ones are being read by other threads.

    Each thread reads the same columns in every row. So the blocks of the file that tiles share are
    in the cache of its handle, but for those where the columns of two threads meet. Where most
    threads would have no columns, the rows take turns. Strips, which several threads would each
    decode whole, are read by one thread, unless those of a row of tiles do not fit into its cache:
    then they are decoded for each tile, and threads share that work.

    Args:
        plan: How the raster is looked at.
        capacity: How many threads read, and how far ahead.
        tiles: Which tiles, in order.
        then: Called once while tiles are asked for, when the last one is being read.
    """

    def __init__(
        self,
        plan: RasterPlan,
        capacity: Capacity,
        tiles: Iterable[Tile],
        *,
        then: Callable[[], None] | None = None,
    ) -> None:
        self._plan = plan
        self._tiles = iter(tiles)
        self._then = then
        self._ahead = capacity.ahead
        self._waiting: deque[tuple[Tile, Future[Pixels | None]]] = deque()
        count, columns = capacity.workers, len(plan.scheme.columns)
        self._stretch = min(capacity.stretch, math.ceil(columns / count))
        if columns > self._stretch and _in_strips(plan):
            count, self._stretch = 1, columns
        self._stretches = math.ceil(columns / self._stretch)
        self._threads = [
            ThreadPoolExecutor(1, thread_name_prefix="geodetect-read") for _ in range(count)
        ]

    def start(self) -> bool:
        """Begin to read, as far ahead as may be; tell whether there are more tiles."""
        while len(self._waiting) <= self._ahead:
            tile = next(self._tiles, None)
            if tile is None:
                return False
            count = len(self._threads)
            turn = tile.row * self._stretches if 2 * self._stretches <= count else 0
            thread = self._threads[(tile.col // self._stretch + turn) % count]
            self._waiting.append((tile, thread.submit(self._read, tile)))
        return True

    def close(self) -> None:
        """Read no more; wait for what is being read."""
        for _, future in self._waiting:
            future.cancel()
        for thread in self._threads:
            thread.shutdown()

    def __iter__(self) -> ReadAhead:
        return self

    def __next__(self) -> View:
        if not self.start() and self._then is not None:
            then, self._then = self._then, None
            then()
        if not self._waiting:
            raise StopIteration
        tile, future = self._waiting.popleft()
        return tile, future.result()

    def _read(self, tile: Tile) -> Pixels | None:
        pixels = self._plan.raster.read(tile, self._plan.grid)
        return pixels if pixels.valid.any() else None


def _in_strips(plan: RasterPlan) -> bool:
    """Whether blocks span the raster, and those of a row of tiles fit into the cache."""
    raster = plan.raster
    width, height_px = raster.grid.width, plan.scheme.tile_px * plan.gsd_ratio[1]
    row_bytes = width * height_px * raster.bytes_per_px
    return raster.block_width >= width and row_bytes < BLOCK_CACHE_BYTES


@dataclass(frozen=True)
class TileResult:
    """What one tile gave.

    Args:
        tile: The tile.
        detections: Boxes in pixel edges of the working grid; None: the tile holds no imagery and
            did not go through the detector.
        imagery: ``bool[rows, columns]`` which of its cells hold imagery, see ``CoverageCells``.
    """

    tile: Tile
    detections: Detections | None
    imagery: BoolArray


@dataclass(frozen=True)
class RowDetector:
    """Runs the tiles of one raster.

    Args:
        plan: How the raster is looked at.
        detector: What finds objects.
        cells: Where imagery is noted.
        settings: Threshold.
        keep: Labels to keep; None: all.
        capacity: What is worked on at once.
    """

    plan: RasterPlan
    detector: Detector
    cells: CoverageCells
    settings: PredictSettings
    keep: IntArray | None
    capacity: Capacity

    def run(
        self, rows: Iterable[Sequence[Tile]], reading: ReadAhead
    ) -> Generator[list[TileResult]]:
        """Look at rows of tiles, in order.

        A batch holds tiles of one row only, so that the result of a row depends on that row alone.

        Reading, detecting and what is done with the results go on at the same time.

        Args:
            rows: Which tiles.
            reading: The same tiles, being read.

        Yields:
            Results in order of the tiles, each batch with the tiles without imagery before it.

        Raises:
            RasterError: The raster cannot be read to the end.
            InputError: The detector does not do what it must.
            OutOfMemoryError: Memory is used up.
        """
        working: deque[Future[list[TileResult]]] = deque()
        streams = self.capacity.streams
        with (
            shortages_told(self.plan, self.capacity),
            ThreadPoolExecutor(streams, thread_name_prefix="geodetect-detect") as pool,
        ):
            try:
                for batch in _batches(rows, reading, self.capacity.batch_size):
                    working.append(pool.submit(self._detect, batch))
                    if len(working) > self.capacity.queued:
                        yield working.popleft().result()
                while working:
                    yield working.popleft().result()
            finally:
                for future in working:
                    future.cancel()

    def _detect(self, tiles: Sequence[View]) -> list[TileResult]:
        found = iter(_found(self.detector, [pixels for _, pixels in tiles if pixels is not None]))
        return [
            TileResult(tile, None, self.cells.no_imagery(tile))
            if pixels is None
            else TileResult(
                tile,
                self._chosen(next(found), tile, pixels),
                self.cells.imagery(tile, pixels.valid),
            )
            for tile, pixels in tiles
        ]

    def _chosen(self, found: Detections, tile: Tile, pixels: Pixels) -> Detections:
        """Those that are sure enough, of a wanted class and on the imagery."""
        conf = self.detector.card.conf if self.settings.conf is None else self.settings.conf
        wanted = found.scores >= conf
        if self.keep is not None:
            wanted &= np.isin(found.labels, self.keep)
        return on_imagery(found[wanted], tile, pixels, self.plan)


def _batches(
    rows: Iterable[Sequence[Tile]], read: Iterator[View], size: int
) -> Generator[list[View]]:
    """Tiles of one row each with ``size`` that hold imagery, and those without before them."""
    for row in rows:
        waiting, full = list[View](), 0
        for tile, pixels in islice(read, len(row)):
            waiting.append((tile, pixels))
            full += pixels is not None
            if full == size:
                yield waiting
                waiting, full = [], 0
        if waiting:
            yield waiting


def _found(detector: Detector, pixels: Sequence[Pixels]) -> Sequence[Detections]:
    """What a detector finds in a batch; there may be nothing to look at."""
    if not pixels:
        return []
    found = detector(np.stack([p.values for p in pixels]), np.stack([p.valid for p in pixels]))
    if len(found) != len(pixels):
        raise InputError(
            f"the detector {detector.card.name!r} must return detections for each of the "
            f"{len(pixels)} images of a batch; found {len(found)}"
        )
    for one in found:
        if not isinstance(one, Detections):
            raise InputError(
                f"the detector {detector.card.name!r} must return geodetect.Detections for each "
                f"image; found {type(one).__name__} (geodetect.CallableDetector makes a detector "
                f"of a function that returns boxes, scores and labels)"
            )
        if not (np.isfinite(one.boxes).all() and np.isfinite(one.scores).all()):
            raise InputError(
                f"the detector {detector.card.name!r} returned boxes or scores that are NaN or "
                f"infinite"
            )
    return found
