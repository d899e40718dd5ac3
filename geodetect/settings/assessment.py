"""What can be set of comparing detections with what is known, with its defaults."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator


class EvaluateSettings(BaseModel):
    """Settings of ``evaluate``.

    Args:
        iou: Least overlap (IoU) of the boxes of a detection and the object it shows.
        distance: Greatest distance of their centres on the ground, in metres, instead of ``iou``.
        conf: Least score of a detection that counts; None: ``pick_threshold`` decides, else the
            model, else all count. Curves and average precision always use all detections.
        pick_threshold: ``f1``, ``precision=P``, ``recall=R`` or ``count``: find a threshold.
        area: Vector file with the ground where the truth is known.
        ignore_classes: Compare everything with everything.
        class_field: Column of the truth that holds the class.
        score_field: Column of the predictions that holds the score.
        pred_crs: CRS of the predictions, instead of their file's.
        truth_crs: CRS of the truth, instead of its file's.
        crs: CRS along whose axes boxes are drawn; None: the sides of the predictions.
        sizes: Limits between size bins, in metres; None: powers of two.
        block: Side of the blocks of ground for intervals, in metres; None: about 250.
        resamples: How often blocks are drawn for intervals; 0: no intervals.
        seed: Start of all randomness.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    iou: float = Field(0.5, gt=0, le=1)
    distance: float | None = Field(None, gt=0, allow_inf_nan=False)
    conf: float | None = Field(None, allow_inf_nan=False)
    pick_threshold: str | None = None
    area: Path | None = None
    ignore_classes: bool = False
    class_field: str | None = None
    score_field: str | None = None
    pred_crs: str | None = None
    truth_crs: str | None = None
    crs: str | None = None
    sizes: tuple[float, ...] | None = None
    block: float | None = Field(None, gt=0, allow_inf_nan=False)
    resamples: int = Field(1000, ge=0, le=5000)
    seed: int = Field(0, ge=0)

    @field_validator("pick_threshold")
    @classmethod
    def _rule_is_known(cls, rule: str | None) -> str | None:
        if rule is None or rule in ("f1", "count"):
            return rule
        name, _, value = rule.partition("=")
        try:
            share = float(value)
        except ValueError:
            share = math.nan
        if name not in ("precision", "recall") or not 0 < share <= 1:
            raise ValueError("expected f1, count, precision=0.95 or recall=0.9")
        return rule

    @field_validator("sizes")
    @classmethod
    def _sizes_ascend(cls, sizes: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if sizes is not None and not all(a < b for a, b in pairwise((0.0, *sizes, math.inf))):
            raise ValueError("expected ascending metres, such as 4,8,16")
        return sizes


class CompareSettings(BaseModel):
    """Settings of ``compare``.

    Args:
        tolerance: Greatest distance on the ground, in metres, between the centres of two features
            that can be the same object. Best less than the spacing of objects.
        moved_from: Distance from which on the same object has moved; nearer is confirmed. If it is
            not below the tolerance, nothing has moved.
        conf: Least score of a detection; None: all.
        ignore_classes: Let features of different classes be the same object.
        class_field: Column of the register that holds the class; None: the obvious one.
        parcel_id: Column of the parcels that names them; None: they are numbered.
        pred_crs: CRS of the detections, whatever their file says.
        register_crs: CRS of the register, whatever its file says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tolerance: float = Field(5.0, gt=0)
    moved_from: float = Field(2.0, ge=0)
    conf: float | None = Field(None, ge=0, le=1)
    ignore_classes: bool = False
    class_field: str | None = None
    parcel_id: str | None = None
    pred_crs: str | None = None
    register_crs: str | None = None


class SummarizeSettings(BaseModel):
    """Settings of ``summarize``.

    Args:
        conf: Least score of a detection; None: the one at which the error rates hold, if that is
            known, else all count.
        classes: Names of the classes to count; None: all.
        pred_crs: CRS of the detections, whatever their file says.
        zones_crs: CRS of the zones, whatever their file says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    conf: float | None = Field(None, ge=0, le=1)
    classes: tuple[str, ...] | None = None
    pred_crs: str | None = None
    zones_crs: str | None = None
