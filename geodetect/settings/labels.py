"""Settings of checking labels, and of cutting labelled rasters into chips."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from geodetect.settings.base import CommandLine
from geodetect.settings.inputs import LabelSettings, RasterSettings
from geodetect.settings.value_types import ChipPixels, CountOrZero, Metres, Pixels, Resolution


class CheckSettings(LabelSettings, RasterSettings):
    """Settings of ``check``."""

    section: ClassVar[str] = "Check"

    gsd: Resolution | None = Field(
        None,
        description="Ground resolution of the training, in metres per pixel, e.g. 0.25 or 25cm; of "
        "images without georeference, whose labels are in pixels, the size of their pixels. "
        "Default: the median of the rasters.",
    )
    chip_px: ChipPixels = Field(384, description="Side of the chips of the training, in pixels.")
    far: Metres | None = Field(
        None,
        description="Distance from labels from which on ground counts as empty. Default: ten times "
        "the usual distance between neighbouring labels.",
    )
    shift: bool = Field(
        True, description="Estimate the offset between labels and imagery (slowest)."
    )
    seed: CountOrZero = Field(0, description="Random seed.")


class ChipSettings(LabelSettings, RasterSettings):
    """Settings of ``tile``."""

    section: ClassVar[str] = "Chips"

    format: Literal["coco", "yolo", "voc"] = Field("coco", description="Format of the data set.")
    chip_px: Pixels = Field(512, description="Side of a chip in pixels.")
    overlap_px: Annotated[int, Field(ge=0), CommandLine("PX")] = Field(
        0, description="Minimum overlap of neighbouring chips in pixels."
    )
    gsd: Resolution | None = Field(
        None,
        description="Ground resolution of the chips, in metres per pixel, e.g. 0.25 or 25cm. "
        "Default: that of each raster.",
    )
    empty: Annotated[float, Field(ge=0), CommandLine("N")] = Field(
        0, description="Chips without objects for each chip with objects; inf: all."
    )
    min_visible: Annotated[float, Field(gt=0, le=1), CommandLine("FRACTION")] = Field(
        0.5,
        description="Minimum visible fraction of a box that an edge of a chip cuts; the box is "
        "clipped.",
    )
    image_format: Literal["png", "jpg", "tif"] = Field("png", description="Format of the images.")

    @field_validator("overlap_px")
    @classmethod
    def _check_overlap(cls, overlap_px: int, info: ValidationInfo) -> int:
        chip_px = info.data.get("chip_px")
        if chip_px is not None and overlap_px >= chip_px:
            raise ValueError(f"expected less than the {chip_px} px of `chip_px`")
        return overlap_px
