"""What ``summarize`` shows at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from geodetect_cli import console

if TYPE_CHECKING:
    from geodetect.assessment.zones import ZoneSummary


def show_zones(result: ZoneSummary, output: str, *, as_json: bool, quiet: bool) -> None:
    """What was counted and where it is written."""
    if as_json:
        console.print_json(_values(result, output))
    if as_json or quiet:
        return
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
    rows.append(("Written to", output))
    console.show_table("", rows)


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


def _values(result: ZoneSummary, output: str) -> dict[str, Any]:
    words = result.zones["looked_at"].value_counts()
    values: dict[str, Any] = {
        "output": output,
        "zones": len(result.zones),
        "looked_at": {str(word): int(n) for word, n in words.items()},
        "detections": result.detections,
        "inside": result.inside,
        "in_several": result.in_several,
        "overlapping_pairs": result.overlaps,
        "conf": result.conf,
        "corrected": None,
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
