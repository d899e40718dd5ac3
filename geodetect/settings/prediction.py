"""What can be set of finding objects, with its defaults."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


class PredictSettings(BaseModel):
    """Settings of ``predict``. None means: what the model's card or the raster says.

    Args:
        tile_size: Side of a tile in pixels of the working resolution; by default the one near the
            model's own with which the network computes the fewest pixels.
        overlap: Least overlap of neighbouring tiles: a fraction of the tile below 1, else pixels.
            By default it follows from the largest object that the model expects.
        conf: Least score of a detection.
        iou: Overlap (IoU) from which two boxes are the same object.
        gsd: Ground resolution to work at, in metres per pixel.
        bands: Bands to read, counted from 1.
        value_range: Values that become 0 and 255 in rasters that are not 8-bit.
        classes: Names of the classes to keep.
        aoi: Vector file whose polygons limit the search; objects are kept by their centre.
        bbox: Limits as min x, min y, max x, max y in the raster's CRS.
        src_crs: CRS of the rasters, instead of their own.
        pixel_coords: Work without georeference, in pixel columns and rows.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:0``, ``mps``.
        runtime: What runs the network. ``auto``: PyTorch on CUDA and MPS, else OpenVINO.
        precision: What the network computes in. ``auto``: bf16 or fp16 where the device does it
            in hardware, else fp32. ``int8``: OpenVINO, with a model that ``quantize`` made.
        batch_size: Tiles that go through the network at once.
        workers: Threads that read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tile_size: int | None = Field(None, ge=1)
    overlap: float | None = Field(None, ge=0)
    conf: float | None = Field(None, ge=0, le=1)
    iou: float | None = Field(None, gt=0, le=1)
    gsd: float | None = Field(None, gt=0)
    bands: tuple[int, ...] | None = None
    value_range: tuple[float, float] | None = None
    classes: tuple[str, ...] | None = None
    aoi: Path | None = None
    bbox: tuple[float, float, float, float] | None = None
    src_crs: str | None = None
    pixel_coords: bool = False
    device: str = "auto"
    runtime: Literal["auto", "torch", "openvino", "onnx"] = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = "auto"
    batch_size: int | None = Field(None, ge=1)
    workers: int | None = Field(None, ge=1)

    @field_validator("bbox")
    @classmethod
    def _box_is_ordered(
        cls, box: tuple[float, float, float, float] | None
    ) -> tuple[float, float, float, float] | None:
        if box is not None and not (
            all(map(math.isfinite, box)) and box[0] < box[2] and box[1] < box[3]
        ):
            raise ValueError("expected min x, min y, max x, max y")
        return box
