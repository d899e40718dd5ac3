"""Tables that ``check`` prints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from geodetect.errors import list_names
from geodetect_cli import console

if TYPE_CHECKING:
    from geodetect.label_check.report import LabelReport

COLOURS = {"error": "red", "warning": "yellow", "note": "cyan"}
MOST_SHIFTS = 8


def show(report: LabelReport, output: Path | None, *, as_json: bool, quiet: bool) -> None:
    """Show the figures and findings of a label check on the output stream."""
    if as_json:
        from geodetect_cli.json_output.labels import CheckOutput

        console.print_json(CheckOutput.from_values(output=output, **report.as_dict()))
    if as_json or quiet:
        return
    out = console.result_console()
    console.show_table("", list(_overview(report)), out=out)
    for table in (size_table(report), recall_table(report)):
        if table.row_count:
            out.print()
            out.print(table)
    out.print()
    for finding in report.findings:
        head = (f"{finding.severity}: ", COLOURS[finding.severity])
        text = console.name_options(finding.text)
        out.print(Text.assemble(head, (f"{finding.topic}: ", "bold"), text))
    if not report.findings:
        out.print("no findings")
    if output is not None:
        out.print(f"{len(report.problems):,} features with reasons in {output}", highlight=False)


def _overview(report: LabelReport) -> Iterator[tuple[str, str]]:
    yield "Rasters", f"{report.rasters:,}, in {list_names(report.raster_crs)}"
    yield "Labels", f"{report.labels:,}, in {list_names(report.label_crs)}"
    yield "On imagery", f"{report.labels_on_imagery:,}"
    yield "Resolution", f"{report.gsd_m:g} m per pixel in training"
    if report.far_m is not None:
        far = f"{report.far_fraction:.0%} more than {report.far_m:g} m from any label"
        yield "Ground", f"{report.area_km2:,.3g} km², {far}"
    for shift in report.shifts[:MOST_SHIFTS]:
        prefix = "" if shift.suspected else "none "
        yield "Shift", f"{prefix}suspected in {shift.labels} labels of {shift.raster}"
    if len(report.shifts) > MOST_SHIFTS:
        yield "Shift", f"and {len(report.shifts) - MOST_SHIFTS} more; see --json"
    if (loose := report.looseness) is not None:
        excess = f"{abs(loose.excess_m):.2f} m {'larger' if loose.excess_m >= 0 else 'smaller'}"
        yield "Size", f"{excess} than objects on each side (median of {loose.labels:,} labels)"


def size_table(report: LabelReport) -> Table:
    """Return percentiles of the sides of boxes, on the ground and in pixels of the training."""
    sides = ("Width 5 %", "50 %", "95 %", "Length 5 %", "50 %", "95 %")
    table = _table("Sizes of boxes", "Objects", "", *sides)
    for sizes in report.sizes:
        in_m, in_px = (*sizes.width_m, *sizes.length_m), (*sizes.width_px, *sizes.length_px)
        table.add_row(sizes.class_name, f"{sizes.labels:,}", "m", *(f"{side:.3g}" for side in in_m))
        table.add_row("", "", "px", *(f"{side:.3g}" for side in in_px))
    return table


def recall_table(report: LabelReport) -> Table:
    """Return the maximum recall and mean best IoU by size, of default and fitted anchors."""
    table = _table("Objects anchors can find", "Objects", "Default", "IoU", "Fitted", "IoU")
    for default, fitted in zip(report.anchor_recall, report.fitted_anchor_recall, strict=True):
        name = f"{default.low_px:g} to {default.high_px:g} px"
        if default.high_px == float("inf"):
            name = f"over {default.low_px:g} px"
        if default is report.anchor_recall[-1]:
            name = "all"
        cells = [
            text
            for size_bin in (default, fitted)
            for text in (f"{size_bin.recall:.1%}", f"{size_bin.mean_iou:.2f}")
        ]
        table.add_row(name, f"{default.labels:,}", *cells)
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(title, overflow="fold")
    for column in columns:
        table.add_column(column, justify="right")
    return table
