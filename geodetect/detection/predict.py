"""From rasters to detections: plan, read, detect, merge across tile seams."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from dataclasses import replace
from typing import Any, Unpack

import geopandas as gpd
import numpy as np
import shapely
from pyproj import CRS

from geodetect.detection.coverage import RasterCoverage, common_crs
from geodetect.detection.detection_layer import DetectionLayer, GroundDetections, RunSummary
from geodetect.detection.detections import UNKNOWN, Detections, TileResult
from geodetect.detection.detector import Detector
from geodetect.detection.ground_merge import SearchedGround, merge_grounds
from geodetect.detection.plan import GroundPlan, plan_rasters
from geodetect.detection.run.concurrency import concurrency_within_memory, preferred_concurrency
from geodetect.detection.run.description import RunDescription
from geodetect.detection.run.fingerprint import run_fingerprint
from geodetect.detection.run.imagery_sample import list_doubts
from geodetect.detection.run.journal import Journal
from geodetect.detection.run.tile_pipeline import (
    TileBatch,
    TilePipeline,
    TileReader,
    chained_readers,
)
from geodetect.detection.seam_merge.merger import SeamMerger
from geodetect.errors import (
    GeodetectWarning,
    GeoreferenceError,
    IncompleteWarning,
    InputError,
    RasterError,
    list_names,
    suggest,
)
from geodetect.geo import boxes as box_ops
from geodetect.geo.crs import horizontal_crs, same_crs, transformer_between
from geodetect.io.array_raster import as_raster_paths
from geodetect.io.vector.write import FORMATS
from geodetect.model.calibration import find_threshold_doubt
from geodetect.progress import Progress, announce, as_progress, no_progress, phase, reports_progress
from geodetect.settings import PredictSettings
from geodetect.settings.functions import takes_settings
from geodetect.settings.keywords import PredictKeywords
from geodetect.types import IntArray, PathLike, RasterSource

MANY_BOXES = 20_000  # in one merge: from here on it takes seconds


@takes_settings(PredictSettings)
@reports_progress
def predict(
    rasters: RasterSource | Sequence[RasterSource],
    model: PathLike | Detector = "pools",
    *,
    settings: PredictSettings | Mapping[str, Any] | None = None,
    progress: Progress | bool = False,
    **keywords: Unpack[PredictKeywords],
) -> gpd.GeoDataFrame:
    """Detect objects in rasters.

    Args:
        rasters: Files, folders of rasters, URLs, arrays or open datasets of rasterio; one or
            several.
        model: Name of a built-in model, path of a model file, or any ``Detector``.
        settings: See ``PredictSettings``.
        progress: Called after every batch with the tiles completed and in total, and the number
            of objects so far. With an object that has the methods of ``PhaseProgress`` it is told
            each phase of the work, too.
        keywords: Settings by name, such as ``conf=0.5``; they win over ``settings``.

    Returns:
        The detection table (see ``GroundDetections.table``) in the CRS of the first raster, some
        900 bytes per object: for millions of objects use ``predict_layer``.

    Raises:
        RasterError: A raster cannot be opened, or none could be read. Of several rasters, what
            cannot be read of one is left out with an ``IncompleteWarning``.
        InputError: Settings, model and rasters do not fit together.
        OutOfMemoryError: There is too little memory for a tile.
    """
    settings = PredictSettings.resolve(settings, keywords)
    return predict_layer(rasters, model, settings=settings, progress=progress).table()


@takes_settings(PredictSettings)
@reports_progress
def predict_layer(
    rasters: RasterSource | Sequence[RasterSource],
    model: PathLike | Detector = "pools",
    *,
    settings: PredictSettings | Mapping[str, Any] | None = None,
    progress: Progress | bool = False,
    journal: Journal | None = None,
    output_crs: Sequence[CRS] = (),
    counted_conf: float | None = None,
    joined: bool = True,
    **keywords: Unpack[PredictKeywords],
) -> DetectionLayer:
    """Detect objects in rasters; like ``predict``, in a tenth of the memory.

    Args:
        rasters: As for ``predict``.
        model: As for ``predict``.
        settings: As for ``predict``.
        progress: As for ``predict``.
        journal: Journal of finished rows of tiles; those it holds already are not detected again.
            The caller closes or discards it, as ``predict_to_file`` does.
        output_crs: CRS that the result will be converted to; checked before the first tile.
        counted_conf: Score threshold to describe the run with, if the caller needs detections of
            lower scores as well; None: that of the detections.
        joined: Rasters of one CRS that lie together are one ground, in which each object comes out
            once; else each raster is one by itself.
        keywords: Settings by name, such as ``conf=0.5``; they win over ``settings``.

    Returns:
        The objects of all rasters, with the summary and the coverage of the run; ``write`` writes
        them to a file.

    Raises:
        RasterError: As for ``predict``.
        InputError: As for ``predict``, or the journal is of another run.
        OutputError: The journal cannot be written.
        OutOfMemoryError: As for ``predict``.
    """
    settings = PredictSettings.resolve(settings, keywords)
    rasters = as_raster_paths(rasters)
    progress = as_progress(progress)
    start = time.monotonic()
    with phase("Loading the model"):
        detector = as_detector(model, settings)
    class_ids = _class_ids(detector, settings)
    searched, coverage = list[SearchedGround](), list[RasterCoverage]()
    failed: dict[str, str] = {}
    conf = settings.conf if counted_conf is None else counted_conf
    conf = detector.card.conf if conf is None else conf
    if threshold_doubt := find_threshold_doubt(conf, detector.card):
        warnings.warn(threshold_doubt, GeodetectWarning, stacklevel=2)
    value_ranges: dict[str, tuple[float, float]] = {}
    samples = []
    with ExitStack() as stack:
        # open and plan
        plans = plan_rasters(rasters, detector.card, settings, joined=joined)
        for ground_plan in plans:
            stack.enter_context(ground_plan.ground)
        _check_conversions(plans, output_crs)
        concurrency = concurrency_within_memory(plans, detector, settings)
        description = RunDescription.from_plans(
            detector.card, plans, conf=conf, runs_on=getattr(detector, "runs_on", "")
        )
        announce(*description.lines())
        planned = sum(ground_plan.tile_count for ground_plan in plans)
        # resume
        if journal is not None and planned < journal.min_tiles:
            journal = None
        if journal is not None:
            # the preferred batch size: free memory may differ between the executions of a run
            batch_size = preferred_concurrency(detector, settings).batch_size
            journal.open(run_fingerprint(detector, settings, plans, batch_size=batch_size))
            resumed = _count_finished_tiles(journal, plans)
            if resumed:
                announce(f"{resumed:,} of {planned:,} tiles are done already: {journal.path}")
        # detect
        advance = stack.enter_context(phase("Detecting", "tiles", progress=progress))
        run = _RunProgress(planned, advance)
        run.report()
        readers = chained_readers(plans, journal, concurrency)
        for reader in readers:
            stack.callback(reader.close)
        for ground_plan, reader in zip(plans, readers, strict=True):
            ground = ground_plan.ground
            pipeline = TilePipeline(reader, detector, settings, class_ids)
            searched.append(SearchedGround(ground_plan, _detect(pipeline, run), pipeline.mask))
            coverage += pipeline.mask.to_coverage(ground_plan)
            samples.append((ground_plan, pipeline.sample))
            for raster in ground.rasters:
                if raster.used_stretch is not None:
                    value_ranges[raster.name] = raster.used_stretch.range
            failed |= {ground.rasters[n].path: error for n, error in ground.failures.items()}
            ground.close()
    if failed and not run.summary.tiles:
        raise RasterError(next(iter(failed.values())))
    for error in failed.values():
        warnings.warn(f"left out: {error}", IncompleteWarning, stacklevel=2)
    objects_of_grounds = [ground.objects for ground in searched]
    if joined:
        iou = detector.card.iou if settings.nms_iou is None else settings.nms_iou
        objects_of_grounds = merge_grounds(searched, iou=iou)
    crs = plans[0].grid.crs
    layer = DetectionLayer(
        tuple(
            GroundDetections.from_detections(
                objects,
                ground_plan.grid,
                classes=detector.card.classes,
                rasters=[raster.name for raster in ground_plan.ground.rasters],
            )
            for ground_plan, objects in zip(plans, objects_of_grounds, strict=True)
        ),
        crs and horizontal_crs(crs),
        summary=replace(
            run.summary,
            empty_tiles=run.summary.empty_tiles + sum(p.empty_count for p in plans),
            seconds=time.monotonic() - start,
            description=description,
            left_out=failed,
            value_ranges=value_ranges,
        ),
        coverage=tuple(coverage),
    )
    layer.check()  # before anything is written
    for doubt in list_doubts(samples, detector.card, has_stated_bands=settings.bands is not None):
        warnings.warn(doubt, GeodetectWarning, stacklevel=2)
    if layer.blank:
        names = (f"{name} ({fraction:.1%})" for name, fraction in layer.blank.items())
        warnings.warn(
            f"imagery of one constant value, as a lost mask leaves it, does not count as searched: "
            f"{list_names(names)}",
            GeodetectWarning,
            stacklevel=2,
        )
    return layer


def _count_finished_tiles(journal: Journal, plans: Sequence[GroundPlan]) -> int:
    """Return the number of tiles that a journal holds."""
    return sum(
        len(run.tiles)
        for number, ground_plan in enumerate(plans)
        for run in ground_plan.runs()
        if journal.holds(number, run)
    )


def _check_conversions(plans: Sequence[GroundPlan], output_crs: Sequence[CRS]) -> None:
    """Raise an error if rasters share no map, or their CRS has no conversion to another one."""
    crs = common_crs(ground_plan.grid.crs for ground_plan in plans)
    if crs is None:
        return
    pairs = [(ground_plan.grid.crs, crs) for ground_plan in plans]
    pairs += [(crs, target) for target in output_crs]
    for source, target in pairs:
        if source is not None and not same_crs(source, target):
            try:
                transformer_between(horizontal_crs(source), horizontal_crs(target))
            except GeoreferenceError as error:
                keeping = (kind.suffixes[0] for kind in FORMATS if not kind.has_lonlat)
                raise GeoreferenceError(
                    f"{error}; without `crs`, {list_names(keeping)} files keep the CRS of the "
                    f"raster; or set `src_crs` or `pixel_coords`"
                ) from error


def detect_ground(plan: GroundPlan, detector: Detector, settings: PredictSettings) -> Detections:
    """Detect the objects of one planned ground, of all classes.

    Args:
        plan: Plan of the ground, see ``plan_ground``.
        detector: The detector.
        settings: Thresholds, batch size and threads.

    Returns:
        One detection per object, boxes in pixel edges of the working grid.

    Raises:
        RasterError: A raster cannot be read to the end.
        InputError: The detector returns something unusable.
        OutOfMemoryError: Memory is used up.
    """
    reader = TileReader(plan, preferred_concurrency(detector, settings))
    pipeline = TilePipeline(reader, detector, settings, class_ids=None)
    return _detect(pipeline, _RunProgress(plan.tile_count, no_progress))


def _detect(pipeline: TilePipeline, run: _RunProgress) -> Detections:
    """Detect the objects of one ground: read, detect, merge across tile seams, journal."""
    plan, detector, iou = pipeline.plan, pipeline.detector, pipeline.settings.nms_iou
    journal, number = pipeline.reader.journal, pipeline.reader.number
    merger = SeamMerger(plan.scheme, iou=detector.card.iou if iou is None else iou)
    merged, row, run_results = list[Detections](), 0, list[TileResult]()
    # closed, the last one first, so that no thread reads on after an error
    with closing(pipeline.reader), closing(pipeline.run()) as batches:
        for batch in batches:
            if batch.run.open_row > row:  # all tiles of the rows above it are merged
                row = batch.run.open_row
                run.report(merger)
                with _merging(merger):
                    merged.append(_finish_objects(merger.take_final(row), plan))
                run.objects += len(merged[-1])
            for result in batch.results:
                pipeline.mask.update(result.tile, result.cells)
                if result.detections is not None:
                    merger.add(result.tile, result.detections)
            run.add(batch)
            run_results += batch.results
            if batch.completes_run:
                is_complete = not any(result.has_hole for result in run_results)
                if journal is not None and is_complete and not batch.resumed:
                    journal.add(number, run_results)
                run_results = []
    run.report(merger)
    with _merging(merger):
        merged.append(_finish_objects(merger.finish(), plan))
    run.objects += len(merged[-1])
    run.report()
    return Detections.concatenate(merged)


def _merging(merger: SeamMerger) -> AbstractContextManager[object]:
    """Return the phase of a merge that takes long."""
    is_long = len(merger) >= MANY_BOXES
    return phase("Merging across tile seams") if is_long else nullcontext()


class _RunProgress:
    """Summary of a run so far and number of its objects; every change is reported."""

    def __init__(self, tiles: int, progress: Progress) -> None:
        self.summary, self.objects = RunSummary(), 0
        self._tiles, self._progress = tiles, progress

    def add(self, batch: TileBatch) -> None:
        """Count a batch."""
        summary, count = self.summary, len(batch.results)
        holes = sum(result.has_hole for result in batch.results)
        images = sum(
            result.detections is not None and not result.has_hole for result in batch.results
        )
        self.summary = replace(
            summary,
            tiles=summary.tiles + images,
            empty_tiles=summary.empty_tiles + count - images - holes,
            unread_tiles=summary.unread_tiles + holes,
            resumed_tiles=summary.resumed_tiles + count * batch.resumed,
        )
        self.report()

    def report(self, merger: SeamMerger | None = None) -> None:
        """Call ``progress``, before a merge of very many boxes with their number."""
        completed = self.summary.tiles + self.summary.empty_tiles + self.summary.unread_tiles
        figures = {"objects": self.objects}
        if merger is not None and len(merger) >= MANY_BOXES:
            figures["boxes to merge"] = len(merger)
        self._progress(completed, self._tiles, **figures)


@takes_settings(PredictSettings)
def plan(
    rasters: RasterSource | Sequence[RasterSource],
    model: PathLike | Detector = "pools",
    *,
    settings: PredictSettings | Mapping[str, Any] | None = None,
    **keywords: Unpack[PredictKeywords],
) -> list[GroundPlan]:
    """Open rasters and plan their tiles, reading only their headers.

    Args:
        rasters: Files, folders of rasters, URLs, arrays or open datasets of rasterio; one or
            several.
        model: Name of a built-in model, path of a model file, or any ``Detector``.
        settings: See ``PredictSettings``.
        keywords: Settings by name, such as ``conf=0.5``; they win over ``settings``.

    Returns:
        One plan for each ground: rasters of one CRS that lie together; the caller closes them.

    Raises:
        InputError: There are no rasters, or the area of interest touches none.
    """
    settings = PredictSettings.resolve(settings, keywords)
    rasters = as_raster_paths(rasters)
    return plan_rasters(rasters, as_detector(model, settings).card, settings)


def as_detector(model: PathLike | Detector, settings: PredictSettings) -> Detector:
    """Return a detector from a name, a path, or a detector."""
    if not isinstance(model, str | os.PathLike):
        if not (callable(model) and hasattr(model, "card")):
            raise InputError(
                f"expected the name or file of a model, or a detector with a card; found "
                f"{type(model).__name__} (geodetect.CallableDetector makes one of a function)"
            )
        return model
    # torch is imported only when a network runs
    from geodetect.detection.retinanet_detector import load_detector

    return load_detector(
        model,
        device=settings.device,
        conf=settings.conf,
        iou=settings.nms_iou,
        runtime=settings.runtime,
        precision=settings.precision,
    )


def _finish_objects(objects: Detections, plan: GroundPlan) -> Detections:
    """Return the objects whose centre lies in the area or on its border, with their rasters."""
    centres = box_ops.centres(objects.boxes)
    if plan.area is not None:
        is_inside = np.asarray(shapely.intersects_xy(plan.area, *centres.T))
        objects, centres = objects[is_inside], centres[is_inside]
    is_unknown = objects.raster == UNKNOWN
    if not is_unknown.any():
        return objects
    rasters = objects.raster.copy()
    pixels = np.floor(centres[is_unknown]) + 0.5  # the pixel at the centre, as for all others
    rasters[is_unknown] = plan.ground.rasters_at(pixels * plan.grid.scale_to(plan.ground.grid))
    return replace(objects, raster=rasters)


def _class_ids(detector: Detector, settings: PredictSettings) -> IntArray | None:
    """Return the numbers of the classes to keep; None: all."""
    if settings.classes is None:
        return None
    names = detector.card.classes
    unknown = [name for name in settings.classes if name not in names]
    if unknown:
        raise InputError(
            f"`classes`: model {detector.card.name} has no class {unknown[0]!r}; it detects "
            f"{list_names(names)}{suggest(unknown[0], names)}"
        )
    return np.array([names.index(name) for name in settings.classes])
