"""Tiles, time and failures of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class RunSummary:
    """Tiles, time and failures of a run.

    Args:
        tiles: Tiles that went through the detector.
        empty_tiles: Tiles without imagery, which did not.
        unread_tiles: Remaining tiles of rasters that could not be read to the end.
        resumed_tiles: Those of ``tiles`` and ``empty_tiles`` that were read from the journal of an
            interrupted run.
        seconds: Time from opening the first raster to the last object.
        failed: Error message of each raster that could not be read to the end, by its path.
    """

    tiles: int = 0
    empty_tiles: int = 0
    unread_tiles: int = 0
    resumed_tiles: int = 0
    seconds: float = 0.0
    failed: Mapping[str, str] = field(default_factory=dict)
