"""``geodetect summarize``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from geodetect_cli import options
from geodetect_cli.layer_output import LayerOutput
from geodetect_cli.tables import zones as zone_tables

EXAMPLES = """\b
Examples:
  geodetect summarize pools.gpkg --zones communes.gpkg -o zones.gpkg
  geodetect summarize pools.gpkg --zones communes.gpkg --model my.safetensors -o out.gpkg
  geodetect summarize pools.gpkg --zones blocks.shp --metrics metrics.json -o out.gpkg
  geodetect summarize pools.fgb --zones blocks.shp --coverage ground.gpkg -o out.csv
  geodetect summarize pools.gpkg --zones communes.gpkg --json"""


def command(
    predictions: Annotated[
        str, typer.Argument(metavar="PRED", help="Detections, any vector format and CRS.")
    ],
    zones: Annotated[
        str, typer.Option(metavar="FILE", help="Polygons to count by, any vector format and CRS.")
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where to write: .gpkg .geojson .geojsonl .fgb .parquet .shp .csv, or - for "
            "GeoJSON on the output stream. Default: zones are only listed.",
        ),
    ] = "",
    coverage: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Ground that was looked at: what predict --coverage wrote, or any polygons. "
            "Default: layer coverage of PRED, if it has one.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME|FILE",
            help="Correct counts by the precision and recall on this model's card.",
        ),
    ] = None,
    metrics: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Correct counts by the output of `geodetect evaluate --json`."
        ),
    ] = None,
    precision: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, metavar="P", help="Correct counts by this precision, with --recall."
        ),
    ] = None,
    recall: Annotated[
        float | None, typer.Option(min=0, max=1, metavar="R", help="Share of objects found.")
    ] = None,
    support: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="True objects these two were measured on."),
    ] = None,
    conf: Annotated[
        float | None,
        typer.Option(
            "--conf",
            "-c",
            min=0,
            max=1,
            metavar="SCORE",
            help="Least score. Default: that of the precision and recall, or all.",
        ),
    ] = None,
    classes: Annotated[
        str | None, typer.Option(metavar="NAME,NAME", help="Count only these classes.")
    ] = None,
    pred_crs: Annotated[
        str | None,
        typer.Option(metavar="CRS", help="CRS of the detections, instead of their file's."),
    ] = None,
    zones_crs: Annotated[
        str | None, typer.Option(metavar="CRS", help="CRS of the zones, instead of their file's.")
    ] = None,
    crs: Annotated[
        str | None, typer.Option(metavar="CRS", help="CRS of the output. Default: the zones'.")
    ] = None,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Count detections by zone, corrected for known errors."""
    from geodetect.assessment.summarize.zones import LAYER, summarize, zone_style
    from geodetect.io.vector.geopackage import Layer
    from geodetect.settings import SummarizeSettings
    from geodetect_cli import error_rates

    settings = options.parse_settings(
        SummarizeSettings,
        {
            "conf": conf,
            "classes": options.parse_names(classes),
            "pred_crs": pred_crs,
            "zones_crs": zones_crs,
        },
    )
    target = LayerOutput(output, crs, overwrite)
    target.check(as_json=as_json)
    rates = error_rates.chosen_rates(
        model=model,
        metrics=metrics,
        numbers=(precision, recall, support),
        classes=settings.classes,
    )
    result = summarize(predictions, zones, coverage=coverage, rates=rates, settings=settings)
    target.write([Layer(LAYER, result.zones, zone_style(result.zones))])
    zone_tables.show_zones(result, target, as_json=as_json, quiet=quiet)
