"""Summary of ``report``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geodetect_cli import console

if TYPE_CHECKING:
    from geodetect.reporting.map_report.report import ReportSummary


def show_report(summary: ReportSummary, *, as_json: bool, quiet: bool) -> None:
    """Show the files of a report and their sizes."""
    if as_json:
        from geodetect_cli.json_output.detections import ReportOutput

        console.print_json(
            ReportOutput.from_values(
                output=summary.output,
                objects=summary.predictions,
                objects_outside=summary.outside,
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
        ("Predictions", f"{summary.predictions:,}"),
    ]
    if summary.image_tiles:
        rows.append(("Imagery", f"{summary.image_tiles:,} tiles, {_size(summary.image_bytes)}"))
        inside = summary.folder is None
        rows.append(("", "inside the page" if inside else f"in {summary.folder}, keep it there"))
    if summary.imagery_gsd_m is not None:
        rows.append(("Finest resolution", f"{summary.imagery_gsd_m:.3g} m per pixel"))
    console.show_table("", rows)


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"
