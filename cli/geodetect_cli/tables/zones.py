"""What ``summarize`` shows at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from geodetect_cli import console

if TYPE_CHECKING:
    import geopandas as gpd

    from geodetect.assessment.summarize.zones import ZoneSummary
    from geodetect_cli.layer_output import LayerOutput

MOST_ROWS = 40  # of the zones listed


def show_zones(result: ZoneSummary, target: LayerOutput, *, as_json: bool, quiet: bool) -> None:
    """What was counted and where it is written; each zone if they are written nowhere."""
    if as_json:
        console.print_json({"output": target.name or None} | _values(result))
    if as_json or quiet:
        return
    if not target.name:
        here = Console()
        out = here if here.is_terminal else Console(file=here.file, width=console.UNWRAPPED)
        out.print(zone_table(result.zones))
    least = "" if result.conf is None else f" with a score of at least {result.conf:g}"
    rows = [
        ("Zones", f"{len(result.zones):,}, {result.zones['area_km2'].sum():,.3f} km²"),
        ("Ground", _ground(result)),
        ("Detections", f"{result.detections:,}{least}"),
        ("In a zone", f"{result.inside:,}"),
    ]
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
    if result.overlaps:
        rows.append(("Overlaps", _overlaps(result)))
    rows.append(("Written to", target.in_words()))
    console.show_table("", rows)


def zone_table(zones: gpd.GeoDataFrame) -> Table:
    """The zones one by one, up to ``MOST_ROWS`` of them."""
    is_corrected = "corrected_count" in zones
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("Zone", overflow="fold")
    for name in ("Count", "per km²", *(["Expected (95 %)"] if is_corrected else []), "Looked at"):
        table.add_column(name, justify="right", no_wrap=True)
    names = _names(zones)
    for number, one in enumerate(_records(zones)[:MOST_ROWS]):
        cells = [_number(one["count"]), _number(one["density_per_km2"])]
        if is_corrected:
            ends = f"{_number(one['corrected_low'])} to {_number(one['corrected_high'])}"
            cells.append(f"{_number(one['corrected_count'])} ({ends})")
        looked_at = one["looked_at"]
        share = f" ({one['covered_share']:.0%})" if looked_at == "part" else ""
        table.add_row(names[number], *cells, f"{looked_at}{share}")
    if len(zones) > MOST_ROWS:
        table.add_row(f"... and {len(zones) - MOST_ROWS:,} more; see -o and --json")
    return table


def _names(zones: gpd.GeoDataFrame) -> list[str]:
    """What each zone is called: its first column of texts, else its number in the file."""
    own = zones.columns[: list(zones.columns).index("count")]
    texts = [name for name in own if zones[name].dtype.kind not in "iufbM"]
    if not texts:
        return [str(number) for number in range(1, len(zones) + 1)]
    return ["" if name is None else str(name) for name in zones[texts[0]]]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.6g}"


def _records(zones: gpd.GeoDataFrame) -> list[dict[str, Any]]:
    """The zones as plain values for JSON, without their outlines."""
    columns = zones.drop(columns=zones.geometry.name)
    return [
        {str(name): _plain(value) for name, value in row.items()}
        for row in columns.to_dict("records")
    ]


def _plain(value: Any) -> Any:
    """A value that JSON has."""
    import pandas as pd

    if pd.isna(value):
        return None
    value = value.item() if hasattr(value, "item") else value
    return value if isinstance(value, bool | int | float | str) else str(value)


def _ground(result: ZoneSummary) -> str:
    """How much of the zones was looked at."""
    words = result.zones["looked_at"].value_counts()
    if "assumed" in words:
        return "taken as looked at everywhere (no --coverage)"
    covered = result.zones["covered_km2"].sum()
    parts = [
        f"{words[word]:,} {text}"
        for word, text in (("all", "whole"), ("part", "in part"), ("nothing", "not at all"))
        if word in words
    ]
    return f"{covered:,.3f} km² looked at; zones: {', '.join(parts)}"


def _overlaps(result: ZoneSummary) -> str:
    return (
        f"{result.overlaps:,} pairs of zones; {result.in_several:,} detections lie in several "
        f"and count in each"
    )


def _values(result: ZoneSummary) -> dict[str, Any]:
    words = result.zones["looked_at"].value_counts()
    values: dict[str, Any] = {
        "zones": len(result.zones),
        "looked_at": {str(word): int(n) for word, n in words.items()},
        "detections": result.detections,
        "inside": result.inside,
        "in_several": result.in_several,
        "overlapping_pairs": result.overlaps,
        "conf": result.conf,
        "corrected": None,
        "by_zone": _records(result.zones),
    }
    if result.corrected is not None and result.rates is not None:
        estimate, low, high = result.corrected
        values["corrected"] = {
            "count": round(estimate, 1),
            "low": low,
            "high": high,
            "precision": round(result.rates.precision, 6),
            "recall": round(result.rates.recall, 6),
            "dispersion": round(result.rates.dispersion, 4),
            "source": result.rates.source,
        }
    return values
