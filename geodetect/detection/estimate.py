"""Estimate of the tiles, time and memory of a run, from headers, masks and a few tiles."""

from __future__ import annotations

import math
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import count, islice
from typing import Any, Unpack

import numpy as np
import psutil
import shapely

from geodetect.detection.coverage import visible_parts
from geodetect.detection.detectors.detector import Detector
from geodetect.detection.plan import GroundPlan
from geodetect.detection.predict import as_detector, plan
from geodetect.detection.run.concurrency import concurrency_within_memory, explain_memory_errors
from geodetect.display import Displayed, Rows
from geodetect.errors import list_names
from geodetect.geo import boxes as box_ops
from geodetect.geo.tiles import Tile, Window
from geodetect.io.raster.reader import Raster
from geodetect.progress import format_duration, phase
from geodetect.settings import PredictSettings
from geodetect.settings.functions import takes_settings
from geodetect.settings.keywords import PredictKeywords
from geodetect.threads import stop_pools
from geodetect.types import BoolArray, FloatArray, IntArray, PathLike, RasterSource

MASK_PX = 1024  # long side of the coarse mask of the imagery
BYTES_PER_MB = 1e6
MAX_KINDS = 20  # of rasters that are listed


@dataclass(frozen=True)
class RasterEstimate:
    """Tiles and area of one raster.

    Args:
        path: Path of the raster.
        name: Its name in results.
        gsd_m: Ground resolution of the raster; None: unknown.
        working_gsd_m: Ground resolution of the working grid; None: unknown.
        gsd_ratio: Pixels of the raster per working pixel, along its rows.
        value_range: Values that become 0 and 255; None: the raster holds bytes.
        tiles: Tiles with imagery inside the area of interest.
        skipped_tiles: All other tiles.
        tile_px: Side of a tile.
        overlap_px: Smallest overlap of tiles.
        area_km2: Area with imagery inside the area of interest.
        skipped_km2: Area without imagery or outside the area of interest.
    """

    path: str
    name: str
    gsd_m: float | None
    working_gsd_m: float | None
    gsd_ratio: float
    value_range: tuple[float, float] | None
    tiles: int
    skipped_tiles: int
    tile_px: int
    overlap_px: int
    area_km2: float
    skipped_km2: float

    def __str__(self) -> str:
        """Return the resolution and the tiles, not their number, as text."""
        gsd = "unknown resolution" if self.gsd_m is None else f"{self.gsd_m:.3g} m"
        is_same = abs(self.gsd_ratio - 1) < 1e-9 or self.working_gsd_m is None
        resampling = "not resampled" if is_same else f"resampled to {self.working_gsd_m:.3g} m"
        values = ""
        if self.value_range is not None:
            values = "; values {:g} to {:g}".format(*self.value_range)
        return (
            f"{gsd}, {resampling} (ratio {1 / self.gsd_ratio:.2f}); tiles of {self.tile_px} px, "
            f"overlap {self.overlap_px} px{values}"
        )


