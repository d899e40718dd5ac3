"""Findings of the label check, each a message of one line."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from geodetect.errors import list_names
from geodetect.io.labels.label_set import LabelSet, MapLabels
from geodetect.io.labels.labelled_raster import LabelledRaster
from geodetect.io.labels.placement import describe_unplaced_sources, explain_no_placement
from geodetect.label_check import problems as reasons
from geodetect.label_check.coverage import LabelCoverage
from geodetect.label_check.looseness import LoosenessEstimate, box_mask
from geodetect.label_check.problems import Problem
from geodetect.label_check.registration import ShiftEstimate
from geodetect.label_check.report import Finding, RasterOverlap
from geodetect.model.network.anchor_fit import RecallBin
from geodetect.types import FloatArray

TINY_PX = 4.0
MOST_TINY = 0.05  # fraction of the objects
FEW_OBJECTS = 20
# where anchors can find 72 %, training does as well with them as with fitted ones, and better on
# the smallest objects (docs/experiments.md)
LEAST_RECALL = 0.5
SMALL_PX, LARGE_PX = 32.0, 128.0  # of objects that another resolution brings nearer to anchors
ANCHORS = "anchors"
LEAST_MIXED = 10  # boxes, and outlines
MOST_FAR = 0.5  # fraction of the imagery
COARSE_RATIO = 1.5
MOST_PAIRS = 3  # overlapping rasters that are named


def check_placement(
    labels: LabelSet, rasters: Sequence[LabelledRaster], problems: Iterable[Problem]
) -> Iterator[Finding]:
    """Report labels on no imagery, and duplicates."""
    if not any(len(labelled.ids) for labelled in rasters):
        yield Finding("error", "place", explain_no_placement(labels, rasters))
        return
    for text in describe_unplaced_sources(labels, rasters):
        yield Finding("warning", "place", text)
    counts = Counter(problem.reason for problem in problems)
    off, on_nodata = counts[reasons.OFF_IMAGERY], counts[reasons.ON_NODATA]
    if off + on_nodata == len(labels):
        text = f"all {len(labels)} labels lie off the imagery or on nodata"
        yield Finding("error", "place", text)
        return
    if off:
        yield Finding("warning", "place", f"{off} of {len(labels)} labels lie off the imagery")
    if on_nodata:
        yield Finding("warning", "place", f"{on_nodata} of {len(labels)} labels lie on nodata")
    if cut := counts[reasons.CUT]:
        yield Finding("note", "place", f"{cut} labels lie mostly beyond the edge of the imagery")
    other_class = counts[reasons.OTHER_CLASS]
    if duplicates := counts[reasons.DUPLICATE] + other_class:
        text = (
            f"{duplicates} labels lie on another one, {other_class} of them on one of another class"
        )
        yield Finding("warning", "duplicates", text)


def check_rasters(
    rasters: Sequence[LabelledRaster], left_out: Mapping[str, str], gsd_m: float
) -> Iterator[Finding]:
    """Report rasters that cannot be used, are too coarse or have no labels."""
    if left_out:
        total = len({labelled.raster.path for labelled in rasters} | set(left_out))
        reason = next(iter(left_out.values()))
        text = f"{len(left_out)} of {total} rasters cannot be used: {reason}"
        yield Finding("warning", "rasters", text)
    coarse = [labelled for labelled in rasters if labelled.gsd_m > COARSE_RATIO * gsd_m]
    if coarse:
        text = (
            f"{len(coarse)} of {len(rasters)} rasters are coarser than the {gsd_m:g} m of the "
            f"training, such as {coarse[0].raster.name}"
        )
        yield Finding("note", "resolution", text)
    empty = sum(not len(labelled.boxes) for labelled in rasters)
    if 0 < empty < len(rasters):
        text = f"{empty} of {len(rasters)} rasters hold no label: they count as empty ground"
        yield Finding("note", "rasters", text)


def check_overlaps(overlaps: Sequence[RasterOverlap]) -> Iterator[Finding]:
    """Report rasters that overlap, largest overlap first."""
    if not overlaps:
        return
    pairs = [
        f"{overlap.first} and {overlap.second} ({overlap.fraction:.0%} of the smaller one)"
        for overlap in overlaps[:MOST_PAIRS]
    ]
    more = f" and {len(overlaps) - MOST_PAIRS:,} more pairs" if len(overlaps) > MOST_PAIRS else ""
    text = (
        f"rasters show the same ground: {', '.join(pairs)}{more}; it is learned twice: join them "
        f"to one raster, such as with gdalbuildvrt, or leave some out"
    )
    yield Finding("warning", "overlap", text)


def check_files(labels: LabelSet) -> Iterator[Finding]:
    """Report rows that were left out, repaired or split, and labels in several CRS."""
    report = labels.report
    if report.left_out:
        yield Finding("warning", "geometry", str(report))
    elif report.repaired or report.split:
        yield Finding("note", "geometry", str(report))
    names = {source.crs.name for source in labels.sources if isinstance(source, MapLabels)}
    if len(names) > 1:
        yield Finding("note", "CRS", f"the labels are in {len(names)} CRS: {_join(names)}")


def check_classes(names: Sequence[str]) -> Iterator[Finding]:
    """Report classes with few objects, and names that differ in case or spaces only.

    Args:
        names: Class of each object on imagery.
    """
    counts = Counter(names)
    rare = {f"{name} ({count})" for name, count in counts.items() if count < FEW_OBJECTS}
    if rare:
        text = f"fewer than {FEW_OBJECTS} objects of {_join(rare)}: too few to learn from"
        yield Finding("warning", "classes", text)
    spellings: dict[str, set[str]] = defaultdict(set)
    for name in counts:
        spellings["".join(name.casefold().split())].add(name)
    for similar in spellings.values():
        if len(similar) > 1:
            text = f"{_join(similar)} are taken for different classes; spell them alike"
            yield Finding("warning", "classes", text)


def check_sizes(
    sizes_px: FloatArray, problems: Iterable[Problem], *, tile_size: int
) -> Iterator[Finding]:
    """Report objects that are unusually large or small, or do not suit the chips.

    Args:
        sizes_px: ``float64[N, 2]`` widths and heights of objects at the training's resolution.
        problems: Problems of labels.
        tile_size: Side of a chip.
    """
    unusual = sum(problem.reason in (reasons.LARGER, reasons.SMALLER) for problem in problems)
    if unusual:
        text = f"{unusual} labels are over ten times larger or smaller than usual in their class"
        yield Finding("warning", "sizes", text)
    if sub_pixel := sum(problem.reason == reasons.SUB_PIXEL for problem in problems):
        text = f"{sub_pixel} labels are narrower than a pixel of the imagery, which shows no shape"
        yield Finding("warning", "sizes", text)
    if not len(sizes_px):
        return
    tiny = float((sizes_px.min(axis=1) < TINY_PX).mean())
    if tiny > MOST_TINY:
        text = f"{tiny:.0%} of the objects are under {TINY_PX:g} px wide; set a finer `gsd`"
        yield Finding("warning", "sizes", text)
    if large := int((sizes_px.max(axis=1) > tile_size).sum()):
        text = f"{large} objects are longer than a chip of {tile_size} px; set "
        # a coarser resolution is no remedy where others are too small already
        text += (
            "a larger `tile_size`"
            if tiny > MOST_TINY
            else "a coarser `gsd` or a larger `tile_size`"
        )
        yield Finding("warning", "sizes", text)


def check_recall(
    recall: Sequence[RecallBin], fitted_recall: Sequence[RecallBin]
) -> Iterator[Finding]:
    """Report anchors with a low best-possible recall; of all objects it is the last bin's."""
    if recall and recall[-1].recall < LEAST_RECALL:
        text = describe_poor_anchors(recall, fitted_recall[-1].recall)
        yield Finding("warning", ANCHORS, text)


