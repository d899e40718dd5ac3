"""Advice, and the facts of a training that it is derived from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from geodetect.label_check.report import Finding
from geodetect.model.card import ModelCard
from geodetect.settings import TrainSettings
from geodetect.training.validation.metrics import ValidationResult
from geodetect.training.validation.start import Gain


@dataclass(frozen=True)
class Place:
    """Place to look at.

    Args:
        raster: Name of the raster.
        x: Longitude on WGS 84; the column in pixels of a raster without a CRS.
        y: Latitude, or the row.
        in_pixels: True for a raster without a CRS.
    """

    raster: str
    x: float
    y: float
    in_pixels: bool

    def __str__(self) -> str:
        if self.in_pixels:
            return f"column {self.x:.0f}, row {self.y:.0f} of {self.raster}"
        return f"{self.x:.5f}, {self.y:.5f} (longitude, latitude) in {self.raster}"


@dataclass(frozen=True)
class Advice:
    """Next thing to do.

    Args:
        topic: Subject in one or two words.
        text: One line: the measured fact, then the remedy, with parameters in backticks.
        gain: Expected gain in AP50 or recall, by which advice is ordered; a rough estimate, 0 where
            the figures become more certain rather than better.
        places: Places that it is about.
    """

    topic: str
    text: str
    gain: float
    places: tuple[Place, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return values for JSON."""
        values = vars(self) | {"gain": round(self.gain, 4)}
        return values | {"places": [vars(place) for place in self.places]}


@dataclass(frozen=True, eq=False)
class TrainingFacts:
    """Facts of a completed training.

    Args:
        rows: Rows of ``metrics.csv``.
        settings: Settings of the training.
        lr: Peak learning rate.
        card: Card of the model.
        result: Validation of the model; None: nothing is held out.
        gain: Comparison with the start; None: not compared.
        class_objects: Number of objects trained on by class.
        finest_gsd_m: Finest ground resolution of the rasters, in metres.
        findings: Findings of the label check.
    """

    rows: Sequence[Mapping[str, float]]
    settings: TrainSettings
    lr: float
    card: ModelCard
    result: ValidationResult | None
    gain: Gain | None
    class_objects: Mapping[str, int]
    finest_gsd_m: float
    findings: Sequence[Finding] = ()
