"""Prediction of the shards of a planned run that are one worker's part."""

from __future__ import annotations

import time
import warnings
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from geodetect.detection.detectors.detector import Detector
from geodetect.detection.sharding.manifest import Manifest
from geodetect.detection.sharding.parts import Part, parse_part
from geodetect.detection.sharding.worker import (
    ShardCounts,
    ShardWorker,
    absent_shards,
    unfinished_shards,
)
from geodetect.display import Displayed, Rows
from geodetect.errors import IncompleteWarning
from geodetect.io.object_store import open_store
from geodetect.progress import (
    Progress,
    announce,
    as_progress,
    format_duration,
    phase,
    reports_progress,
)
from geodetect.types import PathLike


@dataclass(frozen=True, repr=False)
class ShardsSummary(Displayed):
    """Shards that one worker has computed.

    Args:
        location: Folder of the run.
        part: Number of shards of this part of the run.
        shards: Tiles and detections of each shard that was computed.
        absent: Numbers of the shards of the whole run that no worker has finished yet.
        seconds: Time from reading the plan to the last shard.
    """

    location: str
    part: int
    shards: tuple[ShardCounts, ...]
    absent: tuple[int, ...]
    seconds: float

    @property
    def tiles(self) -> int:
        """Tiles that went through the detector."""
        return sum(shard.tiles for shard in self.shards)

    @property
    def empty_tiles(self) -> int:
        """Tiles without imagery, which did not."""
        return sum(shard.empty_tiles for shard in self.shards)

    @property
    def unread_tiles(self) -> int:
        """Tiles of which some pixels could not be read."""
        return sum(shard.unread_tiles for shard in self.shards)

    @property
    def detections(self) -> int:
        """Detections of all tiles, before they are merged across seams."""
        return sum(shard.detections for shard in self.shards)

    @property
    def left_out(self) -> dict[str, str]:
        """Error message of each raster that could not be read somewhere, by its path."""
        return {path: text for shard in self.shards for path, text in shard.failures.items()}

    def display_rows(self) -> Rows:
        """Return what ``geodetect predict`` prints for a plan."""
        yield "Shards", f"{len(self.shards):,} computed, {self.part - len(self.shards):,} before"
        yield "Tiles", f"{self.tiles:,} searched, {self.empty_tiles:,} without imagery"
        if self.unread_tiles:
            yield "With holes", f"{self.unread_tiles:,} tiles"
        yield "Detections", f"{self.detections:,}, before they are merged"
        yield "Of the whole run", f"{len(self.absent):,} shards are absent"
        yield "Time", format_duration(self.seconds)

    def as_dict(self) -> dict[str, Any]:
        """Return the summary as JSON types."""
        return {
            "run_folder": self.location,
            "computed": [shard.number for shard in self.shards],
            "finished_before": self.part - len(self.shards),
            "absent": list(self.absent),
            "tiles": self.tiles,
            "empty_tiles": self.empty_tiles,
            "unread_tiles": self.unread_tiles,
            "detections": self.detections,
            "left_out": self.left_out,
        }


