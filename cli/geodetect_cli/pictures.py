"""What ``report`` and ``preview`` share: options, and the summary of a report."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geodetect_cli import console, options

if TYPE_CHECKING:
    from geodetect.reporting.map_report.report import ReportSummary

Predictions = Annotated[
    str, typer.Argument(metavar="PRED", help="Detections, any vector format and CRS.")
]
ImageryGsd = Annotated[
    float | None,
    typer.Option(
        metavar="METRES",
        parser=options.parse_gsd,
        help="Finest ground resolution of the imagery shown, e.g. 0.5 or 50cm. Default: its own.",
    ),
]
ScoreField = Annotated[
    str | None, typer.Option(metavar="NAME", help="Column of the detections that holds the score.")
]
PredCrs = Annotated[
    str | None, typer.Option(metavar="CRS", help="CRS of the detections, instead of their own.")
]
RasterCrs = Annotated[
    str | None, typer.Option(metavar="CRS", help="CRS of the raster, instead of its own.")
]
PixelCoords = Annotated[
    bool,
    typer.Option("--pixel-coords", help="Everything is in pixel columns and rows of the raster."),
]


def reading(
    bands: str | None, value_range: str | None, pred_crs: str | None, *, score_field: str | None
) -> dict[str, Any]:
    """Settings of how files are read, from the texts of the options."""
    return {
        "bands": options.parse_bands(bands),
        "value_range": options.parse_numbers(value_range, "--value-range", 2),
        "pred_crs": pred_crs,
        "score_field": score_field,
    }


def show_report(summary: ReportSummary, *, as_json: bool, quiet: bool) -> None:
    """What ``report`` wrote, and where."""
    if as_json:
        values = dataclasses.asdict(summary)
        files = None if summary.files is None else str(summary.files)
        console.print_json(values | {"output": str(summary.output), "files": files})
    if as_json or quiet:
        return
    rows = [
        ("Report", f"{summary.output} ({_size(summary.page_bytes)})"),
        ("Detections", f"{summary.objects:,}"),
    ]
    if summary.pictures:
        place = "inside the page" if summary.files is None else f"in {summary.files}, keep it there"
        rows.append(("Imagery", f"{summary.pictures:,} pictures, {_size(summary.picture_bytes)}"))
        rows.append(("", place))
    if summary.imagery_gsd_m is not None:
        rows.append(("Finest resolution", f"{summary.imagery_gsd_m:.3g} m per pixel"))
    console.show_table("", rows)


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"