@dataclass(frozen=True, repr=False)
class Estimate(Displayed):
    """Tiles, time and memory of a run.

    Args:
        model: Name of the model.
        runs_on: Runtime and device; empty for detectors that do not state them.
        rasters: One estimate for each raster.
        seconds_per_tile: Measured on one batch for each stream, reading included.
        memory_mb: Peak memory of this process so far, with a full block cache.
    """

    model: str
    runs_on: str
    rasters: tuple[RasterEstimate, ...]
    seconds_per_tile: float
    memory_mb: float

    @property
    def tiles(self) -> int:
        """Tiles with imagery inside the area of interest."""
        return sum(raster.tiles for raster in self.rasters)

    @property
    def skipped_tiles(self) -> int:
        """Tiles without imagery or outside the area of interest."""
        return sum(raster.skipped_tiles for raster in self.rasters)

    @property
    def area_km2(self) -> float:
        """Area with imagery inside the area of interest."""
        return sum(raster.area_km2 for raster in self.rasters)

    @property
    def skipped_km2(self) -> float:
        """Area without imagery or outside the area of interest."""
        return sum(raster.skipped_km2 for raster in self.rasters)

    @property
    def seconds(self) -> float:
        """Time for all tiles."""
        return self.tiles * self.seconds_per_tile

    def display_rows(self) -> Rows:
        """Return the totals, and a row for rasters that are tiled alike."""
        yield "Model", self.model
        yield "Rasters", f"{len(self.rasters):,}"
        yield "Tiles", f"{self.tiles:,} to search, {self.skipped_tiles:,} skipped"
        yield "Ground", f"{self.area_km2:,.3f} km² to search, {self.skipped_km2:,.3f} skipped"
        per_tile = f"{self.seconds_per_tile:.2f} s a tile"
        yield "Time", f"about {format_duration(self.seconds)} ({per_tile})"
        yield "Memory", f"about {self.memory_mb:,.0f} MB"
        yield "Runs on", self.runs_on
        names = defaultdict(list)
        for raster in self.rasters:
            names[str(raster)].append(raster.name)
        for text, alike in islice(names.items(), MAX_KINDS):
            yield list_names(alike, limit=1), text
        if len(names) > MAX_KINDS:
            yield "Others", f"{len(names) - MAX_KINDS:,} more kinds of rasters"

    def as_dict(self) -> dict[str, Any]:
        """Return the estimate as JSON types."""
        totals = ("tiles", "skipped_tiles", "area_km2", "skipped_km2")
        return {
            "model": self.model,
            "runs_on": self.runs_on,
            "rasters": len(self.rasters),
            **{name: round(getattr(self, name), 6) for name in totals},
            "estimated_seconds": round(self.seconds, 6),
            "seconds_per_tile": round(self.seconds_per_tile, 4),
            "memory_mb": round(self.memory_mb),
            "by_raster": [asdict(raster) for raster in self.rasters],
        }


@takes_settings(PredictSettings)
def estimate(
    rasters: RasterSource | Sequence[RasterSource],
    model: PathLike | Detector = "pools",
    *,
    settings: PredictSettings | Mapping[str, Any] | None = None,
    **keywords: Unpack[PredictKeywords],
) -> Estimate:
    """Estimate a run: headers and masks are read, and a few tiles are searched.

    Args:
        rasters: As for ``predict``.
        model: As for ``predict``.
        settings: As for ``predict``.
        keywords: Settings by name, such as ``conf=0.5``; they win over ``settings``.

    Returns:
        Tiles, area in square kilometres, seconds and memory.

    Raises:
        RasterError: A raster cannot be opened.
        InputError: Settings, model and rasters do not fit together.
        OutOfMemoryError: There is too little memory for a tile.
    """
    settings = PredictSettings.resolve(settings, keywords)
    with phase("Loading the model"):
        detector = as_detector(model, settings)
    estimates, seconds = [], 0.0
    plans = plan(rasters, detector, settings=settings)
    concurrency = concurrency_within_memory(plans, detector, settings)
    planned = sum(ground_plan.tile_count for ground_plan in plans)
    total, read = sum(len(ground_plan.ground.rasters) for ground_plan in plans), count(1)
    for ground_plan in plans:
        with ground_plan.ground:
            with phase("Reading masks", "rasters") as advance:
                of_ground, batch = _estimate_ground(
                    ground_plan, concurrency.batch_size, lambda: advance(next(read), total)
                )
            estimates += of_ground
            if batch and not seconds:
                timing = phase("Timing a batch of tiles")
                with timing, explain_memory_errors(ground_plan, concurrency):
                    streams = min(concurrency.streams, math.ceil(planned / len(batch)))
                    seconds = _time_tiles(ground_plan, detector, batch, streams)
    return Estimate(
        model=detector.card.name,
        runs_on=getattr(detector, "runs_on", ""),
        rasters=tuple(estimates),
        seconds_per_tile=seconds,
        memory_mb=_peak_memory_mb() + max(p.ground.cache_bytes for p in plans) / BYTES_PER_MB,
    )


