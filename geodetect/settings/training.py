"""Settings of making models: training, label check, chips, conversion, quantization."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from geodetect.settings.base import CommandLine, Settings
from geodetect.settings.inputs import LabelSettings, RasterSettings, StretchSettings
from geodetect.settings.value_types import (
    Count,
    CountOrZero,
    FilePath,
    Fraction,
    Metres,
    Name,
    Names,
    Pixels,
    Resolution,
    Sources,
    Text,
    number_list,
)

ChipPixels = Annotated[int, Field(ge=64), CommandLine("PX")]
AnchorSize = Annotated[float, Field(ge=1, allow_inf_nan=False)]
AnchorSizes = Annotated[
    tuple[AnchorSize, AnchorSize, AnchorSize, AnchorSize, AnchorSize],
    BeforeValidator(number_list(float, "5 numbers", count=5)),
    CommandLine("PX,PX,..."),
]
LearningRate = Annotated[float, Field(gt=0, allow_inf_nan=False), CommandLine("RATE")]


class NetworkSettings(Settings):
    """Architecture of the network, and its initial weights."""

    section: ClassVar[str] = "Network"

    init: Annotated[str, CommandLine("NAME|FILE")] = Field(
        "pools",
        description="Initial weights: imagenet (of torchvision or timm), none, the name or file of "
        "a model, or a safetensors file with a backbone in the names of torchvision or timm.",
    )
    network: Name = Field(
        "geodetect",
        description="Architecture: geodetect, paper (Lin et al. 2017), torchvision or "
        "torchvision-v2.",
    )
    backbone: Name | None = Field(
        None,
        description="resnet18, resnet34, resnet50, resnet101, or timm: and the name of a network "
        "of timm, such as timm:convnext_tiny. Default: the network's.",
    )
    anchors: Literal["auto", "default", "fitted"] = Field(
        "auto",
        description="Anchor boxes: default, fitted to the objects, or auto: those of the model to "
        "start from, else fitted ones where the default ones match few objects.",
    )
    assignment: Literal["atss", "overlap"] = Field(
        "atss",
        description="Assignment of anchors to objects: atss (Zhang et al. 2020), or an overlap of "
        "at least half (Lin et al. 2017).",
    )


class ScheduleSettings(Settings):
    """Length of a training, its chips, and its learning rate."""

    section: ClassVar[str] = "Training"

    steps: Count = Field(2000, description="Optimizer steps.")
    minutes: Annotated[Metres, CommandLine("N")] | None = Field(
        None,
        description="Time to train, instead of `steps`: from the first step to the last, with the "
        "checkpoints and validations between; the check of the labels, the search for a learning "
        "rate and the last validation come on top.",
    )
    batch_size: Count = Field(8, description="Chips per step, of all processes together.")
    chip_px: ChipPixels = Field(384, description="Side of a chip in pixels.")
    gsd: Resolution | None = Field(
        None,
        description="Ground resolution of the chips, in metres per pixel, e.g. 0.25 or 25cm. "
        "Default: the median of the rasters.",
    )
    lr: LearningRate | Literal["auto"] = Field(
        8e-4,
        description="Peak learning rate of the heads (a quarter of it for the backbone), or auto: "
        "found by a range test of a few dozen steps.",
    )
    augment: Fraction = Field(
        0.3, description="Fraction of chips whose colours change, or that are shaded or blurred."
    )
    turn: bool = Field(
        True,
        description="Show chips in all eight orientations. Without it they stay as the imagery "
        "lies, where shadows fall to the same side everywhere.",
    )
    object_share: Fraction = Field(
        0.7, description="Fraction of chips placed on an object; the others lie anywhere."
    )
    mine_negatives: CountOrZero = Field(
        0,
        description="Hard negative mining: place some of the chips on the N false positives with "
        "the highest scores of the latest validation. They may be objects without a label.",
    )
    device: Name = Field(
        "auto",
        description="auto, cpu, cuda, cuda:N or mps; auto, cpu or cuda for several processes.",
    )
    seed: CountOrZero = Field(0, description="Random seed.")


class HoldoutSettings(Settings):
    """Objects and ground that are held out, and validation on them."""

    section: ClassVar[str] = "Validation"

    val_share: Annotated[float, Field(ge=0, lt=1), CommandLine("FRACTION")] = Field(
        0.2, description="Fraction of the objects to hold out, in blocks of ground."
    )
    val_area: FilePath | None = Field(
        None, description="Vector file with the polygons to hold out, instead of `val_share`."
    )
    val_rasters: Sources | None = Field(
        None,
        description="Rasters to hold out, instead of `val_share`; ground that they share with "
        "`rasters` is not trained on. Repeatable.",
    )
    val_labels: Sources | None = Field(
        None, description="Labels of `val_rasters`. Repeatable. Default: those of `labels`."
    )
    val_every: Count | None = Field(
        None,
        description="Steps between validations. Default: at most 20 validations that take about a "
        "tenth of the time.",
    )
    keep: Literal["best", "last"] = Field(
        "best",
        description="Weights to write: the best by AP50 on the holdout, or the last; without a "
        "holdout the last.",
    )
    patience: CountOrZero | None = Field(
        None,
        description="Validations without a better AP50 after which the training ends. Default, "
        "and 0: never.",
    )

    @field_validator("val_rasters")
    @classmethod
    def _check_one_holdout(
        cls, rasters: tuple[str, ...] | None, info: ValidationInfo
    ) -> tuple[str, ...] | None:
        if rasters is not None and info.data.get("val_area") is not None:
            raise ValueError("expected either `val_area` or `val_rasters`, not both")
        return rasters

    @field_validator("val_labels")
    @classmethod
    def _check_labels_have_rasters(
        cls, labels: tuple[str, ...] | None, info: ValidationInfo
    ) -> tuple[str, ...] | None:
        if labels is not None and info.data.get("val_rasters") is None:
            raise ValueError("expected `val_rasters` with it: the rasters that these labels are of")
        return labels


class CardSettings(Settings):
    """Entries of the model card."""

    section: ClassVar[str] = "Model card"

    name: Name | None = Field(None, description="Name of the model. Default: the file's.")
    description: Text = Field("", description="Description of the model in one sentence.")
    licence: Text = Field("", description="Licence of the weights.")
    data: Annotated[tuple[str, ...], CommandLine("TEXT", repeatable=True)] = Field(
        (), description="Source of the imagery and of the labels. Repeatable."
    )


class TrainSettings(
    ScheduleSettings, NetworkSettings, HoldoutSettings, LabelSettings, RasterSettings, CardSettings
):
    """Settings of ``train``."""

    section: ClassVar[str] = "Labels"

    check: bool = Field(True, description="Check the labels before the first step.")


class CheckSettings(LabelSettings, StretchSettings):
    """Settings of ``check``."""

    section: ClassVar[str] = "Check"

    gsd: Resolution | None = Field(
        None,
        description="Ground resolution of the training, in metres per pixel, e.g. 0.25 or 25cm. "
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


class QuantizeSettings(StretchSettings):
    """Settings of ``quantize``."""

    section: ClassVar[str] = "Quantization"

    tiles: Annotated[int, Field(ge=2), CommandLine("N")] = Field(
        128, description="Tiles drawn from the rasters: half calibrate, the others check."
    )
    least_ap: Annotated[Fraction, CommandLine("AP")] = Field(
        0.97,
        description="Minimum average precision (IoU 0.5) of the int8-quantized network, with the "
        "detections of the full network as ground truth.",
    )
    aoi: FilePath | None = Field(
        None, description="Vector file, of any CRS, with the polygons that tiles are drawn in."
    )
    seed: CountOrZero = Field(0, description="Random seed.")


class ChipSettings(LabelSettings, StretchSettings):
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


class ConvertSettings(Settings):
    """Settings of ``convert``."""

    section: ClassVar[str] = "Model"

    classes: Names | None = Field(
        None,
        description="Class names, without the background: with one name less than outputs, the "
        "first output is background, as in torchvision. Default: the checkpoint's, or COCO's.",
    )
    gsd: Resolution | None = Field(
        None,
        description="Ground resolution of its training, in metres per pixel, e.g. 0.1 or 10cm. "
        "Default: unknown; rasters are read at their own.",
    )
    name: Name | None = Field(None, description="Name of the model. Default: the file's.")
    tile_size: Pixels | None = Field(
        None, description="Side of a tile in pixels. Default: 512; 400 for DeepForest."
    )
    resize: Pixels = Field(
        800,
        description="Side in pixels that tiles are enlarged to before the network, as in "
        "torchvision.",
    )
    no_resize: bool = Field(
        False, description="Give tiles to the network as they are, which is faster."
    )
    anchor_sizes: AnchorSizes = Field(
        (32.0, 64.0, 128.0, 256.0, 512.0),
        description="Smallest anchor of each of the five levels, in pixels of the network's input.",
    )
    norm_eps: Annotated[float, Field(ge=0), CommandLine("NUMBER")] | None = Field(
        None,
        description="Constant added to the variances of the batch norms. Default: 1e-5; 0 for "
        "weights from COCO.",
    )
