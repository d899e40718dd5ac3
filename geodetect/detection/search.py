"""Search of planned grounds: tiles through the detector, merged across seams and grounds."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from dataclasses import dataclass, replace

import numpy as np
import shapely
from pyproj import CRS

from geodetect.detection.coverage import RasterCoverage, common_crs
from geodetect.detection.detection_layer import DetectionLayer, GroundDetections, RunSummary
from geodetect.detection.detections import UNKNOWN, Detections, TileResult
from geodetect.detection.detectors.detector import Detector
from geodetect.detection.ground_merge import SearchedGround, merge_grounds
from geodetect.detection.plan import GroundPlan, TileRun
from geodetect.detection.run.concurrency import Concurrency, preferred_concurrency
from geodetect.detection.run.imagery_sample import list_doubts
from geodetect.detection.run.tile_pipeline import (
    FinishedRuns,
    TileBatch,
    TilePipeline,
    TileReader,
    chained_readers,
    class_numbers,
)
from geodetect.detection.seam_merge.merger import SeamMerger
from geodetect.detection.shapes.outlines import check_metres
from geodetect.errors import (
    GeodetectWarning,
    GeoreferenceError,
    IncompleteWarning,
    RasterError,
    list_names,
)
from geodetect.geo import boxes as box_ops
from geodetect.geo.crs import horizontal_crs, same_crs, transformer_between
from geodetect.geo.tiles import Shard
from geodetect.io.vector.write import FORMATS
from geodetect.model.card import ModelCard
from geodetect.progress import Progress, no_progress, phase
from geodetect.settings import PredictSettings

MANY_BOXES = 20_000  # in one merge: from here on it takes seconds
# at most, unless it is stated: two images of one object differ more than neighbours in one image
MAX_SEAM_IOU = 0.5
RecordRun = Callable[[int, TileRun, Sequence[TileResult]], None]


@dataclass(frozen=True)
class Search:
    """Search of planned grounds for the objects of a detector.

    Args:
        detector: The detector.
        settings: Thresholds and classes.
        joined: An object on several grounds comes out once.
    """

    detector: Detector
    settings: PredictSettings
    joined: bool = True

    def __post_init__(self) -> None:
        class_numbers(self.detector.card, self.settings)  # checks them before rasters are read

    def run(
        self,
        plans: Sequence[GroundPlan],
        concurrency: Concurrency,
        *,
        finished: FinishedRuns | None = None,
        record: RecordRun | None = None,
        progress: Progress = no_progress,
    ) -> DetectionLayer:
        """Search all grounds, and close their files.

        Args:
            plans: The grounds.
            concurrency: Tiles in progress at once.
            finished: Runs of tiles that were computed before.
            record: Takes the number of the ground, each run of tiles that has no holes and is not
                finished, and its results.
            progress: Callback of the tiles and objects so far.

        Raises:
            RasterError: No raster can be read, or with ``strict`` one cannot.
            InputError: The detector returns something unusable.
            OutOfMemoryError: Memory is used up.

        Warns:
            IncompleteWarning: A raster cannot be read somewhere.
            GeodetectWarning: The imagery is not as the model knows it.
        """
        for ground_plan in plans:
            check_metres(ground_plan.grid, self.settings, raster=ground_plan.ground.name)
        searched, coverage = list[SearchedGround](), list[RasterCoverage]()
        failed: dict[str, str] = {}
        value_ranges: dict[str, tuple[float, float]] = {}
        samples = []
        with ExitStack() as stack:
            advance = stack.enter_context(phase("Detecting", "tiles", progress=progress))
            run = _RunProgress(plans, advance)
            run.report()
            readers = chained_readers(plans, finished, concurrency, strict=self.settings.strict)
            for reader in readers:
                stack.callback(reader.close)
            for ground_plan, reader in zip(plans, readers, strict=True):
                ground = ground_plan.ground
                pipeline = TilePipeline(reader, self.detector, self.settings)
                objects = _detect(pipeline, run, record)
                noted = pipeline.observations()
                ground.failures.update(noted.failures)
                pipeline.sample.windows = list(noted.windows)
                searched.append(SearchedGround(ground_plan, objects, pipeline.mask))
                coverage += pipeline.mask.to_coverage(ground_plan)
                samples.append((ground_plan, pipeline.sample))
                rasters = ground.rasters
                value_ranges |= {rasters[n].name: ends for n, ends in noted.value_ranges.items()}
                failed |= {rasters[n].path: error for n, error in noted.failures.items()}
                ground.close()
        if failed and not run.summary.tiles:
            raise RasterError(next(iter(failed.values())))
        for error in failed.values():
            warnings.warn(f"left out: {error}", IncompleteWarning, stacklevel=3)
        summary = replace(
            run.summary,
            empty_tiles=run.summary.empty_tiles + sum(p.empty_count for p in plans),
            left_out=failed,
            value_ranges=value_ranges,
        )
        layer = self._to_layer(searched, summary, coverage)
        for doubt in list_doubts(
            samples, self.detector.card, has_stated_bands=self.settings.bands is not None
        ):
            warnings.warn(doubt, GeodetectWarning, stacklevel=3)
        if layer.blank:
            names = (f"{name} ({fraction:.1%})" for name, fraction in layer.blank.items())
            warnings.warn(
                f"imagery of one constant value, as a lost mask leaves it, does not count as "
                f"searched: {list_names(names)}",
                GeodetectWarning,
                stacklevel=3,
            )
        return layer

    def _to_layer(
        self,
        searched: Sequence[SearchedGround],
        summary: RunSummary,
        coverage: Sequence[RasterCoverage],
    ) -> DetectionLayer:
        """Return the objects of all grounds, checked before anything is written."""
        card = self.detector.card
        objects_of_grounds = [ground.objects for ground in searched]
        if self.joined:
            objects_of_grounds = merge_grounds(searched, iou=_seam_iou(card, self.settings))
        crs = searched[0].plan.grid.crs
        has_outlines = any(objects.has_outlines for objects in objects_of_grounds)
        if self.settings.geometry != "box":
            has_outlines |= getattr(self.detector, "has_outlines", False) is True
        layer = DetectionLayer(
            tuple(
                GroundDetections.from_detections(
                    objects,
                    ground.plan.grid,
                    classes=card.classes,
                    rasters=[raster.name for raster in ground.plan.ground.rasters],
                    shapes=self.settings,
                    with_outlines=has_outlines,
                    area_error=card.area_error,
                )
                for ground, objects in zip(searched, objects_of_grounds, strict=True)
            ),
            crs and horizontal_crs(crs),
            summary=summary,
            coverage=tuple(coverage),
        )
        layer.check()
        return layer


def check_conversions(plans: Sequence[GroundPlan], output_crs: Sequence[CRS]) -> None:
    """Check that rasters share a map, and that their CRS can be converted to those of the result.

    Raises:
        GeoreferenceError: They do not, or it cannot.
    """
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
    pipeline = TilePipeline(reader, detector, settings)
    return _detect(pipeline, _RunProgress([plan], no_progress))


def _detect(
    pipeline: TilePipeline, run: _RunProgress, record: RecordRun | None = None
) -> Detections:
    """Detect the objects of one ground: read, detect, merge across tile seams, record."""
    plan, detector = pipeline.plan, pipeline.detector
    merger = SeamMerger(plan.scheme, iou=_seam_iou(detector.card, pipeline.settings))
    run.begin(plan)
    merged, row, run_results = list[Detections](), 0, list[TileResult]()
    # closed, the last one first, so that no thread reads on after an error
    with closing(pipeline.reader), closing(pipeline.run()) as batches:
        for batch in batches:
            if batch.run.open_row > row:  # all tiles of the rows above it are merged
                row = batch.run.open_row
                run.report(merger)
                with _merging(merger):
                    merged.append(_finish_objects(merger.take_final(row), plan))
                pipeline.mask.close_above(row)
                run.objects += len(merged[-1])
            for result in batch.results:
                pipeline.mask.update(result.tile, result.cells)
                if result.detections is not None:
                    merger.add(result.tile, result.detections)
            run.add(batch)
            run_results += batch.results
            if batch.completes_run:
                is_complete = not any(result.has_hole for result in run_results)
                if record is not None and is_complete and not batch.resumed:
                    record(pipeline.reader.number, batch.run, run_results)
                run_results = []
    run.report(merger)
    with _merging(merger):
        merged.append(_finish_objects(merger.finish(), plan))
    run.objects += len(merged[-1])
    run.report()
    return Detections.concatenate(merged)


def _seam_iou(card: ModelCard, settings: PredictSettings) -> float:
    """Return the IoU from which boxes of two tiles or grounds show one object."""
    return min(card.iou, MAX_SEAM_IOU) if settings.nms_iou is None else settings.nms_iou


def _merging(merger: SeamMerger) -> AbstractContextManager[object]:
    """Return the phase of a merge that takes long."""
    is_long = len(merger) >= MANY_BOXES
    return phase("Merging across tile seams") if is_long else nullcontext()


class _RunProgress:
    """Summary of a run so far, and its objects and shards; every change is reported."""

    def __init__(self, plans: Sequence[GroundPlan], progress: Progress) -> None:
        self.summary, self.objects = RunSummary(), 0
        self._tiles = sum(plan.tile_count for plan in plans)
        self._shards_total = sum(len(plan.shards) for plan in plans)
        self._shards: tuple[Shard, ...] = ()  # of the present ground
        self._completed_shards = self._shard = 0  # of those before, and of it
        self._progress = progress

    def begin(self, plan: GroundPlan) -> None:
        """Begin a ground."""
        self._completed_shards += len(self._shards)
        self._shards, self._shard = plan.shards, 0

    def add(self, batch: TileBatch) -> None:
        """Count a batch; those of a shard follow each other."""
        while batch.run.tiles[0] not in self._shards[self._shard]:
            self._shard += 1
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
        if self._shards_total > 1:
            completed_shards = self._completed_shards + self._shard
            figures |= {"shards": completed_shards, "shards_total": self._shards_total}
        if merger is not None and len(merger) >= MANY_BOXES:
            figures["boxes to merge"] = len(merger)
        self._progress(completed, self._tiles, **figures)


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
