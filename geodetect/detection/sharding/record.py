"""Record of a computed shard, one immutable object."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from geodetect.detection.detections import TileResult
from geodetect.detection.plan import TileRun
from geodetect.detection.run.imagery_sample import WindowFigures
from geodetect.detection.run.observations import GroundObservations
from geodetect.detection.run.packed_results import PackedResults
from geodetect.detection.run.records import pack_record, unpack_record
from geodetect.detection.sharding.manifest import Manifest
from geodetect.errors import InputError, translate_errors
from geodetect.io.object_store import Store
from geodetect.types import AnyArray

MAGIC = b"geodetect shard 1\n"  # with the version of the format
FOLDER = "shards/"
COMPLETE, HOLES, PARTIAL = ".shard", ".holes", ".partial"
NEVER_WRITTEN = "holds what no run has written"
RUNNING, FAILED = ".running", ".failed"  # signs of workers


class DamagedRecordError(InputError):
    """A record is cut short or damaged."""


@dataclass(frozen=True)
class ShardRecord:
    """Results of the tiles of a shard, before they are merged.

    Args:
        plan: Digest of the manifest.
        number: Number of the shard.
        tiles: Number of tiles of the shard; ``results`` has fewer while it is being computed.
        computed_by: Text that differs between detectors whose results may differ: model, runtime,
            precision and processor.
        runs_on: Runtime, precision and device, for messages.
        results: Results of its tiles.
        observations: Observations beside the tiles.
    """

    plan: str
    number: int
    tiles: int
    computed_by: str
    runs_on: str
    results: PackedResults
    observations: GroundObservations

    @property
    def has_holes(self) -> bool:
        """Some pixels could not be read."""
        return bool(self.results.has_hole.any())

    @property
    def name(self) -> str:
        """Name of its object: presence of ``.shard`` or ``.holes`` means that it is finished."""
        suffix = HOLES if self.has_holes else COMPLETE
        return object_name(self.number, suffix if len(self.results) == self.tiles else PARTIAL)

    def holds(self, run: TileRun) -> bool:
        """Return True if a run of tiles is finished."""
        return run.tiles[0].index in self._positions

    def get(self, run: TileRun) -> list[TileResult]:
        """Return the results of a finished run of tiles."""
        return self.results.results(run.tiles, self._positions[run.tiles[0].index])

    @cached_property
    def _positions(self) -> dict[int, int]:
        """Position of each tile in the results."""
        return {tile: position for position, tile in enumerate(self.results.tiles.tolist())}

    def to_bytes(self) -> bytes:
        """Return the content of the object, with a checksum."""
        values = {
            "plan": self.plan,
            "number": self.number,
            "tiles": self.tiles,
            "computed_by": self.computed_by,
            "runs_on": self.runs_on,
            "failures": dict(self.observations.failures),
            "value_ranges": dict(self.observations.value_ranges),
            "windows": [
                asdict(replace(figures, sums=figures.sums.tolist()))
                for figures in self.observations.windows
            ],
        }
        text = np.frombuffer(json.dumps(values).encode(), np.uint8)
        return MAGIC + pack_record(save({"values": text} | self.results.to_arrays()))

    @classmethod
    def from_bytes(cls, data: bytes, *, name: str) -> ShardRecord:
        """Read a record.

        Args:
            data: Content of the object.
            name: Name of the object, for messages.

        Raises:
            DamagedRecordError: It is cut short or damaged, or no record.
        """
        if not data.startswith(MAGIC):
            is_cut = MAGIC.startswith(data)
            problem = "cut short" if is_cut else "no record of this version of geodetect"
            raise DamagedRecordError(f"{name}: {problem} ({len(data):,} bytes)")
        try:
            payload = unpack_record(data[len(MAGIC) :])
        except ValueError as error:
            raise DamagedRecordError(f"{name}: {error} ({len(data):,} bytes)") from error
        with translate_errors(f"{name}: {NEVER_WRITTEN}", DamagedRecordError):
            arrays: Mapping[str, AnyArray] = load(payload)
            values: dict[str, Any] = json.loads(arrays["values"].tobytes())
            observations = GroundObservations(
                {int(n): str(error) for n, error in values["failures"].items()},
                {int(n): (low, high) for n, (low, high) in values["value_ranges"].items()},
                tuple(
                    WindowFigures(**figures | {"sums": np.array(figures["sums"])})
                    for figures in values["windows"]
                ),
            )
            names = ("plan", "number", "tiles", "computed_by", "runs_on")
            return cls(
                **{key: values[key] for key in names},
                results=PackedResults.from_arrays(arrays),
                observations=observations,
            )


def object_name(number: int, suffix: str) -> str:
    """Return the name of an object of a shard."""
    return f"{FOLDER}{number:06}{suffix}"


def read_record(store: Store, manifest: Manifest, number: int, suffix: str) -> ShardRecord:
    """Read a record of a planned run.

    Args:
        store: The run.
        manifest: Its manifest.
        number: Number of the shard.
        suffix: Suffix of the object.

    Raises:
        FileNotFoundError: It is absent.
        DamagedRecordError: It is cut short or damaged, or holds what no run has written.
        InputError: It is of another plan.
    """
    name = object_name(number, suffix)
    where = f"{store.location}/{name}"
    record = ShardRecord.from_bytes(store.get(name), name=where)
    if record.plan != manifest.digest:
        raise InputError(f"{where}: of another plan (model, settings, version or rasters differ)")
    ground = manifest.grounds[manifest.shards[number].ground]
    with translate_errors(f"{where}: {NEVER_WRITTEN}", DamagedRecordError):
        record.results.check_rasters(len(ground.rasters))
    return record


def list_shards(store: Store) -> dict[str, set[int]]:
    """List the numbers of shards by the suffix of their objects; superseded records do not count.

    A partial record beside one with holes is newer: the holes are being filled.
    """
    suffixes = (COMPLETE, HOLES, PARTIAL, RUNNING, FAILED)
    numbers: dict[str, set[int]] = {suffix: set() for suffix in suffixes}
    for name in store.names(FOLDER):
        stem, dot, suffix = name.removeprefix(FOLDER).partition(".")
        if stem.isdecimal() and dot + suffix in numbers:
            numbers[dot + suffix].add(int(stem))
    numbers[HOLES] -= numbers[COMPLETE]
    numbers[PARTIAL] -= numbers[COMPLETE]
    return numbers
