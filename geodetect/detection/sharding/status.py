"""Status of a planned run: its finished and absent shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from geodetect.detection.sharding.manifest import Manifest
from geodetect.detection.sharding.record import COMPLETE, HOLES, PARTIAL, list_shards
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
        partial: Numbers of the absent shards of which an interrupted worker has written a part.
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
    partial: tuple[int, ...]
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
        done = len(self.finished) + len(self.with_holes)
        yield "Shards", f"{done:,} of {self.shards:,} computed"
        share = self.finished_tiles / self.tiles if self.tiles else 1.0
        yield "Tiles", f"{self.finished_tiles:,} of {self.tiles:,} ({share:.1%})"
        for name, numbers in (
            ("With holes", self.with_holes),
            ("Interrupted", self.partial),
            ("Absent", self.absent),
        ):
            if numbers:
                yield name, f"{len(numbers):,}: {list_names(list_ranges(numbers))}"

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
            "partial": list(self.partial),
            "absent": list(self.absent),
        }


def run_status(location: PathLike) -> RunStatus:
    """Return the status of a planned run, by one listing of its objects.

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
    return RunStatus(
        location=store.location,
        model=manifest.card.name,
        rasters=manifest.rasters,
        shards=len(planned),
        tiles=manifest.tiles,
        finished=tuple(sorted(finished)),
        with_holes=tuple(sorted(with_holes)),
        partial=tuple(sorted(numbers[PARTIAL] & absent)),
        absent=tuple(sorted(absent)),
        finished_tiles=manifest.tiles - sum(manifest.shards[number].tiles for number in absent),
    )


def list_ranges(numbers: Sequence[int]) -> Iterator[str]:
    """Yield ascending numbers as texts such as ``5`` and ``7 to 12``."""
    present = set(numbers)
    starts = [number for number in numbers if number - 1 not in present]
    ends = [number for number in numbers if number + 1 not in present]
    for first, last in zip(starts, ends, strict=True):
        yield f"{first}" if first == last else f"{first} to {last}"
