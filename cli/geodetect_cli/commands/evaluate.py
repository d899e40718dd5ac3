"""``geodetect evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from geodetect_cli import console, options
from geodetect_cli.evaluation_sources import EvaluationFiles, EvaluationSources, parse_list
from geodetect_cli.tables import evaluation as evaluation_tables

EXAMPLES = """\b
Examples:
  geodetect evaluate pools.geojson truth.gpkg
  geodetect evaluate pools.gpkg truth.shp --conf 0.5 -o errors.gpkg --plots plots
  geodetect evaluate pools.gpkg truth.gpkg --pick-threshold precision=0.95
  geodetect evaluate trees.gpkg stems.csv --truth-crs EPSG:25832 --distance 3
  geodetect evaluate --model pools --rasters scene.tif --labels truth.geojson"""


def command(
    predictions: Annotated[
        str | None, typer.Argument(metavar="PRED", help="Detections, any vector format and CRS.")
    ] = None,
    truth: Annotated[
        str | None, typer.Argument(metavar="TRUTH", help="True objects: polygons or points.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", metavar="NAME|FILE", help="Instead of PRED: run this model ..."
        ),
    ] = None,
    rasters: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH", help="... on these rasters or folders. Repeatable."),
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="With --model, the true objects. Repeatable."),
    ] = None,
    iou: Annotated[
        float,
        typer.Option(
            metavar="IOU", help="Overlap of boxes from which a detection shows an object."
        ),
    ] = 0.5,
    distance: Annotated[
        float | None,
        typer.Option(
            metavar="METRES", help="Greatest distance of centres, instead of --iou; for points."
        ),
    ] = None,
    conf: Annotated[
        float | None,
        typer.Option(
            "--conf",
            "-c",
            metavar="SCORE",
            help="Least score that counts. Default: the model's, or all detections.",
        ),
    ] = None,
    pick_threshold: Annotated[
        str | None,
        typer.Option(
            metavar="RULE",
            help="Find --conf: f1, precision=0.95, recall=0.9, or count (as many as there are).",
        ),
    ] = None,
    area: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Polygons of the ground where the truth is known."),
    ] = None,
    ignore_classes: Annotated[
        bool, typer.Option("--ignore-classes", help="Compare whatever the class.")
    ] = False,
    class_field: Annotated[
        str | None, typer.Option(metavar="NAME", help="Column of the truth that holds the class.")
    ] = None,
    score_field: Annotated[
        str | None, typer.Option(metavar="NAME", help="Column of PRED that holds the score.")
    ] = None,
    pred_crs: Annotated[
        str | None, typer.Option(metavar="CRS", help="CRS of PRED, instead of its own.")
    ] = None,
    truth_crs: Annotated[
        str | None, typer.Option(metavar="CRS", help="CRS of the truth, instead of its own.")
    ] = None,
    crs: Annotated[
        str | None,
        typer.Option(
            metavar="CRS", help="Draw boxes along its axes. Default: along the predictions."
        ),
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option(metavar="M,M,...", help="Limits of size bins in metres, e.g. 4,8,16."),
    ] = None,
    block: Annotated[
        float | None,
        typer.Option(
            metavar="METRES", help="Blocks of ground drawn for the intervals. Default: about 250."
        ),
    ] = None,
    resamples: Annotated[
        int, typer.Option(min=0, metavar="N", help="How often they are drawn; 0: no intervals.")
    ] = 1000,
    seed: Annotated[int, typer.Option(metavar="N", help="Start of all randomness.")] = 0,
    gsd: options.Gsd = None,
    bands: options.Bands = None,
    value_range: options.ValueRange = None,
    src_crs: options.SrcCrs = None,
    device: options.Device = "auto",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="GeoPackage with what is true, false and missed, styled for QGIS.",
        ),
    ] = None,
    plots: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where to draw curves as PNG.")
    ] = None,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure how good detections, or a model, are."""
    sources = EvaluationSources(
        predictions, truth, model, tuple(rasters or ()), tuple(labels or ())
    )
    sources.check()
    from geodetect.settings import EvaluateSettings, PredictSettings

    given = {
        "iou": iou,
        "distance": distance,
        "conf": conf,
        "pick_threshold": pick_threshold,
        "area": area,
        "ignore_classes": ignore_classes,
        "class_field": class_field,
        "score_field": score_field,
        "pred_crs": pred_crs,
        "truth_crs": truth_crs,
        "crs": crs,
        "sizes": parse_list(sizes, "--sizes"),
        "block": block,
        "resamples": resamples,
        "seed": seed,
    }
    run = {
        "gsd": gsd,
        "bands": options.parse_bands(bands),
        "value_range": options.parse_numbers(value_range, "--value-range", 2),
        "src_crs": src_crs,
        "device": device,
    }
    settings = options.parse_settings(EvaluateSettings, given)
    predict_settings = options.parse_settings(PredictSettings, run)
    files = EvaluationFiles(output, plots, overwrite)
    files.check()
    with console.progress_bar("tiles", quiet=quiet or model is None) as progress:
        result = sources.evaluate(settings, predict_settings, progress)
    files.write(result)
    evaluation_tables.show(result, files, as_json=as_json, quiet=quiet)