def _time_tiles(plan: GroundPlan, detector: Detector, batch: Sequence[Tile], streams: int) -> float:
    """Return the seconds per tile of a batch, with as many batches at once as the run has."""

    def search() -> None:
        pixels = [plan.ground.read(tile, plan.grid) for tile in batch]
        detector(np.stack([p.values for p in pixels]), np.stack([p.valid for p in pixels]))

    seconds, futures = 0.0, list[Future[None]]()
    pool = ThreadPoolExecutor(streams, thread_name_prefix="geodetect-detect")
    try:
        for _ in range(2):  # the first one warms up
            start = time.perf_counter()
            futures = [pool.submit(search) for _ in range(streams)]
            for future in futures:
                future.result()
            seconds = (time.perf_counter() - start) / (len(batch) * streams)
    finally:
        stop_pools([pool], futures)
    return seconds


def _estimate_ground(
    plan: GroundPlan, batch_size: int, advance: Callable[[], None]
) -> tuple[list[RasterEstimate], list[Tile]]:
    """Return the estimates of the rasters of a ground, and its first tiles with imagery.

    A tile counts for the first raster that shows its centre, else for the first that it touches.
    """
    ground, scheme = plan.ground, plan.scheme
    raster_boxes = ground.boxes.astype(np.float64) * np.tile(ground.grid.scale_to(plan.grid), 2)
    tiles = [tile for run in plan.runs() for tile in run.tiles]
    boxes = np.reshape([tile.box for tile in tiles], (-1, 4))
    has_imagery, areas_km2 = np.zeros(len(tiles), bool), []
    for number, part in enumerate(visible_parts(plan)):
        mask = _CoarseMask.read(plan, raster_boxes[number])
        areas_km2.append(mask.areas_km2(plan, part))
        is_open = (box_ops.intersection(boxes, raster_boxes[number][None]) > 0) & ~has_imagery
        for tile in np.flatnonzero(is_open).tolist():
            has_imagery[tile] = mask.shows(boxes[tile])
        advance()
    raster_of = _first_rasters(boxes, raster_boxes)
    searched = np.bincount(raster_of[has_imagery], minlength=len(ground.rasters))
    skipped = np.bincount(raster_of[~has_imagery], minlength=len(ground.rasters))
    if len(ground.rasters) == 1:
        skipped = len(scheme) - searched
    estimates = [
        RasterEstimate(
            path=raster.path,
            name=raster.name,
            gsd_m=raster.grid.gsd_m,
            working_gsd_m=plan.grid.gsd_m,
            gsd_ratio=_gsd_ratio(plan, raster),
            value_range=None if raster.stretch is None else raster.stretch.range,
            tiles=int(searched[number]),
            skipped_tiles=int(skipped[number]),
            tile_px=scheme.tile_px,
            overlap_px=scheme.overlap_px,
            area_km2=areas_km2[number][0],
            skipped_km2=areas_km2[number][1],
        )
        for number, raster in enumerate(ground.rasters)
    ]
    return estimates, [tiles[n] for n in np.flatnonzero(has_imagery)[:batch_size].tolist()]


