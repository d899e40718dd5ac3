"""Settings of training."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from geodetect.settings.base import CommandLine, FormerNames, Settings
from geodetect.settings.inputs import LabelSettings, RasterSettings
from geodetect.settings.value_types import (
    Area,
    ChipPixels,
    Count,
    CountOrZero,
    Device,
    Fraction,
    Labels,
    Name,
    Rasters,
    Resolution,
    Text,
)

Minutes = Annotated[float, Field(gt=0, allow_inf_nan=False), CommandLine("MINUTES")]
LearningRate = Annotated[
    float, Field(gt=0, allow_inf_nan=False), CommandLine("RATE", choices=("auto",))
]


class NetworkSettings(Settings):
    """Architecture of the network, and its initial weights."""

    section: ClassVar[str] = "Network"

    init: Annotated[str, CommandLine("NAME|FILE", reads="model", choices=("imagenet", "none"))] = (
        Field(
            "pools",
            description="Initial weights: imagenet (of torchvision or timm), none, the name or "
            "file of a model, or a safetensors file with a backbone in the names of torchvision or "
            "timm.",
        )
    )
    network: Annotated[
        str, CommandLine("NAME", choices=("geodetect", "paper", "torchvision", "torchvision-v2"))
    ] = Field(
        "geodetect",
        description="Architecture: geodetect, paper (Lin et al. 2017), torchvision or "
        "torchvision-v2.",
    )
    backbone: (
        Annotated[
            str, CommandLine("NAME", choices=("resnet18", "resnet34", "resnet50", "resnet101"))
        ]
        | None
    ) = Field(
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
    outlines: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Outline head, which draws each object: on, off, or auto: where polygons among "
        "the labels are outlines and not boxes, or where the model to start from has one.",
    )


class ScheduleSettings(Settings):
    """Length of a training, its chips, and its learning rate."""

    section: ClassVar[str] = "Training"

    steps: Count = Field(4000, description="Optimizer steps.")
    minutes: Minutes | None = Field(
        None,
        description="Time to train, instead of `steps`: from the first step to the last, with the "
        "checkpoints and validations between; the check of the labels, the search for a learning "
        "rate, the validation of the start and the last one come on top.",
    )
    batch_size: Count = Field(4, description="Chips per step, of all processes together.")
    tile_size: Annotated[ChipPixels, FormerNames("chip_px")] = Field(
        384, description="Side of a chip in pixels."
    )
    gsd: Resolution | None = Field(
        None,
        description="Ground resolution of the chips, in metres per pixel, e.g. 0.25 or 25cm; of "
        "images without georeference, whose labels are in pixels, the size of their pixels. "
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
    device: Device = Field(
        "auto",
        description="auto, cpu, cuda, cuda:N or mps; auto, cpu or cuda for several processes.",
    )
    seed: CountOrZero = Field(0, description="Random seed.")


class HoldoutSettings(Settings):
    """Objects and ground that are held out, and validation on them."""

    section: ClassVar[str] = "Validation"

    val_share: Annotated[Fraction, Field(lt=1)] = Field(
        0.2, description="Fraction of the objects to hold out, in blocks of ground."
    )
    val_aoi: Annotated[Area | None, FormerNames("val_area")] = Field(
        None, description="Vector file with the polygons to hold out, instead of `val_share`."
    )
    val_rasters: Rasters | None = Field(
        None,
        description="Rasters to hold out, instead of `val_share`; ground that they share with "
        "`rasters` is not trained on. Repeatable.",
    )
    val_labels: Labels | None = Field(
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
        if rasters is not None and info.data.get("val_aoi") is not None:
            raise ValueError("expected either `val_aoi` or `val_rasters`, not both")
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
    data_source: Annotated[tuple[str, ...], CommandLine("TEXT", repeatable=True)] = Field(
        (), description="Source of the imagery and of the labels. Repeatable."
    )


class TrainSettings(
    ScheduleSettings, NetworkSettings, HoldoutSettings, LabelSettings, RasterSettings, CardSettings
):
    """Settings of ``train``."""

    section: ClassVar[str] = "Labels"

    check: bool = Field(True, description="Check the labels before the first step.")
