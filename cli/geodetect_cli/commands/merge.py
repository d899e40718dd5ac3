"""``geodetect merge``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from geodetect.settings.base import CommandLine, Settings
from geodetect.settings.value_types import Crs, Name
from geodetect_cli import options
from geodetect_cli.command_line import next_commands
from geodetect_cli.command_line.ending import ending
from geodetect_cli.commands.predict import COVERAGE, FORMATS
from geodetect_cli.options import ConsoleOptions, ResultOptions
from geodetect_cli.settings_command import settings_command
from geodetect_cli.tables import prediction as tables

EXAMPLES = """\b
Examples:
  geodetect merge run/ -o country.parquet
  geodetect merge run/ -o country.gpkg --style"""


class MergeFiles(Settings):
    """Input and output of ``merge``."""

    run: options.RunArgument = Field(description=options.RUN)
    output: options.OutputFile = Field(
        description="File to write: .geojson .geojsonl .gpkg .fgb .parquet .shp .csv."
    )
    coverage: Annotated[Path, CommandLine("FILE")] | None = Field(None, description=COVERAGE)
    crs: Crs | None = Field(None, description="CRS of the output. Default: the first raster's.")
    format: Annotated[Name, CommandLine("NAME", choices=FORMATS)] | None = Field(
        None, description=f"Format of the output, whatever its suffix: {', '.join(FORMATS)}."
    )
    style: bool = Field(False, description="Have QGIS colour objects by score (.gpkg, .geojson).")
    strict: bool = Field(
        False, description="End with an error if any shard has holes, instead of exit code 3."
    )
    allow_mixed: options.AllowMixed = False


@settings_command
def command(files: MergeFiles, result: ResultOptions, messages: ConsoleOptions) -> None:
    """Merge the shards of a planned run into a map layer.

    It is that of one machine, to the byte.
    """
    from geodetect.detection.predict_to_file import PredictionFiles
    from geodetect.detection.sharding.merge import merge_into

    targets = PredictionFiles(
        output=files.output,
        coverage=files.coverage,
        format=files.format,
        crs=files.crs,
        style=files.style,
        overwrite=result.overwrite,
        journal=False,
    )
    layer = merge_into(targets, files.run, strict=files.strict, allow_mixed=files.allow_mixed)
    ending.suggest(next_commands.after_merge(files.output))
    tables.show_summary(
        layer,
        str(files.output),
        coverage=targets.coverage_file,
        settings=files.stated_values(),
        command="merge",
        as_json=result.as_json,
        quiet=messages.quiet,
        verbose=messages.verbose,
    )