@dataclass(frozen=True)
class _CoarseMask:
    """Valid pixels of a part of a ground, in a coarse resolution.

    Args:
        valid: ``bool[H, W]``.
        window: Pixels of the coarse grid that they cover.
        scale: ``float64[2]`` coarse pixels for each working pixel, along x and y.
    """

    valid: BoolArray
    window: Window
    scale: FloatArray

    @classmethod
    def read(cls, plan: GroundPlan, box: FloatArray) -> _CoarseMask:
        """Read the mask inside a box in pixels of the working grid."""
        scale = min(1.0, MASK_PX / max(box[2:] - box[:2]))
        coarse = plan.grid.resampled(scale, scale)
        to_coarse = plan.grid.scale_to(coarse)
        size = np.array([coarse.width, coarse.height])
        low, high = np.floor(box[:2] * to_coarse + 0.5), np.ceil(box[2:] * to_coarse - 0.5)
        x, y = np.clip(low, 0, size - 1).astype(int).tolist()
        x2, y2 = np.clip(high, 1, size).astype(int).tolist()
        window = Window(x, y, max(1, x2 - x), max(1, y2 - y))
        valid = plan.ground.read_valid(window, coarse)
        if plan.ground.imagery is not None:
            to_window = np.tile(plan.ground.grid.scale_to(coarse), 2)
            corner = np.array([x, y, x, y])
            valid &= _covered(plan.ground.imagery * to_window - corner, valid)
        return cls(valid, window, to_coarse)

    def shows(self, box: FloatArray) -> bool:
        """Return True if there are valid pixels in a box in pixels of the working grid."""
        corner = np.array([self.window.x, self.window.y])
        x1, y1 = np.maximum(np.floor(box[:2] * self.scale) - corner, 0).astype(int)
        x2, y2 = np.maximum(np.ceil(box[2:] * self.scale) - corner, 0).astype(int)
        return bool(self.valid[y1:y2, x1:x2].any())

    def areas_km2(self, plan: GroundPlan, part: shapely.Geometry) -> tuple[float, float]:
        """Return the area with imagery inside the area of interest, and the rest of a part.

        Args:
            plan: Plan with the area of interest.
            part: Polygons in pixels of the working grid.
        """
        gsd_m = plan.grid.gsd_m
        if gsd_m is None:
            return 0.0, 0.0
        valid, all_km2 = self.valid, part.area * gsd_m**2 / 1e6
        x, y = np.meshgrid(
            self.window.x + np.arange(self.window.width) + 0.5,
            self.window.y + np.arange(self.window.height) + 0.5,
        )
        inside = shapely.contains_xy(part, x / self.scale[0], y / self.scale[1])
        if plan.area is not None:
            valid = valid & shapely.contains_xy(plan.area, x / self.scale[0], y / self.scale[1])
        searched_km2 = all_km2 * float((valid & inside).sum()) / max(1, int(inside.sum()))
        return searched_km2, all_km2 - searched_km2


def _first_rasters(boxes: FloatArray, raster_boxes: FloatArray) -> IntArray:
    """Return the first raster at the centre of each box, else the first that the box touches."""
    tree = shapely.STRtree(shapely.box(*raster_boxes.T))
    numbers = np.full(len(boxes), len(raster_boxes))
    for shapes in (shapely.points(box_ops.centres(boxes)), shapely.box(*boxes.T)):
        is_open = np.flatnonzero(numbers == len(raster_boxes))
        rows, rasters = tree.query(shapes[is_open], predicate="intersects")
        np.minimum.at(numbers, is_open[rows], rasters)
    return np.minimum(numbers, len(raster_boxes) - 1)


def _gsd_ratio(plan: GroundPlan, raster: Raster) -> float:
    """Return the pixels of a raster for each working pixel, along its rows."""
    t = raster.grid.transform
    side = math.hypot(plan.grid.transform.a, plan.grid.transform.d)
    return side / math.hypot(t.a, t.d) if len(plan.ground.rasters) > 1 else plan.gsd_ratio[0]


def _covered(boxes: FloatArray, mask: BoolArray) -> BoolArray:
    """Return True for the pixels of a mask that any of the boxes touches."""
    covered = np.zeros_like(mask)
    starts, stops = np.floor(boxes[:, :2]).astype(int), np.ceil(boxes[:, 2:]).astype(int)
    for (x1, y1), (x2, y2) in zip(starts.tolist(), stops.tolist(), strict=True):
        covered[max(0, y1) : y2, max(0, x1) : x2] = True
    return covered


def _peak_memory_mb() -> float:
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset) / BYTES_PER_MB
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / BYTES_PER_MB
