"""What a training learns from and is measured on: rasters with their objects."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np

from geodetect.errors import (
    GeodetectWarning,
    GeoreferenceError,
    InputError,
    LabelError,
    RasterError,
)
from geodetect.geo.bounds import densified
from geodetect.geo.raster_overlap import boxes_over
from geodetect.io.labels.label_set import LabelOptions, LabelSet
from geodetect.io.labels.labelled_raster import LabelledRaster
from geodetect.io.labels.placement import check_placement, place_labels
from geodetect.io.labels.read import read_labels
from geodetect.io.raster.reader import Raster, RasterOptions, find_rasters
from geodetect.io.vector.area import read_area
from geodetect.label_check.check import check_labels
from geodetect.label_check.findings import ANCHORS
from geodetect.label_check.report import LabelReport
from geodetect.label_check.usable_rasters import MOST_PROBED, open_usable
from geodetect.model.network.anchor_fit import AnchorShapes
from geodetect.settings import CheckSettings, TrainSettings
from geodetect.training.data.chip_sampler import Ground
from geodetect.training.data.holdout_split import held_elsewhere, hold_out_blocks
from geodetect.types import FloatArray, PathLike

BOX_DECIMALS = 2  # of pixels, in a fingerprint: PROJ's last digits differ between machines
MOST_NAMED = 5  # rasters that cannot be read, each with a warning of its own
_NOTHING = np.empty((0, 4))


@dataclass(frozen=True, eq=False)
class TrainingGround:
    """Rasters with objects, and which ground is for what.

    Args:
        trained: Rasters that chips are cut from; one may be there several times.
        measured: Rasters with the ground that is held out, each once.
        classes: Names of the labels.
        left_out: Rasters that cannot be read, with the reason, by path.
        report: What the label check found; None: it was not asked for.
    """

    trained: list[Ground]
    measured: list[Ground]
    classes: tuple[str, ...]
    left_out: dict[str, str]
    report: LabelReport | None = None

    @property
    def fingerprint(self) -> str:
        """A text that differs where rasters, objects or what is held out do."""
        digest = hashlib.sha256(repr(self.classes).encode())
        for ground in (*self.trained, *self.measured):
            grid = ground.raster.grid
            digest.update(repr((ground.raster.name, grid.crs_wkt, tuple(grid.transform))).encode())
            digest.update(repr((grid.width, grid.height)).encode())
            digest.update(ground.labels.tobytes())
            for boxes in (ground.boxes, ground.held_out, ground.excluded):
                digest.update((np.round(boxes, BOX_DECIMALS) + 0.0).tobytes() + b"|")
        return digest.hexdigest()

    @property
    def distinct(self) -> list[Ground]:
        """All rasters, each once."""
        return list({g.raster.path: g for g in (*self.measured, *self.trained)}.values())


def read_grounds(
    rasters: PathLike | Sequence[PathLike],
    labels: PathLike | Sequence[PathLike],
    settings: TrainSettings,
    *,
    anchors: AnchorShapes,
    stack: ExitStack,
) -> TrainingGround:
    """Open rasters, read and check labels, and decide what is held out.

    Args:
        rasters: Files, folders, or anything GDAL opens.
        labels: Label files and data sets.
        settings: See ``TrainSettings``.
        anchors: Those of the network, for the label check.
        stack: Closes the rasters.

    Raises:
        LabelError: The labels cannot be used, or training with them would be pointless.
        InputError: A raster has not the bands or no CRS that a training needs.
        RasterError: No raster can be read.
    """
    label_set = _read_labels(labels, settings)
    paths = find_rasters(rasters)
    opened, left_out = _open(paths, settings, stack)
    labelled = place_labels(label_set, opened)
    report = None
    if settings.check:
        report = _checked(labelled, label_set, settings, left_out=left_out, anchors=anchors)
        left_out |= report.left_out
        labelled = [
            raster.select(~np.isin(raster.ids, report.on_nodata.get(raster.raster.path, ())))
            for raster in labelled
            if raster.raster.path not in left_out
        ]
    else:
        label_set.warn_of_changes()
        check_placement(label_set, labelled)
    classes = label_set.classes
    others = _named_ground(classes, label_set, settings, left_out=left_out, stack=stack)
    bare = [_ground(raster) for raster in labelled]
    held = _held_out(bare, settings, others=others)
    grids = [raster.grid for raster in labelled]
    excluded = [_NOTHING] * len(labelled) if others else held_elsewhere(grids, held)
    own = {
        ground.raster.path: replace(ground, held_out=out, excluded=elsewhere)
        for ground, out, elsewhere in zip(bare, held, excluded, strict=True)
    }
    trained = [own[path] for path in paths if path in own]
    return TrainingGround(trained, others or list(own.values()), classes, left_out, report)


def _read_labels(labels: PathLike | Sequence[PathLike], settings: TrainSettings) -> LabelSet:
    return read_labels(
        labels,
        LabelOptions(
            settings.class_field, crs=settings.labels_crs, point_size_m=settings.point_size
        ),
    )


def _open(
    paths: Sequence[str], settings: TrainSettings, stack: ExitStack
) -> tuple[list[Raster], dict[str, str]]:
    """The rasters, each once, and why others cannot be read, with a warning for each.

    Raises:
        InputError: One can be read, but not be used: its bands or its CRS must be stated.
        RasterError: None can be read.
    """
    options = RasterOptions(bands=settings.bands, src_crs=settings.src_crs)
    opened: list[Raster] = []
    left_out: dict[str, str] = {}
    failure: RasterError | None = None
    for number, path in enumerate(dict.fromkeys(paths)):
        try:
            raster = open_usable(path, options, probe=number < MOST_PROBED)
        except RasterError as error:
            failure, left_out[path] = error, str(error)
            continue
        _gsd_m(raster)
        opened.append(stack.enter_context(raster))
    if not opened and failure is not None:
        raise failure
    for reason in list(left_out.values())[:MOST_NAMED]:
        warnings.warn(f"left out: {reason}", GeodetectWarning, stacklevel=4)
    if len(left_out) > MOST_NAMED:
        text = f"left out: {len(left_out) - MOST_NAMED} more rasters that cannot be read"
        warnings.warn(text, GeodetectWarning, stacklevel=4)
    return opened, left_out


def _checked(
    rasters: Sequence[LabelledRaster],
    labels: LabelSet,
    settings: TrainSettings,
    *,
    left_out: Mapping[str, str],
    anchors: AnchorShapes,
) -> LabelReport:
    """The label check: errors stop, warnings are told."""
    report = check_labels(
        rasters,
        labels,
        settings=CheckSettings(
            gsd=settings.gsd,
            chip_px=settings.chip_px,
            bands=settings.bands,
            src_crs=settings.src_crs,
            labels_crs=settings.labels_crs,
            class_field=settings.class_field,
            point_size=settings.point_size,
            seed=settings.seed,
        ),
        left_out=left_out,
        anchors=anchors,
    )
    report.raise_errors()
    told = {ANCHORS}  # by whoever chooses them, once it is known what is trained on
    if report.left_out.keys() == left_out.keys():
        told.add("rasters")
    for finding in report.warnings:
        if finding.topic not in told:
            warnings.warn(finding.text, GeodetectWarning, stacklevel=4)
    return report


def _named_ground(
    classes: tuple[str, ...],
    labels: LabelSet,
    settings: TrainSettings,
    *,
    left_out: dict[str, str],
    stack: ExitStack,
) -> list[Ground]:
    """The rasters of ``--val-rasters``, held out whole."""
    if settings.val_rasters is None:
        return []
    if settings.val_labels is not None:
        labels = _read_labels(settings.val_labels, settings)
    unknown = sorted(set(labels.names) - set(classes))
    if unknown:
        raise LabelError(
            f"--val-labels holds objects of class {unknown[0]}, which --labels does not; expected "
            f"{', '.join(classes)}"
        )
    opened, failed = _open(find_rasters(settings.val_rasters), settings, stack)
    left_out |= failed
    labelled = place_labels(labels, opened, classes=classes)
    check_placement(labels, labelled)
    return [replace(_ground(raster), held_out=raster.grid.box[None]) for raster in labelled]


def _held_out(
    grounds: Sequence[Ground], settings: TrainSettings, *, others: Sequence[Ground]
) -> list[FloatArray]:
    """The ground of each raster that no chip may show, ``float64[M, 4]`` in its own pixels."""
    grids = [ground.raster.grid for ground in grounds]
    if settings.val_area is not None:
        area, crs = read_area(settings.val_area)
        dense = densified(np.array([area], dtype=object), crs)
        held = [boxes_over(dense, crs, grid) for grid in grids]
        if not any(map(len, held)):
            raise InputError(
                f"--val-area {settings.val_area} touches none of the {len(grids)} rasters; "
                f"expected polygons on them"
            )
        return held
    if others:
        named = [ground.raster.grid for ground in others]
        whole = [grid.box[None] for grid in named]
        return held_elsewhere([*grids, *named], [*[_NOTHING] * len(grids), *whole])[: len(grids)]
    boxes = [ground.shown[ground.is_seen] for ground in grounds]
    return hold_out_blocks(
        grids, boxes, share=settings.val_share, seed=settings.seed, least_px=2 * settings.chip_px
    )


def _ground(raster: LabelledRaster) -> Ground:
    """A raster with its objects, nothing of it held out."""
    return Ground(raster.raster, raster.boxes, raster.class_ids, _NOTHING, raster.gsd_m)


def _gsd_m(raster: Raster) -> float:
    if raster.grid.gsd_m is None:
        raise GeoreferenceError(f"{raster.path}: training needs a CRS; name it with --src-crs")
    return raster.grid.gsd_m
