"""From rasters to the detection table: read, detect, merge."""

from __future__ import annotations

import os
import time
import warnings
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray

from geodetect.detection.detections import Detections
from geodetect.detection.detector import Detector
from geodetect.detection.merge import SeamMerger
from geodetect.detection.plan import RasterPlan, check_area, plan_raster
from geodetect.detection.table import concatenate_tables, detection_table
from geodetect.errors import GeodetectWarning, InputError, RasterError
from geodetect.geo import boxes as bx
from geodetect.geo.grid import horizontal_crs
from geodetect.geo.tiles import Tile
from geodetect.io.raster import Pixels, find_rasters
from geodetect.progress import Progress, silent
from geodetect.settings import PredictSettings

Source = str | os.PathLike[str]

BATCH_SIZE = 2
MOST_WORKERS = 4
EDGE_PX = 1.5  # a box this close to the edge of the imagery is cut by it


@dataclass
class Tally:
    """What a run did.

    Args:
        tiles: Tiles that went through the detector.
        empty_tiles: Tiles without imagery, which did not.
        unread_tiles: Further tiles of rasters that could not be read to the end.
        objects: Objects found.
        seconds: Time from the first raster to the finished table.
        failed: Rasters that could not be read to the end, and why.
    """

    tiles: int = 0
    empty_tiles: int = 0
    unread_tiles: int = 0
    objects: int = 0
    seconds: float = 0.0
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def done(self) -> int:
        """Tiles that need no more work."""
        return self.tiles + self.empty_tiles + self.unread_tiles


