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

from geodetect.detection.coverage import common_crs, unread_coverage
from geodetect.detection.detection_layer import DetectionLayer, RasterDetections, RunSummary
from geodetect.detection.detections import Detections, TileResult
from geodetect.detection.detector import Detector
from geodetect.detection.plan import RasterPlan, plan_rasters
from geodetect.detection.raster_borders import find_border_objects
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
        The detection table (see ``RasterDetections.table``) in the CRS of the first raster, some
        900 bytes per object: for millions of objects use ``predict_layer``.

    Raises:
        RasterError: A raster cannot be opened, or none could be read. Of several rasters, one that
            fails while it is read is left out with an ``IncompleteWarning``.
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
    conf = settings.conf if counted_conf is None else counted_conf
    conf = detector.card.conf if conf is None else conf
    if threshold_doubt := find_threshold_doubt(conf, detector.card):
        warnings.warn(threshold_doubt, GeodetectWarning, stacklevel=2)
    rasters_detections, coverage, failed = [], [], {}
    value_ranges: dict[str, tuple[float, float]] = {}
    samples = []
    with ExitStack() as stack:
        # open and plan
        plans = plan(rasters, detector, settings=settings)
        for raster_plan in plans:
            stack.enter_context(raster_plan.raster)
        _check_conversions(plans, output_crs)
        concurrency = concurrency_within_memory(plans, detector, settings)
        description = RunDescription.from_plans(
            detector.card, plans, conf=conf, runs_on=getattr(detector, "runs_on", "")
        )
        announce(*description.lines())
        planned = np.cumsum([len(raster_plan.tiles) for raster_plan in plans]).tolist()
        # resume
        if journal is not None and planned[-1] < journal.min_tiles:
            journal = None
        if journal is not None:
            # the preferred batch size: free memory may differ between the executions of a run
            batch_size = preferred_concurrency(detector, settings).batch_size
            journal.open(run_fingerprint(detector, settings, plans, batch_size=batch_size))
            resumed = _count_finished_tiles(journal, plans)
            if resumed:
                announce(f"{resumed:,} of {planned[-1]:,} tiles are done already: {journal.path}")
        # detect
        advance = stack.enter_context(phase("Detecting", "tiles", progress=progress))
        run = _RunProgress(planned[-1], advance)
        run.report()
        readers = chained_readers(plans, journal, concurrency)
        for reader in readers:
            stack.callback(reader.close)
        for raster_plan, reader, tiles_so_far in zip(plans, readers, planned, strict=True):
            try:
                pipeline = TilePipeline(reader, detector, settings, class_ids)
                detections, stretch = _detect(pipeline, run), raster_plan.raster.stretch
                rasters_detections.append(
                    RasterDetections.from_detections(
                        detections,
                        raster_plan.grid,
                        classes=detector.card.classes,
                        raster=raster_plan.raster.name,
                    )
                )
                coverage.append(pipeline.mask.to_coverage(raster_plan))
                samples.append((raster_plan, pipeline.sample))
                if stretch is not None:
                    value_ranges[raster_plan.raster.name] = stretch.range
            except RasterError as error:
                run.skip_rest(tiles_so_far, objects=sum(map(len, rasters_detections)))
                failed[raster_plan.raster.path] = str(error)
                if len(failed) == len(plans):
                    raise
                coverage.append(unread_coverage(raster_plan, str(error)))
                warnings.warn(f"left out: {error}", IncompleteWarning, stacklevel=2)
            finally:
                raster_plan.raster.close()
    crs = plans[0].grid.crs
    border_objects = find_border_objects(rasters_detections, conf=counted_conf or 0.0)
    layer = DetectionLayer(
        tuple(rasters_detections),
        crs and horizontal_crs(crs),
        summary=replace(
            run.summary,
            seconds=time.monotonic() - start,
            description=description,
            left_out=failed,
            value_ranges=value_ranges,
            cut_by_borders=border_objects.cut,
            repeated=border_objects.repeated,
        ),
        coverage=tuple(coverage),
    )
    layer.check()  # before anything is written
    doubts = list_doubts(samples, detector.card, has_stated_bands=settings.bands is not None)
    if border_doubt := border_objects.doubt():
        doubts.append(border_doubt)
    for doubt in doubts:
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


