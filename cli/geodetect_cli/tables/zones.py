"""Summary that ``summarize`` prints."""

from __future__ import annotations

import math
from itertools import compress
from typing import TYPE_CHECKING

from rich.table import Table

from geodetect_cli import console

if TYPE_CHECKING:
    from geodetect.assessment.summarize.zones import ZoneSummary
    from geodetect_cli.layer_output import LayerOutput

MOST_ROWS = 40  # of zones


def show_zones(result: ZoneSummary, target: LayerOutput, *, as_json: bool, quiet: bool) -> None:
    """Print the counts and the file they are written to; each zone if there is no file."""
    if as_json:
        from geodetect_cli.json_output.assessments import SummarizeOutput

        output = SummarizeOutput.from_values(output=target.name or None, **result.as_dict())
        console.print_json(output)
    if as_json or quiet:
        return
    if not target.name:
        console.result_console().print(zone_table(result))
    least = "" if result.conf is None else f" with a score of at least {result.conf:g}"
    rows = [
        ("Zones", f"{len(result.zones):,}, {result.zones['area_km2'].sum():,.3f} km²"),
        ("Ground", _format_searched(result)),
        ("Predictions", f"{result.n_predictions:,}{least}"),
        ("In a zone", f"{result.in_zones:,}"),
    ]
    if not math.isnan(result.object_area.m2):
        rows.append(("Their area", str(result.object_area)))
    if result.corrected is not None and result.rates is not None:
        estimate, low, high = result.corrected
        rates = result.rates
        rows += [
            ("Objects expected", f"{estimate:,.0f} (95 %: {low:,.0f} to {high:,.0f})"),
            ("Corrected by", f"precision {rates.precision:.3f}, recall {rates.recall:.3f}"),
            ("", f"from {rates.source}; dispersion {rates.dispersion:.2f}"),
        ]
    else:
        rows.append(("Objects expected", "not corrected; see --metrics and --model"))
    if result.overlapping_pairs:
        text = (
            f"{result.overlapping_pairs:,} pairs of zones; {result.in_several:,} predictions lie "
            f"in several and count in each"
        )
        rows.append(("Overlaps", text))
    rows.append(("Written to", str(target)))
    console.show_table("", rows)


def zone_table(result: ZoneSummary) -> Table:
    """Return a table of the zones, up to ``MOST_ROWS`` of them."""
    from geodetect.assessment.summarize.zone_layers import name_zones

    zones = result.zones
    is_corrected = "corrected_count" in zones
    has_intervals = "object_area_low_m2" in zones
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("Zone", overflow="fold")
    headings = ["Count", "per km²", "Expected (95 %)", "m² (95 %)", "Searched"]
    is_shown = [True, True, is_corrected, has_intervals, True]
    for name in compress(headings, is_shown):
        table.add_column(name, justify="right", no_wrap=True)
    names = name_zones(zones)
    for name, zone in list(zip(names, result.records(), strict=True))[:MOST_ROWS]:
        cells = [_format_number(zone["count"]), _format_number(zone["density_per_km2"])]
        if is_corrected:
            columns = ("corrected_count", "corrected_low", "corrected_high")
            count, low, high = (_format_number(zone[column]) for column in columns)
            cells.append(f"{count} ({low} to {high})")
        if has_intervals:
            columns = ("object_area_m2", "object_area_low_m2", "object_area_high_m2")
            area, low, high = (_format_area(zone[column]) for column in columns)
            cells.append(f"{area} ({low} to {high})")
        searched = zone["searched"]
        fraction = f" ({zone['covered_fraction']:.0%})" if searched == "part" else ""
        table.add_row(name, *cells, f"{searched}{fraction}")
    if len(zones) > MOST_ROWS:
        table.add_row(f"... and {len(zones) - MOST_ROWS:,} more; see -o and --json")
    return table


def _format_number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.6g}"


def _format_area(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _format_searched(result: ZoneSummary) -> str:
    """Return how much of the zones was searched, as text."""
    counts = result.zones["searched"].value_counts()
    if "assumed" in counts:
        return "taken as searched everywhere (no --coverage)"
    covered = result.zones["covered_km2"].sum()
    parts = [
        f"{counts[word]:,} {text}"
        for word, text in (("all", "whole"), ("part", "in part"), ("none", "not at all"))
        if word in counts
    ]
    return f"{covered:,.3f} km² searched; zones: {', '.join(parts)}"