@reports_progress
def predict_shards(
    location: PathLike,
    model: PathLike | Detector | None = None,
    *,
    shard: str | Part | None = None,
    settings: Mapping[str, Any] | None = None,
    allow_mixed: bool = False,
    engine: Literal["local", "ray"] = "local",
    ray_address: str | None = None,
    progress: Progress | bool = False,
) -> ShardsSummary:
    """Compute shards of a planned run, as ``geodetect predict`` does with a plan.

    Shards that are finished are passed over; those with holes are computed again, only where the
    holes are. Several workers on one shard do no harm: they write the same record.

    Args:
        location: Folder of the run, see ``plan_to_folder``.
        model: Model of the plan, where its path is another one here, or it is a ``Detector``.
        shard: ``17/400``: the shards whose number is 17 modulo 400; ``17``: that shard; None: all.
        settings: Device, runtime, precision, batch size, threads and ``strict``, by name.
        allow_mixed: Compute shards although the results would differ in the last digits from those
            of the workers before, by processor, precision or library.
        engine: ``local``: this process computes; ``ray``: workers on a cluster of Ray do, one for
            each GPU or few cores.
        ray_address: Address of the head node of the cluster, such as ``10.0.0.1:6379``; None: that
            of the environment (``RAY_ADDRESS``), else of the cluster that this machine belongs to,
            else a cluster of this machine alone is started.
        progress: As for ``predict``.

    Returns:
        Tiles and detections of the shards that were computed.

    Raises:
        InputError: There is no plan, it is of another version, model or other settings, a raster
            has changed since, or the worker is of another kind than those before.
        RasterError: The only raster of the run cannot be read.
        OutputError: A record cannot be written.
        LostProcessError: Workers on the cluster cannot start, a shard has cost several of them, or
            the cluster is lost.

    Warns:
        IncompleteWarning: A raster cannot be read somewhere.
        GeodetectWarning: A record is damaged; its shard is computed again.
    """
    start = time.monotonic()
    part = parse_part(shard) if isinstance(shard, str) else shard
    store = open_store(location)
    manifest = Manifest.read(store)
    shards, counts = manifest.shards, list[ShardCounts]()
    worker = None
    if engine == "local":  # before a word of shards: it checks model and settings
        worker = ShardWorker(location, model, settings=settings, allow_mixed=allow_mixed)
    numbers = range(len(shards)) if part is None else part.numbers(len(shards))
    todo = unfinished_shards(store, manifest, numbers)
    announce(f"{len(todo):,} of {len(numbers):,} shards to compute")
    total, completed = sum(shards[number].tiles for number in todo), 0
    with phase("Detecting", "tiles", progress=as_progress(progress)) as advance:
        if worker is None:
            from geodetect.detection.sharding.ray_cluster.engine import detect_on_ray

            computed = detect_on_ray(
                location,
                todo,
                model=model,
                settings=settings,
                allow_mixed=allow_mixed,
                device=(settings or {}).get("device", manifest.settings.device),
                address=ray_address,
            )
        else:
            computed = _detect_here(worker, todo, advance)
        with closing(computed):
            for count in computed:
                counts.append(count)
                completed += shards[count.number].tiles
                advance(
                    completed,
                    total,
                    objects=sum(c.detections for c in counts),
                    shards=len(counts),
                    shards_total=len(todo),
                )
    absent = tuple(absent_shards(store, manifest))
    seconds = time.monotonic() - start
    summary = ShardsSummary(store.location, len(numbers), tuple(counts), absent, seconds)
    for text in summary.left_out.values():
        warnings.warn(f"left out: {text}", IncompleteWarning, stacklevel=2)
    return summary


def _detect_here(
    worker: ShardWorker, numbers: Sequence[int], advance: Progress
) -> Generator[ShardCounts]:
    """Compute shards in this process, and yield the counts of each finished one."""
    shards = worker.manifest.shards
    total = sum(shards[number].tiles for number in numbers)
    tiles = objects = 0
    with worker:
        for position, number in enumerate(numbers):
            before = _Before(tiles, total, objects, position, len(numbers))
            count = worker.detect(number, partial(_report, advance, before))
            tiles += shards[number].tiles
            objects += count.detections
            yield count


@dataclass(frozen=True)
class _Before:
    """Progress before a shard: tiles of all and all completed ones, objects, shards."""

    tiles: int
    total: int
    objects: int
    shards: int
    shards_total: int


def _report(
    advance: Progress, before: _Before, tiles: int, _: int, /, *, objects: float = 0
) -> None:
    """Report the tiles and objects of a shard as some of those of all shards."""
    advance(
        before.tiles + tiles,
        before.total,
        objects=before.objects + objects,
        shards=before.shards,
        shards_total=before.shards_total,
    )
