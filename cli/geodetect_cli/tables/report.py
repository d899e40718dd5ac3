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
