"""JSON of the commands that measure, compare and count detections."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from geodetect.model.card import AreaError
from geodetect_cli.json_output.detections import OBJECTS, RunValues
from geodetect_cli.json_output.envelope import (
    Count,
    Interval,
    JsonOutput,
    JsonValues,
    PathText,
)

SCORE_THRESHOLD = "Least score of a prediction that counts, in 0..1; null: all count."


class PointValues(JsonValues):
    """Counts and rates of the predictions with at least a certain score."""

    score_threshold: float | None = Field(description=SCORE_THRESHOLD)
    tp: Count = Field(description="Number of true positives: predictions that match an object.")
    fp: Count = Field(description="Number of false positives: predictions that match none.")
    fn: Count = Field(description="Number of false negatives: objects without a prediction.")
    precision: float | None = Field(
        description="Fraction of predictions that match an object, in 0..1; null: none counted."
    )
    precision_interval: Interval = None
    recall: float | None = Field(
        description="Fraction of objects that are detected, in 0..1; null: no objects."
    )
    recall_interval: Interval = None
    f1: float | None = Field(
        description="Harmonic mean of precision and recall, in 0..1; null: undefined."
    )
    f1_interval: Interval = None
    count_error: float | None = Field(
        description="Predictions over objects, less 1: 0.1 is a tenth too many; null: no objects."
    )
    count_error_interval: Interval = None


class PickedPointValues(PointValues):
    """Counts and rates at the threshold that a rule picked."""

    rule: str = Field(description="The rule, as `--pick-threshold` has it.")


class SizeValues(JsonValues):
    """Recall of the objects of a size."""

    low_m: float | None = Field(description="Least side on the ground, in metres.")
    high_m: float | None = Field(
        description="Limit of the side, excluded, in metres; null: no limit."
    )
    truth: Count = Field(description="Number of ground truth objects of this size.")
    tp: Count = Field(description="Number of those that are detected.")
    recall: float | None = Field(
        description="Fraction of objects that are detected, in 0..1; null: no objects."
    )
    recall_interval: Interval = None


class OutlineValues(JsonValues):
    """Errors of the outlines of true positives, with `--match outline`."""

    pairs: Count = Field(
        description="Number of true positives whose object has an outline, not only a box."
    )
    iou: float | None = Field(description="Median IoU of the outlines, in 0..1; null: no pairs.")
    iou_interval: Interval = None
    area_ratio: float | None = Field(
        description="Median of predicted over true area: above 1, outlines are too large; null: no "
        "pairs."
    )
    area_ratio_interval: Interval = None
    total_ratio: float | None = Field(
        description="Sum of the predicted areas over that of the true ones; null: no pairs."
    )
    total_ratio_interval: Interval = None
    relative_area_error: float | None = Field(
        description="Median of the absolute difference of the areas over the true area: 0.08 is "
        "8 %; null: no pairs."
    )
    relative_area_error_interval: Interval = None
    absolute_area_error_m2: float | None = Field(
        description="Median of the absolute difference of the areas, in square metres; null: no "
        "pairs."
    )
    absolute_area_error_m2_interval: Interval = None
    interval_coverage: float | None = Field(
        description="Fraction of true areas between `area_low_m2` and `area_high_m2` of their "
        "predictions, in 0..1; null: predictions without these columns, or no pairs."
    )
    interval_coverage_interval: Interval = None


class OutlineSizeValues(OutlineValues):
    """Errors of the outlines of objects of a size."""

    low_m: float | None = Field(description="Least side on the ground, in metres.")
    high_m: float | None = Field(
        description="Limit of the side, excluded, in metres; null: no limit."
    )


class ClassOutlineValues(OutlineValues):
    """Errors of the outlines of a class, in all and by size."""

    by_size: tuple[OutlineSizeValues, ...] = Field(description="Errors by size on the ground.")


class ClassValues(JsonValues):
    """Metrics of a class, or of all classes together."""

    class_name: str = Field(alias="class", description="Name of the class; overall: of all.")
    predictions: Count = Field(description="Number of predictions that were read.")
    truth: Count = Field(description="Number of ground truth objects.")
    ap: float | None = Field(
        description="Average precision by the matches of the evaluation, in 0..1; null: undefined."
    )
    ap_interval: Interval = None
    ap50: float | None = Field(
        description="Average precision at an IoU of 0.5, in 0..1; null: undefined."
    )
    ap50_interval: Interval = None
    ap75: float | None = Field(
        description="Average precision at an IoU of 0.75, in 0..1; null: undefined."
    )
    ap75_interval: Interval = None
    ap50_95: float | None = Field(
        description="Mean of the average precisions at IoUs of 0.5, 0.55, ... 0.95; null: "
        "undefined."
    )
    ap50_95_interval: Interval = None
    at_threshold: PointValues = Field(description="Counts and rates at the score threshold.")
    best_f1: PointValues = Field(description="Counts and rates at the threshold of highest F1.")
    by_size: tuple[SizeValues, ...] = Field(description="Recall by size on the ground.")
    outline_errors: ClassOutlineValues | None = Field(
        description="Errors of outlines and areas; null: boxes or centres are matched."
    )


class IntervalValues(JsonValues):
    """Method of the intervals: a bootstrap over blocks of ground."""

    level: float = Field(description="Probability that the intervals state.")
    block_m: float | None = Field(
        description="Side of the blocks, in metres; in pixels if the truth has no CRS."
    )
    blocks: Count = Field(description="Number of blocks.")
    resamples: Count = Field(description="Number of draws; 0: no intervals.")
    seed: Count = Field(description="Random seed of the draws.")


class EvaluateOutput(JsonOutput):
    """Output of ``evaluate``."""

    command: Literal["evaluate"] = Field("evaluate", description="Name of the command.")
    output: PathText | None = Field(
        description="GeoPackage of true positives, false positives and false negatives; null: none."
    )
    plots: PathText | None = Field(description="Folder of the plots; null: none.")
    run: RunValues | None = Field(
        description="Run of the model; null: predictions of a file were evaluated."
    )
    match: Literal["box", "outline", "distance"] = Field(
        description="Predictions match objects by the IoU of boxes or outlines, or by distance."
    )
    iou: float | None = Field(
        description="Least IoU of a prediction with its object; null: matched by distance."
    )
    distance_m: float | None = Field(
        description="Largest distance of a prediction from its object, in metres; null: by IoU."
    )
    comparison_grid: str = Field(description="Grid along whose axes boxes are drawn.")
    has_scores: bool = Field(description="The predictions have scores; else all of them are 1.")
    score_threshold: float | None = Field(description=SCORE_THRESHOLD)
    lowest_score: float | None = Field(
        description="Lowest score of the predictions; null: unknown, or they were made here."
    )
    predictions: Count = Field(description="Number of predictions that were read.")
    truth: Count = Field(description="Number of ground truth objects.")
    overall: ClassValues = Field(description="Metrics of all classes together.")
    metrics_by_class: tuple[ClassValues, ...] = Field(description="Metrics of each class.")
    picked_threshold: PickedPointValues | None = Field(
        description="Counts and rates at the threshold that was asked for; null: none was."
    )
    area_error: AreaError | None = Field(
        description="Error of the predicted areas; null: outlines are not compared, or too few "
        "match."
    )
    intervals: IntervalValues = Field(description="Method of the intervals.")


class OffsetValues(JsonValues):
    """Systematic offset of the layer that predictions are compared with."""

    distance_m: float = Field(description="Length of the offset, in metres.")
    direction: str = Field(description="Nearest of eight points of the compass, such as east.")
    east_m: float = Field(description="Offset to the east, in metres.")
    north_m: float = Field(description="Offset to the north, in metres.")
    pairs: Count = Field(description="Number of pairs of features that it was estimated from.")
    taken_out: bool = Field(description="The offset was taken out before features were paired.")


class AreaAgreementValues(JsonValues):
    """Areas of pairs of outlines."""

    pairs: Count = Field(description="Number of pairs of outlines.")
    median_ratio: float = Field(
        description="Median of the area of the prediction over that of the other feature."
    )
    differing: Count | None = Field(
        description="Number of pairs where the other area lies outside the 95 % interval of the "
        "prediction; null: predictions have no intervals."
    )


class CompareOutput(JsonOutput):
    """Output of ``compare``."""

    command: Literal["compare"] = Field("compare", description="Name of the command.")
    output: PathText | None = Field(description="File of the changes; null: none was written.")
    objects: Count = Field(description=OBJECTS)
    counts: dict[str, Count] = Field(
        description="Number of features by status: new, confirmed, moved, missing, not searched; "
        "between two years appeared and gone instead of new and missing."
    )
    pairs: Count = Field(description="Number of features that are in both layers.")
    median_distance_m: float | None = Field(
        description="Median distance of the pairs, in metres; null: no pairs."
    )
    areas: AreaAgreementValues | None = Field(
        description="Areas of the pairs; null: no pairs of outlines."
    )
    classes_compared: bool = Field(description="Only features of one class could be paired.")
    offset: OffsetValues | None = Field(
        description="Systematic offset of the other layer; null: none was found."
    )
    parcels: Count | None = Field(description="Number of parcels; null: none were named.")
    outside_parcels: tuple[int, ...] | None = Field(
        description="`id` of the features that lie in no parcel; null: no parcels."
    )
    in_several_parcels: Count | None = Field(
        description="Number of features in several parcels, counted in the first; null: no parcels."
    )


class ZoneValues(JsonValues):
    """Counts of a zone; further keys are the columns of the zones, without their outlines."""

    model_config = ConfigDict(extra="allow")

    count: int | None = Field(
        description="Number of detected objects in the zone; null: nothing was searched."
    )
    density_per_km2: float | None = Field(
        description="Detected objects per square kilometre of searched ground; null: none searched."
    )
    object_area_m2: float | None = Field(
        description="Sum of the areas of the detected objects, in square metres; null: points, or "
        "none searched."
    )
    object_area_low_m2: float | None = Field(
        None,
        description="Lower end of the 95 % interval of this sum, in square metres; null: an object "
        "has no interval.",
    )
    object_area_high_m2: float | None = Field(
        None, description="Upper end of this interval, in square metres."
    )
    mean_score: float | None = Field(description="Mean score, in 0..1; null: no scores.")
    corrected_count: float | None = Field(
        None, description="Number of objects to expect; null: not corrected, or none searched."
    )
    corrected_low: float | None = Field(None, description="Lower end of its 95 % interval.")
    corrected_high: float | None = Field(None, description="Upper end of its 95 % interval.")
    area_km2: float | None = Field(description="Area of the zone, in square kilometres.")
    covered_km2: float | None = Field(
        description="Area of the zone that was searched, in square kilometres."
    )
    covered_fraction: float | None = Field(description="Their ratio, in 0..1.")
    searched: Literal["all", "part", "none", "assumed"] = Field(
        description="How much of the zone was searched; assumed: all, as no coverage was named."
    )


class CorrectedCount(JsonValues):
    """Number of objects to expect in all zones, and the error rates behind it."""

    count: float | None = Field(description="Number of objects to expect.")
    count_interval: Interval
    precision: float | None = Field(description="Precision of the detector, in 0..1.")
    recall: float | None = Field(description="Recall of the detector, in 0..1.")
    dispersion: float | None = Field(
        description="Variance of counts over that of independent objects."
    )
    source: str = Field(description="Source of the error rates.")


class SummarizeOutput(JsonOutput):
    """Output of ``summarize``."""

    command: Literal["summarize"] = Field("summarize", description="Name of the command.")
    output: PathText | None = Field(description="File of the zones; null: none was written.")
    zones: Count = Field(description="Number of zones.")
    by_searched: dict[Literal["all", "part", "none", "assumed"], Count] = Field(
        description="Number of zones by how much of them was searched."
    )
    predictions: Count = Field(
        description="Number of predictions with at least the score threshold, in zones or not."
    )
    objects: Count = Field(description="Number of detected objects in the output: in any zone.")
    in_several_zones: Count = Field(
        description="Number of detected objects in several zones; they count in each."
    )
    overlapping_pairs: Count = Field(description="Number of pairs of zones that overlap.")
    object_area_m2: float | None = Field(
        description="Area of the detected objects in any zone, in square metres; null: points."
    )
    object_area_interval: Interval = None
    score_threshold: float | None = Field(description=SCORE_THRESHOLD)
    corrected: CorrectedCount | None = Field(
        description="Number of objects to expect in all zones; null: no error rates were named."
    )
    by_zone: tuple[ZoneValues, ...] = Field(description="Counts of each zone.")
