"""Summary and plan that ``predict`` prints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from geodetect.errors import list_names
from geodetect.noun import list_class_counts
from geodetect_cli import console

if TYPE_CHECKING:
    from geodetect.detection.detection_layer import DetectionLayer
    from geodetect.detection.estimate import Estimate


def show_summary(
    layer: DetectionLayer,
    output: str,
    *,
    coverage: Path | None = None,
    settings: Mapping[str, Any],
    command: Literal["predict", "merge"] = "predict",
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Show the number of detections, and their files.

    Args:
        layer: The detections.
        output: File of the detections; ``-``: the output stream.
        coverage: File of the coverage; None: none.
        settings: What repeats the run, for JSON.
        command: Command that made them.
        as_json: Print JSON instead.
        quiet: Print no table.
        verbose: Show the objects of each raster, too.
    """
    summary = layer.summary
    if as_json:
        from geodetect_cli.json_output.detections import PredictOutput
        from geodetect_cli.json_output.shards import MergeOutput

        values = (PredictOutput if command == "predict" else MergeOutput).from_values(
            output=output,
            coverage=coverage,
            objects=len(layer),
            by_class=layer.by_class,
            truncated=layer.truncated,
            outlines=layer.outlines,
            area_m2=round(layer.area_m2, 2),
            rasters=sum(len(ground.rasters) for ground in layer.grounds),
            tiles=summary.tiles,
            empty_tiles=summary.empty_tiles,
            resumed_tiles=summary.resumed_tiles,
            run=None if summary.description is None else summary.description.as_dict(),
            left_out=summary.left_out,
            blank={name: round(fraction, 6) for name, fraction in layer.blank.items()},
            value_ranges=summary.value_ranges,
            settings=settings,
        )
        console.print_json(values)
    if as_json or quiet:
        return
    rows = [
        ("Detected", list_class_counts(layer.by_class)),
        ("Written to", "output stream" if output == "-" else output),
    ]
    if coverage == Path(output):
        rows.append(("", "with the searched ground as layer coverage"))
    elif coverage is not None:
        rows.append(("Searched ground", str(coverage)))
    if layer.area_m2:
        rows.append((layer.area_title, f"{layer.area_m2:,.0f} m²"))
    rows.append(("Tiles", f"{summary.tiles:,} searched, {summary.empty_tiles:,} without imagery"))
    if summary.resumed_tiles:
        rows.append(("From an earlier run", f"{summary.resumed_tiles:,} tiles"))
    if layer.blank:
        blank = (f"{fraction:.1%} of {name}" for name, fraction in layer.blank.items())
        rows.append(("Blank imagery", list_names(blank, limit=3)))
    if summary.value_ranges:
        ranges = (f"{a:g} to {b:g} of {name}" for name, (a, b) in summary.value_ranges.items())
        rows.append(("Value range", list_names(ranges, limit=3)))
    if layer.truncated or verbose:
        rows.append(("Cut by edges of imagery", f"{layer.truncated:,}"))
    if verbose:
        rows += [(name, f"{count:,}") for name, count in layer.by_raster.items()]
    rows += [("Left out", message) for message in summary.left_out.values()]
    console.show_table("", rows)


def show_estimate(estimate: Estimate, *, as_json: bool) -> None:
    """Show the plan of a run."""
    if as_json:
        from geodetect_cli.json_output.detections import PlanOutput

        console.print_json(PlanOutput.from_values(**estimate.as_dict()))
        return
    console.show_table("", list(estimate.display_rows()), out=console.SafeConsole())
