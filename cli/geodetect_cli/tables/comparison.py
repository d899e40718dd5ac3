"""What ``compare`` shows at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from geodetect_cli import console

if TYPE_CHECKING:
    import pandas as pd

    from geodetect.assessment.compare.comparison import Comparison
    from geodetect.settings import CompareSettings
    from geodetect_cli.layer_output import LayerOutput

NAMED = 10  # of the features outside all parcels


def show_comparison(
    result: Comparison,
    settings: CompareSettings,
    target: LayerOutput,
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    """What changed and where it is written."""
    if as_json:
        console.print_json({"output": target.name or None} | _values(result))
    if as_json or quiet:
        return
    words, distance = result.words, result.changes["distance_m"]
    meanings = {
        words.found: "only among the detections",
        "confirmed": f"in both, less than {settings.moved_from:g} m apart",
        "moved": f"in both, up to {settings.tolerance:g} m apart",
        words.gone: f"only in {words.role.name}",
        "not looked at": f"only in {words.role.name}, outside the coverage",
    }
    rows = [
        (status.capitalize(), f"{count:,}  {meanings[status]}")
        for status, count in result.counts.items()
    ]
    if distance.notna().any():
        rows.append(("Distance of pairs", _distances(distance)))
    rows.append(("Classes", "compared" if result.by_class else "ignored"))
    if result.parcels is not None:
        rows += _parcel_rows(result)
    rows.append(("Written to", target.in_words()))
    console.show_table("", rows)


def _distances(distance: pd.Series[float]) -> str:
    median, most = distance.quantile(0.5), distance.quantile(0.95)
    return f"median {median:.2f} m, 95 % below {most:.2f} m"


def _parcel_rows(result: Comparison) -> list[tuple[str, str]]:
    """How many parcels have changes, and which features lie in none."""
    assert result.parcels is not None
    words, table = result.words, result.parcels.table
    changed = table[[words.found, "moved", words.gone]].sum(axis=1) > 0
    rows = [("Parcels", f"{len(table):,}, {changed.sum():,} of them with changes")]
    outside = result.parcels.outside
    if outside:
        numbers = ", ".join(map(str, outside[:NAMED])) + (", ..." if len(outside) > NAMED else "")
        kinds = result.changes["status"][result.changes["parcel"].isna()].value_counts()
        text = ", ".join(f"{kinds[word]:,} {word}" for word in result.statuses if word in kinds)
        rows.append(("In no parcel", f"{text} (id {numbers})"))
    if result.parcels.in_several:
        rows.append(("In several parcels", f"{result.parcels.in_several:,}, counted in the first"))
    return rows


def _values(result: Comparison) -> dict[str, Any]:
    distance = result.changes["distance_m"].dropna()
    values: dict[str, Any] = {
        "counts": result.counts,
        "pairs": len(distance),
        "median_distance_m": round(float(distance.median()), 2) if len(distance) else None,
        "by_class": result.by_class,
    }
    if result.parcels is not None:
        values["parcels"] = {
            "count": len(result.parcels.table),
            "outside": list(result.parcels.outside),
            "in_several": result.parcels.in_several,
        }
    return values
