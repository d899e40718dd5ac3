"""Merge of the records of a planned run: one layer, to the byte that of one machine."""

from __future__ import annotations

import time
import warnings
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from pyproj import CRS

from geodetect.detection.detection_layer import DetectionLayer
from geodetect.detection.detections import Detections, TileResult
from geodetect.detection.plan import TileRun
from geodetect.detection.predict_to_file import PredictionFiles
from geodetect.detection.run.concurrency import Concurrency
from geodetect.detection.run.description import RunDescription
from geodetect.detection.run.observations import GroundObservations
from geodetect.detection.search import Search, check_conversions
from geodetect.detection.sharding.manifest import Manifest
from geodetect.detection.sharding.mixture import SAME_MACHINE, describe_mixture, list_ranges
from geodetect.detection.sharding.record import (
    COMPLETE,
    HOLES,
    ShardRecord,
    list_shards,
    object_name,
    read_record,
)
from geodetect.errors import GeodetectWarning, IncompleteWarning, InputError, list_names
from geodetect.io.inputs import protect_inputs
from geodetect.io.object_store import Store, open_store
from geodetect.model.card import ModelCard
from geodetect.progress import Progress, as_progress, no_progress, phase, reports_progress
from geodetect.types import BoolArray, PathLike, UInt8Array

ONE_AT_A_TIME = Concurrency(batch_size=1, streams=1, workers=1)


@reports_progress
def merge_to_file(
    location: PathLike,
    output: PathLike,
    *,
    coverage: PathLike | None = None,
    format: str | None = None,  # noqa: A002 (as in write)
    crs: str | None = None,
    style: bool = False,
    overwrite: bool = False,
    strict: bool = False,
    allow_mixed: bool = False,
    progress: Progress | bool = False,
) -> DetectionLayer:
    """Merge the records of a planned run and write the objects, as ``geodetect merge`` does.

    The files are those of ``predict_to_file`` on the same rasters, to the byte, whatever the
    number of shards, of workers and of their attempts.

    Args:
        location: Folder of the run, see ``plan_to_folder``.
        output: File of the detections, see ``write``.
        coverage: As for ``predict_to_file``.
        format: As for ``predict_to_file``.
        crs: As for ``predict_to_file``.
        style: As for ``predict_to_file``.
        overwrite: Replace files that exist.
        strict: Raise an error if any shard has holes.
        allow_mixed: Take shards whose numbers differ in the last digits, as processor, precision or
            library of their workers differ.
        progress: As for ``predict``.

    Returns:
        The objects of all rasters, with the summary and the coverage of the run.

    Raises:
        InputError: Shards are absent, a record is damaged, of another plan or another kind of
            machine, or options do not fit together.
        GeoreferenceError: A CRS that cannot be used.
        OutputError: A file exists or cannot be written.

    Warns:
        IncompleteWarning: A raster could not be read somewhere.
        GeodetectWarning: Shards of several kinds of machines are merged, with ``allow_mixed``.
    """
    files = PredictionFiles(
        output=Path(output),
        coverage=None if coverage is None else Path(coverage),
        format=format,
        crs=crs,
        style=style,
        overwrite=overwrite,
        journal=False,
    )
    return merge_into(
        files, location, strict=strict, allow_mixed=allow_mixed, progress=as_progress(progress)
    )


def merge_into(
    files: PredictionFiles,
    location: PathLike,
    *,
    strict: bool = False,
    allow_mixed: bool = False,
    progress: Progress = no_progress,
) -> DetectionLayer:
    """Merge the records of a planned run and write files, see ``merge_to_file``."""
    store = open_store(location)
    manifest = Manifest.read(store)
    paths = [raster.path for raster in manifest.read_rasters(store)]
    with protect_inputs(paths):
        files.check()
        records = ShardRecords(store, manifest, strict=strict, allow_mixed=allow_mixed)
        layer = merge_layer(records, manifest, output_crs=files.output_crs, progress=progress)
        files.write(layer, None)
    return layer


def merge_layer(
    records: ShardRecords,
    manifest: Manifest,
    *,
    output_crs: Sequence[CRS] = (),
    progress: Progress = no_progress,
) -> DetectionLayer:
    """Merge the records of a planned run: a search in which all tiles are finished.

    Args:
        records: The records.
        manifest: Manifest of the run.
        output_crs: CRS that the result will be converted to; checked before records are read.
        progress: Callback of the tiles and objects so far.

    Raises:
        InputError: As for ``merge_to_file``.
    """
    start = time.monotonic()
    settings, card = manifest.settings, manifest.card
    with ExitStack() as stack:
        with phase("Reading headers"):
            plans = manifest.read_plans(records.store)
        for plan in plans:
            stack.enter_context(plan.ground)
        check_conversions(plans, output_crs)
        search = Search(_DetectorOfRecords(card), settings)
        layer = search.run(plans, ONE_AT_A_TIME, finished=records, progress=progress)
    for error in manifest.left_out.values():
        warnings.warn(f"left out: {error}", IncompleteWarning, stacklevel=3)
    if mixture := records.mixture():
        warnings.warn(
            f"shards of several kinds of machines are merged, whose results differ in the last "
            f"digits ({mixture})",
            GeodetectWarning,
            stacklevel=3,
        )
    conf = card.conf if settings.conf is None else settings.conf
    description = RunDescription.from_plans(
        card, plans, conf=conf, runs_on="; ".join(sorted(records.runs_on))
    )
    summary = replace(
        layer.summary,
        resumed_tiles=0,
        description=description,
        left_out={**manifest.left_out, **layer.summary.left_out},
        seconds=time.monotonic() - start,
    )
    return replace(layer, summary=summary)


