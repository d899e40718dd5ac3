"""``geodetect compare``."""

from __future__ import annotations

from typing import Annotated

import typer

from geodetect_cli import options
from geodetect_cli.layer_output import LayerOutput
from geodetect_cli.tables import comparison as change_tables

EXAMPLES = """\b
Examples:
  geodetect compare pools.gpkg --register cadastre.gpkg -o changes.gpkg
  geodetect compare pools.gpkg --register permits.csv -o changes.gpkg --tolerance 10
  geodetect compare pools.gpkg --register cadastre.shp --parcels plots.gpkg -o out.gpkg
  geodetect compare 2025.gpkg --before 2020.gpkg --tolerance 3 -o changes.gpkg
  geodetect compare pools.gpkg --register cadastre.gpkg --json"""


def command(
    predictions: Annotated[
        str, typer.Argument(metavar="PRED", help="Detections, any vector format and CRS.")
    ],
    earlier: Annotated[
        str | None,
        typer.Argument(metavar="BEFORE", help="Detections of an earlier year, as with --before."),
    ] = None,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where to write: .gpkg, with a style for QGIS; without --parcels also .geojson "
            ".geojsonl .fgb .parquet .shp .csv, or - for GeoJSON on the output stream. Default: "
            "only counts are shown.",
        ),
    ] = "",
    register: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="What should be there: points or polygons, any CRS."),
    ] = None,
    before: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Detections of an earlier year, instead of a register."),
    ] = None,
    tolerance: Annotated[
        float,
        typer.Option(
            metavar="METRES",
            help="Greatest distance on the ground between the centres of two features that can be "
            "the same object.",
        ),
    ] = 5.0,
    moved_from: Annotated[
        float,
        typer.Option(metavar="METRES", help="From this distance on the same object has moved."),
    ] = 2.0,
    conf: Annotated[
        float | None,
        typer.Option(
            "--conf", "-c", min=0, max=1, metavar="SCORE", help="Least score. Default: all."
        ),
    ] = None,
    parcels: Annotated[
        str | None, typer.Option(metavar="FILE", help="Polygons to count by, as a second layer.")
    ] = None,
    parcel_id: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Column that names parcels. Default: numbers."),
    ] = None,
    coverage: options.Coverage = None,
    class_field: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Column of the register that holds the class."),
    ] = None,
    ignore_classes: Annotated[
        bool, typer.Option("--ignore-classes", help="Pair features of different classes, too.")
    ] = False,
    pred_crs: Annotated[
        str | None,
        typer.Option(metavar="CRS", help="CRS of the detections, instead of their file's."),
    ] = None,
    register_crs: Annotated[
        str | None,
        typer.Option(metavar="CRS", help="CRS of --register or --before, instead of its file's."),
    ] = None,
    crs: Annotated[
        str | None, typer.Option(metavar="CRS", help="CRS of the output. Default: PRED's.")
    ] = None,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Tell what is new, confirmed, moved or missing.

    Detections are compared with a register, or with detections of an earlier year.
    """
    named = [file for file in (register, before, earlier) if file is not None]
    if len(named) != 1:
        raise typer.BadParameter(
            f"expected --register or --before, found {'both' if named else 'neither'}; name one "
            f"file",
            param_hint="--register",
        )
    from geodetect.assessment.compare.change_layer import LAYER, change_style
    from geodetect.assessment.compare.comparison import compare
    from geodetect.assessment.compare.parcels import LAYER as PARCELS
    from geodetect.assessment.compare.parcels import PARCEL_STYLE
    from geodetect.io.vector.geopackage import Layer
    from geodetect.settings import CompareSettings

    settings = options.parse_settings(
        CompareSettings,
        {
            "tolerance": tolerance,
            "moved_from": moved_from,
            "conf": conf,
            "ignore_classes": ignore_classes,
            "class_field": class_field,
            "parcel_id": parcel_id,
            "pred_crs": pred_crs,
            "register_crs": register_crs,
        },
    )
    target = LayerOutput(output, crs, overwrite)
    target.check(layers=1 if parcels is None else 2, as_json=as_json)
    result = compare(
        predictions,
        register,
        before=before or earlier,
        parcels=parcels,
        coverage=coverage,
        settings=settings,
    )
    style = change_style(result.changes, result.words)
    layers = [Layer(LAYER, result.changes, style)]
    if result.parcels is not None:
        layers.append(Layer(PARCELS, result.parcels.table, PARCEL_STYLE))
    target.write(layers)
    change_tables.show_comparison(result, settings, target, as_json=as_json, quiet=quiet)
