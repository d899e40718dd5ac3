"""Worker that computes shards of a planned run: any number of them, on any machines."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from geodetect.detection.detections import TileResult
from geodetect.detection.detectors.detector import Detector
from geodetect.detection.plan import GroundPlan, TileRun
from geodetect.detection.predict import as_detector
from geodetect.detection.run.concurrency import concurrency_within_memory, preferred_concurrency
from geodetect.detection.run.observations import GroundObservations
from geodetect.detection.run.packed_results import PackedResults
from geodetect.detection.run.tile_pipeline import TilePipeline, TileReader
from geodetect.detection.sharding.manifest import Manifest, PlannedShard
from geodetect.detection.sharding.mixture import check_worker
from geodetect.detection.sharding.record import (
    COMPLETE,
    HOLES,
    PARTIAL,
    DamagedRecordError,
    ShardRecord,
    list_shards,
    object_name,
    read_record,
)
from geodetect.detection.sharding.signs import give_signs
from geodetect.errors import GeodetectWarning, InputError, list_names
from geodetect.geo.tiles import Window
from geodetect.io.ground.headers import changed_rasters
from geodetect.io.object_store import Store, open_store
from geodetect.model.file import checksum
from geodetect.progress import Progress, no_progress, phase
from geodetect.settings import PredictSettings
from geodetect.types import PathLike

# settings that each worker may choose: they do not change the plan
OF_WORKERS = ("device", "runtime", "precision", "batch_size", "workers", "strict")
PARTIAL_S = 600.0  # between partial records of a shard in progress


@dataclass(frozen=True)
class ShardCounts:
    """Tiles of a shard and their detections.

    Args:
        number: Number of the shard.
        tiles: Tiles that went through the detector.
        empty_tiles: Tiles without imagery, which did not.
        unread_tiles: Tiles of which some pixels could not be read.
        detections: Detections of the tiles, before they are merged across seams.
        failures: Error message of each raster that could not be read somewhere, by its path.
    """

    number: int
    tiles: int
    empty_tiles: int
    unread_tiles: int
    detections: int
    failures: Mapping[str, str] = field(default_factory=dict)


class ShardWorker:
    """Worker of a planned run: plan and model are loaded once, then shard after shard is computed.

    Use it as a context manager: leaving it closes the rasters.

    Args:
        location: Folder of the run.
        model: Model of the plan, where its path is another one here, or it is a ``Detector``.
        settings: Device, runtime, precision, batch size and threads of this worker, by name; those
            of the plan where it states none.
        allow_mixed: Compute shards although the results would differ in the last digits from those
            of the workers before, by processor, precision or library.

    Raises:
        InputError: There is no plan, it is of another version, model or other settings, or the
            worker is of another kind than those before.
        ModelFileError: The model cannot be read.
    """

    def __init__(
        self,
        location: PathLike,
        model: PathLike | Detector | None = None,
        *,
        settings: Mapping[str, Any] | None = None,
        allow_mixed: bool = False,
    ) -> None:
        self.store = open_store(location)
        self.manifest = Manifest.read(self.store)
        self.settings = _settings_of_worker(self.manifest, settings or {})
        if model is None:
            model = self.manifest.model
        if model is None:
            raise InputError(
                f"{self.store.location}: planned with the detector {self.manifest.card.name!r}, "
                f"which is no file; give it as `model`"
            )
        if identity_of(model) != self.manifest.model_identity:
            raise InputError(
                f"{self.store.location}: planned with another model: {self.manifest.card.name} "
                f"({self.manifest.model or 'a detector'}); give that as `model`, or plan the run "
                f"again"
            )
        with phase("Loading the model"):
            self.detector = as_detector(model, self.settings)
        self._rasters = self.manifest.read_rasters(self.store)
        self.computed_by = _identity_of_results(self.detector, self.settings)
        if not allow_mixed:
            check_worker(self.store, self.manifest, self.computed_by)
        self._opened: tuple[int, GroundPlan] | None = None  # with the number of the ground

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the rasters."""
        if self._opened is not None:
            self._opened[1].ground.close()
            self._opened = None

    def detect(self, number: int, progress: Progress = no_progress) -> ShardCounts:
        """Compute a shard, and put its record.

        Runs of tiles that an earlier record holds are not computed again: one with holes, or the
        partial one of a worker that was interrupted. An interrupt puts a partial record.

        Args:
            number: Number of the shard.
            progress: Callback of the tiles and detections so far.

        Raises:
            InputError: A raster has changed since the run was planned.
            RasterError: The only raster of the run cannot be read.
            OutputError: The record cannot be written.
            OutOfMemoryError: Memory is used up.
        """
        with give_signs(self.store, number) as renew_sign:
            return self._detect(number, progress, renew_sign)

    def _detect(
        self, number: int, progress: Progress, renew_sign: Callable[[], None]
    ) -> ShardCounts:
        shard = self.manifest.shards[number]
        plan = self._plan(shard.ground)
        self._check_rasters(plan, shard)
        plan.ground.failures.clear()
        reader = TileReader(
            plan,
            concurrency_within_memory([plan], self.detector, self.settings),
            finished=self._earlier(number),
            number=shard.ground,
            shards=[shard.block],
            with_holes=self.manifest.rasters > 1 and not self.settings.strict,
        )
        pipeline = TilePipeline(reader, self.detector, self.settings)
        results, completed, put_at = list[TileResult](), 0, time.monotonic()
        try:
            with closing(reader), closing(pipeline.run()) as batches:
                for batch in batches:
                    results += batch.results
                    completed = len(results) if batch.completes_run else completed
                    boxes = sum(len(r.detections) for r in results if r.detections is not None)
                    progress(len(results), shard.tiles, objects=boxes)
                    renew_sign()
                    if time.monotonic() - put_at > PARTIAL_S:
                        self._put(number, pipeline, results[:completed])
                        put_at = time.monotonic()
        except KeyboardInterrupt:
            if completed:
                self._put(number, pipeline, results[:completed])
            message = f"interrupted in shard {number}; run the same again to go on from there"
            raise KeyboardInterrupt(message) from None
        record = self._put(number, pipeline, results)
        return self._count(record, plan)

    def _put(
        self, number: int, pipeline: TilePipeline, results: Sequence[TileResult]
    ) -> ShardRecord:
        """Put the record of a shard; a finished one supersedes those before."""
        record = ShardRecord(
            plan=self.manifest.digest,
            number=number,
            tiles=self.manifest.shards[number].tiles,
            computed_by=self.computed_by,
            runs_on=str(getattr(self.detector, "runs_on", "")),
            results=PackedResults.from_results(results),
            observations=pipeline.observations(),
        )
        self.store.put(record.name, record.to_bytes())
        suffix = Path(record.name).suffix
        for earlier in {COMPLETE: (HOLES, PARTIAL), HOLES: (PARTIAL,)}.get(suffix, ()):
            self.store.delete(object_name(number, earlier))
        return record

    def _count(self, record: ShardRecord, plan: GroundPlan) -> ShardCounts:
        results = record.results
        holes = int(results.has_hole.sum())
        images = int(((results.counts >= 0) & ~results.has_hole).sum())
        return ShardCounts(
            record.number,
            tiles=images,
            empty_tiles=len(results) - images - holes,
            unread_tiles=holes,
            detections=len(results.detections),
            failures={
                plan.ground.rasters[n].path: error
                for n, error in record.observations.failures.items()
            },
        )

    def _earlier(self, number: int) -> _EarlierRecord | None:
        """Return what an earlier worker of the same kind computed of a shard."""
        for suffix in (PARTIAL, HOLES):
            record = _read_or_warn(self.store, self.manifest, number, suffix)
            if record is not None and record.computed_by == self.computed_by:
                return _EarlierRecord(record)
        return None

    def _plan(self, number: int) -> GroundPlan:
        """Return the plan of a ground, whose rasters are open; those of another one are closed."""
        if self._opened is None or self._opened[0] != number:
            self.close()
            self._opened = number, self.manifest.ground_plan(number, self._rasters)
        return self._opened[1]

    def _check_rasters(self, plan: GroundPlan, shard: PlannedShard) -> None:
        """Check that the rasters under a shard are those of the plan, or missing.

        Raises:
            InputError: One has changed.
        """
        first = plan.scheme.tile(shard.rows[0], shard.columns[0])
        last = plan.scheme.tile(shard.rows[1] - 1, shard.columns[1] - 1)
        window = Window(
            first.x, first.y, last.x + last.width - first.x, last.y + last.height - first.y
        )
        numbers = plan.ground.rasters_in(window, plan.grid).tolist()
        rasters = [plan.ground.rasters[number] for number in numbers]
        changed = [path for path in changed_rasters(rasters) if Path(path).exists()]
        if changed:
            raise InputError(
                f"{list_names(changed, limit=3)}: changed since the run {self.store.location} was "
                f"planned; plan it again"
            )