class ShardRecords:
    """Records of all shards of a run, one of them in memory at a time.

    Args:
        store: The run.
        manifest: Its manifest.
        strict: Refuse shards with holes.
        allow_mixed: Take records of several kinds of machines.

    Attributes:
        store: The run.
        runs_on: Runtime, precision and device of the records that were read.

    Raises:
        InputError: Shards are absent, or have holes and must not.
    """

    def __init__(
        self, store: Store, manifest: Manifest, *, strict: bool = False, allow_mixed: bool = False
    ) -> None:
        self.store, self._manifest, self._allow_mixed = store, manifest, allow_mixed
        self.runs_on = set[str]()
        self._computed_by: dict[int, str] = {}
        finished = list_shards(store)
        self._suffixes = dict.fromkeys(finished[HOLES], HOLES)
        self._suffixes |= dict.fromkeys(finished[COMPLETE], COMPLETE)
        count = len(manifest.shards)
        absent = [number for number in range(count) if number not in self._suffixes]
        if absent:
            is_or_are = "is" if len(absent) == 1 else "are"
            raise InputError(
                f"{store.location}: {len(absent):,} of {count:,} shards {is_or_are} not "
                f"computed yet ({list_names(list_ranges(absent))}); compute them first"
            )
        if strict and finished[HOLES]:
            holes = list_names(list_ranges(sorted(finished[HOLES])))
            raise InputError(
                f"{store.location}: there are holes in shards {holes}, where rasters could not be "
                f"read; compute them again, or merge without `strict`"
            )
        self._blocks = [_BlockIndex(manifest, number) for number in range(len(manifest.grounds))]
        self._record: ShardRecord | None = None
        self._observations: dict[int, GroundObservations] = {}

    def holds(self, ground: int, run: TileRun) -> bool:
        """Return True: all runs of tiles are finished."""
        return True

    def get(self, ground: int, run: TileRun, *, raster_count: int) -> list[TileResult]:
        """Return the results of a run of tiles.

        Raises:
            InputError: Its record is damaged, of another plan or of another kind of machine.
        """
        number = self._blocks[ground].shard_of(run)
        if self._record is None or self._record.number != number:
            self._record = self._read(number)
            self._observations[ground] = self.observations(ground) | self._record.observations
            self.runs_on.add(self._record.runs_on)
            self._check_machine(self._record)
        return self._record.get(run)

    def observations(self, ground: int) -> GroundObservations:
        """Return the observations of the records of a ground that were read."""
        return self._observations.get(ground, GroundObservations())

    def mixture(self) -> str | None:
        """Return which of the shards that were read which machines computed; None: of one kind."""
        return describe_mixture(self._computed_by)

    def _check_machine(self, record: ShardRecord) -> None:
        """Check that a record is of the kind of machine that computed those before."""
        first = next(iter(self._computed_by.values()), record.computed_by)
        is_mixed = record.computed_by != first
        self._computed_by[record.number] = record.computed_by
        if is_mixed and not self._allow_mixed:
            rest = self._suffixes.keys() - self._computed_by.keys()
            self._computed_by |= {number: self._read(number).computed_by for number in rest}
            raise InputError(
                f"{self.store.location}: shards of several kinds of machines ({self.mixture()}); "
                f"{SAME_MACHINE}"
            )

    def _read(self, number: int) -> ShardRecord:
        where = f"{self.store.location}/{object_name(number, self._suffixes[number])}"
        try:
            record = read_record(self.store, self._manifest, number, self._suffixes[number])
        except FileNotFoundError as error:
            raise InputError(f"{where}: removed while the run is merged; merge again") from error
        if record.number != number or len(record.results) != self._manifest.shards[number].tiles:
            raise InputError(f"{where}: of another shard; remove it and compute it again")
        return record


class _BlockIndex:
    """Shards of a ground by the rows and columns of tiles."""

    def __init__(self, manifest: Manifest, ground: int) -> None:
        shards = [(n, s) for n, s in enumerate(manifest.shards) if s.ground == ground]
        self._rows = sorted({shard.rows[0] for _, shard in shards})
        self._columns = sorted({shard.columns[0] for _, shard in shards})
        self._numbers = {(s.rows[0], s.columns[0]): number for number, s in shards}

    def shard_of(self, run: TileRun) -> int:
        """Return the number of the shard that holds a run of tiles."""
        tile = run.tiles[0]
        row = self._rows[bisect_right(self._rows, tile.row) - 1]
        column = self._columns[bisect_right(self._columns, tile.col) - 1]
        return self._numbers[row, column]


@dataclass(frozen=True)
class _DetectorOfRecords:
    """Card of the model of a run whose tiles are all computed."""

    card: ModelCard

    def __call__(self, pixels: UInt8Array, valid: BoolArray) -> list[Detections]:
        raise AssertionError("all tiles are computed")
