"""What can be set of making models, with its defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator


class TrainSettings(BaseModel):
    """Settings of ``train``.

    Args:
        name: Name of the model, written into its card; None: the name of the file.
        gsd: Ground resolution to train at, in metres; None: the rasters' own median.
        network: How the network is built: ``geodetect``, ``paper`` (Lin et al. 2017),
            ``torchvision`` or ``torchvision-v2``.
        backbone: Trunk to take instead of the network's usual one: ``resnet18``, ``resnet34``,
            ``resnet50``, ``resnet101``, or ``timm:`` and the name of a network of timm.
        anchors: ``default``, ``fitted`` to the objects, or ``auto``: those of the model that the
            training starts from, else fitted ones where the default ones can find few objects;
            see ``geodetect.training.anchors.selection``.
        assignment: Which anchors answer for an object: ``atss`` (Zhang et al. 2020), or those that
            ``overlap`` it by half (Lin et al. 2017).
        init: ``imagenet`` (weights of torchvision or timm), ``none``, the name or path of a model,
            or a safetensors file with a trunk in the names of torchvision or timm.
        steps: Optimiser steps; used when ``minutes`` is None.
        minutes: Time to train, instead of ``steps``: from the first step to the last, with
            checkpoints and the validations between them. Reading the labels, their check, the
            search for a learning rate and the last validation come on top.
        batch_size: Chips per step, of all processes together.
        chip_px: Side of a chip in pixels.
        lr: Peak learning rate of the heads; the trunk learns at a quarter of it. ``auto``: found
            by a range test of a few dozen steps, see ``geodetect.training.lr_finder``.
        augment: How often chips are recoloured, shaded or blurred, 0..1.
        turn: Show chips in all eight orientations. Without it they stay as the imagery lies, where
            the side of the shadows, or an edge that labels keep to, is the same everywhere.
        object_share: Share of chips placed on an object; the others lie anywhere.
        val_share: Share of the objects held out, in blocks of ground, when the ground to hold out
            is not named.
        val_area: Vector file with the ground that is held out.
        val_rasters: Rasters that are held out, instead of ``val_area``; ground that they share
            with the others is not trained on.
        val_labels: Labels of ``val_rasters``; None: those of the others.
        val_every: Steps between validations; None: so that they take at most about a tenth of
            the time, and are no more than 20.
        patience: Validations without a better average precision (AP50) after which the training
            ends; None or 0: it runs to its end.
        keep: The model written: the ``best`` one by AP50 on the ground held out, or the ``last``.
            Without objects held out it is the last.
        mine_negatives: How many of the surest false alarms of the current model, on ground that
            is trained on, some of the chips are placed on. They are looked for whenever the model
            is measured. 0: none. They may be objects that nobody has labelled.
        check: Look over the labels before the first step.
        bands: Bands to read, counted from 1.
        src_crs: CRS of the rasters, instead of their own.
        class_field: Column of the labels that holds the class.
        labels_crs: CRS of labels on a map, instead of their files'.
        point_size: Diameter on the ground of objects that are given as points, in metres.
        device: ``auto``, ``cpu``, ``cuda``, ``mps``. Several processes: ``auto``, ``cpu`` or
            ``cuda``, where each has a GPU of its own.
        seed: Start of all randomness.
        licence: Terms of the weights, for the card.
        data: What the imagery and labels are, for the card.
        description: One sentence for the card.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str | None = None
    gsd: float | None = Field(None, gt=0)
    network: str = "geodetect"
    backbone: str | None = None
    anchors: Literal["auto", "default", "fitted"] = "auto"
    assignment: Literal["atss", "overlap"] = "atss"
    init: str = "pools"
    steps: int = Field(2000, ge=1)
    minutes: float | None = Field(None, gt=0, allow_inf_nan=False)
    batch_size: int = Field(8, ge=1)
    chip_px: int = Field(384, ge=64)
    lr: Annotated[float, Field(gt=0, allow_inf_nan=False)] | Literal["auto"] = 8e-4
    augment: float = Field(0.3, ge=0, le=1)
    turn: bool = True
    object_share: float = Field(0.7, ge=0, le=1)
    val_share: float = Field(0.2, ge=0, lt=1)
    val_area: Path | None = None
    val_rasters: tuple[str, ...] | None = None
    val_labels: tuple[str, ...] | None = None
    val_every: int | None = Field(None, ge=1)
    patience: int | None = Field(None, ge=0)
    keep: Literal["best", "last"] = "best"
    mine_negatives: int = Field(0, ge=0)
    check: bool = True
    bands: tuple[int, ...] | None = None
    src_crs: str | None = None
    class_field: str | None = None
    labels_crs: str | None = None
    point_size: float | None = Field(None, gt=0, allow_inf_nan=False)
    device: str = "auto"
    seed: int = Field(0, ge=0)
    licence: str = ""
    data: tuple[str, ...] = ()
    description: str = ""

    @field_validator("val_rasters")
    @classmethod
    def _held_out_in_one_way(
        cls, rasters: tuple[str, ...] | None, info: ValidationInfo
    ) -> tuple[str, ...] | None:
        if rasters is not None and info.data.get("val_area") is not None:
            raise ValueError("expected either --val-area or --val-rasters, not both")
        return rasters

    @field_validator("val_labels")
    @classmethod
    def _labels_have_rasters(
        cls, labels: tuple[str, ...] | None, info: ValidationInfo
    ) -> tuple[str, ...] | None:
        if labels is not None and info.data.get("val_rasters") is None:
            raise ValueError("expected --val-rasters with it: the rasters that these labels are of")
        return labels