def predict(
    rasters: Source | Sequence[Source],
    model: Source | Detector = "pools",
    *,
    settings: PredictSettings | None = None,
    progress: Progress = silent,
    tally: Tally | None = None,
) -> gpd.GeoDataFrame:
    """Find objects in rasters.

    Args:
        rasters: Files, folders of rasters or URLs; one or several.
        model: Name of a built-in model, path of a model file, or any ``Detector``.
        settings: See ``PredictSettings``.
        progress: Told of every batch, with the objects found so far.
        tally: Filled with what was done.

    Returns:
        The detection table (see ``detection_table``) in the CRS of the first raster.

    Raises:
        RasterError: A raster cannot be opened, or none could be read. Of several rasters, one that
            fails while it is read is left out with a ``GeodetectWarning``.
        InputError: Settings, model and rasters do not go together.
    """
    settings = settings or PredictSettings()
    tally = tally if tally is not None else Tally()
    start = time.monotonic()
    detector = as_detector(model, settings)
    keep = _labels_to_keep(detector, settings)
    with ExitStack() as stack:
        plans = plan(rasters, detector, settings=settings)
        for one in plans:
            stack.enter_context(one.raster)
        total = sum(len(one.tiles) for one in plans)
        tables = []
        for one in plans:
            before, objects = tally.done, tally.objects
            try:
                found = detect_raster(
                    one,
                    detector,
                    settings=settings,
                    keep=keep,
                    tally=tally,
                    progress=progress,
                    total=total,
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
            tables.append(detection_table(found, one.grid, classes=classes, raster=one.raster.name))
    crs = plans[0].grid.crs
    table = concatenate_tables(tables, None if crs is None else horizontal_crs(crs).to_wkt())
    tally.seconds = time.monotonic() - start
    return table


def plan(
    rasters: Source | Sequence[Source],
    model: Source | Detector = "pools",
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
    sources = [rasters] if isinstance(rasters, str | os.PathLike) else list(rasters)
    if not sources:
        raise InputError("no raster was given; name at least one file")
    card = as_detector(model, settings).card
    plans = [plan_raster(source, card, settings) for source in find_rasters(sources)]
    check_area(plans)
    return plans


def as_detector(model: Source | Detector, settings: PredictSettings) -> Detector:
    """A detector from a name, a path, or a detector."""
    if not isinstance(model, str | os.PathLike):
        return model
    from geodetect.detection.network import load_detector  # torch only when a network runs

    return load_detector(model, device=settings.device, conf=settings.conf, iou=settings.iou)


def detect_raster(
    plan: RasterPlan,
    detector: Detector,
    *,
    settings: PredictSettings,
    keep: NDArray[np.int64] | None,
    tally: Tally,
    progress: Progress = silent,
    total: int = 0,
) -> Detections:
    """Find the objects of one raster.

    Returns:
        One detection per object, boxes in pixel edges of the working grid.
    """
    iou = detector.card.iou if settings.iou is None else settings.iou
    conf = detector.card.conf if settings.conf is None else settings.conf
    merger = SeamMerger(plan.scheme, iou=iou)
    finished: list[Detections] = []
    row = 0
    with closing(_batches(plan, settings)) as batches:  # no thread reads on after an error
        for tiles, pixels, skipped in batches:
            for tile, one, view in zip(tiles, _found(detector, pixels), pixels, strict=True):
                chosen = one[(one.scores >= conf) & _wanted(one.labels, keep)]
                merger.add(tile, on_imagery(chosen, tile, view, plan))
            if tiles and tiles[-1].row > row:
                row = tiles[-1].row
                finished.append(_in_area(merger.take_final(row), plan.area))
                tally.objects += len(finished[-1])
            tally.tiles += len(tiles)
            tally.empty_tiles += skipped
            progress(tally.done, total, objects=tally.objects)
    finished.append(_in_area(merger.finish(), plan.area))
    tally.objects += len(finished[-1])
    progress(tally.done, total, objects=tally.objects)
    return Detections.concatenate(finished)


def _found(detector: Detector, pixels: list[Pixels]) -> Sequence[Detections]:
    """What a detector finds in a batch; there may be nothing to look at."""
    if not pixels:
        return []
    found = detector(np.stack([p.values for p in pixels]), np.stack([p.valid for p in pixels]))
    if len(found) != len(pixels):
        raise InputError(
            f"the detector {detector.card.name!r} must return detections for each of the "
            f"{len(pixels)} images of a batch; found {len(found)}"
        )
    return found


def on_imagery(found: Detections, tile: Tile, pixels: Pixels, plan: RasterPlan) -> Detections:
    """Detections of a tile in pixels of the whole raster, without those outside the imagery.

    Boxes are clipped to the tile; ``truncated`` is set where the imagery ends beside a box.
    """
    frame = np.array([0, 0, tile.width, tile.height], np.float64)
    boxes = bx.clip(found.boxes, frame)
    sums = np.pad(pixels.valid.cumsum(0, np.int64).cumsum(1), ((1, 0), (1, 0)))
    seen = (bx.area(boxes) > 0) & (_valid_share(sums, boxes) > 0)
    clipped = Detections(boxes, found.scores, found.labels, found.truncated)[seen]
    truncated = clipped.truncated | _at_edge(clipped.boxes, tile, sums, plan)
    return Detections(clipped.boxes, clipped.scores, clipped.labels, truncated).shifted(
        tile.x0, tile.y0
    )


def _at_edge(
    boxes: NDArray[np.float64], tile: Tile, sums: NDArray[np.int64], plan: RasterPlan
) -> NDArray[np.bool_]:
    """Which boxes of a tile end where the imagery ends: at the raster's edge or at nodata."""
    size = np.array([plan.grid.width, plan.grid.height] * 2) * [0, 0, 1, 1]
    offset = np.array([tile.x0, tile.y0] * 2)
    at_raster_edge = (np.abs(boxes + offset - size) < EDGE_PX).any(axis=1)
    if sums[-1, -1] == tile.width * tile.height:
        return np.asarray(at_raster_edge)
    x1, y1, x2, y2 = boxes.T
    strips = [
        (x1 - 2, y1, x1 - 1, y2),
        (x2 + 1, y1, x2 + 2, y2),
        (x1, y1 - 2, x2, y1 - 1),
        (x1, y2 + 1, x2, y2 + 2),
    ]
    frame = np.array([0, 0, tile.width, tile.height], np.float64)
    for strip in strips:
        outside = np.stack(strip, axis=1)
        inside_tile = bx.area(bx.clip(outside, frame)) > 0
        at_raster_edge |= inside_tile & (_valid_share(sums, outside) < 0.5)
    return np.asarray(at_raster_edge)


def _valid_share(sums: NDArray[np.int64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of valid pixels among those that each box touches, from a summed-area table."""
    height, width = (n - 1 for n in sums.shape)
    x1, y1 = (
        np.clip(np.floor(boxes[:, i]), 0, n).astype(int) for i, n in ((0, width), (1, height))
    )
    x2, y2 = (np.clip(np.ceil(boxes[:, i]), 0, n).astype(int) for i, n in ((2, width), (3, height)))
    count = sums[y2, x2] - sums[y1, x2] - sums[y2, x1] + sums[y1, x1]
    return np.asarray(count / np.maximum((x2 - x1) * (y2 - y1), 1))


def _batches(
    plan: RasterPlan, settings: PredictSettings
) -> Generator[tuple[list[Tile], list[Pixels], int]]:
    """Batches of tiles with imagery, read ahead in order, and how many without were skipped."""
    batch = settings.batch_size or BATCH_SIZE
    workers = settings.workers or min(MOST_WORKERS, os.cpu_count() or 1)
    tiles, views, skipped = list[Tile](), list[Pixels](), 0
    with closing(_read_ahead(plan, workers=workers, ahead=batch + workers)) as read:
        for tile, pixels in read:
            if not pixels.valid.any():
                skipped += 1
                continue
            tiles.append(tile)
            views.append(pixels)
            if len(tiles) == batch:
                yield tiles, views, skipped
                tiles, views, skipped = [], [], 0
    yield tiles, views, skipped


def _read_ahead(plan: RasterPlan, *, workers: int, ahead: int) -> Generator[tuple[Tile, Pixels]]:
    """Tiles in order, while the next ones are being read by other threads."""
    waiting: deque[tuple[Tile, Future[Pixels]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for tile in plan.chosen_tiles():
                waiting.append((tile, pool.submit(plan.raster.read, tile, plan.grid)))
                if len(waiting) > ahead:
                    done, future = waiting.popleft()
                    yield done, future.result()
            while waiting:
                done, future = waiting.popleft()
                yield done, future.result()
        finally:
            for _, future in waiting:
                future.cancel()


def _in_area(found: Detections, area: shapely.Geometry | None) -> Detections:
    """Those whose centre lies inside the area, its border included."""
    if area is None:
        return found
    centres = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    return found[np.asarray(shapely.intersects_xy(area, *centres.T))]


def _labels_to_keep(detector: Detector, settings: PredictSettings) -> NDArray[np.int64] | None:
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


def _wanted(labels: NDArray[np.int16], keep: NDArray[np.int64] | None) -> NDArray[np.bool_]:
    return np.ones(len(labels), bool) if keep is None else np.isin(labels, keep)


def _note_failure(
    one: RasterPlan, error: RasterError, plans: Sequence[RasterPlan], tally: Tally
) -> None:
    """Go on without a raster, unless nothing is left."""
    tally.failed[one.raster.path] = str(error)
    if len(tally.failed) == len(plans):
        raise error
    warnings.warn(f"left out: {error}", GeodetectWarning, stacklevel=3)
