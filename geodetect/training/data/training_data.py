"""Rasters and labels of a training and of its validation."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import shapely

from geodetect.errors import (
    GeodetectWarning,
    IncompleteWarning,
    InputError,
    LabelError,
    RasterError,
    list_names,
)
from geodetect.geo.grid import check_gsd_of_imagery
from geodetect.geo.raster_overlap import covering_boxes
from geodetect.geo.reproject import densify
from geodetect.io.labels.label_set import LabelOptions, LabelSet
from geodetect.io.labels.labelled_raster import LabelledRaster
from geodetect.io.labels.placement import check_placement, explain_no_placement, place_labels
from geodetect.io.labels.read import read_labels
from geodetect.io.raster.open_raster import name_rasters
from geodetect.io.raster.reader import Raster
from geodetect.io.sources.find import find_rasters
from geodetect.io.vector.read import LayerSource, read_area
from geodetect.label_check.check import check_labels
from geodetect.label_check.findings import ANCHORS
from geodetect.label_check.report import LabelReport
from geodetect.label_check.usable_rasters import (
    MOST_PROBED,
    check_one_kind,
    open_usable,
    raster_options,
)
from geodetect.model.network.anchor_fit import AnchorShapes
from geodetect.progress import phase
from geodetect.settings import CheckSettings, TrainSettings
from geodetect.settings.value_types import area_text
from geodetect.training.data.holdout_split import find_overlapping_holdout, hold_out_blocks
from geodetect.training.data.training_raster import TrainingRaster, no_boxes
from geodetect.types import PathLike

PIXEL_DECIMALS = 2  # of pixels, in a fingerprint: PROJ's last digits differ between machines
MAX_WARNINGS = 5  # about rasters that cannot be read


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Labelled rasters, each with its holdout.

    Args:
        train: Rasters that chips are drawn from; a raster may occur several times.
        validation: Rasters to validate on, each once.
        classes: Class names.
        unreadable: Rasters that cannot be read, with the reason, by path.
        report: Result of the label check; None: labels were not checked.
    """

    train: list[TrainingRaster]
    validation: list[TrainingRaster]
    classes: tuple[str, ...]
    unreadable: dict[str, str]
    report: LabelReport | None = None

    @property
    def fingerprint(self) -> str:
        """SHA-256 of rasters, objects and holdout, to compare with that of a checkpoint."""
        digest = hashlib.sha256(repr(self.classes).encode())
        for raster in (*self.train, *self.validation):
            grid = raster.grid
            digest.update(repr((raster.raster.name, grid.crs_wkt, tuple(grid.transform))).encode())
            digest.update(repr((grid.width, grid.height)).encode())
            digest.update(raster.class_ids.tobytes())
            pixels = [raster.boxes, raster.holdout, raster.overlapping_holdout]
            if raster.outlines is not None:
                pixels.append(shapely.get_coordinates(raster.outlines))
            for coordinates in pixels:
                digest.update((np.round(coordinates, PIXEL_DECIMALS) + 0.0).tobytes() + b"|")
        return digest.hexdigest()

    @property
    def outlined_objects(self) -> int:
        """Number of objects with an outline that chips may show."""
        return sum(
            int((~shapely.is_missing(r.outlines) & r.is_trainable).sum())
            for r in {r.raster.path: r for r in self.train}.values()
            if r.outlines is not None
        )

    @property
    def class_objects(self) -> dict[str, int]:
        """Number of objects that chips may show, by class."""
        ids = [r.class_ids[r.is_trainable] for r in {r.raster.path: r for r in self.train}.values()]
        counts = np.bincount(np.concatenate(ids), minlength=len(self.classes))
        return dict(zip(self.classes, counts.tolist(), strict=True))

    @property
    def rasters(self) -> list[TrainingRaster]:
        """All rasters, each once."""
        return list({r.raster.path: r for r in (*self.validation, *self.train)}.values())


