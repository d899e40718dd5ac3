"""Check of labels and rasters before the first step of a training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Unpack

import numpy as np
from pyproj import CRS

from geodetect.errors import InputError, RasterError
from geodetect.geo.grid import check_gsd_of_imagery
from geodetect.geo.raster_overlap import find_overlaps
from geodetect.io.array_raster import as_raster_paths
from geodetect.io.labels.label_set import LabelOptions, LabelSet
from geodetect.io.labels.labelled_raster import LabelledRaster
from geodetect.io.labels.placement import place_labels
from geodetect.io.labels.read import read_labels
from geodetect.io.raster.open_raster import name_rasters
from geodetect.io.raster.reader import Raster
from geodetect.io.sources.find import find_rasters, without_repetitions
from geodetect.io.vector.read import LayerSource
from geodetect.label_check import findings
from geodetect.label_check.coverage import measure_coverage
from geodetect.label_check.looseness import compare_with_imagery, compare_with_outlines
from geodetect.label_check.problems import (
    OFF_IMAGERY,
    ON_NODATA,
    Problem,
    find_duplicates,
    find_off_imagery,
    find_sub_pixel,
    find_unusual_sizes,
    problem_table,
)
from geodetect.label_check.registration import estimate_shifts
from geodetect.label_check.report import SEVERITIES, ClassSizes, LabelReport, RasterOverlap
from geodetect.label_check.usable_rasters import (
    MOST_PROBED,
    check_one_kind,
    open_usable,
    raster_options,
)
from geodetect.model.network.anchor_fit import AnchorShapes, fit_anchors, recall_by_size
from geodetect.progress import phase
from geodetect.settings import CheckSettings
from geodetect.settings.functions import takes_settings
from geodetect.settings.keywords import CheckKeywords
from geodetect.types import FloatArray, RasterSource

ALL_CLASSES = "all"
PERCENTILES = (5, 50, 95)
LEAST_OVERLAP = 0.01  # fraction of the smaller raster: margins of neighbours matter little


@takes_settings(CheckSettings)
def check(
    rasters: RasterSource | Sequence[RasterSource],
    labels: LayerSource | Sequence[LayerSource],
    *,
    settings: CheckSettings | Mapping[str, Any] | None = None,
    **keywords: Unpack[CheckKeywords],
) -> LabelReport:
    """Check labels and rasters before a training.

    Takes seconds: headers, overlaps of rasters, labels, overviews of nodata, and samples of labels
    for their offset and their sizes against the imagery.

    Args:
        rasters: Files, folders of rasters, anything GDAL opens, arrays or open datasets.
        labels: Label files and data sets; see ``geodetect.io.labels.read.read_labels``.
        settings: See ``CheckSettings``.
        keywords: Settings by name, such as ``gsd=0.25``; they win over ``settings``.

    Returns:
        Figures, findings in words, and the labels with problems as features.

    Raises:
        LabelError: A label file cannot be read or used, or images cannot be matched with rasters.
        GeoreferenceError: No raster has a CRS that can be used.
        RasterError: No raster can be read.
    """
    settings = CheckSettings.resolve(settings, keywords)
    rasters = as_raster_paths(rasters)
    options = LabelOptions(
        settings.class_field, crs=settings.labels_crs, point_size_m=settings.point_size
    )
    label_set = read_labels(labels, options)
    raster_settings = raster_options(label_set, settings, gsd_m=settings.gsd)
    opened: list[Raster] = []
    left_out: dict[str, str] = {}
    first_error: InputError | RasterError | None = None
    paths = without_repetitions(find_rasters(rasters))
    with phase("Reading headers", "rasters") as advance:
        for number, path in enumerate(paths):
            advance(number, len(paths))
            try:
                opened.append(
                    open_usable(path, raster_settings, label_set, probe=len(opened) < MOST_PROBED)
                )
            except (InputError, RasterError) as error:
                first_error = first_error or error
                left_out[path] = str(error)
    if not opened and first_error is not None:
        raise first_error
    name_rasters(opened)
    with ExitStack() as stack:
        for raster in opened:
            stack.enter_context(raster)
        check_one_kind(opened)
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
        rasters: Rasters with the labels on them; repeated ones are checked once.
        labels: All labels, also those on no raster.
        settings: See ``CheckSettings``; those for reading labels and rasters are not used.
        left_out: Reasons of rasters that cannot be used, by path.
        anchors: Anchors of the network; None: those of the default network.

    Returns:
        Figures, findings in words, and the labels with problems as features.

    Raises:
        GeoreferenceError: A raster has no CRS.
    """
    settings = settings or CheckSettings()
    rasters = list({labelled.raster.path: labelled for labelled in rasters}.values())
    if settings.gsd is not None and rasters:
        check_gsd_of_imagery(settings.gsd, rasters[0].gsd_m, rasters[0].raster.path)
    gsd_m = settings.gsd or round(float(np.median([labelled.gsd_m for labelled in rasters])), 3)
    coverage = measure_coverage(rasters, far_m=settings.far, seed=settings.seed)
    left_out = dict(left_out or {}) | coverage.unreadable
    problems = [
        *find_off_imagery(labels, rasters),
        *(Problem(ON_NODATA, label_id) for label_id in coverage.on_nodata_only),
        *find_duplicates(labels, rasters),
        *find_unusual_sizes(rasters),
        *find_sub_pixel(rasters),
    ]
    names, sizes_m = _usable_objects(labels, rasters, problems)
    anchors = anchors or default_anchors()
    fitted = fit_anchors(sizes_m / gsd_m, anchors)
    recall = recall_by_size(sizes_m / gsd_m, anchors)
    fitted_recall = recall_by_size(sizes_m / gsd_m, fitted)
    shifts = estimate_shifts(rasters, seed=settings.seed) if settings.shift else []
    looseness = compare_with_outlines(rasters)
    if looseness is None and settings.shift:
        looseness = compare_with_imagery(rasters, seed=settings.seed)
    overlapping = _find_overlaps(rasters)
    all_findings = [
        *findings.check_placement(labels, rasters, problems),
        *findings.check_rasters(rasters, left_out, gsd_m),
        *findings.check_overlaps(overlapping),
        *findings.check_files(labels),
        *findings.check_classes(names),
        *findings.check_sizes(sizes_m / gsd_m, problems, tile_size=settings.tile_size),
        *findings.check_recall(recall, fitted_recall),
        *findings.check_shifts(shifts),
        *findings.check_outlines(rasters, looseness),
        *findings.check_looseness(looseness),
        *findings.check_coverage(coverage),
    ]
    return LabelReport(
        rasters=len(rasters),
        left_out=left_out,
        labels=len(labels),
        labels_on_imagery=len(names),
        by_class=dict(sorted(Counter(names).items())),
        raster_crs=_list_crs_names(labelled.grid.crs for labelled in rasters),
        label_crs=_list_crs_names(getattr(source, "crs", None) for source in labels.sources),
        gsd_m=gsd_m,
        sizes=tuple(_measure_classes(names, sizes_m, gsd_m)),
        anchor_recall=recall,
        fitted_anchor_recall=fitted_recall,
        fitted=fitted,
        shifts=tuple(shifts),
        looseness=looseness,
        area_km2=coverage.area_km2,
        far_m=coverage.far_m,
        far_fraction=round(coverage.far_fraction, 4),
        overlaps=tuple(overlapping),
        findings=tuple(sorted(all_findings, key=lambda f: SEVERITIES.index(f.severity))),
        problems=problem_table(problems, labels, rasters, areas=coverage.unlabelled_areas),
        on_nodata=coverage.on_nodata,
    )


