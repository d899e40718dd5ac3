"""JSON of the commands that plan, compute and merge the shards of a run."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from geodetect_cli.json_output.detections import LEFT_OUT, PredictOutput
from geodetect_cli.json_output.envelope import Count, JsonOutput, PathText

RUN = "Folder of the run."
SHARDS = "Number of shards of the run."
ABSENT = "Numbers of the shards of the run that no worker has computed yet."


class PlannedRunOutput(JsonOutput):
    """Output of ``plan``."""

    command: Literal["plan"] = Field("plan", description="Name of the command.")
    run_folder: PathText = Field(description=RUN)
    model: str = Field(description="Name of the model.")
    rasters: Count = Field(description="Number of rasters.")
    grounds: Count = Field(
        description="Number of grounds: rasters of one CRS that lie together are one."
    )
    shards: Count = Field(description=SHARDS)
    tiles: Count = Field(description="Number of tiles to search.")
    shard_px: float = Field(description="Size of a shard, in pixels of the working resolution.")


class ShardsOutput(JsonOutput):
    """Output of ``predict --plan``."""

    command: Literal["predict"] = Field("predict", description="Name of the command.")
    run_folder: PathText = Field(description=RUN)
    computed: tuple[Count, ...] = Field(description="Numbers of the shards that were computed.")
    finished_before: Count = Field(
        description="Number of further shards of this part, which were computed before."
    )
    absent: tuple[Count, ...] = Field(description=ABSENT)
    tiles: Count = Field(description="Number of tiles that were searched.")
    empty_tiles: Count = Field(description="Number of tiles without imagery.")
    unread_tiles: Count = Field(description="Number of tiles with pixels that cannot be read.")
    detections: Count = Field(
        description="Number of detections of all tiles, before they are merged across seams."
    )
    left_out: dict[str, str] = Field(description=LEFT_OUT)


class MergeOutput(PredictOutput):
    """Output of ``merge``."""

    command: Literal["merge"] = Field("merge", description="Name of the command.")  # type: ignore[assignment]


class StatusOutput(JsonOutput):
    """Output of ``status``."""

    command: Literal["status"] = Field("status", description="Name of the command.")
    run_folder: PathText = Field(description=RUN)
    model: str = Field(description="Name of the model.")
    rasters: Count = Field(description="Number of rasters.")
    shards: Count = Field(description=SHARDS)
    tiles: Count = Field(description="Number of tiles of all shards.")
    finished_tiles: Count = Field(description="Number of tiles of the shards that are computed.")
    finished_shards: Count = Field(description="Number of shards that are computed.")
    with_holes: tuple[Count, ...] = Field(
        description="Numbers of computed shards in which pixels could not be read."
    )
    running: tuple[Count, ...] = Field(
        description="Numbers of shards that a worker computes; one that was killed counts for ten "
        "minutes after its last sign."
    )
    failed: dict[str, str] = Field(
        description="Error of the last worker of absent shards that none computes now, by number."
    )
    interrupted: tuple[Count, ...] = Field(
        description="Numbers of the other absent shards that a worker has begun."
    )
    absent: tuple[Count, ...] = Field(description=ABSENT)
    output: PathText | None = Field(description="The map; null: none was written.")
