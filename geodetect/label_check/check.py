"""Whether labels and rasters are fit for a training, before its first step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack

import numpy as np
from pyproj import CRS

from geodetect.geo.raster_overlap import overlaps
from geodetect.io.labels.label_set import LabelOptions, LabelSet
from geodetect.io.labels.labelled_raster import LabelledRaster
from geodetect.io.labels.placement import place_labels
from geodetect.io.labels.read import read_labels
from geodetect.io.raster.reader import RasterOptions, find_rasters
from geodetect.label_check import problems as label_problems
from geodetect.label_check.coverage import Ground, look_at_ground
from geodetect.label_check.findings import Evidence, findings_of
from geodetect.label_check.problems import Problem, problem_table
from geodetect.label_check.registration import estimate_shifts
from geodetect.label_check.report import ClassSizes, LabelReport, SharedGround
from geodetect.label_check.usable_rasters import open_rasters
from geodetect.model.network.anchor_fit import AnchorShapes, fit_anchors, recall_by_size
from geodetect.settings import CheckSettings
from geodetect.types import FloatArray, PathLike

ALL_CLASSES = "all"
PERCENTILES = (5, 50, 95)
LEAST_SHARED = 0.01  # of the smaller raster; the margins of neighbouring sheets matter little


def check(
    rasters: PathLike | Sequence[PathLike],
    labels: PathLike | Sequence[PathLike],
    *,
    settings: CheckSettings | None = None,
) -> LabelReport:
    """Check labels and rasters before a training.

    Takes seconds: headers, rasters that show the same ground, labels, a coarse look at nodata, and
    a sample of labels for the offset between labels and imagery.

    Args:
        rasters: Files, folders of rasters, or anything GDAL opens.
        labels: Label files and data sets; see ``geodetect.io.labels.read.read_labels``.
        settings: See ``CheckSettings``.

    Returns:
        Figures, findings in words, and the labels in question as features.

    Raises:
        LabelError: A label file cannot be read or used.
        GeoreferenceError: No raster has a CRS that can be used.
        RasterError: No raster can be read.
    """
    settings = settings or CheckSettings()
    options = LabelOptions(
        settings.class_field, crs=settings.labels_crs, point_size_m=settings.point_size
    )
    label_set = read_labels(labels, options)
    paths = find_rasters(rasters)
    raster_options = RasterOptions(settings.bands, settings.value_range, settings.src_crs)
    opened, left_out = open_rasters(paths, raster_options)
    with ExitStack() as stack:
        for raster in opened:
            stack.enter_context(raster)
        labelled = place_labels(label_set, opened)
        return check_labels(labelled, label_set, settings=settings, left_out=left_out)


def check_labels(
    rasters: Sequence[LabelledRaster],
    labels: LabelSet,
    *,
    settings: CheckSettings | None = None,
    left_out: Mapping[str, str] | None = None,
    anchors: AnchorShapes | None = None,
) -> LabelReport:
    """Check labels on rasters that are open already.

    Args:
        rasters: Rasters with the labels on them; one that is there several times is checked once.
        labels: All labels, also those on no raster.
        settings: See ``CheckSettings``; how labels and rasters are read is settled already.
        left_out: Rasters that cannot be used, with the reason, by path.
        anchors: Those of the network; None: the default network's.

    Returns:
        Figures, findings in words, and the labels in question as features.

    Raises:
        GeoreferenceError: A raster has no CRS.
    """
    settings = settings or CheckSettings()
    sheets = list({raster.raster.path: raster for raster in rasters}.values())
    gsd_m = settings.gsd or round(float(np.median([sheet.gsd_m for sheet in sheets])), 3)
    ground = look_at_ground(sheets, far_m=settings.far, seed=settings.seed)
    problems = _problems(labels, sheets, ground)
    names, sizes_m = _objects(labels, sheets, problems)
    anchors = anchors or default_anchors()
    fitted = fit_anchors(sizes_m / gsd_m, anchors)
    evidence = Evidence(
        labels,
        sheets,
        left_out=dict(left_out or {}) | ground.damaged,
        problems=problems,
        ground=ground,
        shifts=estimate_shifts(sheets, seed=settings.seed) if settings.shift else (),
        shared=_shared(sheets),
        names=names,
        sizes_m=sizes_m,
        recall=recall_by_size(sizes_m / gsd_m, anchors),
        fitted_recall=recall_by_size(sizes_m / gsd_m, fitted),
        gsd_m=gsd_m,
        chip_px=settings.chip_px,
    )
    return _report(evidence, fitted)


def _report(evidence: Evidence, fitted: AnchorShapes) -> LabelReport:
    labels, sheets, ground = evidence.labels, evidence.sheets, evidence.ground
    return LabelReport(
        rasters=len(sheets),
        left_out=dict(evidence.left_out),
        labels=len(labels),
        objects=len(evidence.names),
        classes=dict(sorted(Counter(evidence.names).items())),
        raster_crs=_crs_names([sheet.grid.crs for sheet in sheets]),
        label_crs=_crs_names([getattr(source, "crs", None) for source in labels.sources]),
        gsd_m=evidence.gsd_m,
        sizes=tuple(_class_sizes(evidence)),
        recall=tuple(evidence.recall),
        fitted_recall=tuple(evidence.fitted_recall),
        fitted=fitted,
        shifts=tuple(evidence.shifts),
        area_km2=ground.area_km2,
        far_m=ground.far_m,
        far_share=round(ground.far_share, 4),
        shared=tuple(evidence.shared),
        findings=findings_of(evidence),
        problems=problem_table(evidence.problems, labels, sheets, blocks=ground.blocks),
        hidden=ground.hidden,
    )


def default_anchors() -> AnchorShapes:
    """The anchors of the network that ``train`` makes if nothing else is said."""
    from geodetect.model.network.presets import network_config

    return AnchorShapes.from_config(network_config("geodetect"))


def _problems(labels: LabelSet, sheets: Sequence[LabelledRaster], ground: Ground) -> list[Problem]:
    return [
        *label_problems.off_imagery(labels, sheets),
        *(Problem("on nodata", number) for number in ground.on_nodata),
        *label_problems.duplicates(labels, sheets),
        *label_problems.odd_sizes(sheets),
    ]


def _objects(
    labels: LabelSet, sheets: Sequence[LabelledRaster], problems: Sequence[Problem]
) -> tuple[list[str], FloatArray]:
    """Classes and true sizes ``float64[N, 2]`` of the labels on imagery, each once."""
    useless = {p.number for p in problems if p.reason in ("off the imagery", "on nodata")}
    sizes: dict[int, FloatArray] = {}
    for sheet in sheets:
        for number, size in zip(sheet.ids.tolist(), sheet.sizes_m, strict=True):
            if number not in useless:
                sizes.setdefault(number, size)
    numbers = sorted(sizes)
    stacked = np.array([sizes[n] for n in numbers], np.float64).reshape(-1, 2)
    return [str(labels.names[n]) for n in numbers], stacked


def _shared(sheets: Sequence[LabelledRaster]) -> list[SharedGround]:
    """Pairs of rasters that show much of the same ground, those that share most of it first."""
    found = []
    for pair in overlaps([sheet.grid for sheet in sheets]):
        first, second = sheets[pair.first].raster, sheets[pair.second].raster
        if pair.share >= LEAST_SHARED:
            is_plain = first.name != second.name
            names = (first.name, second.name) if is_plain else (first.path, second.path)
            found.append(SharedGround(*names, round(pair.share, 4)))
    return sorted(found, key=lambda pair: -pair.share)


def _class_sizes(evidence: Evidence) -> Iterator[ClassSizes]:
    """Sizes of each class, and of all if there are several."""
    names = np.array(evidence.names, dtype=object)
    chosen = {name: names == name for name in sorted(set(evidence.names))}
    if len(chosen) > 1:
        chosen[ALL_CLASSES] = np.ones(len(names), bool)
    for name, rows in chosen.items():
        sides = np.sort(evidence.sizes_m[rows], axis=1)
        in_m = np.percentile(sides, PERCENTILES, axis=0).round(2).T.tolist()
        in_px = np.percentile(sides / evidence.gsd_m, PERCENTILES, axis=0).round(1).T.tolist()
        width_m, length_m, width_px, length_px = (tuple(side) for side in (*in_m, *in_px))
        yield ClassSizes(name, int(rows.sum()), width_m, length_m, width_px, length_px)


def _crs_names(systems: Sequence[CRS | None]) -> tuple[str, ...]:
    return tuple(sorted({crs.name if crs else "pixels" for crs in systems}))
