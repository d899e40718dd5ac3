"""How long a run will take and what it needs, from headers, masks and one tile."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

import numpy as np
import psutil
import shapely

from geodetect.detection.detector import Detector
from geodetect.detection.plan import RasterPlan
from geodetect.detection.predict import as_detector, plan
from geodetect.detection.run.concurrency import concurrency_within_memory, explain_memory_errors
from geodetect.geo.tiles import Tile
from geodetect.io.raster.dataset import BLOCK_CACHE_BYTES
from geodetect.settings import PredictSettings

MASK_PX = 1024  # long side of the coarse mask that tells where there is imagery
BYTES_PER_MB = 1e6


@dataclass(frozen=True)
class RasterEstimate:
    """What looking at one raster takes.

    Args:
        path: The raster.
        gsd_m: Its ground resolution; None: not known.
        working_gsd_m: The ground resolution worked on.
        gsd_ratio: Pixels of the raster per pixel worked on, along its rows.
        tiles: Tiles with imagery inside the area of interest.
        skipped_tiles: The others.
        tile_px: Side of a tile.
        overlap_px: Least overlap of tiles.
        area_km2: Ground to look at.
        skipped_km2: Ground without imagery or outside the area of interest.
    """

    path: str
    gsd_m: float | None
    working_gsd_m: float | None
    gsd_ratio: float
    tiles: int
    skipped_tiles: int
    tile_px: int
    overlap_px: int
    area_km2: float
    skipped_km2: float

    def in_words(self) -> str:
        """One line for people."""
        own = "unknown resolution" if self.gsd_m is None else f"{self.gsd_m:.3g} m"
        same = abs(self.gsd_ratio - 1) < 1e-9 or self.working_gsd_m is None
        how = "as it is" if same else f"resampled to {self.working_gsd_m:.3g} m"
        return (
            f"{own}, {how} (ratio {1 / self.gsd_ratio:.2f}); {self.tiles:,} tiles of "
            f"{self.tile_px} px, overlap {self.overlap_px} px"
        )


@dataclass(frozen=True)
class Estimate:
    """What a run takes.

    Args:
        model: Name of the model.
        runs_on: What runs it where; empty for detectors that are not ours.
        rasters: One entry for each raster.
        seconds_per_tile: Measured on one tile, reading included.
        memory_mb: Peak memory of this process so far, with a full block cache.
    """

    model: str
    runs_on: str
    rasters: tuple[RasterEstimate, ...]
    seconds_per_tile: float
    memory_mb: float

    @property
    def tiles(self) -> int:
        """Tiles to look at."""
        return sum(one.tiles for one in self.rasters)

    @property
    def skipped_tiles(self) -> int:
        """Tiles without imagery or outside the area of interest."""
        return sum(one.skipped_tiles for one in self.rasters)

    @property
    def area_km2(self) -> float:
        """Ground to look at."""
        return sum(one.area_km2 for one in self.rasters)

    @property
    def skipped_km2(self) -> float:
        """Ground that is skipped."""
        return sum(one.skipped_km2 for one in self.rasters)

    @property
    def seconds(self) -> float:
        """Time for all tiles."""
        return self.tiles * self.seconds_per_tile

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        totals = ("tiles", "skipped_tiles", "area_km2", "skipped_km2", "seconds")
        return {
            "model": self.model,
            "runs_on": self.runs_on,
            **{name: round(getattr(self, name), 6) for name in totals},
            "seconds_per_tile": round(self.seconds_per_tile, 4),
            "memory_mb": round(self.memory_mb),
            "rasters": [asdict(one) for one in self.rasters],
        }


def estimate(
    rasters: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    model: str | os.PathLike[str] | Detector = "pools",
    *,
    settings: PredictSettings | None = None,
) -> Estimate:
    """Plan a run without doing it: headers and masks are read, and one batch of tiles is run.

    Args:
        rasters: As for ``predict``.
        model: As for ``predict``.
        settings: As for ``predict``.

    Returns:
        Tiles, ground in square kilometres, seconds and memory, in all and by raster.

    Raises:
        RasterError: A raster cannot be opened.
        InputError: Settings, model and rasters do not go together.
        OutOfMemoryError: There is too little memory for a tile.
    """
    settings = settings or PredictSettings()
    detector = as_detector(model, settings)
    entries, seconds = [], 0.0
    plans = plan(rasters, detector, settings=settings)
    concurrency = concurrency_within_memory(plans, detector, settings)
    for one in plans:
        with one.raster:
            tiles, first, share = _tiles_with_imagery(one, concurrency.batch_size)
            entries.append(_entry(one, tiles, share))
            if tiles and not seconds:
                with explain_memory_errors(one, concurrency):
                    seconds = _time_per_tile(one, first, detector)
    memory_mb = _peak_memory_mb() + BLOCK_CACHE_BYTES / BYTES_PER_MB
    return Estimate(
        detector.card.name, getattr(detector, "runs_on", ""), tuple(entries), seconds, memory_mb
    )


def _tiles_with_imagery(one: RasterPlan, few: int) -> tuple[int, list[Tile], float]:
    """How many tiles in the area hold imagery, the first few, and the share of the ground there."""
    scale = min(1.0, MASK_PX / max(one.grid.width, one.grid.height))
    coarse = one.grid.resampled(scale, scale)
    valid = one.raster.read_valid(grid=coarse)
    shrink = np.tile(one.grid.scale_to(coarse), 2)
    count, first = 0, []
    for tile in chain.from_iterable(one.rows()):
        box = tile.box * shrink
        x1, y1 = np.floor(box[:2]).astype(int)
        x2, y2 = np.ceil(box[2:]).astype(int)
        if valid[y1:y2, x1:x2].any():
            count += 1
            first += [tile] if count <= few else []
    if one.area is not None:
        x, y = np.meshgrid(np.arange(coarse.width) + 0.5, np.arange(coarse.height) + 0.5)
        valid &= shapely.contains_xy(one.area, x / shrink[0], y / shrink[1])
    return count, first, float(valid.mean())


def _entry(one: RasterPlan, tiles: int, share: float) -> RasterEstimate:
    own, working = one.raster.grid, one.grid.gsd_m
    pixels = one.grid.width * one.grid.height
    ground_km2 = 0.0 if working is None else pixels * working**2 / 1e6
    return RasterEstimate(
        path=one.raster.path,
        gsd_m=own.gsd_m,
        working_gsd_m=working,
        gsd_ratio=one.gsd_ratio[0],
        tiles=tiles,
        skipped_tiles=len(one.scheme) - tiles,
        tile_px=one.scheme.tile_px,
        overlap_px=one.scheme.overlap_px,
        area_km2=share * ground_km2,
        skipped_km2=(1 - share) * ground_km2,
    )


def _time_per_tile(one: RasterPlan, batch: Sequence[Tile], detector: Detector) -> float:
    """Seconds for one of a batch of tiles, after one that warms up."""
    seconds = 0.0
    for _ in range(2):
        start = time.perf_counter()
        pixels = [one.raster.read(tile, one.grid) for tile in batch]
        detector(np.stack([p.values for p in pixels]), np.stack([p.valid for p in pixels]))
        seconds = (time.perf_counter() - start) / len(batch)
    return seconds


def _peak_memory_mb() -> float:
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset) / BYTES_PER_MB
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / BYTES_PER_MB
