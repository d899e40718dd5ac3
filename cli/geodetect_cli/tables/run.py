"""Tables at the end of a command, and the same as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from geodetect.progress import duration
from geodetect_cli import console

if TYPE_CHECKING:
    from geodetect.detection.detection_layer import DetectionLayer
    from geodetect.detection.estimate import Estimate
    from geodetect.detection.predict import RunSummary


def show_run(
    objects: DetectionLayer,
    tally: RunSummary,
    output: str,
    *,
    coverage: Path | None = None,
    settings: Mapping[str, Any],
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """What ``predict`` found and where it is."""
    values = {
        "output": output,
        "objects": len(objects),
        "by_class": objects.by_class,
        "truncated": objects.truncated,
        "tiles": tally.tiles,
        "empty_tiles": tally.empty_tiles,
        "resumed_tiles": tally.resumed_tiles,
        "seconds": round(tally.seconds, 1),
        "failed": tally.failed,
    }
    if coverage is not None:
        values["coverage"] = str(coverage)
    if as_json:
        console.print_json(values | {"settings": settings})
    if as_json or quiet:
        return
    found = ", ".join(f"{n:,} {name}" for name, n in objects.by_class.items()) or "nothing"
    rows = [("Found", found), ("Written to", "output stream" if output == "-" else output)]
    if coverage == Path(output):
        rows.append(("", "with the ground looked at as layer coverage"))
    elif coverage is not None:
        rows.append(("Ground looked at", str(coverage)))
    if objects.area_m2:
        rows.append(("Area of their boxes", f"{objects.area_m2:,.0f} m²"))
    rows.append(("Tiles", f"{tally.tiles:,} looked at, {tally.empty_tiles:,} without imagery"))
    if tally.resumed_tiles:
        rows.append(("From an earlier run", f"{tally.resumed_tiles:,} tiles"))
    rows.append(("Time", duration(tally.seconds)))
    if verbose:
        rows += [("At the edge of imagery", f"{values['truncated']:,}"), *_by_raster(objects)]
    rows += [("Left out", message) for message in tally.failed.values()]
    console.show_table("", rows)


def show_estimate(estimate: Estimate, as_json: bool) -> None:
    """The plan of ``predict --dry-run``."""
    values = estimate.as_dict()
    if as_json:
        console.print_json(values)
        return
    rows = [
        ("Rasters", f"{len(estimate.rasters):,}"),
        ("Tiles", f"{estimate.tiles:,} to look at, {estimate.skipped_tiles:,} skipped"),
        ("Ground", f"{estimate.area_km2:,.3f} km² to look at, {estimate.skipped_km2:,.3f} skipped"),
        ("Time", f"about {duration(estimate.seconds)} ({estimate.seconds_per_tile:.2f} s a tile)"),
        ("Memory", f"about {estimate.memory_mb:,.0f} MB"),
        ("Runs on", estimate.runs_on),
    ]
    rows += [(Path(one.path).name, one.in_words()) for one in estimate.rasters[:20]]
    console.show_table(f"Plan for model {estimate.model}", rows, out=Console())


def _by_raster(objects: DetectionLayer) -> list[tuple[str, str]]:
    return [(name, f"{n:,}") for name, n in objects.by_raster.items()]
