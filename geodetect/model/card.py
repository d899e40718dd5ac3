"""What a model says of itself, written into its file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    PositiveFloat,
    model_validator,
)


class NetworkConfig(BaseModel):
    """How the RetinaNet is built.

    Args:
        backbone: Network whose first stages are the trunk: a ResNet of torchvision, or ``timm:``
            and the name of a network of timm.
        trunk_stages: Stages kept, 2..4; the last one has stride 8, 16 or 32.
        fpn_channels: Channels of the feature pyramid and the heads.
        strides: Strides of the pyramid levels, in pixels, each twice the one before.
        head_convs: 3x3 convolutions in each of the two heads before the output.
        head_norm_groups: Groups of the group norm after each of them; 0: no norm.
        coarser_from: What the first level beyond the trunk's is computed from: the pyramid's
            coarsest level after a ReLU, that level as it is, or the trunk's last stage.
        norm_eps: Added to the variances of the frozen batch norms of a ResNet.
        anchor_sizes_px: For each level the square roots of the anchors' areas, in pixels.
        anchor_ratios: Height over width of the anchors.
        anchor_grid: ``centred`` on the cells; or as ``torchvision`` lays anchors: whole pixels,
            around the upper left corners of cells that are image size // cells pixels apart.
        multiple_px: Images are padded to multiples of this; None: of the coarsest stride.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: str = "resnet18"
    trunk_stages: int = Field(3, ge=2, le=4)
    fpn_channels: int = Field(128, ge=8)
    strides: tuple[int, ...] = (8, 16, 32, 64)
    head_convs: int = Field(1, ge=1)
    head_norm_groups: int = Field(16, ge=0)
    coarser_from: Literal["pyramid_relu", "pyramid", "trunk"] = "pyramid_relu"
    norm_eps: float = Field(1e-5, ge=0)
    anchor_sizes_px: tuple[Annotated[tuple[PositiveFloat, ...], Field(min_length=1)], ...]
    anchor_ratios: tuple[PositiveFloat, ...] = Field((0.5, 1.0, 2.0), min_length=1)
    anchor_grid: Literal["centred", "torchvision"] = "centred"
    multiple_px: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _levels_agree(self) -> NetworkConfig:
        if len(self.anchor_sizes_px) != len(self.strides):
            raise ValueError("anchor_sizes_px needs one entry for each of strides")
        return self


class Calibration(BaseModel):
    """What makes scores shares of right detections: sigmoid(slope * logit + intercept).

    Platt (1999), "Probabilistic outputs for support vector machines". The order of the scores of a
    class stays as it is.

    Args:
        slope: For each class, above 0.
        intercept: For each class.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    slope: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...]
    intercept: tuple[FiniteFloat, ...]

    @model_validator(mode="after")
    def _both_for_each_class(self) -> Calibration:
        if len(self.slope) != len(self.intercept):
            raise ValueError("slope and intercept need one entry for each class")
        return self


class TrainingRecord(BaseModel):
    """Where a model comes from.

    Args:
        data: The imagery and labels it learned from, with their origin.
        licence: Terms of the weights.
        initial_weights: What the training started from.
        objects: Labelled objects seen in training.
        steps: Optimiser steps.
        settings: The settings of the training, as given.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: tuple[str, ...] = ()
    licence: str = ""
    initial_weights: str = ""
    objects: int = 0
    steps: int = 0
    settings: dict[str, str | int | float | bool | None] = {}


class Int8Record(BaseModel):
    """The network in 8 bit that a model file holds beside its weights, and how close it comes.

    Args:
        calibration_tiles: Tiles its ranges of numbers were found on.
        checked_tiles: Other tiles, on which both networks were compared.
        objects: What the full network finds there at the model's threshold: the truth of the
            average precisions.
        ap50: Average precision of what it finds itself, at an overlap (IoU) of 0.5.
        ap75: The same at an overlap of 0.75.
        made_with: Programs that made it, with their versions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    calibration_tiles: int = Field(ge=1)
    checked_tiles: int = Field(ge=1)
    objects: int = Field(ge=1)
    ap50: float = Field(ge=0, le=1)
    ap75: float = Field(ge=0, le=1)
    made_with: str


class ModelCard(BaseModel):
    """Everything needed to use a model well.

    Args:
        name: Name of the model.
        description: One sentence for people.
        classes: Class names; a label is an index into them.
        gsd_m: Ground size of a pixel the model was trained at, in metres; None: any raster is
            taken as it is.
        gsd_range_m: Finest and coarsest pixel size of rasters it is known to work on, in metres:
            at the coarsest, F1 is still 95 % of what it is on the held-out rasters.
        bands: What the input channels are; None: any number of bands.
        mean: Mean of each band in 0..1, subtracted first.
        std: Standard deviation of each band in 0..1, divided by.
        object_size_m: Long sides of labelled objects in metres: 1st, 50th and 99th percentile.
        tile_px: Side of the tiles it works on best, in pixels of ``gsd_m``.
        input_scale: How much larger a tile is made before it enters the network; torchvision's
            detectors make tiles of 512 px 800 px large, a scale of 1.5625.
        calibration: How the network's scores become shares of right detections; None: they are
            taken as they are.
        conf: Score from which a detection counts, after calibration.
        iou: Overlap (IoU) from which two boxes are the same object.
        network: How the network is built; None for detectors that are not ours.
        training: Where it comes from.
        metrics: What was measured on ground not trained on, by name.
        int8: Its network in 8 bit; None: its file holds none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    description: str = ""
    classes: tuple[str, ...] = Field(min_length=1)
    gsd_m: float | None = Field(None, gt=0)
    gsd_range_m: tuple[float, float] | None = None
    bands: tuple[str, ...] | None = ("red", "green", "blue")
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    object_size_m: tuple[float, float, float] | None = None
    tile_px: int = Field(512, ge=1)
    input_scale: float = Field(1.0, gt=0)
    calibration: Calibration | None = None
    conf: float = Field(0.5, ge=0, le=1)
    iou: float = Field(0.5, gt=0, le=1)
    network: NetworkConfig | None = None
    training: TrainingRecord = TrainingRecord()
    metrics: dict[str, float] = {}
    int8: Int8Record | None = None

    @model_validator(mode="after")
    def _every_class_is_calibrated(self) -> ModelCard:
        if self.calibration is not None and len(self.calibration.slope) != len(self.classes):
            raise ValueError("calibration needs one entry for each of classes")
        return self
