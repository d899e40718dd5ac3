"""From rasters to detections: plan, read, detect, merge across tile seams."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any, Unpack

import geopandas as gpd
from pyproj import CRS

from geodetect.detection.detection_layer import DetectionLayer
from geodetect.detection.detectors.detector import Detector
from geodetect.detection.plan import GroundPlan
from geodetect.detection.plan_rasters import plan_rasters
from geodetect.detection.run.concurrency import concurrency_within_memory, preferred_concurrency
from geodetect.detection.run.description import RunDescription
from geodetect.detection.run.fingerprint import run_fingerprint
from geodetect.detection.run.journal import Journal
from geodetect.detection.search import Search, check_conversions
from geodetect.detection.shapes.outlines import check_outlines
from geodetect.errors import GeodetectWarning, InputError
from geodetect.io.array_raster import as_raster_paths
from geodetect.model.calibration import find_threshold_doubt
from geodetect.progress import Progress, announce, as_progress, phase, reports_progress
from geodetect.settings import PredictSettings
from geodetect.settings.functions import takes_settings
from geodetect.settings.keywords import PredictKeywords
from geodetect.types import PathLike, RasterSource


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
        RasterError: A file does not exist, or no raster can be read. Of several rasters, what
            cannot be read of one is left out with an ``IncompleteWarning``, unless ``strict``.
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
    search = Search(detector, settings, joined=joined)
    conf = settings.conf if counted_conf is None else counted_conf
    conf = detector.card.conf if conf is None else conf
    if threshold_doubt := find_threshold_doubt(conf, detector.card):
        warnings.warn(threshold_doubt, GeodetectWarning, stacklevel=2)
    left_out: dict[str, str] = {}
    with ExitStack() as stack:
        plans = plan_rasters(rasters, detector.card, settings, joined=joined, left_out=left_out)
        for ground_plan in plans:
            stack.enter_context(ground_plan.ground)
        check_conversions(plans, output_crs)
        concurrency = concurrency_within_memory(plans, detector, settings)
        description = RunDescription.from_plans(
            detector.card, plans, conf=conf, runs_on=getattr(detector, "runs_on", "")
        )
        announce(*description.lines())
        planned = sum(ground_plan.tile_count for ground_plan in plans)
        if journal is not None:
            # the preferred batch size: free memory may differ between the executions of a run
            batch_size = preferred_concurrency(detector, settings).batch_size
            fingerprint = partial(run_fingerprint, detector, settings, plans, batch_size=batch_size)
            journal.begin(fingerprint, tiles=planned)
        if journal is not None and not journal.is_open:
            journal = None
        if journal is not None:
            resumed, outdated = _count_finished_tiles(journal, plans)
            if resumed:
                announce(f"{resumed:,} of {planned:,} tiles are done already: {journal.path}")
            if outdated:
                announce(
                    f"{outdated:,} tiles show rasters that have changed since they were searched, "
                    f"and are searched again"
                )
        layer = search.run(
            plans,
            concurrency,
            finished=journal,
            record=None if journal is None else journal.add,
            progress=progress,
        )
    summary = replace(
        layer.summary,
        description=description,
        left_out={**left_out, **layer.summary.left_out},
        seconds=time.monotonic() - start,
    )
    return replace(layer, summary=summary)


def _count_finished_tiles(journal: Journal, plans: Sequence[GroundPlan]) -> tuple[int, int]:
    """Return the number of tiles that a journal holds, and of those whose rasters have changed."""
    finished, outdated = 0, 0
    for number, ground_plan in enumerate(plans):
        for run in ground_plan.runs():
            finished += len(run.tiles) * journal.holds(number, run)
            outdated += len(run.tiles) * journal.is_outdated(number, run)
    return finished, outdated


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
    """Return a detector from a name, a path, or a detector.

    Raises:
        InputError: It is none of these, or has no outlines and needs some.
        ModelFileError: There is no such model or its file is damaged.
    """
    detector = _load(model, settings) if isinstance(model, str | os.PathLike) else model
    if not (callable(detector) and hasattr(detector, "card")):
        raise InputError(
            f"expected the name or file of a model, or a detector with a card; found "
            f"{type(detector).__name__} (geodetect.CallableDetector makes one of a function)"
        )
    has_outlines = getattr(detector, "has_outlines", False)
    check_outlines(has_outlines, settings, model=detector.card.name)
    return detector


def _load(model: PathLike, settings: PredictSettings) -> Detector:
    # torch is imported only when a network runs
    from geodetect.detection.detectors.load import load_detector

    return load_detector(
        model,
        device=settings.device,
        conf=settings.conf,
        iou=settings.nms_iou,
        runtime=settings.runtime,
        precision=settings.precision,
        outlines=settings.geometry != "box",
    )