class CheckSettings(BaseModel):
    """Settings of ``check``.

    Args:
        gsd: Ground resolution of the training, in metres; None: the rasters' own median.
        chip_px: Side of the chips of the training, in pixels.
        bands: Bands to read, counted from 1.
        value_range: Values that become 0 and 255 in rasters that are not 8-bit.
        src_crs: CRS of the rasters, instead of their own.
        labels_crs: CRS of labels on a map, instead of their files'.
        class_field: Column of the labels that holds the class.
        point_size: Diameter on the ground of objects that are given as points, in metres.
        far: Distance in metres from which ground is far from a label; None: ten times the
            typical distance between neighbouring labels.
        shift: Estimate the offset between labels and imagery, which takes longest.
        seed: Start of the randomness of samples.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    gsd: float | None = Field(None, gt=0, allow_inf_nan=False)
    chip_px: int = Field(384, ge=64)
    bands: tuple[int, ...] | None = None
    value_range: tuple[float, float] | None = None
    src_crs: str | None = None
    labels_crs: str | None = None
    class_field: str | None = None
    point_size: float | None = Field(None, gt=0, allow_inf_nan=False)
    far: float | None = Field(None, gt=0, allow_inf_nan=False)
    shift: bool = True
    seed: int = Field(0, ge=0)


class QuantizeSettings(BaseModel):
    """Settings of ``quantize``.

    Args:
        tiles: Tiles drawn from all over the rasters; half of them calibrate, the others check.
        least_ap: Least average precision, at an overlap (IoU) of 0.5, of what the network in 8 bit
            finds, taking what the full network finds as the truth.
        aoi: Vector file whose polygons limit where tiles are drawn.
        bands: Bands to read, counted from 1.
        value_range: Values that become 0 and 255 in rasters that are not 8-bit.
        src_crs: CRS of the rasters, instead of their own.
        seed: Start of the randomness.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tiles: int = Field(128, ge=2)
    least_ap: float = Field(0.97, ge=0, le=1)
    aoi: Path | None = None
    bands: tuple[int, ...] | None = None
    value_range: tuple[float, float] | None = None
    src_crs: str | None = None
    seed: int = Field(0, ge=0)
