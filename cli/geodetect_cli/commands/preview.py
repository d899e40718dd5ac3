"""``geodetect preview``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from geodetect_cli import console, options, pictures

EXAMPLES = """\b
Examples:
  geodetect preview scene.tif -o overview.png
  geodetect preview scene.tif pools.geojson -o overview.png --conf 0.6
  geodetect preview scene.tif pools.geojson -o doubts.png --sheet uncertain
  geodetect preview scene.tif pools.geojson -o best.png --sheet best --count 60"""


def command(
    scene: Annotated[str, typer.Argument(metavar="RASTER", help="File or URL that GDAL opens.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The picture, .png .jpg .webp.")
    ],
    predictions: Annotated[
        str | None, typer.Argument(metavar="PRED", help="Detections to draw, any vector format.")
    ] = None,
    size: Annotated[
        int, typer.Option(min=64, max=20_000, metavar="PX", help="Longest side of the overview.")
    ] = 1600,
    conf: Annotated[
        float | None,
        typer.Option("--conf", "-c", metavar="SCORE", help="Least score. Default: all."),
    ] = None,
    sheet: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="Chips instead of the overview: of the best or worst scores, or the most "
            "uncertain ones, nearest to --conf or 0.5.",
        ),
    ] = None,
    count: Annotated[
        int, typer.Option(min=1, max=1000, metavar="N", help="Chips on the sheet.")
    ] = 24,
    score_field: pictures.ScoreField = None,
    pred_crs: pictures.PredCrs = None,
    bands: options.Bands = None,
    value_range: options.ValueRange = None,
    src_crs: pictures.RasterCrs = None,
    pixel_coords: pictures.PixelCoords = False,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """Draw a raster with its detections, or chips of them."""
    from geodetect.reporting.preview import preview
    from geodetect.settings import PreviewSettings

    settings = options.parse_settings(
        PreviewSettings,
        {
            "size": size,
            "conf": conf,
            "sheet": sheet,
            "count": count,
            **pictures.reading(bands, value_range, pred_crs, score_field=score_field),
            "src_crs": src_crs,
            "pixel_coords": pixel_coords,
        },
    )
    image = preview(scene, predictions, output=output, settings=settings, overwrite=overwrite)
    if not quiet:
        console.say(f"{output}: {image.width} x {image.height} px")
