"""Settings as keyword arguments, for editors and type checkers.

Written from the settings classes by ``python docs/settings_keywords.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypedDict

if TYPE_CHECKING:
    from pyproj import CRS

    from geodetect.types import AreaSource, PathLike


class CalibrateKeywords(TypedDict, total=False):
    """Fields of ``CalibrateSettings``."""

    aoi: AreaSource | None
    class_field: str | None
    conf: float | str | None
    distance: float | str | None
    ignore_classes: bool
    iou: float | str
    match: Literal["box", "outline"]
    truth_crs: str | int | CRS | None


class CheckKeywords(TypedDict, total=False):
    """Fields of ``CheckSettings``."""

    bands: Sequence[int] | str | None
    class_field: str | None
    external_sources: bool
    far: float | str | None
    gsd: float | str | None
    labels_crs: str | int | CRS | None
    point_size: float | str | None
    seed: int
    shift: bool
    src_crs: str | int | CRS | None
    tile_size: int | str
    value_range: Sequence[float] | str | None


class ChipKeywords(TypedDict, total=False):
    """Fields of ``ChipSettings``."""

    bands: Sequence[int] | str | None
    class_field: str | None
    empty: float
    external_sources: bool
    format: Literal["coco", "yolo", "voc"]
    gsd: float | str | None
    image_format: Literal["png", "jpg", "tif"]
    labels_crs: str | int | CRS | None
    min_visible: float | str
    overlap: float | str
    point_size: float | str | None
    src_crs: str | int | CRS | None
    tile_size: int | str
    value_range: Sequence[float] | str | None


class CompareKeywords(TypedDict, total=False):
    """Fields of ``CompareSettings``."""

    align: bool
    class_field: str | None
    conf: float | str | None
    distance: float | str
    ignore_classes: bool
    moved_from: float | str
    parcel_field: str | None
    pred_crs: str | int | CRS | None
    register_crs: str | int | CRS | None
    score_field: str | None


class ConvertKeywords(TypedDict, total=False):
    """Fields of ``ConvertSettings``."""

    anchor_sizes: Sequence[float] | str
    box_unit: Literal["px", "fraction"] | None
    channels: Literal["rgb", "bgr"] | None
    classes: Sequence[str] | str | None
    gsd: float | str | None
    layout: str | None
    mean: Sequence[float] | str | None
    name: str | None
    no_resize: bool
    norm_eps: float | None
    resize: int | str
    scaling: Literal["0-1", "0-255", "imagenet"] | None
    std: Sequence[float] | str | None
    tile_size: int | str | None


class DrawingKeywords(TypedDict, total=False):
    """Fields of ``DrawingSettings``."""

    bands: Sequence[int] | str | None
    conf: float | str | None
    external_sources: bool
    pixel_coords: bool
    pred_crs: str | int | CRS | None
    score_field: str | None
    src_crs: str | int | CRS | None
    value_range: Sequence[float] | str | None
    zones_crs: str | int | CRS | None


class EvaluateKeywords(TypedDict, total=False):
    """Fields of ``EvaluateSettings``."""

    aoi: AreaSource | None
    block_size: float | str | None
    box_crs: str | int | CRS | None
    class_field: str | None
    conf: float | str | None
    distance: float | str | None
    ignore_classes: bool
    iou: float | str
    match: Literal["box", "outline"]
    pick_threshold: str | None
    pred_crs: str | int | CRS | None
    resamples: int
    score_field: str | None
    seed: int
    size_bins: Sequence[float] | str | None
    truth_crs: str | int | CRS | None


class EvaluateModelKeywords(TypedDict, total=False):
    """Fields of ``EvaluateSettings`` and ``PredictSettings``."""

    aoi: AreaSource | None
    bands: Sequence[int] | str | None
    batch_size: int | None
    bbox: Sequence[float] | str | None
    block_size: float | str | None
    box_crs: str | int | CRS | None
    class_field: str | None
    classes: Sequence[str] | str | None
    conf: float | str | None
    device: str
    distance: float | str | None
    external_sources: bool
    geometry: Literal["auto", "outline", "box", "oriented", "centre"]
    gsd: float | str | None
    ignore_classes: bool
    iou: float | str
    match: Literal["box", "outline"]
    max_area: float | str | None
    min_area: float | str | None
    nms_iou: float | str | None
    overlap: float | str | None
    pick_threshold: str | None
    pixel_coords: bool
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"]
    pred_crs: str | int | CRS | None
    regularize: bool
    resamples: int
    runtime: Literal["auto", "torch", "openvino", "onnx"]
    score_field: str | None
    seed: int
    simplify: float | str | None
    size_bins: Sequence[float] | str | None
    src_crs: str | int | CRS | None
    strict: bool
    tile_size: int | str | None
    truth_crs: str | int | CRS | None
    value_range: Sequence[float] | str | None
    workers: int | None


class ExportKeywords(TypedDict, total=False):
    """Fields of ``ExportSettings``."""

    target: Literal["deepness", "geodeep", "onnx", "mlm"]
    tile_size: int | str | None


class ModelKeywords(TypedDict, total=False):
    """Fields of ``ModelSettings``."""

    bands: Sequence[int] | str | None
    batch_size: int | None
    conf: float | str | None
    device: str
    external_sources: bool
    gsd: float | str | None
    nms_iou: float | str | None
    overlap: float | str | None
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"]
    runtime: Literal["auto", "torch", "openvino", "onnx"]
    src_crs: str | int | CRS | None
    tile_size: int | str | None
    value_range: Sequence[float] | str | None
    workers: int | None


class PredictKeywords(TypedDict, total=False):
    """Fields of ``PredictSettings``."""

    aoi: AreaSource | None
    bands: Sequence[int] | str | None
    batch_size: int | None
    bbox: Sequence[float] | str | None
    classes: Sequence[str] | str | None
    conf: float | str | None
    device: str
    external_sources: bool
    geometry: Literal["auto", "outline", "box", "oriented", "centre"]
    gsd: float | str | None
    max_area: float | str | None
    min_area: float | str | None
    nms_iou: float | str | None
    overlap: float | str | None
    pixel_coords: bool
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"]
    regularize: bool
    runtime: Literal["auto", "torch", "openvino", "onnx"]
    simplify: float | str | None
    src_crs: str | int | CRS | None
    strict: bool
    tile_size: int | str | None
    value_range: Sequence[float] | str | None
    workers: int | None


class PreviewKeywords(TypedDict, total=False):
    """Fields of ``PreviewSettings``."""

    bands: Sequence[int] | str | None
    conf: float | str | None
    external_sources: bool
    image_size: int | str
    pixel_coords: bool
    pred_crs: str | int | CRS | None
    score_field: str | None
    sheet: Literal["best", "worst", "uncertain"] | None
    src_crs: str | int | CRS | None
    thumbnails: int
    value_range: Sequence[float] | str | None
    zones_crs: str | int | CRS | None


class QuantizeKeywords(TypedDict, total=False):
    """Fields of ``QuantizeSettings``."""

    aoi: AreaSource | None
    bands: Sequence[int] | str | None
    external_sources: bool
    min_ap: float | str
    seed: int
    src_crs: str | int | CRS | None
    tiles: int
    value_range: Sequence[float] | str | None


class ReportKeywords(TypedDict, total=False):
    """Fields of ``ReportSettings``."""

    address_field: str | None
    bands: Sequence[int] | str | None
    class_field: str | None
    conf: float | str | None
    distance: float | str | None
    external_sources: bool
    gsd: float | str | None
    ignore_classes: bool
    imagery: Literal["auto", "inside", "beside"]
    iou: float | str
    note: str | None
    permit_field: str | None
    pixel_coords: bool
    pred_crs: str | int | CRS | None
    score_field: str | None
    src_crs: str | int | CRS | None
    thumbnails: int
    title: str | None
    truth_crs: str | int | CRS | None
    value_range: Sequence[float] | str | None
    zones_crs: str | int | CRS | None


class SummarizeKeywords(TypedDict, total=False):
    """Fields of ``SummarizeSettings``."""

    class_field: str | None
    classes: Sequence[str] | str | None
    conf: float | str | None
    pred_crs: str | int | CRS | None
    score_field: str | None
    zones_crs: str | int | CRS | None


class TrainKeywords(TypedDict, total=False):
    """Fields of ``TrainSettings``."""

    anchors: Literal["auto", "default", "fitted"]
    assignment: Literal["atss", "overlap"]
    augment: float | str
    backbone: str | None
    bands: Sequence[int] | str | None
    batch_size: int
    check: bool
    class_field: str | None
    data_source: Sequence[str]
    description: str
    device: str
    external_sources: bool
    gsd: float | str | None
    init: str
    keep: Literal["best", "last"]
    labels_crs: str | int | CRS | None
    licence: str
    lr: float | Literal["auto"]
    mine_negatives: int
    minutes: float | None
    name: str | None
    network: str
    object_share: float | str
    outlines: Literal["auto", "on", "off"]
    patience: int | None
    point_size: float | str | None
    seed: int
    src_crs: str | int | CRS | None
    steps: int
    tile_size: int | str
    turn: bool
    val_aoi: AreaSource | None
    val_every: int | None
    val_labels: Sequence[str] | PathLike | Sequence[PathLike] | None
    val_rasters: Sequence[str] | PathLike | Sequence[PathLike] | None
    val_share: float | str
    value_range: Sequence[float] | str | None
