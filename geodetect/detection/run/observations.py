"""Observations of a run beside the results of its tiles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from geodetect.detection.run.imagery_sample import WindowFigures


@dataclass(frozen=True)
class GroundObservations:
    """Observations of the rasters of one ground, each by the number of the raster.

    Args:
        failures: Error message of each raster that could not be read somewhere.
        value_ranges: Values that became 0 and 255; without those of bytes.
        windows: Figures of the windows of pixels that were sampled.
    """

    failures: Mapping[int, str] = field(default_factory=dict)
    value_ranges: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    windows: tuple[WindowFigures, ...] = ()

    def __or__(self, later: GroundObservations) -> GroundObservations:
        """Return the observations of both; of two errors of a raster the first."""
        return GroundObservations(
            {**later.failures, **self.failures},
            {**later.value_ranges, **self.value_ranges},
            self.windows + later.windows,
        )