def read_training_data(
    rasters: PathLike | Sequence[PathLike],
    labels: LayerSource | Sequence[LayerSource],
    settings: TrainSettings,
    *,
    anchors: AnchorShapes,
    stack: ExitStack,
) -> TrainingData:
    """Open rasters, read and check labels, and split off the holdout.

    Args:
        rasters: Files, folders, or anything GDAL opens.
        labels: Label files and data sets.
        settings: See ``TrainSettings``.
        anchors: Anchors of the network, for the label check.
        stack: Closes the rasters.

    Raises:
        LabelError: The labels cannot be used, or training with them would be pointless.
        InputError: A raster lacks the bands or the CRS that a training needs.
        RasterError: No raster can be read.
    """
    label_set = _read_labels(labels, settings)
    paths = find_rasters(rasters)
    opened, unreadable = _open_rasters(paths, label_set, settings, stack)
    name_rasters(opened)
    labelled = place_labels(label_set, opened)
    report = None
    if settings.check:
        with phase("Checking the labels"):
            report = _check_labels(labelled, label_set, settings, unreadable, anchors)
        unreadable |= report.left_out
        labelled = [
            raster.select(~np.isin(raster.ids, report.on_nodata.get(raster.raster.path, ())))
            for raster in labelled
            if raster.raster.path not in unreadable
        ]
    else:
        label_set.warn_of_changes()
        check_placement(label_set, labelled)
    validation = _read_val_rasters(label_set, settings, unreadable=unreadable, stack=stack)
    split = _hold_out(labelled, settings, validation=validation)
    name_rasters([raster.raster for raster in (*validation, *split)])
    by_path = {raster.raster.path: raster for raster in split}
    train = [by_path[path] for path in paths if path in by_path]
    return TrainingData(
        train, validation or list(by_path.values()), label_set.classes, unreadable, report
    )


def _read_labels(labels: LayerSource | Sequence[LayerSource], settings: TrainSettings) -> LabelSet:
    return read_labels(
        labels,
        LabelOptions(
            settings.class_field, crs=settings.labels_crs, point_size_m=settings.point_size
        ),
    )


def _open_rasters(
    paths: Sequence[str], labels: LabelSet, settings: TrainSettings, stack: ExitStack
) -> tuple[list[Raster], dict[str, str]]:
    """Open each raster once, with a warning for each that cannot be read.

    Returns:
        Open rasters, and the reason for each raster that cannot be read, by its path.

    Raises:
        InputError: A raster can be read, but lacks bands or a CRS.
        RasterError: No raster can be read.
    """
    options = raster_options(labels, settings, gsd_m=settings.gsd)
    opened: list[Raster] = []
    unreadable: dict[str, str] = {}
    failure: RasterError | None = None
    unique_paths = list(dict.fromkeys(paths))
    with phase("Reading headers", "rasters") as advance:
        for number, path in enumerate(unique_paths):
            advance(number, len(unique_paths))
            try:
                raster = open_usable(path, options, labels, probe=number < MOST_PROBED)
            except RasterError as error:
                failure, unreadable[path] = error, str(error)
                continue
            opened.append(stack.enter_context(raster))
            if settings.gsd is not None and raster.grid.gsd_m is not None:
                check_gsd_of_imagery(settings.gsd, raster.grid.gsd_m, path)
    if not opened and failure is not None:
        raise failure
    check_one_kind(opened)
    reasons = list(unreadable.values())
    if len(reasons) > MAX_WARNINGS:
        reasons[MAX_WARNINGS:] = [f"{len(reasons) - MAX_WARNINGS} more rasters that cannot be read"]
    for reason in reasons:
        warnings.warn(f"left out: {reason}", IncompleteWarning, stacklevel=4)
    return opened, unreadable


