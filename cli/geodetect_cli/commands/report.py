"""``geodetect report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from geodetect_cli import console, options, pictures

EXAMPLES = """\b
Examples:
  geodetect report pools.geojson --raster scene.tif -o report.html
  geodetect report pools.gpkg -r scene.tif --truth known.gpkg -o report.html
  geodetect report pools.gpkg -r scene.tif -o page.html --imagery inside
  geodetect report pools.geojson -o report.html --conf 0.6 --title "Pools\""""


def command(
    predictions: pictures.Predictions,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The page, .html.")
    ],
    raster: Annotated[
        str | None,
        typer.Option("--raster", "-r", metavar="RASTER", help="Imagery to show below the boxes."),
    ] = None,
    truth: Annotated[
        str | None,
        typer.Option("--truth", "-t", metavar="FILE", help="What should have been found."),
    ] = None,
    conf: Annotated[
        float | None,
        typer.Option("--conf", "-c", metavar="SCORE", help="Least score shown at first."),
    ] = None,
    iou: Annotated[
        float, typer.Option(metavar="IOU", help="Overlap from which a detection is correct.")
    ] = 0.5,
    title: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Heading. Default: the raster's name.")
    ] = None,
    note: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Line below it, e.g. date and source of the imagery."),
    ] = None,
    imagery: Annotated[
        str,
        typer.Option(
            metavar="PLACE",
            help="inside the page, beside it in a folder, or auto: inside up to 16 megapixels, "
            "beside at up to 400; shown coarser beyond that.",
        ),
    ] = "auto",
    gsd: pictures.ImageryGsd = None,
    chips: Annotated[
        int, typer.Option(min=0, metavar="N", help="False alarms, and misses, to show.")
    ] = 24,
    ignore_classes: Annotated[
        bool, typer.Option("--ignore-classes", help="Compare whatever the class.")
    ] = False,
    class_field: Annotated[
        str | None, typer.Option(metavar="NAME", help="Column of the truth that holds the class.")
    ] = None,
    score_field: pictures.ScoreField = None,
    pred_crs: pictures.PredCrs = None,
    truth_crs: Annotated[
        str | None, typer.Option(metavar="CRS", help="CRS of the truth, instead of its own.")
    ] = None,
    bands: options.Bands = None,
    value_range: options.ValueRange = None,
    src_crs: pictures.RasterCrs = None,
    pixel_coords: pictures.PixelCoords = False,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Show detections on their imagery in a page that works offline."""
    from geodetect.reporting.map_report.report import report
    from geodetect.settings import ReportSettings

    settings = options.parse_settings(
        ReportSettings,
        {
            "conf": conf,
            "iou": iou,
            "title": title,
            "note": note,
            "imagery": imagery,
            "gsd": gsd,
            "chips": chips,
            "ignore_classes": ignore_classes,
            "class_field": class_field,
            "truth_crs": truth_crs,
            **pictures.reading(bands, value_range, pred_crs, score_field=score_field),
            "src_crs": src_crs,
            "pixel_coords": pixel_coords,
        },
    )
    with console.progress_bar("pictures", quiet=quiet) as progress:
        summary = report(
            predictions,
            output,
            raster=raster,
            truth=truth,
            settings=settings,
            overwrite=overwrite,
            progress=progress,
        )
    pictures.show_report(summary, as_json=as_json, quiet=quiet)
