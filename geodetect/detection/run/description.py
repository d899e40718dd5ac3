"""Description of a run: model, imagery and machine, as they are known before its first tile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import shapely

from geodetect.detection.plan import GroundPlan
from geodetect.model.card import ModelCard

MAX_SOURCES = 3  # of training data in one line
M2_PER_KM2 = 1e6


@dataclass(frozen=True)
class RunDescription:
    """Model, score threshold, resolutions, machine and extent of a run.

    Args:
        model: Name of the model.
        trained_on: Imagery and labels of its training, as its card states them.
        trained_labels: Number of labelled objects of its training; 0: unknown.
        score_threshold: Score threshold.
        runs_on: Runtime, precision and device; empty for detectors that do not state them.
        model_gsd_m: Ground resolution of the model; None: it takes that of the raster.
        raster_gsd_range_m: Ground resolution of the finest and the coarsest raster; None: unknown.
        working_gsd_range_m: Ground resolution of the finest and of the coarsest working grid.
        rasters: Number of rasters.
        resampled_rasters: Number of rasters that are resampled.
        tiles: Tiles in the area of interest that may hold imagery.
        area_km2: Area of interest on the rasters, also where they hold no imagery; None: unknown.
    """

    model: str
    trained_on: tuple[str, ...]
    trained_labels: int
    score_threshold: float
    runs_on: str
    model_gsd_m: float | None
    raster_gsd_range_m: tuple[float, float] | None
    working_gsd_range_m: tuple[float, float] | None
    rasters: int
    resampled_rasters: int
    tiles: int
    area_km2: float | None

    @classmethod
    def from_plans(
        cls, card: ModelCard, plans: Sequence[GroundPlan], *, conf: float, runs_on: str = ""
    ) -> RunDescription:
        """Describe the run of a model on planned rasters.

        Args:
            card: Card of the model.
            plans: The grounds.
            conf: Score threshold.
            runs_on: Runtime, precision and device.
        """
        areas = [area for plan in plans if (area := _area_km2(plan)) is not None]
        rasters = [raster for plan in plans for raster in plan.ground.rasters]
        return cls(
            model=card.name,
            trained_on=card.training.data,
            trained_labels=card.training.objects,
            score_threshold=conf,
            runs_on=runs_on,
            model_gsd_m=card.gsd_m,
            raster_gsd_range_m=_range([raster.grid.gsd_m for raster in rasters]),
            working_gsd_range_m=_range([plan.grid.gsd_m for plan in plans]),
            rasters=len(rasters),
            resampled_rasters=sum(map(_count_resampled, plans)),
            tiles=sum(plan.tile_count for plan in plans),
            area_km2=round(sum(areas), 6) if len(areas) == len(plans) else None,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the description as JSON types."""
        return asdict(self)

    def lines(self) -> tuple[str, str]:
        """Return two lines: on the model, and on the imagery."""
        machine = f", {self.runs_on}" if self.runs_on else ""
        model = f"Model {self.model} at scores of {self.score_threshold:.3g} and more{machine}"
        # what comes before a colon names the place: "Cannes, France: orthophoto at 0.20 m"
        sources = [text.partition(":")[0] for text in self.trained_on]
        more = f" and {len(sources) - MAX_SOURCES} more" if len(sources) > MAX_SOURCES else ""
        place = "; ".join(sources[:MAX_SOURCES]) + more
        if self.trained_labels:
            objects = f"{self.trained_labels:,} objects"
            model += f"; trained on {objects} of {place}" if place else f"; trained on {objects}"
        elif place:
            model += f"; trained on {place}"
        area = "" if self.area_km2 is None else f", {self.area_km2:,.3g} km²"
        return model, f"{self._imagery()}: {self.tiles:,} tiles{area}"

    def _imagery(self) -> str:
        """Return the rasters with their resolution, and to which they are resampled."""
        text = "1 raster" if self.rasters == 1 else f"{self.rasters:,} rasters"
        if self.raster_gsd_range_m is None:
            return f"{text} of unknown ground resolution, not resampled"
        text += f" of {_metres(self.raster_gsd_range_m)}"
        model = "" if self.model_gsd_m is None else f" (the model's: {self.model_gsd_m:.3g} m)"
        if not self.resampled_rasters:
            return f"{text}, not resampled{model}"
        some = (
            "" if self.resampled_rasters == self.rasters else f"{self.resampled_rasters:,} of them "
        )
        assert self.working_gsd_range_m is not None
        return f"{text}, {some}resampled to {_metres(self.working_gsd_range_m)}{model}"


def _metres(ends: tuple[float, float]) -> str:
    low, high = (f"{end:.3g}" for end in ends)
    return f"{low} m" if low == high else f"{low} to {high} m"


def _range(values: Sequence[float | None]) -> tuple[float, float] | None:
    """Return the least and the largest value; None if any is unknown."""
    sizes = [value for value in values if value is not None]
    return (min(sizes), max(sizes)) if len(sizes) == len(values) else None


def _count_resampled(plan: GroundPlan) -> int:
    """Return the number of rasters of a ground that are resampled."""
    is_resampled = plan.grid is not plan.ground.grid
    return sum(is_resampled or not aligned for aligned in plan.ground.is_aligned.tolist())


def _area_km2(plan: GroundPlan) -> float | None:
    """Return the area of interest on the rasters of a ground; None without ground resolution."""
    if plan.grid.gsd_m is None:
        return None
    boxes = plan.ground.boxes * np.tile(plan.ground.grid.scale_to(plan.grid), 2)
    extent = shapely.union_all(shapely.box(*boxes.T))
    if plan.area is not None:
        extent = shapely.intersection(plan.area, extent)
    return float(shapely.area(extent)) * plan.grid.gsd_m**2 / M2_PER_KM2