def absent_shards(store: Store, manifest: Manifest) -> list[int]:
    """Return the numbers of the shards that no worker has finished, by one listing."""
    finished = list_shards(store)
    return sorted(set(range(len(manifest.shards))) - finished[COMPLETE] - finished[HOLES])


def unfinished_shards(store: Store, manifest: Manifest, numbers: Sequence[int]) -> list[int]:
    """Return those of some shards that are absent, damaged or have holes.

    Warns:
        GeodetectWarning: A record is damaged.
    """
    complete = list_shards(store)[COMPLETE]
    return [
        number
        for number in numbers
        if number not in complete or _read_or_warn(store, manifest, number, COMPLETE) is None
    ]


def _read_or_warn(store: Store, manifest: Manifest, number: int, suffix: str) -> ShardRecord | None:
    """Read a record of a shard; None: there is none, or it is damaged, which is said.

    Raises:
        InputError: It is of another plan.
    """
    try:
        return read_record(store, manifest, number, suffix)
    except FileNotFoundError:
        return None
    except DamagedRecordError as error:
        warnings.warn(f"{error}; it is computed again", GeodetectWarning, stacklevel=4)
        return None


@dataclass(frozen=True)
class _EarlierRecord:
    """Runs of tiles of an earlier record of a shard; those with holes are computed again."""

    record: ShardRecord

    def holds(self, ground: int, run: TileRun) -> bool:
        return self.record.holds(run) and not any(r.has_hole for r in self.record.get(run))

    def get(self, ground: int, run: TileRun, *, raster_count: int) -> list[TileResult]:
        return self.record.get(run)

    def observations(self, ground: int) -> GroundObservations:
        noted = self.record.observations  # failures are noted again, if they are still there
        return GroundObservations(value_ranges=noted.value_ranges, windows=noted.windows)