def describe_poor_anchors(
    bins: Sequence[RecallBin],
    fitted_recall: float,
    *,
    remedy: str = "train with `anchors` set to fitted",
) -> str:
    """Return the message for anchors with a low best-possible recall.

    Args:
        bins: Best-possible recall of the anchors by object size, and last of all objects.
        fitted_recall: That of fitted anchors, of all objects.
        remedy: Settings that give a network fitted anchors.
    """
    recall = bins[-1].recall
    missed = [(size, size.labels * (1 - size.recall)) for size in bins[:-1]]
    small = sum(count for size, count in missed if size.high_px <= SMALL_PX)
    large = sum(count for size, count in missed if size.low_px >= LARGE_PX)
    hint = ""
    if large < MOST_TINY * small:
        hint = "; a finer `gsd` makes objects larger"
    elif small < MOST_TINY * large:
        hint = "; a coarser `gsd` makes objects smaller"
    if recall >= fitted_recall:
        return f"even fitted anchors can find at most {recall:.0%} of the objects{hint}"
    return (
        f"the network's anchors can find at most {recall:.0%} of the objects, fitted ones "
        f"{fitted_recall:.0%} ({remedy}){hint}"
    )


def check_shifts(shifts: Sequence[ShiftEstimate]) -> Iterator[Finding]:
    """Report offsets between labels and imagery that are suspected."""
    for shift in shifts:
        if shift.suspected:
            across = f"{abs(shift.right_m):.1f} m {'right' if shift.right_m > 0 else 'left'}"
            along = f"{abs(shift.down_m):.1f} m {'down' if shift.down_m > 0 else 'up'}"
            text = (
                f"{shift.raster}: labels seem to lie {shift.shift_m:.1f} m beside the objects; "
                f"they would fit {across} and {along} of where they are"
            )
            yield Finding("warning", "shift", text)


