"""What is worth saying about the labels of a training, in one line each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from geodetect.io.labels.label_set import LabelSet, MapLabels
from geodetect.io.labels.labelled_raster import LabelledRaster
from geodetect.io.labels.placement import describe_unplaced_sources, explain_no_placement
from geodetect.label_check.coverage import Ground
from geodetect.label_check.problems import Problem
from geodetect.label_check.registration import ShiftEstimate
from geodetect.label_check.report import Finding, SharedGround
from geodetect.model.network.anchor_fit import RecallBin
from geodetect.types import FloatArray

SEVERITIES = ("error", "warning", "note")
TINY_PX = 4.0
TINY_SHARE = 0.05
FEW_OBJECTS = 20
# where anchors can find 72 %, training does as well with them as with fitted ones, and better on
# the smallest objects (docs/experiments.md)
LEAST_RECALL = 0.5
ANCHORS = "anchors"
MUCH_EMPTY = 0.5
COARSE_RATIO = 1.5
MOST_PAIRS = 3  # of rasters with the same ground that are named


@dataclass(frozen=True, eq=False)
class Evidence:
    """What was measured.

    Args:
        labels: All labels.
        sheets: Rasters with their labels.
        left_out: Rasters that cannot be used, with the reason, by path.
        problems: Labels that are probably wrong.
        ground: Nodata and ground without labels.
        shifts: Offsets between labels and imagery.
        shared: Pairs of rasters that show the same ground, the most first.
        names: Classes of the ``N`` labels on imagery.
        sizes_m: ``float64[N, 2]`` their true widths and heights.
        recall: Best-possible recall of the network's anchors by size; last of all.
        fitted_recall: The same of anchors fitted to these objects.
        gsd_m: Ground resolution of the training.
        chip_px: Side of its chips.
    """

    labels: LabelSet
    sheets: Sequence[LabelledRaster]
    left_out: Mapping[str, str]
    problems: Sequence[Problem]
    ground: Ground
    shifts: Sequence[ShiftEstimate]
    shared: Sequence[SharedGround]
    names: Sequence[str]
    sizes_m: FloatArray
    recall: Sequence[RecallBin]
    fitted_recall: Sequence[RecallBin]
    gsd_m: float
    chip_px: int


def findings_of(evidence: Evidence) -> tuple[Finding, ...]:
    """All findings, errors first."""
    found = [
        *_placement(evidence),
        *_rasters(evidence),
        *_overlaps(evidence.shared),
        *_files(evidence.labels),
        *_classes(evidence.names),
        *_sizes(evidence),
        *_shifts(evidence.shifts),
        *_ground(evidence.ground),
    ]
    return tuple(sorted(found, key=lambda finding: SEVERITIES.index(finding.severity)))


def _placement(evidence: Evidence) -> Iterator[Finding]:
    labels, sheets = evidence.labels, evidence.sheets
    if not any(len(sheet.ids) for sheet in sheets):
        yield Finding("error", "place", explain_no_placement(labels, sheets))
        return
    for text in describe_unplaced_sources(labels, sheets):
        yield Finding("warning", "place", text)
    counts = Counter(problem.reason for problem in evidence.problems)
    off, nodata = counts["off the imagery"], counts["on nodata"]
    if off + nodata == len(labels):
        text = f"all {len(labels)} labels lie off the imagery or on nodata"
        yield Finding("error", "place", text)
        return
    if off:
        yield Finding("warning", "place", f"{off} of {len(labels)} labels lie off the imagery")
    if nodata:
        yield Finding("warning", "place", f"{nodata} of {len(labels)} labels lie on nodata")
    if cut := counts["cut by the edge of the imagery"]:
        yield Finding("note", "place", f"{cut} labels lie mostly beyond the edge of the imagery")
    other = counts["duplicate of another class"]
    if twice := counts["duplicate"] + other:
        text = f"{twice} labels lie on another one, {other} of them on one of another class"
        yield Finding("warning", "duplicates", text)


def _rasters(evidence: Evidence) -> Iterator[Finding]:
    sheets, left_out = evidence.sheets, evidence.left_out
    if left_out:
        total = len({sheet.raster.path for sheet in sheets} | set(left_out))
        reason = next(iter(left_out.values()))
        yield Finding(
            "warning", "rasters", f"{len(left_out)} of {total} rasters cannot be used: {reason}"
        )
    coarse = [sheet for sheet in sheets if sheet.gsd_m > COARSE_RATIO * evidence.gsd_m]
    if coarse:
        text = (
            f"{len(coarse)} of {len(sheets)} rasters are coarser than the {evidence.gsd_m:g} m "
            f"of the training, such as {coarse[0].raster.name}"
        )
        yield Finding("note", "resolution", text)
    bare = sum(not len(sheet.boxes) for sheet in sheets)
    if 0 < bare < len(sheets):
        text = f"{bare} of {len(sheets)} rasters hold no label: they count as empty ground"
        yield Finding("note", "rasters", text)


def _overlaps(shared: Sequence[SharedGround]) -> Iterator[Finding]:
    if not shared:
        return
    pairs = [
        f"{pair.first} and {pair.second} ({pair.share:.0%} of the smaller one)"
        for pair in shared[:MOST_PAIRS]
    ]
    more = f" and {len(shared) - MOST_PAIRS:,} more pairs" if len(shared) > MOST_PAIRS else ""
    text = (
        f"rasters show the same ground: {', '.join(pairs)}{more}; it is learned twice: join them "
        f"to one raster, such as with gdalbuildvrt, or leave some out"
    )
    yield Finding("warning", "overlap", text)


def _files(labels: LabelSet) -> Iterator[Finding]:
    report = labels.report
    if report.dropped or report.crowds:
        yield Finding("warning", "geometry", str(report))
    elif report.repaired or report.split:
        yield Finding("note", "geometry", str(report))
    systems = {s.crs.name for s in labels.sources if isinstance(s, MapLabels)}
    if len(systems) > 1:
        yield Finding("note", "CRS", f"the labels are in {len(systems)} CRS: {_listed(systems)}")


def _classes(names: Sequence[str]) -> Iterator[Finding]:
    counts = Counter(names)
    rare = {f"{name} ({count})" for name, count in counts.items() if count < FEW_OBJECTS}
    if rare:
        text = f"fewer than {FEW_OBJECTS} objects of {_listed(rare)}: too few to learn from"
        yield Finding("warning", "classes", text)
    folded: dict[str, set[str]] = {}
    for name in counts:
        folded.setdefault("".join(name.casefold().split()), set()).add(name)
    for alike in folded.values():
        if len(alike) > 1:
            text = f"{_listed(alike)} are taken for different classes; spell them alike"
            yield Finding("warning", "classes", text)


def _sizes(evidence: Evidence) -> Iterator[Finding]:
    odd = sum("than its class" in problem.reason for problem in evidence.problems)
    if odd:
        text = f"{odd} labels are over ten times larger or smaller than usual in their class"
        yield Finding("warning", "sizes", text)
    sizes_px = evidence.sizes_m / evidence.gsd_m
    if not len(sizes_px):
        return
    tiny = float((sizes_px.min(axis=1) < TINY_PX).mean())
    if tiny > TINY_SHARE:
        text = f"{tiny:.0%} of the objects are under {TINY_PX:g} px wide; choose a finer --gsd"
        yield Finding("warning", "sizes", text)
    if large := int((sizes_px.max(axis=1) > evidence.chip_px).sum()):
        text = f"{large} objects are longer than a chip of {evidence.chip_px} px"
        yield Finding("warning", "sizes", f"{text}; choose a coarser --gsd or a larger --chip-px")
    if evidence.recall and evidence.recall[-1].recall < LEAST_RECALL:
        text = poor_anchors(evidence.recall[-1].recall, evidence.fitted_recall[-1].recall)
        yield Finding("warning", ANCHORS, text)


def poor_anchors(
    recall: float, fitted_recall: float, *, way: str = "train --anchors fitted"
) -> str:
    """That anchors can find few objects, in words.

    Args:
        recall: Best-possible recall of the anchors, 0..1.
        fitted_recall: That of fitted ones.
        way: Options that give a network fitted ones.
    """
    if recall >= fitted_recall:
        return (
            f"even fitted anchors can find at most {recall:.0%} of the objects; a finer --gsd "
            f"makes objects larger"
        )
    return (
        f"the network's anchors can find at most {recall:.0%} of the objects, fitted ones "
        f"{fitted_recall:.0%} ({way}); a finer --gsd makes objects larger"
    )


def _shifts(shifts: Sequence[ShiftEstimate]) -> Iterator[Finding]:
    for shift in shifts:
        if shift.suspected:
            across = f"{abs(shift.right_m):.1f} m {'right' if shift.right_m > 0 else 'left'}"
            along = f"{abs(shift.down_m):.1f} m {'down' if shift.down_m > 0 else 'up'}"
            text = (
                f"{shift.raster}: labels seem to lie {shift.shift_m:.1f} m beside the objects; "
                f"they would fit {across} and {along} of where they are"
            )
            yield Finding("warning", "shift", text)


def _ground(ground: Ground) -> Iterator[Finding]:
    if ground.far_m is None or not ground.blocks:
        return
    largest = ground.blocks[0]
    text = (
        f"{ground.far_share:.0%} of the ground is more than {ground.far_m:g} m from any label, "
        f"{largest.area_km2:.3g} km² of it in one piece of {largest.raster}; are all objects "
        f"there labelled?"
    )
    yield Finding("warning" if ground.far_share > MUCH_EMPTY else "note", "empty ground", text)


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))
