"""Estimate of the tiles, time and memory of a run, from headers, masks and one batch of tiles."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, islice
from typing import Any, Unpack

import numpy as np
import psutil
import shapely

from geodetect.detection.detector import Detector
from geodetect.detection.plan import RasterPlan
from geodetect.detection.predict import as_detector, plan
from geodetect.detection.run.concurrency import concurrency_within_memory, explain_memory_errors
from geodetect.display import Displayed, Rows
from geodetect.errors import list_names
from geodetect.geo.tiles import Tile
from geodetect.progress import format_duration, phase
from geodetect.settings import PredictSettings
from geodetect.settings.functions import takes_settings
from geodetect.settings.keywords import PredictKeywords
from geodetect.types import BoolArray, FloatArray, PathLike, RasterSource

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
        seconds_per_tile: Measured on one batch, reading included.
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
    """Estimate a run: headers and masks are read, and one batch of tiles is run.

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
    for number, raster_plan in enumerate(plans, 1):
        with raster_plan.raster:
            with phase("Reading masks", "rasters") as advance:
                raster_estimate, batch = _estimate_raster(raster_plan, concurrency.batch_size)
                advance(number, len(plans))
            estimates.append(raster_estimate)
            if batch and not seconds:
                timing = phase("Timing a batch of tiles")
                with timing, explain_memory_errors(raster_plan, concurrency):
                    for _ in range(2):  # the first one warms up
                        start = time.perf_counter()
                        pixels = [raster_plan.raster.read(t, raster_plan.grid) for t in batch]
                        values = np.stack([p.values for p in pixels])
                        detector(values, np.stack([p.valid for p in pixels]))
                        seconds = (time.perf_counter() - start) / len(batch)
    return Estimate(
        model=detector.card.name,
        runs_on=getattr(detector, "runs_on", ""),
        rasters=tuple(estimates),
        seconds_per_tile=seconds,
        memory_mb=_peak_memory_mb() + max(p.raster.cache_bytes for p in plans) / BYTES_PER_MB,
    )


def _estimate_raster(plan: RasterPlan, batch_size: int) -> tuple[RasterEstimate, list[Tile]]:
    """Return the estimate of a raster, and its first tiles with imagery."""
    scale = min(1.0, MASK_PX / max(plan.grid.width, plan.grid.height))
    coarse = plan.grid.resampled(scale, scale)
    valid = plan.raster.read_valid(grid=coarse)
    to_coarse = np.tile(plan.grid.scale_to(coarse), 2)
    if plan.raster.imagery is not None:
        valid &= _covered(
            plan.raster.imagery * np.tile(plan.raster.grid.scale_to(coarse), 2), valid
        )
    count, batch = 0, list[Tile]()
    for tile in chain.from_iterable(plan.rows()):
        if plan.is_empty(tile):
            continue
        box = tile.box * to_coarse
        x1, y1 = np.floor(box[:2]).astype(int)
        x2, y2 = np.ceil(box[2:]).astype(int)
        if valid[y1:y2, x1:x2].any():
            count += 1
            if count <= batch_size:
                batch.append(tile)
    if plan.area is not None:
        x, y = np.meshgrid(np.arange(coarse.width) + 0.5, np.arange(coarse.height) + 0.5)
        valid &= shapely.contains_xy(plan.area, x / to_coarse[0], y / to_coarse[1])
    fraction, gsd_m = float(valid.mean()), plan.grid.gsd_m
    raster_km2 = 0.0 if gsd_m is None else plan.grid.width * plan.grid.height * gsd_m**2 / 1e6
    estimate = RasterEstimate(
        path=plan.raster.path,
        name=plan.raster.name,
        gsd_m=plan.raster.grid.gsd_m,
        working_gsd_m=gsd_m,
        gsd_ratio=plan.gsd_ratio[0],
        value_range=None if plan.raster.stretch is None else plan.raster.stretch.range,
        tiles=count,
        skipped_tiles=len(plan.scheme) - count,
        tile_px=plan.scheme.tile_px,
        overlap_px=plan.scheme.overlap_px,
        area_km2=fraction * raster_km2,
        skipped_km2=(1 - fraction) * raster_km2,
    )
    return estimate, batch


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
