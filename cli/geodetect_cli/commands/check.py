"""``geodetect check``."""

from __future__ import annotations

from pydantic import Field

from geodetect.settings import CheckSettings
from geodetect.settings.base import Settings
from geodetect_cli.command_line import next_commands
from geodetect_cli.command_line.ending import ending
from geodetect_cli.options import ConsoleOptions, LabelledRasters, OutputFile, ResultOptions
from geodetect_cli.settings_command import settings_command
from geodetect_cli.tables import label_check as tables

EXAMPLES = """\b
Examples:
  geodetect check --rasters tiles/ --labels pools.geojson
  geodetect check --rasters a.tif --rasters b.tif --labels trees.shp -o problems.gpkg
  geodetect check --rasters tiles/ --labels stems.gpkg --point-size 4 --class-field species
  geodetect check --rasters tiles/ --labels coco/annotations.json --json"""


class CheckOutput(Settings):
    """Output of ``check``."""

    output: OutputFile | None = Field(
        None,
        description="File for the labels with problems, and reasons: .gpkg .geojson .fgb "
        ".parquet ...",
    )


@settings_command
def command(
    data: LabelledRasters,
    files: CheckOutput,
    settings: CheckSettings,
    result: ResultOptions,
    messages: ConsoleOptions,
) -> None:
    """Check labels and rasters before a training."""
    from geodetect.io.vector import write as vector
    from geodetect.label_check.check import check
    from geodetect.label_check.problems import LAYER, write_problems

    if files.output is not None:
        vector.check_target(
            files.output, overwrite=result.overwrite, layers=(LAYER,), takes_format=False
        )
    report = check(data.rasters, data.labels, settings=settings)
    if files.output is not None:
        write_problems(report.problems, files.output, overwrite=result.overwrite)
    ending.suggest(next_commands.after_check(data.rasters, data.labels, settings))
    tables.show(report, files.output, as_json=result.as_json, quiet=messages.quiet)
    report.raise_errors()
