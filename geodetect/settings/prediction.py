"""Settings of running a model on rasters."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from geodetect.settings.base import FormerNames
from geodetect.settings.inputs import RasterSettings
from geodetect.settings.value_types import (
    Area,
    ClassNames,
    Count,
    Device,
    Iou,
    MetresOrZero,
    Overlap,
    Pixels,
    Rectangle,
    Resolution,
    Score,
    SquareMetres,
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
        "device has it in hardware, else fp32; models from ONNX: int8 or fp32. int8: OpenVINO, "
        "with a model from `geodetect quantize`.",
    )
    batch_size: Count | None = Field(
        None, description="Tiles that go through the network at once. Default: by the device."
    )
    workers: Count | None = Field(
        None, description="Threads that read the raster. Default: by the processor."
    )


class ShapeSettings(ModelSettings):
    """Settings of the shapes that objects come out as."""

    section: ClassVar[str] = "Shapes"

    geometry: Literal["auto", "outline", "box", "oriented", "centre"] = Field(
        "auto",
        description="Shape of each object: outline; box, upright in the raster; oriented, the "
        "smallest rotated rectangle around the outline; centre, a point. auto: outline where the "
        "model has outlines, else box.",
    )
    simplify: MetresOrZero | None = Field(
        None,
        description="Largest distance by which a simplified outline may leave the traced one; 0: "
        "as traced. Default: a quarter of a pixel.",
    )
    regularize: bool = Field(
        False,
        description="Give outlines right angles where the object has them, as buildings and many "
        "pools do.",
    )
    min_area: SquareMetres | None = Field(
        None, description="Leave out objects with a smaller area on the ground, e.g. 10m2."
    )
    max_area: SquareMetres | None = Field(
        None, description="Leave out objects with a larger area on the ground, e.g. 0.5ha."
    )

    @model_validator(mode="after")
    def _shapes_agree(self) -> Self:
        low, high = self.min_area, self.max_area
        if low is not None and high is not None and low > high:
            raise ValueError(f"`min_area` of {low:g} m² is above `max_area` of {high:g} m²")
        if self.geometry == "box" and (self.regularize or self.simplify is not None):
            name = "regularize" if self.regularize else "simplify"
            raise ValueError(f"`{name}` is for outlines, but `geometry` is box; omit one of both")
        return self


class PredictSettings(ShapeSettings):
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
