"""Summary that ``compare`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geodetect_cli import console

if TYPE_CHECKING:
    from geodetect.assessment.compare.comparison import Comparison
    from geodetect.assessment.compare.parcels import ParcelCounts
    from geodetect.settings import CompareSettings
    from geodetect_cli.layer_output import LayerOutput

MOST_IDS = 10  # of features outside all parcels


def show_comparison(
    result: Comparison,
    settings: CompareSettings,
    target: LayerOutput,
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    """Print the counts of changes and the file they are written to."""
    if as_json:
        from geodetect_cli.json_output.assessments import CompareOutput

        output = CompareOutput.from_values(output=target.name or None, **result.as_dict())
        console.print_json(output)
    if as_json or quiet:
        return
    from geodetect.assessment.compare.area_changes import AreaAgreement

    kind, distance = result.kind, result.changes["distance_m"]
    meanings = {
        kind.added: "only in the predictions",
        "confirmed": f"in both, less than {settings.moved_from:g} m apart",
        "moved": f"in both, up to {settings.distance:g} m apart",
        kind.removed: f"only in {kind.role.name}",
        "not searched": f"only in {kind.role.name}, outside the coverage",
    }
    rows = [
        (status.capitalize(), f"{count:,}  {meanings[status]}")
        for status, count in result.counts.items()
        if count or status != "not searched"
    ]
    if distance.notna().any():
        median, most = distance.quantile(0.5), distance.quantile(0.95)
        rows.append(("Distance of pairs", f"median {median:.2f} m, 95 % below {most:.2f} m"))
    if (areas := AreaAgreement.from_changes(result.changes)) is not None:
        rows.append(("Areas", str(areas)))
    if result.offset is not None:
        state = "taken out" if result.aligned else "in the distances; --align takes it out"
        rows.append(("Offset", f"{kind.role.name} {result.offset}, {state}"))
    elif settings.align:
        rows.append(("Offset", "none that is certain"))
    rows.append(("Classes", "compared" if result.by_class else "ignored"))
    if result.parcels is not None:
        rows += _list_parcel_rows(result, result.parcels)
    rows.append(("Written to", str(target)))
    console.show_table("", rows)


def _list_parcel_rows(result: Comparison, parcels: ParcelCounts) -> list[tuple[str, str]]:
    """Rows on parcels with changes, and on features outside all parcels."""
    kind, table = result.kind, parcels.table
    changed = table[[kind.added, "moved", kind.removed]].sum(axis=1) > 0
    rows = [("Parcels", f"{len(table):,}, {changed.sum():,} of them with changes")]
    ids = parcels.outside
    if ids:
        numbers = ", ".join(map(str, ids[:MOST_IDS])) + (", ..." if len(ids) > MOST_IDS else "")
        counts = result.changes["status"][result.changes["parcel"].isna()].value_counts()
        text = ", ".join(f"{counts[word]:,} {word}" for word in result.statuses if word in counts)
        rows.append(("In no parcel", f"{text} (id {numbers})"))
    if parcels.in_several:
        rows.append(("In several parcels", f"{parcels.in_several:,}, counted in the first"))
    return rows
