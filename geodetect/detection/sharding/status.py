"""Status of a planned run: its finished, running, failed and absent shards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from geodetect.detection.sharding.manifest import Manifest
from geodetect.detection.sharding.mixture import list_ranges
from geodetect.detection.sharding.record import (
    COMPLETE,
    FAILED,
    HOLES,
    PARTIAL,
    RUNNING,
    list_shards,
    object_name,
)
from geodetect.detection.sharding.signs import read_sign
from geodetect.display import Displayed, Rows
from geodetect.errors import list_names
from geodetect.io.object_store import open_store
from geodetect.types import PathLike


@dataclass(frozen=True, repr=False)
class RunStatus(Displayed):
    """Status of a planned run.

    Args:
        location: Folder of the run.
        model: Name of the model.
        rasters: Number of rasters.
        shards: Number of shards.
        tiles: Number of tiles.
        finished: Numbers of the shards that are computed without holes.
        with_holes: Numbers of the shards in which pixels could not be read.
        running: Numbers of the absent shards, and of those with holes, that a worker computes.
        failed: Error of the last worker of each absent shard that none computes now, by number.
        interrupted: Numbers of the other absent shards that a worker has begun.
        absent: Numbers of the shards that are not computed, in order.
        finished_tiles: Number of tiles of computed shards.
    """

    location: str
    model: str
    rasters: int
    shards: int
    tiles: int
    finished: tuple[int, ...]
    with_holes: tuple[int, ...]
    running: tuple[int, ...]
    failed: Mapping[int, str]
    interrupted: tuple[int, ...]
    absent: tuple[int, ...]
    finished_tiles: int

    @property
    def is_complete(self) -> bool:
        """All shards are computed."""
        return not self.absent

    def display_rows(self) -> Rows:
        """Return the counts, and the numbers of shards that need a worker."""
        yield "Model", self.model
        yield "Rasters", f"{self.rasters:,}"
        finished = len(self.finished) + len(self.with_holes)
        yield "Shards", f"{finished:,} of {self.shards:,} computed"
        share = self.finished_tiles / self.tiles if self.tiles else 1.0
        yield "Tiles", f"{self.finished_tiles:,} of {self.tiles:,} ({share:.1%})"
        for name, numbers in (
            ("With holes", self.with_holes),
            ("Running", self.running),
            ("Failed", tuple(self.failed)),
            ("Interrupted", self.interrupted),
            ("Absent", self.absent),
        ):
            if numbers:
                yield name, f"{len(numbers):,}: {list_names(list_ranges(numbers))}"
        for error in dict.fromkeys(self.failed.values()):
            yield "Error", error

    def as_dict(self) -> dict[str, Any]:
        """Return the status as JSON types."""
        return {
            "run_folder": self.location,
            "model": self.model,
            "rasters": self.rasters,
            "shards": self.shards,
            "tiles": self.tiles,
            "finished_tiles": self.finished_tiles,
            "finished_shards": len(self.finished) + len(self.with_holes),
            "with_holes": list(self.with_holes),
            "running": list(self.running),
            "failed": {str(number): error for number, error in self.failed.items()},
            "interrupted": list(self.interrupted),
            "absent": list(self.absent),
        }


def run_status(location: PathLike) -> RunStatus:
    """Return the status of a planned run, by one listing of its objects and the signs of workers.

    A worker that was killed counts as running for ten minutes after its last sign.

    Args:
        location: Folder of the run, see ``plan_to_folder``.

    Raises:
        InputError: There is no plan, or it is of another version of geodetect.
    """
    store = open_store(location)
    manifest = Manifest.read(store)
    numbers, planned = list_shards(store), set(range(len(manifest.shards)))
    finished, with_holes = numbers[COMPLETE] & planned, numbers[HOLES] & planned
    absent = planned - finished - with_holes
    begun = {
        number: sign
        for number in sorted(numbers[RUNNING] & (absent | with_holes))
        if (sign := read_sign(store, object_name(number, RUNNING))) is not None
    }
    running = {number for number, sign in begun.items() if not sign.is_lost}
    failed = {
        number: sign.error
        for number in sorted(numbers[FAILED] & absent - running)
        if (sign := read_sign(store, object_name(number, FAILED))) is not None
    }
    interrupted = (numbers[PARTIAL] | begun.keys()) & absent - running - failed.keys()
    return RunStatus(
        location=store.location,
        model=manifest.card.name,
        rasters=manifest.rasters,
        shards=len(planned),
        tiles=manifest.tiles,
        finished=tuple(sorted(finished)),
        with_holes=tuple(sorted(with_holes)),
        running=tuple(sorted(running)),
        failed=failed,
        interrupted=tuple(sorted(interrupted)),
        absent=tuple(sorted(absent)),
        finished_tiles=manifest.tiles - sum(manifest.shards[number].tiles for number in absent),
    )