def check_outlines(
    rasters: Sequence[LabelledRaster], looseness: LoosenessEstimate | None
) -> Iterator[Finding]:
    """Report labels that mix boxes and outlines.

    Args:
        rasters: Rasters with their labels.
        looseness: Excess of labels, of boxes over outlines where objects are labelled as both.
    """
    is_box = {
        label_id: value
        for labelled in rasters
        for label_id, value in zip(labelled.ids.tolist(), box_mask(labelled).tolist(), strict=True)
    }
    boxes = sum(is_box.values())
    outlines = len(is_box) - boxes
    if looseness is not None and looseness.source == "outlines":
        text = (
            f"{looseness.labels:,} objects are labelled as a box and as an outline; leave the "
            f"boxes out, or they are learned twice"
        )
        yield Finding("warning", "outlines", text)
    elif min(boxes, outlines) >= LEAST_MIXED:
        text = (
            f"{boxes:,} labels are boxes or points and {outlines:,} are outlines: shapes and areas "
            f"are learned from the outlines only"
        )
        yield Finding("note", "outlines", text)


def check_looseness(looseness: LoosenessEstimate | None) -> Iterator[Finding]:
    """Report labels that are larger than the objects that they show."""
    if looseness is None or not looseness.suspected:
        return
    excess = f"about {looseness.excess_m:.1f} m larger"
    if looseness.source == "outlines":
        text = f"boxes are {excess} than the outlines of the same objects on each side"
    else:
        text = f"labels are {excess} than what they show on each side"
    ratio = (1 - 2 * looseness.excess_m / looseness.side_m) ** -2
    text += (
        f" (median of {looseness.labels:,}): a model learns boxes of {ratio:.1f} times the "
        f"area; draw labels tightly, or as outlines"
    )
    yield Finding("warning", "looseness", text)


def check_coverage(coverage: LabelCoverage) -> Iterator[Finding]:
    """Report imagery far from any label."""
    if coverage.far_m is None or not coverage.unlabelled_areas:
        return
    largest = coverage.unlabelled_areas[0]
    text = (
        f"{coverage.far_fraction:.0%} of the ground is more than {coverage.far_m:g} m from any "
        f"label, {largest.area_km2:.3g} km² of it in one piece of {largest.raster}; are all "
        f"objects there labelled?"
    )
    yield Finding("warning" if coverage.far_fraction > MOST_FAR else "note", "empty ground", text)


def _join(names: set[str]) -> str:
    return list_names(sorted(names))
