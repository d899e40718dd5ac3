"""Settings of evaluating, comparing and counting predictions."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from geodetect.settings.base import CommandLine, FormerNames, Settings
from geodetect.settings.inputs import LayerSettings, MatchedLayerSettings, TruthSettings
from geodetect.settings.value_types import (
    Area,
    ClassNames,
    CountOrZero,
    Crs,
    Iou,
    Lengths,
    Metres,
    MetresOrZero,
    Name,
    Score,
    UnboundedScore,
)


class EvaluateSettings(TruthSettings):
    """Settings of ``evaluate``."""

    section: ClassVar[str] = "Evaluation"

    match: Literal["box", "outline"] = Field(
        "box",
        description="Shapes whose IoU counts: bounding boxes, or outlines, of which areas are "
        "measured too: bias, error by size, and how often their 95 % intervals hold.",
    )
    iou: Iou = Field(0.5, description="Minimum IoU of a true positive and its ground truth object.")
    distance: Metres | None = Field(
        None,
        description="Maximum distance of their centres on the ground, instead of `iou`; for "
        "points.",
    )
    conf: UnboundedScore | None = Field(
        None,
        description="Score threshold of the counts; curves and average precision use all "
        "predictions. Default: by `pick_threshold`, else the model's, else all count.",
    )
    pick_threshold: (
        Annotated[str, CommandLine("RULE", choices=("f1", "count", "precision=0.95", "recall=0.9"))]
        | None
    ) = Field(
        None,
        description="Rule that picks `conf`: f1, precision=0.95, recall=0.9, or count (as many "
        "predictions as objects).",
    )
    aoi: Annotated[Area | None, FormerNames("area")] = Field(
        None, description="Vector file with the polygons in which the ground truth is complete."
    )
    box_crs: Annotated[Crs | None, FormerNames("crs")] = Field(
        None,
        description="CRS along whose axes boxes are drawn. Default: along the sides of the "
        "predictions.",
    )
    size_bins: Annotated[Lengths | None, FormerNames("sizes")] = Field(
        None,
        description="Limits between size bins in metres, e.g. 4,8,16. Default: powers of two.",
    )
    block_size: Annotated[Metres | None, FormerNames("block")] = Field(
        None,
        description="Side of the blocks of ground that are resampled for confidence intervals. "
        "Default: about 250.",
    )
    resamples: Annotated[CountOrZero, Field(le=5000)] = Field(
        1000, description="Bootstrap resamples for confidence intervals; 0: no intervals."
    )
    seed: CountOrZero = Field(0, description="Random seed.")

    @field_validator("pick_threshold")
    @classmethod
    def _check_rule(cls, rule: str | None) -> str | None:
        if rule is None or rule in ("f1", "count"):
            return rule
        name, _, text = rule.partition("=")
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if name not in ("precision", "recall") or not 0 < value <= 1:
            raise ValueError("expected f1, count, precision=0.95 or recall=0.9")
        return rule

    @field_validator("size_bins")
    @classmethod
    def _check_order(cls, sizes: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if sizes is not None and not all(a < b for a, b in pairwise((0.0, *sizes, math.inf))):
            raise ValueError("expected ascending metres, such as 4,8,16")
        return sizes


def _description(field: str) -> str | None:
    """Return the description of a field of ``EvaluateSettings``."""
    return EvaluateSettings.model_fields[field].description


class CalibrateSettings(Settings):
    """Settings of ``calibrate``."""

    section: ClassVar[str] = "Calibration"

    match: Literal["box", "outline"] = Field("box", description=_description("match"))
    iou: Iou = Field(0.5, description=_description("iou"))
    distance: Metres | None = Field(None, description=_description("distance"))
    conf: Score | None = Field(
        None,
        description="Score threshold of the new model, after calibration. Default: the one with "
        "the highest F1.",
    )
    aoi: Annotated[Area | None, FormerNames("area")] = Field(None, description=_description("aoi"))
    truth_crs: Crs | None = Field(None, description=_description("truth_crs"))
    class_field: Name | None = Field(None, description=_description("class_field"))
    ignore_classes: bool = Field(False, description=_description("ignore_classes"))


class CompareSettings(MatchedLayerSettings):
    """Settings of ``compare``."""

    section: ClassVar[str] = "Comparison"

    distance: Annotated[Metres, FormerNames("tolerance")] = Field(
        5.0,
        description="Maximum distance on the ground of the centres of two features that can be "
        "the same object; best below the spacing of objects.",
    )
    moved_from: MetresOrZero = Field(
        2.0, description="Distance from which on the same object has moved; nearer is confirmed."
    )
    align: bool = Field(
        False,
        description="Take a systematic offset of the register or the earlier predictions out "
        "before features are matched; what is written stays in its place.",
    )
    conf: Score | None = Field(
        None, description="Score threshold of the predictions. Default: all."
    )
    parcel_field: Annotated[Name | None, FormerNames("parcel_id")] = Field(
        None, description="Column of the parcels that names them. Default: they are numbered."
    )
    register_crs: Crs | None = Field(
        None, description="CRS of the register or the earlier predictions, instead of its own."
    )


class SummarizeSettings(LayerSettings):
    """Settings of ``summarize``."""

    section: ClassVar[str] = "Counting"

    conf: Score | None = Field(
        None,
        description="Score threshold of the predictions. Default: the one at which the error rates "
        "hold, else all.",
    )
    classes: ClassNames | None = Field(
        None, description="Names of the classes to count. Default: all."
    )
    class_field: Name | None = Field(
        None,
        description="Column of the predictions that holds the class. Default: class or the like.",
    )
    zones_crs: Crs | None = Field(None, description="CRS of the zones, instead of their own.")
