"""``geodetect check``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from geodetect_cli import options
from geodetect_cli.tables import label_check as check_tables

EXAMPLES = """\b
Examples:
  geodetect check --rasters tiles/ --labels pools.geojson
  geodetect check --rasters a.tif --rasters b.tif --labels trees.shp -o problems.gpkg
  geodetect check --rasters tiles/ --labels stems.gpkg --point-size 4 --class-field species
  geodetect check --rasters tiles/ --labels coco/annotations.json --json"""


def command(
    rasters: Annotated[
        list[str], typer.Option(metavar="PATH", help="Rasters or folders of them. Repeatable.")
    ],
    labels: options.Labels,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write the labels in question, with reasons: .gpkg .geojson .fgb .parquet ...",
        ),
    ] = None,
    class_field: options.ClassField = None,
    point_size: options.PointSize = None,
    labels_crs: options.LabelsCrs = None,
    gsd: options.ChipGsd = None,
    chip_px: Annotated[
        int, typer.Option(min=64, metavar="PX", help="Side of the chips of the training.")
    ] = 384,
    bands: options.Bands = None,
    value_range: options.ValueRange = None,
    src_crs: options.SrcCrs = None,
    far: Annotated[
        float | None,
        typer.Option(
            metavar="METRES",
            help="Distance from labels from which ground counts as empty. Default: ten times "
            "their usual distance from each other.",
        ),
    ] = None,
    shift: Annotated[
        bool,
        typer.Option(
            "--shift/--no-shift", help="Look for a shift between labels and imagery (slowest)."
        ),
    ] = True,
    seed: Annotated[int, typer.Option(metavar="N", help="Start of all randomness.")] = 0,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Check labels and rasters before a training."""
    from geodetect.io.vector import write as vector
    from geodetect.label_check.check import check
    from geodetect.label_check.problems import write_problems
    from geodetect.settings import CheckSettings

    settings = options.parse_settings(
        CheckSettings,
        {
            "gsd": gsd,
            "chip_px": chip_px,
            "bands": options.parse_bands(bands),
            "value_range": options.parse_numbers(value_range, "--value-range", 2),
            "src_crs": src_crs,
            "labels_crs": labels_crs,
            "class_field": class_field,
            "point_size": point_size,
            "far": far,
            "shift": shift,
            "seed": seed,
        },
    )
    if output is not None:
        vector.check_target(output, overwrite=overwrite)
    report = check(rasters, [str(path) for path in labels], settings=settings)
    if output is not None:
        write_problems(report.problems, output, overwrite=overwrite)
    check_tables.show(report, output, as_json=as_json, quiet=quiet)
    report.raise_errors()
