"""``geodetect preview``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from geodetect.settings import PreviewSettings
from geodetect.settings.base import CommandLine, Settings
from geodetect_cli import console, options
from geodetect_cli.options import ConsoleOptions, ResultOptions
from geodetect_cli.settings_command import settings_command

EXAMPLES = """\b
Examples:
  geodetect preview scene.tif -o overview.png
  geodetect preview scene.tif pools.geojson -o overview.png --conf 0.6
  geodetect preview scene.tif pools.geojson -o doubts.png --sheet uncertain
  geodetect preview scene.tif pools.geojson -o best.png --sheet best --thumbnails 60"""


class PreviewFiles(Settings):
    """Input and output of ``preview``."""

    raster: Annotated[str, CommandLine("RASTER", positional=True, reads="file")] = Field(
        description="File or URL that GDAL opens."
    )
    predictions: options.Predictions | None = Field(
        None, description="Predictions to draw: vector file of any format and CRS."
    )
    output: options.OutputFile = Field(description="The image, .png .jpg .webp.")


@settings_command
def command(
    files: PreviewFiles, settings: PreviewSettings, result: ResultOptions, messages: ConsoleOptions
) -> None:
    """Draw a raster with its predictions, or thumbnails of some of them."""
    from geodetect.reporting.preview import preview

    image = preview(
        files.raster,
        files.predictions,
        output=files.output,
        settings=settings,
        overwrite=result.overwrite,
    )
    if result.as_json:
        from geodetect_cli.json_output.detections import PreviewOutput

        console.print_json(
            PreviewOutput.from_values(output=files.output, width=image.width, height=image.height)
        )
    elif not messages.quiet:
        console.print_message(f"{files.output}: {image.width} x {image.height} px")
