"""Settings of running a model on rasters."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from geodetect.settings.base import FormerNames
from geodetect.settings.inputs import RasterSettings
from geodetect.settings.value_types import (
    Area,
    ClassNames,
    Count,
    Device,
    Iou,
    Overlap,
    Pixels,
    Rectangle,
    Resolution,
    Score,
)


class ModelSettings(RasterSettings):
    """Settings of every command that runs a model. None: the card's, or the raster's."""

    section: ClassVar[str] = "Model"

    conf: Score | None = Field(None, description="Score threshold. Default: the model's.")
    nms_iou: Annotated[Iou | None, FormerNames("iou")] = Field(
        None,
        description="IoU from which two boxes are the same object (non-maximum suppression, "
        "merging of tiles). Default: the model's.",
    )
    tile_size: Pixels | None = Field(
        None,
        description="Side of a tile in pixels of the working resolution. Default: the one near "
        "the model's own with which the network computes the fewest pixels.",
    )
    overlap: Overlap | None = Field(
        None,
        description="Minimum overlap of neighbouring tiles: a fraction of the tile below 1 (0.2, "
        "20%), else pixels. Default: the largest object that the model expects.",
    )
    gsd: Resolution | None = Field(
        None,
        description="Ground resolution to work at, in metres per pixel, e.g. 0.25 or 25cm. "
        "Default: the model's.",
    )
    device: Device = Field("auto", description="auto, cpu, cuda, cuda:N or mps.")
    runtime: Literal["auto", "torch", "openvino", "onnx"] = Field(
        "auto",
        description="Library that runs the network; auto: PyTorch on CUDA and MPS, else OpenVINO.",
    )
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = Field(
        "auto",
        description="Number format of the network; auto: int8 where the processor has VNNI or AMX "
        "and the model's card states a loss of less than 0.002 AP, else bf16 or fp16 where the "
        "device has it in hardware, else fp32; int8: OpenVINO, with a model from "
        "`geodetect quantize`.",
    )
    batch_size: Count | None = Field(
        None, description="Tiles that go through the network at once. Default: by the device."
    )
    workers: Count | None = Field(
        None, description="Threads that read the raster. Default: by the processor."
    )


class PredictSettings(ModelSettings):
    """Settings of ``predict``. None: the card's, or the raster's."""

    section: ClassVar[str] = "Search"

    classes: ClassNames | None = Field(
        None, description="Names of the classes to keep. Default: all."
    )
    aoi: Area | None = Field(
        None,
        description="Vector file, of any CRS, with polygons that limit the search; objects are "
        "kept by their centre.",
    )
    bbox: Rectangle | None = Field(
        None, description="Rectangle that limits the search, in the raster's CRS."
    )
    strict: bool = Field(
        False,
        description="End with an error at a raster that cannot be read. By default, of several "
        "rasters, it leaves a hole that is named and stands in the coverage, with exit code 3.",
    )
    pixel_coords: bool = Field(
        False, description="Ignore the georeference: coordinates are pixel columns and rows."
    )

    @field_validator("bbox")
    @classmethod
    def _check_order(cls, bbox: Rectangle | None) -> Rectangle | None:
        if bbox is not None and not (
            all(map(math.isfinite, bbox)) and bbox[0] < bbox[2] and bbox[1] < bbox[3]
        ):
            raise ValueError("expected min x, min y, max x, max y")
        return bbox
