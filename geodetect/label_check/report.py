"""Result of a label check."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import geopandas as gpd
import numpy as np

from geodetect.display import Displayed, Rows
from geodetect.errors import LabelError, list_names
from geodetect.label_check.looseness import LoosenessEstimate
from geodetect.label_check.registration import ShiftEstimate
from geodetect.model.network.anchor_fit import AnchorShapes, RecallBin

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
Percentiles = tuple[float, float, float]


@dataclass(frozen=True)
class Finding:
    """Finding about all labels or many of them.

    Args:
        severity: ``error``: training is pointless. ``warning``: labels should be corrected, or
            settings changed. ``note``: for information.
        topic: Subject in one or two words.
        text: Message of one line.
    """

    severity: Severity
    topic: str
    text: str


@dataclass(frozen=True)
class ClassSizes:
    """Sizes of the objects of a class.

    Args:
        class_name: Name of the class.
        labels: Number of its labels on the imagery.
        width_m: Short sides of their boxes on the ground: 5th, 50th and 95th percentile.
        length_m: Long sides likewise.
        width_px: Short sides in pixels of the training.
        length_px: Long sides likewise.
    """

    class_name: str
    labels: int
    width_m: Percentiles
    length_m: Percentiles
    width_px: Percentiles
    length_px: Percentiles


@dataclass(frozen=True)
class RasterOverlap:
    """Two rasters that overlap.

    Args:
        first: File name of one; its path where both have the same name.
        second: File name or path of the other.
        fraction: Area of the overlap, as a fraction of the smaller raster.
    """

    first: str
    second: str
    fraction: float


@dataclass(frozen=True, eq=False, repr=False)
class LabelReport(Displayed):
    """Result of a label check.

    Args:
        rasters: Number of rasters that can be used.
        left_out: Reasons of rasters that cannot be used, by path.
        labels: Number of objects in all label files.
        labels_on_imagery: Number of objects on imagery.
        by_class: Number of objects on imagery by class.
        raster_crs: Names of the CRS of the rasters.
        label_crs: Names of the CRS of the labels; ``pixels`` for image data sets.
        gsd_m: Ground resolution of the training.
        sizes: Sizes of objects by class; of all objects last if there are several classes.
        anchor_recall: Best-possible recall of the network's anchors by size; of all objects last.
        fitted_anchor_recall: The same for anchors fitted to these objects.
        fitted: Fitted anchors.
        shifts: Offsets between labels and imagery.
        looseness: Excess of labels over the objects that they show; None: not measured.
        area_km2: Area of the imagery that was read.
        far_m: Distance from which on imagery is far from a label; None: unknown.
        far_fraction: Fraction of the imagery that is far from any label.
        overlaps: Pairs of rasters that overlap, largest overlap first.
        findings: Findings, errors first.
        problems: Features with ``reason, detail, class, source, row, raster`` on WGS 84.
        on_nodata: Ids of the labels that lie on nodata of a raster, by its path.
    """

    rasters: int
    left_out: dict[str, str]
    labels: int
    labels_on_imagery: int
    by_class: dict[str, int]
    raster_crs: tuple[str, ...]
    label_crs: tuple[str, ...]
    gsd_m: float
    sizes: tuple[ClassSizes, ...]
    anchor_recall: tuple[RecallBin, ...]
    fitted_anchor_recall: tuple[RecallBin, ...]
    fitted: AnchorShapes
    shifts: tuple[ShiftEstimate, ...]
    looseness: LoosenessEstimate | None
    area_km2: float
    far_m: float | None
    far_fraction: float
    overlaps: tuple[RasterOverlap, ...]
    findings: tuple[Finding, ...]
    problems: gpd.GeoDataFrame
    on_nodata: dict[str, tuple[int, ...]]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings that make a training pointless."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Findings that call for a correction."""
        return tuple(finding for finding in self.findings if finding.severity == "warning")

    def display_rows(self) -> Rows:
        """Return the counts, and the findings."""
        yield "Rasters", f"{self.rasters:,}"
        yield "Labels", f"{self.labels:,}, {self.labels_on_imagery:,} on imagery"
        yield "Classes", list_names(f"{count:,} {name}" for name, count in self.by_class.items())
        yield "Resolution", f"{self.gsd_m:.3g} m per pixel"
        yield "Problems", f"{len(self.problems):,} labels or areas"
        yield from ((f.severity.capitalize(), f"{f.topic}: {f.text}") for f in self.findings)

    def raise_errors(self) -> None:
        """Raise the first error, if there is any.

        Raises:
            LabelError: A training would be pointless.
        """
        if self.errors:
            more = f" (and {len(self.errors) - 1} more)" if len(self.errors) > 1 else ""
            raise LabelError(self.errors[0].text + more)

    def as_dict(self) -> dict[str, Any]:
        """Return values for JSON; instead of the problems their number by reason."""
        values = {k: v for k, v in vars(self).items() if k not in ("problems", "on_nodata")}
        for key in (
            "sizes",
            "anchor_recall",
            "fitted_anchor_recall",
            "shifts",
            "overlaps",
            "findings",
        ):
            values[key] = [asdict(item) for item in values[key]]
        for size_values in values["sizes"]:
            size_values["class"] = size_values.pop("class_name")
        values["fitted"] = asdict(self.fitted)
        values["looseness"] = self.looseness and asdict(self.looseness)
        for size_bin in (*values["anchor_recall"], *values["fitted_anchor_recall"]):
            if np.isinf(size_bin["high_px"]):  # JSON has no infinity
                size_bin["high_px"] = None
        for shift, shift_values in zip(self.shifts, values["shifts"], strict=True):
            shift_values["shift_m"] = round(shift.shift_m, 2)
        counts = self.problems["reason"].value_counts()
        values["problems"] = {str(reason): int(count) for reason, count in counts.items()}
        return values
