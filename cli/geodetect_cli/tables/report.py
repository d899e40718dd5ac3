"""Summary of ``report``."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from geodetect_cli import console

if TYPE_CHECKING:
    from geodetect.reporting.map_report.report import ReportSummary


def show_report(summary: ReportSummary, *, as_json: bool, quiet: bool) -> None:
    """Show the files of a report and their sizes."""
    if as_json:
        values = dataclasses.asdict(summary)
        folder = None if summary.folder is None else str(summary.folder)
        console.print_json(values | {"output": str(summary.output), "folder": folder})
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