def _check_labels(
    rasters: Sequence[LabelledRaster],
    labels: LabelSet,
    settings: TrainSettings,
    unreadable: Mapping[str, str],
    anchors: AnchorShapes,
) -> LabelReport:
    """Check the labels: raise errors, issue warnings."""
    fields = CheckSettings.model_fields.keys() & TrainSettings.model_fields.keys()
    report = check_labels(
        rasters,
        labels,
        settings=CheckSettings(**{name: getattr(settings, name) for name in fields}),
        left_out=unreadable,
        anchors=anchors,
    )
    report.raise_errors()
    unreported = {ANCHORS}  # the anchors are yet to be chosen, see anchors.selection
    if report.left_out.keys() == unreadable.keys():
        unreported.add("rasters")  # warned of already
    for finding in report.warnings:
        if finding.topic not in unreported:
            warnings.warn(finding.text, GeodetectWarning, stacklevel=4)
    return report


def _read_val_rasters(
    labels: LabelSet, settings: TrainSettings, *, unreadable: dict[str, str], stack: ExitStack
) -> list[TrainingRaster]:
    """Read the rasters of the setting ``val_rasters``, which are held out as a whole."""
    if settings.val_rasters is None:
        return []
    classes = labels.classes
    if settings.val_labels is not None:
        labels = _read_labels(settings.val_labels, settings)
    unknown = sorted(set(labels.names) - set(classes))
    if unknown:
        raise LabelError(
            f"`val_labels` holds objects of class {unknown[0]}, which `labels` does not; expected "
            f"{list_names(classes)}"
        )
    opened, failed = _open_rasters(find_rasters(settings.val_rasters), labels, settings, stack)
    unreadable |= failed
    labelled = place_labels(labels, opened, classes=classes)
    if settings.val_labels is not None:
        check_placement(labels, labelled)
    elif not any(len(raster.ids) for raster in labelled):
        raise LabelError(explain_no_placement(labels, labelled))
    return [TrainingRaster(**vars(r), holdout=r.grid.box[None]) for r in labelled]


def _hold_out(
    rasters: Sequence[LabelledRaster],
    settings: TrainSettings,
    *,
    validation: Sequence[TrainingRaster],
) -> list[TrainingRaster]:
    """Return the rasters with their holdout: an area, overlaps with ``val_rasters``, or blocks."""
    grids = [raster.grid for raster in rasters]
    overlapping = [no_boxes() for _ in rasters]
    if settings.val_aoi is not None:
        first_crs = grids[0].crs
        if first_crs is None or any(grid.crs is None for grid in grids):
            raise InputError(
                f"`val_aoi` {area_text(settings.val_aoi)} lies on the map, but the rasters have "
                f"no georeference; set `val_rasters` to images to hold out"
            )
        area, crs = read_area(settings.val_aoi, default_crs=first_crs)
        dense = densify(np.array([area], dtype=object), crs)
        holdout = [covering_boxes(dense, crs, grid) for grid in grids]
        if not any(map(len, holdout)):
            raise InputError(
                f"`val_aoi` {area_text(settings.val_aoi)} touches none of the {len(grids)} "
                f"rasters; expected polygons on them"
            )
    elif validation:
        all_grids = [*grids, *(raster.grid for raster in validation)]
        held_out = [*overlapping, *(raster.holdout for raster in validation)]
        holdout = find_overlapping_holdout(all_grids, held_out)[: len(grids)]
        held_out_paths = {raster.raster.path for raster in validation}
        for number, raster in enumerate(rasters):
            if raster.grid.crs is None and raster.raster.path in held_out_paths:
                holdout[number] = raster.grid.box[None]  # without a place, by its name only
    else:
        training_rasters = [TrainingRaster(**vars(raster)) for raster in rasters]
        holdout = hold_out_blocks(
            grids,
            [raster.clipped_boxes[raster.is_visible] for raster in training_rasters],
            fraction=settings.val_share,
            seed=settings.seed,
            min_block_px=2 * settings.tile_size,
        )
    if not validation:
        overlapping = find_overlapping_holdout(grids, holdout)
    return [
        TrainingRaster(**vars(raster), holdout=boxes, overlapping_holdout=overlapping_boxes)
        for raster, boxes, overlapping_boxes in zip(rasters, holdout, overlapping, strict=True)
    ]
