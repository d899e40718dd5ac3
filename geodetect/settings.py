"""What can be set, with its defaults."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator


class PredictSettings(BaseModel):
    """Settings of ``predict``. None means: what the model's card or the raster says.

    Args:
        tile_size: Side of a tile in pixels of the working resolution.
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
    batch_size: int | None = Field(None, ge=1)
    workers: int | None = Field(None, ge=1)

    @field_validator("bbox")
    @classmethod
    def _box_is_ordered(
        cls, box: tuple[float, float, float, float] | None
    ) -> tuple[float, float, float, float] | None:
        if box is not None and not (box[0] < box[2] and box[1] < box[3]):
            raise ValueError("expected min x, min y, max x, max y")
        return box


class TrainSettings(BaseModel):
    """Settings of ``train``.

    Args:
        name: Name of the model, written into its card; None: the name of the file.
        gsd: Ground resolution to train at, in metres; None: the rasters' own median.
        init: ``imagenet`` (torchvision's weights), ``none``, the name or path of a model, or a
            safetensors file with a trunk in torchvision's names.
        steps: Optimiser steps; used when ``minutes`` is None.
        minutes: Time to train, instead of ``steps``.
        batch_size: Chips per step.
        chip_px: Side of a chip in pixels.
        lr: Peak learning rate of the heads; the trunk learns at a quarter of it.
        augment: How often chips are recoloured, shaded or blurred, 0..1.
        object_share: Share of chips placed on an object; the others lie anywhere.
        val_share: Share of the ground held out, when no validation area is given.
        val_area: Vector file with the ground that is held out.
        bands: Bands to read, counted from 1.
        src_crs: CRS of the rasters, instead of their own.
        class_field: Column of the labels that holds the class.
        device: ``auto``, ``cpu``, ``cuda``, ``mps``.
        seed: Start of all randomness.
        licence: Terms of the weights, for the card.
        data: What the imagery and labels are, for the card.
        description: One sentence for the card.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str | None = None
    gsd: float | None = Field(None, gt=0)
    init: str = "pools"
    steps: int = Field(2000, ge=1)
    minutes: float | None = Field(None, gt=0)
    batch_size: int = Field(8, ge=1)
    chip_px: int = Field(384, ge=64)
    lr: float = Field(8e-4, gt=0)
    augment: float = Field(1.0, ge=0, le=1)
    object_share: float = Field(0.7, ge=0, le=1)
    val_share: float = Field(0.2, ge=0, lt=1)
    val_area: Path | None = None
    bands: tuple[int, ...] | None = None
    src_crs: str | None = None
    class_field: str | None = None
    device: str = "auto"
    seed: int = 0
    licence: str = ""
    data: tuple[str, ...] = ()
    description: str = ""
