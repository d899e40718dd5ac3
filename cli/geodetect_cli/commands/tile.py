"""``geodetect tile``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

from pydantic import Field

from geodetect.settings import ChipSettings
from geodetect.settings.base import CommandLine, Settings
from geodetect.settings.value_types import Labels
from geodetect_cli import console, options
from geodetect_cli.command_line import next_commands
from geodetect_cli.command_line.ending import ending
from geodetect_cli.options import ConsoleOptions, ResultOptions
from geodetect_cli.settings_command import settings_command
from geodetect_cli.tables.values import show_values

EXAMPLES = """\b
Examples:
  geodetect tile scene.tif --labels pools.geojson -o chips/
  geodetect tile scene.tif --labels pools.geojson -o yolo/ --format yolo --tile-size 640 --empty 1
  geodetect tile sheets/*.tif --labels trees.gpkg -o voc/ --format voc --image-format tif"""


class TileFiles(Settings):
    """Input and output of ``tile``."""

    rasters: options.RasterArguments = Field(description=options.RASTERS)
    labels: Labels = Field(description=options.LABELS)
    output: Annotated[Path, CommandLine("FOLDER", short="o")] = Field(description="Folder to make.")


@settings_command
def command(
    files: TileFiles, settings: ChipSettings, result: ResultOptions, messages: ConsoleOptions
) -> None:
    """Cut rasters and labels into chips for training elsewhere."""
    from geodetect.chips.annotation_formats import ANNOTATION_FORMATS
    from geodetect.chips.export import export_chips

    summary = export_chips(
        files.rasters,
        files.labels,
        files.output,
        settings=settings,
        overwrite=result.overwrite,
    )
    folder, layout = summary.output, ANNOTATION_FORMATS[settings.format]
    ending.suggest(next_commands.after_tile(folder / layout.images, folder / layout.labels))
    values = dataclasses.asdict(summary)
    if result.as_json:
        from geodetect_cli.json_output.labels import TileOutput

        console.print_json(TileOutput.from_values(**values))
    elif not messages.quiet:
        show_values(f"Chips in {files.output}", values, out=console.stderr)
