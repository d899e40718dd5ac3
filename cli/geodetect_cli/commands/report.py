"""``geodetect report``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from geodetect.settings import ReportSettings
from geodetect.settings.base import CommandLine, Settings
from geodetect.settings.value_types import Layer
from geodetect_cli import options
from geodetect_cli.command_line import next_commands
from geodetect_cli.command_line.ending import ending
from geodetect_cli.correction_options import CorrectionOptions
from geodetect_cli.options import ConsoleOptions, ResultOptions
from geodetect_cli.settings_command import settings_command
from geodetect_cli.tables.report import show_report

EXAMPLES = """\b
Examples:
  geodetect report pools.geojson --raster scene.tif -o report.html
  geodetect report pools.gpkg -r scene.tif --truth known.gpkg -o report.html
  geodetect report changes.gpkg --raster sheets/*.tif -o report.html
  geodetect report changes.gpkg -r sheets --zones communes.gpkg -o report.html
  geodetect report pools.gpkg -r scene.tif -o page.html --imagery inside
  geodetect report pools.geojson -o report.html --conf 0.6 --title "Pools\""""


class ReportFiles(Settings):
    """Input and output of ``report``."""

    predictions: options.Predictions = Field(
        description="Predictions, or changes that `geodetect compare` wrote: vector file of any "
        "format and CRS."
    )
    rasters: options.RasterArguments | None = Field(
        None,
        description="Imagery to show below the boxes: files, folders or URLs. Several are one map, "
        "the first on top, in the CRS of the first.",
    )
    output: options.OutputFile = Field(description="The page, .html.")
    truth: Annotated[str, CommandLine("FILE", short="t", reads="layer")] | None = Field(
        None, description="Ground truth to compare the predictions with."
    )
    zones: Layer | None = Field(
        None,
        description="Polygons to count by, any vector format and CRS, or the layer that `geodetect "
        "summarize` wrote.",
    )
    coverage: Layer | None = Field(
        None,
        description=f"{options.COVERAGE} For counts by zone. Default: layer coverage of PRED, if "
        "it has one.",
    )


@settings_command
def command(
    files: ReportFiles,
    settings: ReportSettings,
    correction: CorrectionOptions,
    result: ResultOptions,
    messages: ConsoleOptions,
) -> None:
    """Show predictions or changes on a page that works offline.

    The imagery is inside the page or beside it; zones, truth and figures are shown with it.
    """
    from geodetect.reporting.map_report.report import report

    summary = report(
        files.predictions,
        files.output,
        raster=files.rasters,
        truth=files.truth,
        zones=files.zones,
        coverage=files.coverage,
        rates=correction.read_rates(None),
        settings=settings,
        overwrite=result.overwrite,
    )
    ending.suggest(
        next_commands.after_report(
            files.predictions, files.rasters, settings, truth=files.truth, zones=files.zones
        )
    )
    show_report(summary, as_json=result.as_json, quiet=messages.quiet)
