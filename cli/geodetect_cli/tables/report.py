"""Summary of ``report``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from geodetect_cli import console

if TYPE_CHECKING:
    from geodetect.reporting.drawing.zones import ZoneCounts
    from geodetect.reporting.map_report.report import ReportSummary


def show_report(summary: ReportSummary, *, as_json: bool, quiet: bool) -> None:
    """Show the files of a report and their sizes."""
    if as_json:
        from geodetect_cli.json_output.detections import ReportOutput

        console.print_json(
            ReportOutput.from_values(
                output=summary.output,
                objects=summary.detected,
                objects_outside=summary.outside,
                counts=summary.statuses,
                results=summary.errors,
                zones=None if summary.zones is None else len(summary.zones.zones),
                rasters=summary.rasters,
                page_bytes=summary.page_bytes,
                folder=summary.folder,
                image_tiles=summary.image_tiles,
                image_bytes=summary.image_bytes,
                imagery_gsd_m=summary.imagery_gsd_m,
            )
        )
    if as_json or quiet:
        return
    rows = [
        ("Report", f"{summary.output} ({_size(summary.page_bytes)})"),
        ("Predictions" if summary.statuses is None else "Changes", f"{summary.predictions:,}"),
    ]
    if summary.statuses is not None:
        rows += [
            ("", f"{n:,} {name or 'without a status'}") for name, n in summary.statuses.items()
        ]
    if summary.errors is not None:
        rows.append(("Results", _describe_results(summary.errors)))
    if summary.zones is not None:
        rows += _list_zone_rows(summary.zones)
    if summary.image_tiles:
        rows.append(("Imagery", f"{summary.image_tiles:,} tiles, {_size(summary.image_bytes)}"))
        inside = summary.folder is None
        rows.append(("", "inside the page" if inside else f"in {summary.folder}, keep it there"))
    if summary.imagery_gsd_m is not None:
        rows.append(("Finest resolution", f"{summary.imagery_gsd_m:.3g} m per pixel"))
    console.show_table("", rows)


def _describe_results(counts: Mapping[str, int]) -> str:
    names = {
        "tp": "true positives",
        "fp": "false positives",
        "fn": "false negatives",
        "loose": "of them with a box that is off",
    }
    return ", ".join(f"{counts[key]:,} {name}" for key, name in names.items())


def _list_zone_rows(counts: ZoneCounts) -> list[tuple[str, str]]:
    """Rows on zones, and on objects in several or none of them."""
    text = f"{len(counts.zones):,}"
    if counts.left_out:
        text += f"; {counts.left_out:,} more without objects are not on the map"
    least = "" if counts.conf is None else f" with a score of at least {counts.conf:g}"
    rows = [("Zones", text), ("In a zone", f"{counts.in_zones:,} of {counts.counted:,}{least}")]
    if counts.corrected is not None:
        estimate, low, high = counts.corrected
        rows.append(("Objects expected", f"{estimate:,.0f} (95 %: {low:,.0f} to {high:,.0f})"))
    if counts.overlapping_pairs:
        text = (
            f"{counts.overlapping_pairs:,} pairs of zones; {counts.in_several:,} predictions lie "
            f"in several and count in each"
        )
        rows.append(("Overlaps", text))
    return rows


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"
