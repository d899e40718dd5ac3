"""Manifest of a planned run: model, settings, rasters, grounds and shards, as JSON in a store."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import shapely
from pydantic import BaseModel, ConfigDict, ValidationError

from geodetect.detection.plan import GroundPlan, working_grid
from geodetect.errors import InputError
from geodetect.geo.tiles import Shard, TileScheme
from geodetect.io.ground.ground import Ground
from geodetect.io.ground.headers import decode_headers, encode_headers
from geodetect.io.object_store import Store
from geodetect.io.raster.reader import Raster
from geodetect.io.raster.state import absolute_path, short_digest
from geodetect.model.card import ModelCard
from geodetect.settings import PredictSettings
from geodetect.version import __version__

PLAN, SHEETS = "plan.json", "sheets.parquet"
FORMAT: Literal["geodetect plan"] = "geodetect plan"


class ManifestPart(BaseModel):
    """Base of a manifest and its parts: frozen, without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PlannedGround(ManifestPart):
    """Ground of a planned run.

    Args:
        rasters: Numbers of its rasters, in the order of their priority.
        tile_px: Side of a tile.
        overlap_px: Smallest overlap of tiles.
        area: Area of interest in pixels of the working grid, as WKB in hexadecimal digits; None:
            everything.
    """

    rasters: tuple[int, ...]
    tile_px: int
    overlap_px: int
    area: str | None


class PlannedShard(ManifestPart):
    """Block of tiles that one worker computes at a time.

    Args:
        ground: Number of its ground.
        rows: First row of tiles, and the one after the last.
        columns: First column of tiles, and the one after the last.
        tiles: Number of planned tiles.
    """

    ground: int
    rows: tuple[int, int]
    columns: tuple[int, int]
    tiles: int

    @property
    def block(self) -> Shard:
        """Its rows and columns of tiles."""
        return Shard(*self.rows, *self.columns)


class Manifest(ManifestPart):
    """Manifest of a planned run.

    Args:
        format: Kind of file.
        version: Version of geodetect.
        model: Name or file of the model; None: a detector that is no file.
        model_identity: Text that changes with the model.
        card: Card of the model.
        settings: Settings of the run, without area of interest.
        shard_px: Pixels of a working grid that a shard covers.
        rasters: Number of rasters, whose headers are beside the manifest.
        rasters_digest: Digest of their paths and of the states of their files.
        left_out: Error of each further raster, which could not be opened, by path.
        grounds: All grounds.
        shards: Shards that hold tiles, in their order.
    """

    format: Literal["geodetect plan"] = FORMAT
    version: str = __version__
    model: str | None
    model_identity: str
    card: ModelCard
    settings: PredictSettings
    shard_px: float
    rasters: int
    rasters_digest: str
    left_out: dict[str, str]
    grounds: tuple[PlannedGround, ...]
    shards: tuple[PlannedShard, ...]

    @classmethod
    def read(cls, store: Store) -> Manifest:
        """Read the manifest of a run.

        Raises:
            InputError: There is none, or it is damaged or of another version of geodetect.
        """
        where = f"{store.location}/{PLAN}"
        try:
            values = json.loads(store.get(PLAN))
        except FileNotFoundError as error:
            raise InputError(
                f"{store.location}: no run was planned there: it holds no {PLAN}"
            ) from error
        except ValueError as error:  # InputError is one, and says more
            if isinstance(error, InputError):
                raise
            raise InputError(f"{where}: damaged or cut short; plan the run again") from error
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise InputError(f"{where}: not the plan of a run of geodetect")
        if values.get("version") != __version__:
            raise InputError(
                f"{where}: planned by geodetect {values.get('version')}, and this is "
                f"{__version__}; run it with that version, or plan it again"
            )
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise InputError(f"{where}: damaged; plan the run again") from error

    def write(self, store: Store, rasters: Sequence[Raster]) -> None:
        """Write the headers of the rasters, then the manifest.

        Raises:
            OutputError: They cannot be written.
        """
        store.put(SHEETS, encode_headers(rasters))
        store.put(PLAN, self._text.encode())

    def read_rasters(self, store: Store) -> list[Raster]:
        """Read the headers of the rasters; none of them is opened.

        Raises:
            InputError: They are absent, damaged or of another plan.
        """
        where = f"{store.location}/{SHEETS}"
        try:
            rasters = decode_headers(store.get(SHEETS))
        except FileNotFoundError as error:
            raise InputError(f"{where}: missing; plan the run again") from error
        except InputError as error:
            raise InputError(f"{where}: damaged; plan the run again") from error
        if digest_of_rasters(rasters) != self.rasters_digest:
            raise InputError(f"{where}: of another plan; plan the run again")
        return rasters

    def read_plans(self, store: Store) -> list[GroundPlan]:
        """Return the plans of all grounds, from the headers of their rasters.

        Raises:
            InputError: As for ``read_rasters``.
        """
        rasters = self.read_rasters(store)
        return [self.ground_plan(number, rasters) for number in range(len(self.grounds))]

    @cached_property
    def digest(self) -> str:
        """Digest of the manifest: records of other plans have another one."""
        return short_digest(self._text)

    @cached_property
    def _text(self) -> str:
        return json.dumps(self.model_dump(mode="json"), indent=1)

    @property
    def tiles(self) -> int:
        """Number of planned tiles."""
        return sum(shard.tiles for shard in self.shards)

    def ground_plan(self, number: int, rasters: Sequence[Raster]) -> GroundPlan:
        """Return the plan of a ground.

        Args:
            number: Number of the ground.
            rasters: All rasters of the run.
        """
        planned = self.grounds[number]
        ground = Ground.from_rasters([rasters[n] for n in planned.rasters])
        grid = working_grid(ground.grid, self.card, gsd_m=self.settings.gsd, path=ground.path)
        scheme = TileScheme(grid.width, grid.height, planned.tile_px, planned.overlap_px)
        area = None if planned.area is None else shapely.from_wkb(planned.area)
        return GroundPlan(ground, grid, scheme, area, self.shard_px)


def digest_of_rasters(rasters: Sequence[Raster]) -> str:
    """Return a digest of the paths of rasters and of the states of their files."""
    lines = (f"{absolute_path(raster.path)} {raster.state}" for raster in rasters)
    return short_digest("\n".join(lines))


def list_changes(earlier: Manifest, later: Manifest) -> list[str]:
    """Return the names of the parts in which two manifests differ."""
    values: tuple[dict[str, Any], ...] = tuple(
        manifest.model_dump(mode="json") for manifest in (earlier, later)
    )
    return [name for name in values[0] if values[0][name] != values[1][name]]
