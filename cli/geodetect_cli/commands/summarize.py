"""``geodetect summarize``."""

from __future__ import annotations

from pydantic import Field

from geodetect.settings import SummarizeSettings
from geodetect.settings.base import Settings
from geodetect.settings.value_types import Crs, Layer
from geodetect_cli import options
from geodetect_cli.command_line import next_commands
from geodetect_cli.command_line.ending import ending
from geodetect_cli.correction_options import CorrectionOptions
from geodetect_cli.layer_output import LayerOutput
from geodetect_cli.options import ConsoleOptions, ResultOptions
from geodetect_cli.settings_command import settings_command
from geodetect_cli.tables import zones as tables

EXAMPLES = """\b
Examples:
  geodetect summarize pools.gpkg --zones communes.gpkg -o zones.gpkg
  geodetect summarize pools.gpkg --zones communes.gpkg --model my.safetensors -o out.gpkg
  geodetect summarize pools.gpkg --zones blocks.shp --metrics metrics.json -o out.gpkg
  geodetect summarize pools.fgb --zones blocks.shp --coverage ground.gpkg -o out.csv
  geodetect summarize pools.gpkg --zones communes.gpkg --json"""


class SummarizeFiles(Settings):
    """Layers that ``summarize`` reads and writes."""

    predictions: options.Predictions = Field(
        description=f"{options.PREDICTIONS} Of changes that `geodetect compare` wrote, those with "
        "a detection count."
    )
    zones: Layer = Field(description="Polygons to count by, any vector format and CRS.")
    output: options.OutputLayer = Field(
        "",
        description="File to write: .gpkg .geojson .geojsonl .fgb .parquet .shp .csv, or - for "
        "GeoJSON on the output stream. Default: none; zones are only listed.",
    )
    coverage: Layer | None = Field(
        None,
        description=f"{options.COVERAGE} Default: layer coverage of PRED, if it has one.",
    )
    crs: Crs | None = Field(None, description="CRS of the output. Default: that of the zones.")


@settings_command
def command(
    files: SummarizeFiles,
    correction: CorrectionOptions,
    settings: SummarizeSettings,
    result: ResultOptions,
    messages: ConsoleOptions,
) -> None:
    """Count predictions by zone, corrected for known errors."""
    from geodetect.assessment.summarize.zone_layers import LAYER
    from geodetect.assessment.summarize.zones import summarize

    target = LayerOutput(files.output, files.crs, result.overwrite)
    target.check(LAYER, as_json=result.as_json)
    rates = correction.read_rates(settings.classes)
    summary = summarize(
        files.predictions, files.zones, coverage=files.coverage, rates=rates, settings=settings
    )
    target.write(summary)
    if files.output:
        ending.suggest(
            next_commands.after_summarize(files.predictions, files.zones, files.coverage, settings)
        )
    else:
        ending.suggest(next_commands.same_with_output("zones.gpkg"))
    tables.show_zones(summary, target, as_json=result.as_json, quiet=messages.quiet)
