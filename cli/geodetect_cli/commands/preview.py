"""``geodetect preview``."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from geodetect.settings import PreviewSettings
from geodetect.settings.base import Settings
from geodetect.settings.value_types import Layer
from geodetect_cli import console, options
from geodetect_cli.command_line import next_commands
from geodetect_cli.command_line.ending import ending
from geodetect_cli.command_line.usage_error import UsageError
from geodetect_cli.options import ConsoleOptions, ResultOptions
from geodetect_cli.settings_command import settings_command

EXAMPLES = """\b
Examples:
  geodetect preview scene.tif -o overview.png
  geodetect preview scene.tif pools.geojson -o overview.png --conf 0.6
  geodetect preview sheets/*.tif changes.gpkg -o changes.png
  geodetect preview scene.tif pools.geojson -o doubts.png --sheet uncertain
  geodetect preview scene.tif pools.geojson -o best.png --sheet best --thumbnails 60"""


# vector files among the arguments; a raster in a GeoPackage needs the name GPKG:file:table
LAYER_SUFFIXES = (
    *(".geojson", ".json", ".geojsonl", ".geojsons", ".ndjson", ".gpkg", ".fgb", ".parquet"),
    *(".geoparquet", ".shp", ".csv", ".kml", ".kmz", ".gml", ".gdb", ".sqlite", ".tab", ".dxf"),
)


class PreviewFiles(Settings):
    """Input and output of ``preview``."""

    rasters: options.RasterArguments = Field(
        description="Files, folders or URLs that GDAL opens. Several are one map, the first on "
        "top, in the CRS of the first."
    )
    predictions: options.Predictions | None = Field(
        None,
        description="Predictions to draw, or changes that `geodetect compare` wrote: vector file "
        "of any format and CRS.",
    )
    zones: Layer | None = Field(None, description="Polygons to outline, any vector format and CRS.")
    output: options.OutputFile = Field(description="The image, .png .jpg .webp.")


def split_layers(
    files: tuple[str, ...], predictions: str | None
) -> tuple[tuple[str, ...], str | None]:
    """Return the rasters among files, and the vector layer.

    Args:
        files: Files in the order of the command line.
        predictions: The layer, if an option names it.

    Raises:
        UsageError: There is no raster, or there are several layers.
    """
    layers = [
        file
        for file in files
        if Path(file.partition("|layername=")[0]).suffix.lower() in LAYER_SUFFIXES
    ]
    rasters = tuple(file for file in files if file not in layers)
    layers += [] if predictions is None else [predictions]
    if not rasters:
        raise UsageError(f"found only the layer {layers[0]}; name its imagery with --raster")
    if len(layers) > 1:
        raise UsageError(f"found the layers {' and '.join(layers)}; name one layer of predictions")
    return rasters, layers[0] if layers else None


@settings_command
def command(
    files: PreviewFiles, settings: PreviewSettings, result: ResultOptions, messages: ConsoleOptions
) -> None:
    """Draw rasters with predictions or changes as an image.

    The image is an overview, or a contact sheet with thumbnails of some of them.
    """
    from geodetect.reporting.preview import preview

    rasters, predictions = split_layers(files.rasters, files.predictions)
    image = preview(
        rasters,
        predictions,
        zones=files.zones,
        output=files.output,
        settings=settings,
        overwrite=result.overwrite,
    )
    ending.suggest(next_commands.after_preview(rasters, predictions, settings))
    if result.as_json:
        from geodetect_cli.json_output.detections import PreviewOutput

        console.print_json(
            PreviewOutput.from_values(output=files.output, width=image.width, height=image.height)
        )
    elif not messages.quiet:
        console.print_message(f"{files.output}: {image.width} x {image.height} px")
