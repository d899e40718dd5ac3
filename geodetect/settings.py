"""What can be set, with its defaults."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator


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
        if box is not None and not (box[0] < box[2] and box[1] < box[3]):
            raise ValueError("expected min x, min y, max x, max y")
        return box


class TrainSettings(BaseModel):
    """Settings of ``train``.

    Args:
        name: Name of the model, written into its card; None: the name of the file.
        gsd: Ground resolution to train at, in metres; None: the rasters' own median.
        network: How the network is built: ``geodetect``, ``paper`` (Lin et al. 2017),
            ``torchvision`` or ``torchvision-v2``.
        backbone: Trunk to take instead of the network's usual one: ``resnet18``, ``resnet34``,
            ``resnet50``, ``resnet101``, or ``timm:`` and the name of a network of timm.
        init: ``imagenet`` (weights of torchvision or timm), ``none``, the name or path of a model,
            or a safetensors file with a trunk in the names of torchvision or timm.
        steps: Optimiser steps; used when ``minutes`` is None.
        minutes: Time to train, instead of ``steps``: from the first step to the last, with
            checkpoints and the validations between them. Reading the labels, their check, the
            search for a learning rate and the last validation come on top.
        batch_size: Chips per step, of all processes together.
        chip_px: Side of a chip in pixels.
        lr: Peak learning rate of the heads; the trunk learns at a quarter of it. ``auto``: found
            by a range test of a few dozen steps, see ``geodetect.learning.lr_range``.
        augment: How often chips are recoloured, shaded or blurred, 0..1.
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
    init: str = "pools"
    steps: int = Field(2000, ge=1)
    minutes: float | None = Field(None, gt=0)
    batch_size: int = Field(8, ge=1)
    chip_px: int = Field(384, ge=64)
    lr: Annotated[float, Field(gt=0, allow_inf_nan=False)] | Literal["auto"] = 8e-4
    augment: float = Field(1.0, ge=0, le=1)
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
    seed: int = 0
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
    seed: int = 0


class EvaluateSettings(BaseModel):
    """Settings of ``evaluate``.

    Args:
        iou: Least overlap (IoU) of the boxes of a detection and the object it shows.
        distance: Greatest distance of their centres on the ground, in metres, instead of ``iou``.
        conf: Least score of a detection that counts; None: ``pick_threshold`` decides, else the
            model, else all count. Curves and average precision always use all detections.
        pick_threshold: ``f1``, ``precision=P``, ``recall=R`` or ``count``: find a threshold.
        area: Vector file with the ground where the truth is known.
        ignore_classes: Compare everything with everything.
        class_field: Column of the truth that holds the class.
        score_field: Column of the predictions that holds the score.
        pred_crs: CRS of the predictions, instead of their file's.
        truth_crs: CRS of the truth, instead of its file's.
        crs: CRS along whose axes boxes are drawn; None: the sides of the predictions.
        sizes: Limits between size bins, in metres; None: powers of two.
        block: Side of the blocks of ground for intervals, in metres; None: about 250.
        resamples: How often blocks are drawn for intervals; 0: no intervals.
        seed: Start of all randomness.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    iou: float = Field(0.5, gt=0, le=1)
    distance: float | None = Field(None, gt=0, allow_inf_nan=False)
    conf: float | None = Field(None, allow_inf_nan=False)
    pick_threshold: str | None = None
    area: Path | None = None
    ignore_classes: bool = False
    class_field: str | None = None
    score_field: str | None = None
    pred_crs: str | None = None
    truth_crs: str | None = None
    crs: str | None = None
    sizes: tuple[float, ...] | None = None
    block: float | None = Field(None, gt=0, allow_inf_nan=False)
    resamples: int = Field(1000, ge=0, le=5000)
    seed: int = 0

    @field_validator("pick_threshold")
    @classmethod
    def _rule_is_known(cls, rule: str | None) -> str | None:
        if rule is None or rule in ("f1", "count"):
            return rule
        name, _, value = rule.partition("=")
        try:
            share = float(value)
        except ValueError:
            share = math.nan
        if name not in ("precision", "recall") or not 0 < share <= 1:
            raise ValueError("expected f1, count, precision=0.95 or recall=0.9")
        return rule

    @field_validator("sizes")
    @classmethod
    def _sizes_ascend(cls, sizes: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if sizes is not None and not all(a < b for a, b in pairwise((0.0, *sizes, math.inf))):
            raise ValueError("expected ascending metres, such as 4,8,16")
        return sizes


class PictureSettings(BaseModel):
    """How rasters and detections are read for pictures of them.

    Args:
        bands: Bands to show, counted from 1.
        value_range: Values that become 0 and 255 in rasters that are not 8-bit.
        src_crs: CRS of the raster, instead of its own.
        pred_crs: CRS of the detections, instead of their file's.
        score_field: Column of the detections that holds the score.
        pixel_coords: Everything is in pixel columns and rows of the raster.
        conf: Least score; None: all detections.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bands: tuple[int, ...] | None = None
    value_range: tuple[float, float] | None = None
    src_crs: str | None = None
    pred_crs: str | None = None
    score_field: str | None = None
    pixel_coords: bool = False
    conf: float | None = Field(None, allow_inf_nan=False)