def identity_of(model: PathLike | Detector) -> str:
    """Return the text by which a plan recognises its model.

    Raises:
        ModelFileError: There is no such model, or its file is damaged.
        InputError: The detector has no identity.
    """
    if not callable(model):
        return checksum(model)
    identity = getattr(model, "identity", None)
    if identity is None:
        raise InputError(
            f"the detector {model.card.name!r} has no `identity`, so a plan could not tell it from "
            f"another one; give CallableDetector an identity="
        )
    return str(identity)


def _identity_of_results(detector: Detector, settings: PredictSettings) -> str:
    """Return a text that differs between detectors whose results may differ."""
    identity = str(getattr(detector, "identity", ""))
    if not getattr(detector, "depends_on_batch", False):
        return identity
    return f"{identity}, batches of {preferred_concurrency(detector, settings).batch_size}"


def _settings_of_worker(manifest: Manifest, stated: Mapping[str, Any]) -> PredictSettings:
    """Return the settings of the plan, with those of a worker.

    Raises:
        InputError: Another setting differs from that of the plan.
    """
    settings = PredictSettings.resolve(manifest.settings, stated)
    changed = [
        name
        for name in stated
        if name not in OF_WORKERS and getattr(settings, name) != getattr(manifest.settings, name)
    ]
    if changed:
        parameters = list_names([f"`{name}`" for name in changed])
        raise InputError(
            f"{parameters}: the plan states another value, for all shards; plan the run again to "
            f"change it"
        )
    return settings
