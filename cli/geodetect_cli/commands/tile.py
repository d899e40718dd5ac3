"""``geodetect tile``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from geodetect_cli import console, options
from geodetect_cli.tables import run as summaries

EXAMPLES = """\b
Examples:
  geodetect tile scene.tif --labels pools.geojson -o chips/
  geodetect tile scene.tif --labels pools.geojson -o yolo/ --format yolo --chip-px 640 --empty 1
  geodetect tile sheets/*.tif --labels trees.gpkg -o voc/ --format voc --image-format tif"""


def command(
    rasters: options.Rasters,
    labels: options.Labels,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder to make.")
    ],
    format: Annotated[  # noqa: A002 (the option is called --format)
        str, typer.Option(metavar="NAME", help="coco, yolo or voc.")
    ] = "coco",
    chip_px: Annotated[int, typer.Option(min=1, metavar="PX", help="Side of a chip.")] = 512,
    overlap_px: Annotated[int, typer.Option(min=0, metavar="PX", help="Overlap of chips.")] = 0,
    gsd: options.ChipGsd = None,
    empty: Annotated[
        float,
        typer.Option(metavar="N", help="Chips without objects for each chip with; inf: all."),
    ] = 0,
    min_visible: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            help="A box cut by a chip's edge is clipped and kept from this share on.",
        ),
    ] = 0.5,
    image_format: Annotated[str, typer.Option(metavar="NAME", help="png, jpg or tif.")] = "png",
    class_field: options.ClassField = None,
    point_size: options.PointSize = None,
    labels_crs: options.LabelsCrs = None,
    bands: options.Bands = None,
    value_range: options.ValueRange = None,
    src_crs: options.SrcCrs = None,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Cut rasters and labels into chips for training elsewhere."""
    from geodetect.chips.export import export_chips
    from geodetect.io.raster.reader import RasterOptions

    if overlap_px >= chip_px:
        raise typer.BadParameter(
            f"expected less than the {chip_px} px of --chip-px; found {overlap_px}",
            param_hint="--overlap-px",
        )
    value_limits = options.parse_numbers(value_range, "--value-range", 2)
    raster_options = RasterOptions(
        bands=options.parse_bands(bands),
        value_range=None if value_limits is None else (value_limits[0], value_limits[1]),
        src_crs=src_crs,
    )
    with console.progress_bar("chips", quiet=quiet) as progress:
        summary = export_chips(
            rasters,
            labels,
            output,
            format=format,
            chip_px=chip_px,
            overlap_px=overlap_px,
            gsd_m=gsd,
            empty=empty,
            min_visible=min_visible,
            class_field=class_field,
            labels_crs=labels_crs,
            point_size_m=point_size,
            image_format=image_format,
            raster_options=raster_options,
            overwrite=overwrite,
            progress=progress,
        )
    values = dataclasses.asdict(summary) | {"output": str(summary.output)}
    if as_json:
        console.print_json(values)
    elif not quiet:
        summaries.show_values(f"Chips in {output}", values, out=console.people)
