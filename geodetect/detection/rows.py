"""Rows of tiles through the detector: read ahead, detected side by side, given back in order."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import islice, tee

import numpy as np
from numpy.typing import NDArray

from geodetect.detection.capacity import Capacity, shortages_told
from geodetect.detection.coverage import CoverageCells
from geodetect.detection.detections import Detections
from geodetect.detection.detector import Detector
from geodetect.detection.imagery import on_imagery
from geodetect.detection.plan import RasterPlan
from geodetect.errors import InputError
from geodetect.geo.tiles import Tile
from geodetect.io.raster import Pixels
from geodetect.settings import PredictSettings

MOST_WIDTHS = 2  # of the columns that one thread reads; wider blocks are decoded by too many

View = tuple[Tile, Pixels | None]  # a tile and what is seen there; None: no imagery


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
    imagery: NDArray[np.bool_]


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
    keep: NDArray[np.int64] | None
    capacity: Capacity

    def run(self, rows: Iterable[Sequence[Tile]]) -> Generator[list[TileResult]]:
        """Look at rows of tiles, in order.

        A batch holds tiles of one row only, so that the result of a row depends on that row alone.

        Reading, detecting and what is done with the results go on at the same time.

        Yields:
            Results in order of the tiles, each batch with the tiles without imagery before it.

        Raises:
            RasterError: The raster cannot be read to the end.
            InputError: The detector does not do what it must.
            OutOfMemoryError: Memory is used up.
        """
        rows, ahead = tee(rows)
        every_tile = (tile for row in ahead for tile in row)
        working: deque[Future[list[TileResult]]] = deque()
        streams = self.capacity.streams
        with (
            shortages_told(self.plan, self.capacity),
            closing(self._read_ahead(every_tile)) as read,
            ThreadPoolExecutor(streams, thread_name_prefix="geodetect-detect") as pool,
        ):
            try:
                for batch in _batches(rows, read, self.capacity.batch_size):
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

    def _read(self, tile: Tile) -> Pixels | None:
        pixels = self.plan.raster.read(tile, self.plan.grid)
        return pixels if pixels.valid.any() else None

    def _read_ahead(self, tiles: Iterable[Tile]) -> Generator[View]:
        """Tiles in order, while the next ones are being read by other threads.

        Each thread reads the same columns in every row. So the blocks of the file that tiles share
        are in the cache of its handle, but for those where the columns of two threads meet. Where
        most threads would have no columns, the rows take turns. Strips, which several threads would
        each decode whole, are read by one thread.
        """
        count, columns = self.capacity.workers, len(self.plan.scheme.columns)
        stretch = min(self.capacity.stretch, math.ceil(columns / count))
        own_px = stretch * self.plan.scheme.tile_px * self.plan.gsd_ratio[0]
        if columns > stretch and self.plan.raster.block_width > MOST_WIDTHS * own_px:
            count, stretch = 1, columns
        stretches = math.ceil(columns / stretch)
        waiting: deque[tuple[Tile, Future[Pixels | None]]] = deque()
        with ExitStack() as stack:
            threads = [
                stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="geodetect-read"))
                for _ in range(count)
            ]
            try:
                for tile in tiles:
                    turn = tile.row * stretches if 2 * stretches <= count else 0
                    thread = threads[(tile.col // stretch + turn) % count]
                    waiting.append((tile, thread.submit(self._read, tile)))
                    if len(waiting) > self.capacity.ahead:
                        done, future = waiting.popleft()
                        yield done, future.result()
                while waiting:
                    done, future = waiting.popleft()
                    yield done, future.result()
            finally:
                for _, future in waiting:
                    future.cancel()


def _batches(
    rows: Iterable[Sequence[Tile]], read: Generator[View], size: int
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
