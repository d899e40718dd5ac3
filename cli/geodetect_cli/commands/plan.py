"""``geodetect plan``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from geodetect.settings import PredictSettings
from geodetect.settings.base import CommandLine, Settings
from geodetect.settings.value_types import AreaPixels
from geodetect_cli import console, options
from geodetect_cli.command_line import next_commands
from geodetect_cli.command_line.ending import ending
from geodetect_cli.options import ConsoleOptions, ResultOptions
from geodetect_cli.settings_command import settings_command

EXAMPLES = """\b
Examples:
  geodetect plan sheets/ -o run/
  geodetect plan sheets.txt -o run/ --model trees.safetensors --shard 500Mpx"""


class PlanFiles(Settings):
    """Input and output of ``plan``."""

    rasters: options.RasterArguments = Field(
        description=f"{options.RASTERS} Workers need them at the same place."
    )
    output: Annotated[str, CommandLine("FOLDER", short="o"), Field(min_length=1)] = Field(
        description="Folder of the run: for the plan, and for the shards that workers compute."
    )
    model: options.Model = Field(
        "pools", description="Built-in model or model file. See `geodetect models`."
    )
    shard: AreaPixels = Field(
        2e9,
        description="Pixels of the working resolution that a shard covers, e.g. 2Gpx or 500Mpx. "
        "The result does not depend on it.",
    )


@settings_command
def command(
    files: PlanFiles, settings: PredictSettings, result: ResultOptions, messages: ConsoleOptions
) -> None:
    """Plan a run that many machines share.

    Only headers are read. Device, runtime, precision, batch size and threads are those of workers
    that state none.
    """
    from geodetect.detection.sharding.plan_run import plan_to_folder

    manifest = plan_to_folder(
        files.rasters,
        files.output,
        files.model,
        settings=settings,
        shard_px=files.shard,
        overwrite=result.overwrite,
    )
    ending.suggest(next_commands.after_plan(files.output))
    if result.as_json:
        from geodetect_cli.json_output.shards import PlannedRunOutput

        values = PlannedRunOutput.from_values(
            run_folder=files.output,
            model=manifest.card.name,
            rasters=manifest.rasters,
            grounds=len(manifest.grounds),
            shards=len(manifest.shards),
            tiles=manifest.tiles,
            shard_px=manifest.shard_px,
        )
        console.print_json(values)
    elif not messages.quiet:
        rows = [
            ("Planned in", files.output),
            ("Model", manifest.card.name),
            ("Rasters", f"{manifest.rasters:,}"),
            ("Tiles", f"{manifest.tiles:,}"),
            ("Shards", f"{len(manifest.shards):,}, numbered from 0"),
        ]
        console.show_table("", rows)