def default_anchors() -> AnchorShapes:
    """Return the anchors of the network that is trained by default."""
    from geodetect.model.network.presets import network_config

    return AnchorShapes.from_config(network_config("geodetect"))


def _usable_objects(
    labels: LabelSet, rasters: Sequence[LabelledRaster], problems: Sequence[Problem]
) -> tuple[list[str], FloatArray]:
    """Return classes and true sizes ``float64[N, 2]`` of the labels on imagery, each once."""
    unusable = {p.label_id for p in problems if p.reason in (OFF_IMAGERY, ON_NODATA)}
    sizes: dict[int, FloatArray] = {}
    for labelled in rasters:
        for label_id, size in zip(labelled.ids.tolist(), labelled.sizes_m, strict=True):
            if label_id not in unusable:
                sizes.setdefault(label_id, size)
    ids = sorted(sizes)
    sizes_m = np.array([sizes[label_id] for label_id in ids], np.float64).reshape(-1, 2)
    return [str(labels.names[label_id]) for label_id in ids], sizes_m


def _find_overlaps(rasters: Sequence[LabelledRaster]) -> list[RasterOverlap]:
    """Find pairs of rasters that overlap, largest overlap first."""
    pairs = []
    for pair in find_overlaps([labelled.grid for labelled in rasters]):
        if pair.fraction >= LEAST_OVERLAP:
            a, b = rasters[pair.first].raster, rasters[pair.second].raster
            pairs.append(RasterOverlap(a.name, b.name, round(pair.fraction, 4)))
    return sorted(pairs, key=lambda overlap: -overlap.fraction)


def _measure_classes(
    names: Sequence[str], sizes_m: FloatArray, gsd_m: float
) -> Iterator[ClassSizes]:
    """Yield the sizes of each class, and of all objects if there are several classes."""
    names_array = np.array(names, dtype=object)
    masks = {name: names_array == name for name in sorted(set(names))}
    if len(masks) > 1:
        masks[ALL_CLASSES] = np.ones(len(names), bool)
    for name, mask in masks.items():
        sides_m = np.sort(sizes_m[mask], axis=1)
        in_m = np.percentile(sides_m, PERCENTILES, axis=0).round(2).T.tolist()
        in_px = np.percentile(sides_m / gsd_m, PERCENTILES, axis=0).round(1).T.tolist()
        width_m, length_m, width_px, length_px = (tuple(side) for side in (*in_m, *in_px))
        yield ClassSizes(name, int(mask.sum()), width_m, length_m, width_px, length_px)


def _list_crs_names(systems: Iterable[CRS | None]) -> tuple[str, ...]:
    return tuple(sorted({crs.name if crs else "pixels" for crs in systems}))
