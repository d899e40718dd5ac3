"""What the label check found, as plain values."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import geopandas as gpd
import numpy as np

from geodetect.errors import LabelError
from geodetect.label_check.registration import ShiftEstimate
from geodetect.model.network.anchor_fit import AnchorShapes, RecallBin

Severity = Literal["error", "warning", "note"]
Percentiles = tuple[float, float, float]


@dataclass(frozen=True)
class Finding:
    """Something to know about the labels.

    Args:
        severity: ``error``: training is pointless. ``warning``: it should be looked at. ``note``.
        topic: What it is about, in few words.
        text: One line.
    """

    severity: Severity
    topic: str
    text: str


@dataclass(frozen=True)
class ClassSizes:
    """How large the objects of a class are.

    Args:
        name: The class.
        objects: Objects of it on the imagery.
        width_m: Short sides of their boxes on the ground: 5th, 50th and 95th percentile.
        length_m: Long sides likewise.
        width_px: Short sides in pixels of the training.
        length_px: Long sides likewise.
    """

    name: str
    objects: int
    width_m: Percentiles
    length_m: Percentiles
    width_px: Percentiles
    length_px: Percentiles


@dataclass(frozen=True)
class SharedGround:
    """Two rasters that show the same ground.

    Args:
        first: File name of the one; its path where both have the same name.
        second: That of the other.
        share: Ground they share, of that of the smaller one, 0..1.
    """

    first: str
    second: str
    share: float


@dataclass(frozen=True, eq=False)
class LabelReport:
    """What the label check found.

    Args:
        rasters: Rasters that can be used.
        left_out: Rasters that cannot, with the reason, by path.
        labels: Objects in all label files.
        objects: Those of them that lie on imagery.
        classes: How many of these each class has.
        raster_crs: Names of the CRS of the rasters.
        label_crs: Names of the CRS of the labels; ``pixels`` for data sets of images.
        gsd_m: Ground resolution of the training.
        sizes: Sizes of objects by class, and last of all if there are several.
        recall: Best-possible recall of the default network's anchors by size; last of all.
        fitted_recall: The same of anchors fitted to these objects.
        fitted: These anchors.
        shifts: Offsets between labels and imagery.
        area_km2: Ground with imagery that was looked at.
        far_m: Distance from which ground is far from a label; None: not known.
        far_share: Share of the ground that is far from any label.
        shared: Pairs of rasters that show the same ground, those that share most of it first.
        findings: What to know, errors first.
        problems: Features with ``reason, detail, class, source, row, raster`` on WGS 84.
        hidden: Numbers of the labels that lie on nodata of a raster, by its path.
    """

    rasters: int
    left_out: dict[str, str]
    labels: int
    objects: int
    classes: dict[str, int]
    raster_crs: tuple[str, ...]
    label_crs: tuple[str, ...]
    gsd_m: float
    sizes: tuple[ClassSizes, ...]
    recall: tuple[RecallBin, ...]
    fitted_recall: tuple[RecallBin, ...]
    fitted: AnchorShapes
    shifts: tuple[ShiftEstimate, ...]
    area_km2: float
    far_m: float | None
    far_share: float
    shared: tuple[SharedGround, ...]
    findings: tuple[Finding, ...]
    problems: gpd.GeoDataFrame
    hidden: dict[str, tuple[int, ...]]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings that make a training pointless."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Findings that should be looked at."""
        return tuple(finding for finding in self.findings if finding.severity == "warning")

    def raise_errors(self) -> None:
        """Stop where a training would be pointless.

        Raises:
            LabelError: There are errors; the message is that of the first.
        """
        if self.errors:
            more = f" (and {len(self.errors) - 1} more)" if len(self.errors) > 1 else ""
            raise LabelError(self.errors[0].text + more)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; of the problems, how many of each reason."""
        own = {n: value for n, value in vars(self).items() if n not in ("problems", "hidden")}
        counts = self.problems["reason"].value_counts()
        lists = ("sizes", "recall", "fitted_recall", "shifts", "shared", "findings")
        plain = own | {name: [asdict(item) for item in own[name]] for name in lists}
        plain["fitted"] = asdict(self.fitted)
        for bins in (plain["recall"], plain["fitted_recall"]):
            for one in bins:  # JSON has no infinity
                one["high_px"] = one["high_px"] if np.isfinite(one["high_px"]) else None
        for shift, one in zip(self.shifts, plain["shifts"], strict=True):
            one["shift_m"] = round(shift.shift_m, 2)
        return plain | {"problems": {str(reason): int(n) for reason, n in counts.items()}}
