"""``geodetect predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from geodetect_cli import console, options
from geodetect_cli.tables import run as summaries

EXAMPLES = """\b
Examples:
  geodetect predict scene.tif -o pools.geojson
  geodetect predict sheets/*.tif -o city.gpkg --aoi town.gpkg --style
  geodetect predict scene.tif -o - --conf 0.7 > sure.geojson
  geodetect predict scene.tif -o pools.geojson --coverage ground.geojson
  geodetect predict scene.tif --dry-run"""


def command(
    rasters: options.Rasters,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where to write: .geojson .geojsonl .gpkg .fgb .parquet .shp .csv, or - for "
            "GeoJSON on the output stream.",
        ),
    ] = "",
    model: Annotated[
        str, typer.Option("--model", "-m", metavar="NAME|FILE", help="See `geodetect models`.")
    ] = "pools",
    conf: Annotated[
        float | None,
        typer.Option(
            "--conf", "-c", min=0, max=1, metavar="SCORE", help="Least score. Default: the model's."
        ),
    ] = None,
    iou: Annotated[
        float | None,
        typer.Option(
            metavar="IOU", help="Overlap from which two boxes are one object. Default: the model's."
        ),
    ] = None,
    tile_size: Annotated[
        int | None,
        typer.Option(
            metavar="PX", help="Side of a tile. Default: near the model's, to fit the raster."
        ),
    ] = None,
    overlap: options.Overlap = None,
    gsd: options.Gsd = None,
    bands: options.Bands = None,
    value_range: options.ValueRange = None,
    classes: Annotated[
        str | None, typer.Option(metavar="NAME,NAME", help="Keep only these classes.")
    ] = None,
    aoi: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Polygons to search in, any CRS.")
    ] = None,
    bbox: Annotated[
        str | None,
        typer.Option(metavar="X,Y,X,Y", help="Rectangle to search in, in the raster's CRS."),
    ] = None,
    coverage: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where to write the ground that was looked at, skipped and why: any vector "
            "format. Default: layer coverage of the output, if that is a .gpkg.",
        ),
    ] = None,
    src_crs: options.SrcCrs = None,
    pixel_coords: Annotated[
        bool, typer.Option("--pixel-coords", help="Ignore georeference: columns and rows.")
    ] = False,
    crs: Annotated[
        str | None, typer.Option(metavar="CRS", help="CRS of the output. Default: the raster's.")
    ] = None,
    format: Annotated[  # noqa: A002 (the option is called --format)
        str | None, typer.Option(metavar="NAME", help="Format of the output, whatever its suffix.")
    ] = None,
    style: Annotated[
        bool, typer.Option("--style", help="Have QGIS colour boxes by score (.gpkg, .geojson).")
    ] = False,
    device: options.Device = "auto",
    runtime: options.Runtime = "auto",
    precision: options.Precision = "auto",
    batch_size: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Tiles run at once.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Threads that read.")
    ] = None,
    work_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Where to keep the journal from which a run that died goes on. Default: beside "
            "the output, for runs of 100 tiles and more.",
        ),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Give up what an earlier run of this output did.")
    ] = False,
    no_journal: Annotated[
        bool, typer.Option("--no-journal", help="Keep none: a run that dies starts again.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show tiles, resolution, time and memory; no output.")
    ] = False,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Find objects in rasters and write them as a map layer."""
    to_stream = output == "-"
    if not output and not dry_run:
        raise typer.BadParameter("name a file with -o, or use --dry-run", param_hint="--output")
    plain = (format or "geojson").lower().lstrip(".") in ("geojson", "json")
    if to_stream and (as_json or not plain or crs or style):
        raise typer.BadParameter(
            "-o - writes plain GeoJSON; it goes without --json, --format, --crs and --style",
            param_hint="--output",
        )
    from geodetect.detection import estimate
    from geodetect.detection import predict as inference
    from geodetect.settings import PredictSettings
    from geodetect_cli import targets

    settings = options.parse_settings(
        PredictSettings,
        {
            "tile_size": tile_size,
            "overlap": overlap,
            "conf": conf,
            "iou": iou,
            "gsd": gsd,
            "bands": options.parse_bands(bands),
            "value_range": options.parse_numbers(value_range, "--value-range", 2),
            "classes": options.parse_names(classes),
            "aoi": aoi,
            "bbox": options.parse_numbers(bbox, "--bbox", 4),
            "src_crs": src_crs,
            "pixel_coords": pixel_coords,
            "device": device,
            "runtime": runtime,
            "precision": precision,
            "batch_size": batch_size,
            "workers": workers,
        },
    )
    target = targets.PredictTarget(output, coverage, format, crs, overwrite, style, work_dir)
    target.check(restart=restart or no_journal)
    if dry_run:
        summaries.show_estimate(estimate.estimate(rasters, model, settings=settings), as_json)
        return
    tally = inference.RunSummary()
    journal = None if no_journal else target.journal(restart=restart)
    with console.progress_bar("tiles", quiet=quiet) as progress, targets.kept(journal):
        found = inference.predict_layer(
            rasters, model, settings=settings, progress=progress, tally=tally, journal=journal
        )
        target.write(found, tally.coverage, journal=journal)
    summaries.show_run(
        found,
        tally,
        output,
        coverage=target.coverage_file,
        as_json=as_json,
        quiet=quiet,
        verbose=verbose,
    )
