"""From rasters to the detection table: read, detect, merge."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from itertools import chain

import geopandas as gpd
import numpy as np
import shapely

from geodetect.detection.coverage import CoverageCells, RasterCoverage, not_read
from geodetect.detection.detection_layer import DetectionLayer, RasterDetections
from geodetect.detection.detections import Detections
from geodetect.detection.detector import Detector
from geodetect.detection.plan import RasterPlan, plan_rasters
from geodetect.detection.run.concurrency import Capacity, fitting_capacity, wanted_capacity
from geodetect.detection.run.fingerprint import run_identity
from geodetect.detection.run.journal import Journal
from geodetect.detection.run.tile_pipeline import ReadAhead, RowDetector, TileResult
from geodetect.detection.seam_merge.merger import SeamMerger
from geodetect.errors import GeodetectWarning, InputError, RasterError
from geodetect.geo import boxes as box_ops
from geodetect.geo.crs import horizontal_crs
from geodetect.geo.tiles import Tile
from geodetect.progress import Progress, no_progress
from geodetect.settings import PredictSettings
from geodetect.types import IntArray, PathLike


@dataclass
class RunSummary:
    """What a run did.

    Args:
        tiles: Tiles that went through the detector.
        empty_tiles: Tiles without imagery, which did not.
        unread_tiles: Further tiles of rasters that could not be read to the end.
        resumed_tiles: Those of ``tiles`` and ``empty_tiles`` that an earlier run had done.
        objects: Objects found.
        seconds: Time from the first raster to the last object.
        failed: Rasters that could not be read to the end, and why.
        coverage: The ground of each raster: looked at, skipped and why; ``coverage_table`` makes a
            layer of it.
    """

    tiles: int = 0
    empty_tiles: int = 0
    unread_tiles: int = 0
    resumed_tiles: int = 0
    objects: int = 0
    seconds: float = 0.0
    failed: dict[str, str] = field(default_factory=dict)
    coverage: list[RasterCoverage] = field(default_factory=list)

    @property
    def done(self) -> int:
        """Tiles that need no more work."""
        return self.tiles + self.empty_tiles + self.unread_tiles

    def count(self, results: Sequence[TileResult], *, resumed: bool) -> None:
        """Count tiles that were looked at."""
        full = sum(result.detections is not None for result in results)
        self.tiles += full
        self.empty_tiles += len(results) - full
        self.resumed_tiles += len(results) * resumed


def predict(
    rasters: PathLike | Sequence[PathLike],
    model: PathLike | Detector = "pools",
    *,
    settings: PredictSettings | None = None,
    progress: Progress = no_progress,
    tally: RunSummary | None = None,
    journal: Journal | None = None,
) -> gpd.GeoDataFrame:
    """Find objects in rasters.

    Args:
        rasters: Files, folders of rasters or URLs; one or several.
        model: Name of a built-in model, path of a model file, or any ``Detector``.
        settings: See ``PredictSettings``.
        progress: Told of every batch, with the objects found so far.
        tally: Filled with what was done.
        journal: Where the work is written down; what it already holds is not done again.

    Returns:
        The detection table (see ``RasterDetections.table``) in the CRS of the first raster, some
        900 bytes an object: where there are millions, take ``predict_layer``.

    Raises:
        RasterError: A raster cannot be opened, or none could be read. Of several rasters, one that
            fails while it is read is left out with a ``GeodetectWarning``.
        InputError: Settings, model and rasters do not go together, or the journal is of another
            run.
        OutputError: The journal cannot be written.
        OutOfMemoryError: There is too little memory for a tile.
    """
    found = predict_layer(
        rasters, model, settings=settings, progress=progress, tally=tally, journal=journal
    )
    return found.table()


def predict_layer(
    rasters: PathLike | Sequence[PathLike],
    model: PathLike | Detector = "pools",
    *,
    settings: PredictSettings | None = None,
    progress: Progress = no_progress,
    tally: RunSummary | None = None,
    journal: Journal | None = None,
) -> DetectionLayer:
    """Like ``predict``, with objects in a tenth of the memory, of which ``write`` makes a file."""
    settings = settings or PredictSettings()
    tally = tally if tally is not None else RunSummary()
    start = time.monotonic()
    detector = as_detector(model, settings)
    keep = _labels_to_keep(detector, settings)
    with ExitStack() as stack:
        plans = plan(rasters, detector, settings=settings)
        for one in plans:
            stack.enter_context(one.raster)
        capacity = fitting_capacity(plans, detector, settings)
        total = sum(len(one.tiles) for one in plans)
        if journal is not None and total < journal.least_tiles:
            journal = None
        if journal is not None:
            batch_size = wanted_capacity(detector, settings).batch_size  # whatever memory is free
            journal.open(run_identity(detector, settings, plans, batch_size=batch_size))
        found = []
        readings = _Readings(plans, capacity, journal)
        stack.callback(readings.close)
        for number, one in enumerate(plans):
            before, objects = tally.done, tally.objects
            try:
                detections = detect_raster(
                    one,
                    detector,
                    settings=settings,
                    keep=keep,
                    capacity=capacity,
                    tally=tally,
                    progress=progress,
                    total=total,
                    journal=journal,
                    number=number,
                    reading=readings.take(number),
                )
            except RasterError as error:
                tally.objects = objects
                tally.unread_tiles += before + len(one.tiles) - tally.done
                progress(tally.done, total, objects=tally.objects)
                _note_failure(one, error, plans, tally)
                continue
            finally:
                one.raster.close()
            classes = detector.card.classes
            found.append(
                RasterDetections.of(detections, one.grid, classes=classes, raster=one.raster.name)
            )
    crs = plans[0].grid.crs
    all_found = DetectionLayer(tuple(found), crs and horizontal_crs(crs))
    all_found.check()  # before anything is written
    tally.seconds = time.monotonic() - start
    return all_found


def plan(
    rasters: PathLike | Sequence[PathLike],
    model: PathLike | Detector = "pools",
    *,
    settings: PredictSettings | None = None,
) -> list[RasterPlan]:
    """Open rasters and decide how to look at them, reading only their headers.

    Args:
        rasters: Files, folders of rasters or URLs; one or several.
        model: Name of a built-in model, path of a model file, or any ``Detector``.
        settings: See ``PredictSettings``.

    Returns:
        One plan for each raster; the caller closes their rasters.

    Raises:
        InputError: There are no rasters, or the area of interest touches none.
    """
    settings = settings or PredictSettings()
    return plan_rasters(rasters, as_detector(model, settings).card, settings)


def as_detector(model: PathLike | Detector, settings: PredictSettings) -> Detector:
    """A detector from a name, a path, or a detector."""
    if not isinstance(model, str | os.PathLike):
        if not (callable(model) and hasattr(model, "card")):
            raise InputError(
                f"expected the name or file of a model, or a detector with a card; found "
                f"{type(model).__name__} (geodetect.CallableDetector makes one of a function)"
            )
        return model
    from geodetect.detection.retinanet_detector import (
        load_detector,  # torch only when a network runs
    )

    return load_detector(
        model,
        device=settings.device,
        conf=settings.conf,
        iou=settings.iou,
        runtime=settings.runtime,
        precision=settings.precision,
    )


def detect_raster(
    plan: RasterPlan,
    detector: Detector,
    *,
    settings: PredictSettings,
    keep: IntArray | None,
    tally: RunSummary,
    capacity: Capacity | None = None,
    progress: Progress = no_progress,
    total: int = 0,
    journal: Journal | None = None,
    number: int = 0,
    reading: ReadAhead | None = None,
) -> Detections:
    """Find the objects of one raster.

    Returns:
        One detection per object, boxes in pixel edges of the working grid.
    """
    iou = detector.card.iou if settings.iou is None else settings.iou
    merger, cells = SeamMerger(plan.scheme, iou=iou), CoverageCells(plan.scheme)
    finished: list[Detections] = []
    capacity = capacity or wanted_capacity(detector, settings)
    reading = reading or ReadAhead(plan, capacity, _to_read(plan, journal, number))
    runner = RowDetector(plan, detector, cells, settings, keep, capacity)
    # no thread reads on after an error
    with closing(reading), closing(_results(runner, reading, journal, number)) as batches:
        row = 0
        for results, resumed in batches:
            if results[0].tile.row > row:  # a row of tiles is done: what it cannot change is final
                row = results[0].tile.row
                finished.append(_in_area(merger.take_final(row), plan.area))
                tally.objects += len(finished[-1])
            for result in results:
                cells.note(result.tile, result.imagery)
                if result.detections is not None:
                    merger.add(result.tile, result.detections)
            tally.count(results, resumed=resumed)
            progress(tally.done, total, objects=tally.objects)
    finished.append(_in_area(merger.finish(), plan.area))
    tally.coverage.append(cells.coverage(plan))
    tally.objects += len(finished[-1])
    progress(tally.done, total, objects=tally.objects)
    return Detections.concatenate(finished)


class _Readings:
    """The rasters of a run being read: the next one begins when all of one is on its way.

    Args:
        plans: How the rasters are looked at.
        capacity: How far ahead tiles are read.
        journal: What need not be read.
    """

    def __init__(
        self, plans: Sequence[RasterPlan], capacity: Capacity, journal: Journal | None
    ) -> None:
        self._plans = plans
        self._capacity = capacity
        self._journal = journal
        self._begun: dict[int, ReadAhead] = {}

    def take(self, number: int) -> ReadAhead:
        """The reading of one raster, which whoever takes it closes."""
        begun = self._begun.pop(number, None)
        return begun or self._of(number)

    def close(self) -> None:
        """End what nobody took."""
        for reading in self._begun.values():
            reading.close()

    def _of(self, number: int) -> ReadAhead:
        plan = self._plans[number]
        tiles = _to_read(plan, self._journal, number)
        return ReadAhead(plan, self._capacity, tiles, then=partial(self._begin, number + 1))

    def _begin(self, number: int) -> None:
        if number < len(self._plans):
            self._begun[number] = self._of(number)
            self._begun[number].start()


def _to_read(plan: RasterPlan, journal: Journal | None, number: int) -> Iterator[Tile]:
    return chain.from_iterable(_to_do(plan, journal, number))


def _to_do(plan: RasterPlan, journal: Journal | None, number: int) -> Iterator[list[Tile]]:
    """The rows of tiles that the journal does not hold."""
    rows = plan.rows()
    return (row for row in rows if journal is None or not journal.holds(number, row[0].row))


def _results(
    runner: RowDetector, reading: ReadAhead, journal: Journal | None, number: int
) -> Generator[tuple[list[TileResult], bool]]:
    """Results of all tiles in order, and whether they are from the journal; new rows go there."""
    plan = runner.plan
    # a generator that runs ahead: each row is asked for here before it can be added below
    with closing(runner.run(_to_do(plan, journal, number), reading)) as fresh:
        if journal is None:
            yield from ((batch, False) for batch in fresh)
            return
        for row in plan.rows():
            if journal.holds(number, row[0].row):
                yield journal.get(number, row), True
                continue
            results: list[TileResult] = []
            while len(results) < len(row):
                batch = next(fresh)
                yield batch, False
                results += batch
            journal.add(number, results)


def _in_area(found: Detections, area: shapely.Geometry | None) -> Detections:
    """Those whose centre lies inside the area, its border included."""
    if area is None:
        return found
    centres = box_ops.centres(found.boxes)
    return found[np.asarray(shapely.intersects_xy(area, *centres.T))]


def _labels_to_keep(detector: Detector, settings: PredictSettings) -> IntArray | None:
    if settings.classes is None:
        return None
    names = detector.card.classes
    unknown = [name for name in settings.classes if name not in names]
    if unknown:
        raise InputError(
            f"--classes: model {detector.card.name} knows no {unknown[0]!r}; it finds "
            f"{', '.join(names)}"
        )
    return np.array([names.index(name) for name in settings.classes])


def _note_failure(
    one: RasterPlan, error: RasterError, plans: Sequence[RasterPlan], tally: RunSummary
) -> None:
    """Go on without a raster, unless nothing is left."""
    tally.failed[one.raster.path] = str(error)
    tally.coverage.append(not_read(one, str(error)))
    if len(tally.failed) == len(plans):
        raise error
    warnings.warn(f"left out: {error}", GeodetectWarning, stacklevel=3)
