"""Settings of checking labels, and of cutting labelled rasters into chips."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from geodetect.settings.base import CommandLine, FormerNames
from geodetect.settings.inputs import LabelSettings, RasterSettings
from geodetect.settings.value_types import (
    ChipPixels,
    CountOrZero,
    Fraction,
    Metres,
    Overlap,
    Pixels,
    Resolution,
)


class CheckSettings(LabelSettings, RasterSettings):
    """Settings of ``check``."""

    section: ClassVar[str] = "Check"

    gsd: Resolution | None = Field(
        None,
        description="Ground resolution of the training, in metres per pixel, e.g. 0.25 or 25cm; of "
        "images without georeference, whose labels are in pixels, the size of their pixels. "
        "Default: the median of the rasters.",
    )
    tile_size: Annotated[ChipPixels, FormerNames("chip_px")] = Field(
        384, description="Side of the chips of the training, in pixels."
    )
    far: Metres | None = Field(
        None,
        description="Distance from labels from which on ground counts as empty. Default: ten times "
        "the usual distance between neighbouring labels.",
    )
    shift: bool = Field(
        True,
        description="Compare the places and sizes of labels with the imagery (slowest).",
    )
    seed: CountOrZero = Field(0, description="Random seed.")


class ChipSettings(LabelSettings, RasterSettings):
    """Settings of ``tile``."""

    section: ClassVar[str] = "Chips"

    format: Literal["coco", "yolo", "voc"] = Field("coco", description="Format of the data set.")
    tile_size: Annotated[Pixels, FormerNames("chip_px")] = Field(
        512, description="Side of a chip in pixels."
    )
    overlap: Annotated[Overlap, FormerNames("overlap_px")] = Field(
        0,
        description="Minimum overlap of neighbouring chips: a fraction of the chip below 1 (0.2, "
        "20%), else pixels.",
    )
    gsd: Resolution | None = Field(
        None,
        description="Ground resolution of the chips, in metres per pixel, e.g. 0.25 or 25cm. "
        "Default: that of each raster.",
    )
    empty: Annotated[float, Field(ge=0), CommandLine("N", choices=("inf",))] = Field(
        0, description="Chips without objects for each chip with objects; inf: all."
    )
    min_visible: Annotated[Fraction, Field(gt=0)] = Field(
        0.5,
        description="Minimum visible fraction of a box that an edge of a chip cuts; the box is "
        "clipped.",
    )
    image_format: Literal["png", "jpg", "tif"] = Field("png", description="Format of the images.")

    @field_validator("overlap")
    @classmethod
    def _check_overlap(cls, overlap: float, info: ValidationInfo) -> float:
        tile_size = info.data.get("tile_size")
        if tile_size is not None and overlap >= tile_size:
            raise ValueError(f"expected less than the {tile_size} px of `tile_size`")
        return overlap
