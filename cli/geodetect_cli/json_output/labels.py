"""JSON of the commands that check and cut labelled rasters."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from geodetect_cli.json_output.detections import LEFT_OUT
from geodetect_cli.json_output.envelope import Count, JsonOutput, JsonValues, PathText

Percentiles = tuple[float | None, float | None, float | None]

LABELS = "Number of labelled objects in all label files."
LABELS_ON_IMAGERY = "Number of labelled objects that lie on a raster."


class ClassSizeValues(JsonValues):
    """Sizes of the labels of a class: 5th, 50th and 95th percentile."""

    class_name: str = Field(alias="class", description="Name of the class; `all`: of all classes.")
    labels: Count = Field(description="Number of labels of the class on imagery.")
    width_m: Percentiles = Field(description="Short sides of the boxes, in metres.")
    length_m: Percentiles = Field(description="Long sides of the boxes, in metres.")
    width_px: Percentiles = Field(description="Short sides, in pixels of the training.")
    length_px: Percentiles = Field(description="Long sides, in pixels of the training.")


class RecallValues(JsonValues):
    """Labels of a size that the anchors of a network can find."""

    low_px: float = Field(description="Least size, the square root of the area, in pixels.")
    high_px: float | None = Field(description="Limit of the size, in pixels; null: no limit.")
    labels: Count = Field(description="Number of labels of this size.")
    recall: float | None = Field(
        description="Fraction that some anchor can be assigned to, in 0..1; null: no labels."
    )
    mean_iou: float | None = Field(
        description="Mean IoU with the best anchor, in 0..1; null: no labels."
    )


class AnchorValues(JsonValues):
    """Anchors of a network."""

    strides: tuple[int, ...] = Field(description="Strides of the levels, in pixels.")
    sizes_px: tuple[tuple[float, ...], ...] = Field(
        description="Square roots of the areas of the anchors of each level, in pixels."
    )
    ratios: tuple[float, ...] = Field(description="Height over width of the anchors.")


class ShiftValues(JsonValues):
    """Offset between labels and the objects in the imagery."""

    raster: str = Field(description="Name of the raster, or number of rasters taken together.")
    labels: Count = Field(description="Number of labels in the sample.")
    right_m: float | None = Field(description="Offset to the right on the raster, in metres.")
    down_m: float | None = Field(description="Offset down on the raster, in metres.")
    shift_m: float | None = Field(description="Length of the offset, in metres.")
    significance: float | None = Field(description="Student's t of the better fit there.")
    suspected: bool = Field(description="The labels are probably shifted.")


class LoosenessValues(JsonValues):
    """Excess of labels over the objects that they show."""

    source: Literal["imagery", "outlines"] = Field(
        description="What labels were compared with: objects in the imagery, or outlines of the "
        "same objects among the labels."
    )
    labels: Count = Field(description="Number of labels that were compared.")
    excess_m: float = Field(
        description="Distance of the sides of labels from those of objects, outwards, in metres: "
        "mean of the medians of the four sides."
    )
    sides_m: tuple[float, float, float, float] = Field(
        description="These medians, in metres: left, top, right and bottom."
    )
    side_m: float = Field(description="Short side of the median label, in metres.")
    significance: float = Field(description="The excess in standard errors.")
    suspected: bool = Field(description="The labels are probably loose.")


class OverlapValues(JsonValues):
    """Two rasters that overlap."""

    first: str = Field(description="Name of one raster; its path if both have the same name.")
    second: str = Field(description="Name or path of the other raster.")
    fraction: float = Field(description="Area of the overlap over that of the smaller, in 0..1.")


class FindingValues(JsonValues):
    """Finding about all labels or many of them."""

    severity: Literal["error", "warning", "note"] = Field(
        description="error: a training would be pointless; warning: to be corrected; note: for "
        "information."
    )
    topic: str = Field(description="Subject, in one or two words.")
    text: str = Field(description="The finding, in one line.")


class CheckOutput(JsonOutput):
    """Output of ``check``; ``error`` is set if a training would be pointless."""

    command: Literal["check"] = Field("check", description="Name of the command.")
    output: PathText | None = Field(description="File of labels with problems; null: none.")
    rasters: Count = Field(description="Number of rasters that can be used.")
    left_out: dict[str, str] = Field(description=LEFT_OUT)
    labels: Count = Field(description=LABELS)
    labels_on_imagery: Count = Field(description=LABELS_ON_IMAGERY)
    by_class: dict[str, Count] = Field(description="Number of labels on imagery by class.")
    raster_crs: tuple[str, ...] = Field(description="Names of the CRS of the rasters.")
    label_crs: tuple[str, ...] = Field(
        description="Names of the CRS of the labels; `pixels` for image data sets."
    )
    gsd_m: float | None = Field(
        description="Ground resolution of the training, in metres per pixel; null: unknown."
    )
    sizes: tuple[ClassSizeValues, ...] = Field(
        description="Sizes of labels by class; of several classes all of them last."
    )
    anchor_recall: tuple[RecallValues, ...] = Field(
        description="Labels that the default anchors can find, by size; all of them last."
    )
    fitted_anchor_recall: tuple[RecallValues, ...] = Field(
        description="Labels that the fitted anchors can find, by size; all of them last."
    )
    fitted: AnchorValues = Field(description="Anchors fitted to these labels.")
    shifts: tuple[ShiftValues, ...] = Field(description="Offsets between labels and imagery.")
    looseness: LoosenessValues | None = Field(
        description="Excess of labels over the objects that they show; null: not measured, or too "
        "few objects stand out."
    )
    area_km2: float | None = Field(description="Area of the imagery, in square kilometres.")
    far_m: float | None = Field(
        description="Distance from which on imagery is far from a label, in metres; null: unknown."
    )
    far_fraction: float | None = Field(
        description="Fraction of the imagery that is far from any label, in 0..1."
    )
    overlaps: tuple[OverlapValues, ...] = Field(
        description="Rasters that overlap, largest overlap first."
    )
    findings: tuple[FindingValues, ...] = Field(description="Findings, errors first.")
    problems: dict[str, Count] = Field(description="Number of labels with problems, by reason.")


class TileOutput(JsonOutput):
    """Output of ``tile``."""

    command: Literal["tile"] = Field("tile", description="Name of the command.")
    output: PathText = Field(description="Folder of the chips.")
    classes: tuple[str, ...] = Field(description="Names of the classes, in the order of their ids.")
    chips: Count = Field(description="Number of chips.")
    empty_chips: Count = Field(description="Number of chips without labels.")
    boxes: Count = Field(
        description="Number of boxes on all chips; a label on two chips has two of them."
    )
    truncated_boxes: Count = Field(description="Number of boxes that the edge of their chip cuts.")
    labels: Count = Field(description=LABELS)
    labels_on_imagery: Count = Field(description=LABELS_ON_IMAGERY)
    labels_exported: Count = Field(description="Number of labels with at least one box.")
