"""Tiles of a ground through the detector: read ahead, detected in parallel, returned in order."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain, groupby, islice
from typing import Protocol

import numpy as np

from geodetect.detection.coverage import ImageryMask
from geodetect.detection.detections import Detections, TileResult
from geodetect.detection.detectors.detector import Detector
from geodetect.detection.plan import GroundPlan, TileRun
from geodetect.detection.run.concurrency import Concurrency, explain_memory_errors
from geodetect.detection.run.imagery_sample import ImagerySample
from geodetect.detection.run.observations import GroundObservations
from geodetect.detection.run.truncation import clip_to_imagery
from geodetect.errors import InputError, list_names, suggest, translate_errors
from geodetect.geo.polygons import as_polygons
from geodetect.geo.tiles import Shard, Tile
from geodetect.io.raster.reader import Pixels
from geodetect.model.card import ModelCard
from geodetect.settings import PredictSettings
from geodetect.threads import stop_pools
from geodetect.types import IntArray

TilePixels = tuple[Tile, Pixels | None]  # None: the tile holds neither imagery nor a hole


class FinishedRuns(Protocol):
    """Runs of tiles that were computed before: a journal, or the records of shards."""

    def holds(self, ground: int, run: TileRun) -> bool:
        """Return True if a run of tiles is finished, of the ground of this number."""

    def get(self, ground: int, run: TileRun, *, raster_count: int) -> list[TileResult]:
        """Return the results of a finished run of tiles, of the ground of this number.

        Args:
            ground: Number of the ground.
            run: The planned tiles.
            raster_count: Number of rasters of the ground.

        Raises:
            InputError: They cannot be read, or no run has written them.
        """

    def observations(self, ground: int) -> GroundObservations:
        """Return what was noted beside the tiles, of the ground of this number."""


class TileReader:
    """Iterator over the tiles of one ground in order, while other threads read the next ones.

    Each thread reads the same columns in every row. So the blocks of the file that tiles share are
    in the cache of its handle, except where the columns of two threads meet. Where most threads
    would have no columns, the rows take turns. Strips, which several threads would each decode
    completely, are read by one thread, unless those of a row of tiles do not fit into its cache:
    then they are decoded for each tile, and threads share that work. Very large blocks are read by
    one thread, too.

    Args:
        plan: Plan of the ground.
        concurrency: Number of threads, and how far ahead they read.
        finished: Runs of tiles that are not read.
        number: Number of the ground.
        shards: Shards to read; None: all of the ground.
        following: Reader of the next ground; it starts when the last tile of this one is being
            read.
        with_holes: Where a raster cannot be read, leave a hole.
    """

    def __init__(
        self,
        plan: GroundPlan,
        concurrency: Concurrency,
        *,
        finished: FinishedRuns | None = None,
        number: int = 0,
        shards: Sequence[Shard] | None = None,
        following: TileReader | None = None,
        with_holes: bool = False,
    ) -> None:
        self.plan, self.concurrency, self.number, self.shards = plan, concurrency, number, shards
        self.finished = finished
        runs = (run.tiles for run in plan.runs(shards) if not self.is_finished(run))
        self._tiles = chain.from_iterable(runs)
        self._following, self._with_holes = following, with_holes
        self._read_ahead = concurrency.read_ahead
        self._queue: deque[tuple[Tile, Future[Pixels | None]]] = deque()
        self._thread_count, columns = concurrency.workers, len(plan.scheme.columns)
        self._chunk = min(concurrency.column_chunk, math.ceil(columns / self._thread_count))
        ground, row_px = plan.ground, plan.scheme.tile_px * plan.gsd_ratio[1]
        if columns > self._chunk and ground.needs_one_thread(row_px):
            self._thread_count, self._chunk = 1, columns
        self._chunks = math.ceil(columns / self._chunk)
        self._threads: list[ThreadPoolExecutor] = []

    def start(self) -> bool:
        """Start to read, as far ahead as allowed; return True if there are more tiles."""
        if not self._threads:
            self._threads = [
                ThreadPoolExecutor(1, thread_name_prefix="geodetect-read")
                for _ in range(self._thread_count)
            ]
        while len(self._queue) <= self._read_ahead:
            tile = next(self._tiles, None)
            if tile is None:
                return False
            turn = tile.row * self._chunks if 2 * self._chunks <= self._thread_count else 0
            thread = self._threads[(tile.col // self._chunk + turn) % self._thread_count]
            self._queue.append((tile, thread.submit(self._read, tile)))
        return True

    def is_finished(self, run: TileRun) -> bool:
        """Return True if a run of tiles was computed before."""
        return self.finished is not None and self.finished.holds(self.number, run)

    def close(self) -> None:
        """Stop reading; wait a short time for the tiles that are being read."""
        stop_pools(self._threads, [future for _, future in self._queue])
        self._queue.clear()  # there may be thousands of grounds
        self._threads.clear()

    def __iter__(self) -> TileReader:
        return self

    def __next__(self) -> TilePixels:
        if not self.start() and self._following is not None:
            self._following.start()
            self._following = None
        if not self._queue:
            raise StopIteration
        tile, future = self._queue[0]
        pixels = future.result()
        self._queue.popleft()  # not before it is done: `close` waits for what is in the queue
        return tile, pixels

    def _read(self, tile: Tile) -> Pixels | None:
        pixels = self.plan.ground.read(tile, self.plan.grid, with_holes=self._with_holes)
        return pixels if pixels.valid.any() or pixels.unread is not None else None


def chained_readers(
    plans: Sequence[GroundPlan],
    finished: FinishedRuns | None,
    concurrency: Concurrency,
    *,
    strict: bool = False,
) -> list[TileReader]:
    """Return a reader for each ground, each of which starts the next one.

    Args:
        plans: The grounds.
        finished: Runs of tiles that are not read.
        concurrency: Number of threads, and how far ahead they read.
        strict: Leave no holes where a raster cannot be read; of a single raster none are left.
    """
    readers: list[TileReader] = []
    has_several = sum(len(plan.ground.rasters) for plan in plans) > 1
    for number, plan in reversed(list(enumerate(plans))):
        following = readers[-1] if readers else None
        reader = TileReader(
            plan,
            concurrency,
            finished=finished,
            number=number,
            following=following,
            with_holes=has_several and not strict,
        )
        readers.append(reader)
    return readers[::-1]


@dataclass(frozen=True)
class TileBatch:
    """Results of successive tiles of one run.

    Args:
        results: Results of at least one tile.
        run: The run of tiles.
        completes_run: True if the last tile is the last one of the run.
        resumed: True if the results were computed before.
    """

    results: Sequence[TileResult]
    run: TileRun
    completes_run: bool
    resumed: bool


class TilePipeline:
    """Tiles of one ground through the detector, or from what was computed before.

    Args:
        reader: Reader of the runs of tiles that are not finished, of all shards or some.
        detector: The detector.
        settings: Score threshold and classes.
    """

    def __init__(
        self,
        reader: TileReader,
        detector: Detector,
        settings: PredictSettings,
    ) -> None:
        self.reader, self.detector, self.settings = reader, detector, settings
        self.plan, self.concurrency = reader.plan, reader.concurrency
        self.mask = ImageryMask(self.plan.scheme)
        self.sample = ImagerySample(self.plan.tile_count)
        self._class_ids = class_numbers(detector.card, settings)

    def run(self) -> Generator[TileBatch]:
        """Yield the results of all tiles in order.

        A batch holds tiles of one run only, so that the result of a run depends on that run alone.
        Reading, detecting and the caller, who merges the results, work at the same time.

        Raises:
            RasterError: The raster cannot be read to the end.
            InputError: The detector returns something unusable.
            OutOfMemoryError: Memory is used up.
        """
        pool = ThreadPoolExecutor(self.concurrency.streams, thread_name_prefix="geodetect-detect")
        queue: deque[Future[TileBatch] | partial[TileBatch]] = deque()
        with explain_memory_errors(self.plan, self.concurrency):
            try:
                for batch in self._start_batches(pool):
                    queue.append(batch)
                    if len(queue) > self.concurrency.queued:
                        yield _first_result(queue)
                while queue:
                    yield _first_result(queue)
            finally:
                stop_pools([pool], [batch for batch in queue if isinstance(batch, Future)])

    def _start_batches(
        self, pool: ThreadPoolExecutor
    ) -> Generator[Future[TileBatch] | partial[TileBatch]]:
        """Start to detect batch after batch; yield their futures, or calls that load them."""
        finished, size = self.reader.finished, self.concurrency.batch_size
        for run in self.plan.runs(self.reader.shards):
            if finished is not None and self.reader.is_finished(run):
                yield partial(self._load_run, finished, run)
                continue
            tiles = islice(self.reader, len(run.tiles))
            groups: Iterable[Iterable[TilePixels]] = [tiles]
            if getattr(self.detector, "depends_on_batch", False):
                # of the same columns, wherever a shard begins
                groups = (part for _, part in groupby(tiles, lambda item: item[0].col // size))
            for batch in chain.from_iterable(_split_into_batches(part, size) for part in groups):
                yield pool.submit(self._detect, batch, run)

    def _load_run(self, finished: FinishedRuns, run: TileRun) -> TileBatch:
        rasters = self.plan.ground.rasters
        results = finished.get(self.reader.number, run, raster_count=len(rasters))
        return TileBatch(results, run, completes_run=True, resumed=True)

    def observations(self) -> GroundObservations:
        """Return what was noted beside the tiles, here and where they were computed before."""
        ground = self.plan.ground
        noted = GroundObservations(
            failures=dict(ground.failures),
            value_ranges={
                number: raster.used_stretch.range
                for number, raster in enumerate(ground.rasters)
                if raster.used_stretch is not None
            },
            windows=tuple(self.sample.windows),
        )
        finished = self.reader.finished
        return noted if finished is None else finished.observations(self.reader.number) | noted

    def _detect(self, tiles: Sequence[TilePixels], run: TileRun) -> TileBatch:
        images = [pixels for _, pixels in tiles if pixels is not None and pixels.valid.any()]
        detections_of_images = iter(_call_detector(self.detector, images) if images else ())
        conf = self.detector.card.conf if self.settings.conf is None else self.settings.conf
        results = []
        for tile, pixels in tiles:
            detections = None
            if pixels is not None and pixels.valid.any():
                self.sample.add(tile, pixels)
                detections = next(detections_of_images)
                is_selected = detections.scores >= conf
                if self.settings.geometry == "box":
                    detections = detections.without_outlines()
                if self._class_ids is not None:
                    is_selected &= np.isin(detections.labels, self._class_ids)
                detections = clip_to_imagery(detections[is_selected], tile, pixels, self.plan)
            has_hole = pixels is not None and pixels.unread is not None
            cells = self.mask.cell_states(tile, pixels)
            results.append(TileResult(tile, detections, cells, has_hole))
        completes_run = tiles[-1][0] == run.tiles[-1]
        return TileBatch(results, run, completes_run=completes_run, resumed=False)


def _first_result(queue: deque[Future[TileBatch] | partial[TileBatch]]) -> TileBatch:
    """Wait for the first batch of a queue, and remove it."""
    batch = queue[0]
    result = batch.result() if isinstance(batch, Future) else batch()
    queue.popleft()
    return result


def _split_into_batches(tiles: Iterable[TilePixels], size: int) -> Generator[list[TilePixels]]:
    """Yield batches of ``size`` tiles with imagery, each with the empty tiles before them."""
    batch, images = list[TilePixels](), 0
    for tile, pixels in tiles:
        batch.append((tile, pixels))
        images += pixels is not None and bool(pixels.valid.any())
        if images == size:
            yield batch
            batch, images = [], 0
    if batch:
        yield batch


def _call_detector(detector: Detector, images: Sequence[Pixels]) -> Sequence[Detections]:
    """Return the detections of a batch of at least one image, checked."""
    values, valid = np.stack([p.values for p in images]), np.stack([p.valid for p in images])
    batch = detector(values, valid)
    if len(batch) != len(images):
        raise InputError(
            f"the detector {detector.card.name!r} must return detections for each of the "
            f"{len(images)} images of a batch; found {len(batch)}"
        )
    for detections in batch:
        if not isinstance(detections, Detections):
            raise InputError(
                f"the detector {detector.card.name!r} must return geodetect.Detections for each "
                f"image; found {type(detections).__name__} (geodetect.CallableDetector makes a "
                f"detector of a function that returns boxes, scores and labels)"
            )
        if not (np.isfinite(detections.boxes).all() and np.isfinite(detections.scores).all()):
            raise InputError(
                f"the detector {detector.card.name!r} returned boxes or scores that are NaN or "
                f"infinite"
            )
        with translate_errors(f"the detector {detector.card.name!r} returned outlines", InputError):
            as_polygons(detections.outlines)
    return batch


def class_numbers(card: ModelCard, settings: PredictSettings) -> IntArray | None:
    """Return the numbers of the classes to keep; None: all.

    Raises:
        InputError: The model has no class of a name.
    """
    if settings.classes is None:
        return None
    unknown = [name for name in settings.classes if name not in card.classes]
    if unknown:
        raise InputError(
            f"`classes`: model {card.name} has no class {unknown[0]!r}; it detects "
            f"{list_names(card.classes)}{suggest(unknown[0], card.classes)}"
        )
    return np.array([card.classes.index(name) for name in settings.classes])
