"""``geodetect compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from geodetect.settings import CompareSettings
from geodetect.settings.base import CommandLine, Settings
from geodetect.settings.value_types import Crs, Layer
from geodetect_cli import options
from geodetect_cli.command_line import next_commands
from geodetect_cli.command_line.ending import ending
from geodetect_cli.command_line.usage_error import UsageError
from geodetect_cli.layer_output import LayerOutput
from geodetect_cli.options import ConsoleOptions, ResultOptions
from geodetect_cli.settings_command import settings_command
from geodetect_cli.tables import comparison as tables

EXAMPLES = """\b
Examples:
  geodetect compare pools.gpkg --register cadastre.gpkg -o changes.gpkg
  geodetect compare pools.gpkg --register permits.csv -o changes.gpkg --distance 10
  geodetect compare pools.gpkg --register cadastre.shp --parcels plots.gpkg -o out.gpkg
  geodetect compare 2025.gpkg --before 2020.gpkg --distance 3 -o changes.gpkg
  geodetect compare pools.gpkg --register cadastre.gpkg --json"""


class CompareFiles(Settings):
    """Layers that ``compare`` reads and writes."""

    predictions: options.Predictions = Field(description=options.PREDICTIONS)
    before: Annotated[str, CommandLine("BEFORE", positional=True, reads="layer")] | None = Field(
        None, description="Predictions of an earlier year, instead of a register."
    )
    output: options.OutputLayer = Field(
        "",
        description="File to write: .gpkg, with a style for QGIS; without `parcels` also .geojson "
        ".geojsonl .fgb .parquet .shp .csv, or - for GeoJSON on the output stream. Default: none; "
        "only counts are shown.",
    )
    register_layer: Annotated[str, CommandLine("FILE", name="register", reads="layer")] | None = (
        Field(None, description="Expected objects: points or polygons, any CRS.")
    )
    parcels: Layer | None = Field(None, description="Polygons to count by, as a second layer.")
    coverage: Layer | None = Field(
        None,
        description=f"{options.COVERAGE} Default: layer coverage of PRED, if it has one. A .gpkg "
        "gets it as a layer, too.",
    )
    crs: Crs | None = Field(None, description="CRS of the output. Default: that of PRED.")


@settings_command
def command(
    files: CompareFiles, settings: CompareSettings, result: ResultOptions, messages: ConsoleOptions
) -> None:
    """List objects that are new, confirmed, moved or missing.

    Predictions are compared with a register, or with those of an earlier year.
    """
    if (files.register_layer is None) == (files.before is None):
        state = "neither" if files.before is None else "both"
        raise UsageError(f"expected --register or --before, found {state}; name one file")
    from geodetect.assessment.compare import change_layer, parcels
    from geodetect.assessment.compare.comparison import compare
    from geodetect.io.vector.read import COVERAGE_LAYER

    target = LayerOutput(files.output, files.crs, result.overwrite)
    layers = [change_layer.LAYER, *([] if files.parcels is None else [parcels.LAYER])]
    if Path(files.output).suffix.lower() == ".gpkg":
        layers.append(COVERAGE_LAYER)
    target.check(*layers, as_json=result.as_json)
    comparison = compare(
        files.predictions,
        files.register_layer,
        before=files.before,
        parcels=files.parcels,
        coverage=files.coverage,
        settings=settings,
    )
    target.write(comparison)
    if files.output:
        ending.suggest(next_commands.after_compare(files.output))
    else:
        ending.suggest(next_commands.same_with_output("changes.gpkg"))
    tables.show_comparison(
        comparison, settings, target, as_json=result.as_json, quiet=messages.quiet
    )