class ReportSettings(PictureSettings):
    """Settings of ``report``. ``conf`` is where the score threshold stands at first.

    Args:
        title: Heading of the page; None: the name of the raster.
        note: A line below the heading, such as date and source of the imagery.
        imagery: Pictures ``inside`` the page or ``beside`` it; ``auto``: by size.
        gsd: Finest ground resolution of the imagery shown, in metres.
        iou: Least overlap (IoU) of a detection with the object it found.
        chips: How many false alarms, and how many misses, are shown.
        ignore_classes: A detection may show an object of any class.
        truth_crs: CRS of the truth, instead of its file's.
        class_field: Column of the truth that holds the class.
    """

    title: str | None = None
    note: str | None = None
    imagery: Literal["auto", "inside", "beside"] = "auto"
    gsd: float | None = Field(None, gt=0)
    iou: float = Field(0.5, gt=0, le=1)
    chips: int = Field(24, ge=0)
    ignore_classes: bool = False
    truth_crs: str | None = None
    class_field: str | None = None


class CompareSettings(BaseModel):
    """Settings of ``compare``.

    Args:
        tolerance: Greatest distance on the ground, in metres, between the centres of two features
            that can be the same object. Best less than the spacing of objects.
        moved_from: Distance from which on the same object has moved; nearer is confirmed. If it is
            not below the tolerance, nothing has moved.
        conf: Least score of a detection; None: all.
        ignore_classes: Let features of different classes be the same object.
        class_field: Column of the register that holds the class; None: the obvious one.
        parcel_id: Column of the parcels that names them; None: they are numbered.
        pred_crs: CRS of the detections, whatever their file says.
        register_crs: CRS of the register, whatever its file says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tolerance: float = Field(5.0, gt=0)
    moved_from: float = Field(2.0, ge=0)
    conf: float | None = Field(None, ge=0, le=1)
    ignore_classes: bool = False
    class_field: str | None = None
    parcel_id: str | None = None
    pred_crs: str | None = None
    register_crs: str | None = None


class SummarizeSettings(BaseModel):
    """Settings of ``summarize``.

    Args:
        conf: Least score of a detection; None: the one at which the error rates hold, if that is
            known, else all count.
        classes: Names of the classes to count; None: all.
        pred_crs: CRS of the detections, whatever their file says.
        zones_crs: CRS of the zones, whatever their file says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    conf: float | None = Field(None, ge=0, le=1)
    classes: tuple[str, ...] | None = None
    pred_crs: str | None = None
    zones_crs: str | None = None


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
    seed: int = 0


class PreviewSettings(PictureSettings):
    """Settings of ``preview``.

    Args:
        size: Longest side of the overview in pixels.
        sheet: Contact sheet to draw instead of the overview: the ``best`` or ``worst`` scores, or
            the most ``uncertain`` ones, nearest to ``conf`` or 0.5.
        count: Chips on a contact sheet.
    """

    size: int = Field(1600, ge=64, le=20_000)
    sheet: Literal["best", "worst", "uncertain"] | None = None
    count: int = Field(24, ge=1, le=1000)