def _count_finished_tiles(journal: Journal, plans: Sequence[RasterPlan]) -> int:
    """Return the number of tiles that a journal holds."""
    return sum(
        int(np.isin(p.tiles // len(p.scheme.columns), list(journal.finished_rows(number))).sum())
        for number, p in enumerate(plans)
    )


def _check_conversions(plans: Sequence[RasterPlan], output_crs: Sequence[CRS]) -> None:
    """Raise an error if rasters share no map, or their CRS has no conversion to another one."""
    crs = common_crs(raster_plan.grid.crs for raster_plan in plans)
    if crs is None:
        return
    pairs = [(raster_plan.grid.crs, crs) for raster_plan in plans]
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


def detect_raster(plan: RasterPlan, detector: Detector, settings: PredictSettings) -> Detections:
    """Detect the objects of one planned raster, of all classes.

    Args:
        plan: Plan of the raster, see ``plan_grid``.
        detector: The detector.
        settings: Thresholds, batch size and threads.

    Returns:
        One detection per object, boxes in pixel edges of the working grid.

    Raises:
        RasterError: The raster cannot be read to the end.
        InputError: The detector returns something unusable.
        OutOfMemoryError: Memory is used up.
    """
    reader = TileReader(plan, preferred_concurrency(detector, settings))
    pipeline = TilePipeline(reader, detector, settings, class_ids=None)
    return _detect(pipeline, _RunProgress(len(plan.tiles), no_progress))


def _detect(pipeline: TilePipeline, run: _RunProgress) -> Detections:
    """Detect the objects of one raster: read, detect, merge across tile seams, journal."""
    plan, detector, iou = pipeline.plan, pipeline.detector, pipeline.settings.nms_iou
    journal, number = pipeline.reader.journal, pipeline.reader.number
    merger = SeamMerger(plan.scheme, iou=detector.card.iou if iou is None else iou)
    merged, row, row_results = list[Detections](), 0, list[TileResult]()
    # closed, the last one first, so that no thread reads on after an error
    with closing(pipeline.reader), closing(pipeline.run()) as batches:
        for batch in batches:
            if batch.results[0].tile.row > row:  # all tiles of the rows above it are merged
                row = batch.results[0].tile.row
                run.report(merger)
                with _merging(merger):
                    merged.append(_within_area(merger.take_final(row), plan.area))
                run.objects += len(merged[-1])
            for result in batch.results:
                pipeline.mask.update(result.tile, result.cells)
                if result.detections is not None:
                    merger.add(result.tile, result.detections)
            run.add(batch)
            row_results += batch.results
            if batch.completes_row:
                if journal is not None and not batch.resumed:
                    journal.add(number, row_results)
                row_results = []
    run.report(merger)
    with _merging(merger):
        merged.append(_within_area(merger.finish(), plan.area))
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
        images = sum(result.detections is not None for result in batch.results)
        self.summary = replace(
            summary,
            tiles=summary.tiles + images,
            empty_tiles=summary.empty_tiles + count - images,
            resumed_tiles=summary.resumed_tiles + count * batch.resumed,
        )
        self.report()

    def skip_rest(self, tiles: int, *, objects: int) -> None:
        """Count as unread what is left of the first ``tiles``, and only the ``objects`` so far."""
        unread = tiles - self.summary.tiles - self.summary.empty_tiles
        self.summary, self.objects = replace(self.summary, unread_tiles=unread), objects
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
) -> list[RasterPlan]:
    """Open rasters and plan their tiles, reading only their headers.

    Args:
        rasters: Files, folders of rasters, URLs, arrays or open datasets of rasterio; one or
            several.
        model: Name of a built-in model, path of a model file, or any ``Detector``.
        settings: See ``PredictSettings``.
        keywords: Settings by name, such as ``conf=0.5``; they win over ``settings``.

    Returns:
        One plan for each raster; the caller closes their rasters.

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


def _within_area(detections: Detections, area: shapely.Geometry | None) -> Detections:
    """Return the detections whose centre lies in the area or on its border."""
    if area is None:
        return detections
    centres = box_ops.centres(detections.boxes)
    return detections[np.asarray(shapely.intersects_xy(area, *centres.T))]


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
