"""Settings of converting and quantizing models."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from geodetect.settings.base import Accepts, CommandLine, FormerNames, Settings
from geodetect.settings.inputs import RasterSettings
from geodetect.settings.value_types import (
    Area,
    ClassNames,
    CountOrZero,
    Fraction,
    Name,
    Pixels,
    Resolution,
    number_list,
)

AnchorSize = Annotated[float, Field(ge=1, allow_inf_nan=False)]
AnchorSizes = Annotated[
    tuple[AnchorSize, AnchorSize, AnchorSize, AnchorSize, AnchorSize],
    BeforeValidator(number_list(float, "5 numbers", count=5)),
    CommandLine("PX,PX,..."),
    Accepts("str"),
]


LAYOUTS = (
    *("yolov5", "yolov6", "yolov7-nms", "yolov8", "yolov8-obb", "yolov10", "yolov10-obb", "yolox"),
    *("yolox-decoded", "nanodet", "nanodet-plus", "rtdetr", "rtdetr-topk", "detr"),
    *("boxes-scores-labels", "torchvision", "boxes-scores"),
)


def _check_layout(name: str) -> str:
    if name not in LAYOUTS:
        raise ValueError(f"expected {', '.join(LAYOUTS)}")
    return name


LayoutName = Annotated[str, AfterValidator(_check_layout), CommandLine("NAME", choices=LAYOUTS)]
ChannelNumbers = Annotated[
    tuple[float, ...],
    BeforeValidator(number_list(float, "a number for each channel")),
    CommandLine("R,G,B"),
    Accepts("str"),
]


class ConvertSettings(Settings):
    """Settings of ``convert``."""

    section: ClassVar[str] = "Model"

    classes: ClassNames | None = Field(
        None,
        description="Class names, without the background: with one name less than outputs, one "
        "output is background, the first one as in torchvision, or the last one of RF-DETR. "
        "Default: those of the weights, or COCO's.",
    )
    gsd: Resolution | None = Field(
        None,
        description="Ground resolution of its training, in metres per pixel, e.g. 0.1 or 10cm. "
        "Default: that of the metadata of an ONNX file, else unknown: rasters are read at their "
        "own.",
    )
    name: Name | None = Field(None, description="Name of the model. Default: the file's.")
    tile_size: Pixels | None = Field(
        None,
        description="Side of a tile in pixels. Default: 512; 400 for DeepForest; of ONNX files "
        "that of their input, or 640 where it takes any size.",
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

    layout: LayoutName | None = Field(
        None,
        description="Layout of the outputs of an ONNX file: yolov5 (also YOLOv7), yolov6, "
        "yolov7-nms, yolov8 (also YOLOv9, YOLO11, YOLO12), yolov10 (also YOLO26, and YOLO with "
        "NMS in the graph), yolov8-obb and yolov10-obb (oriented boxes), yolox, yolox-decoded, "
        "nanodet, nanodet-plus, rtdetr and rtdetr-topk (Ultralytics, before and since 8.4), detr "
        "(RF-DETR, and RT-DETR and D-FINE of Hugging Face), boxes-scores-labels, torchvision (the "
        "same, with class 0 as background), boxes-scores (without NMS). Default: recognised.",
    )
    scaling: Literal["0-1", "0-255", "imagenet"] | None = Field(
        None,
        description="Values of pixels that an ONNX file takes: 0 to 1, 0 to 255, or less the mean "
        "and divided by the standard deviation of ImageNet. Default: as its metadata say, or as is "
        "usual for the layout.",
    )
    mean: ChannelNumbers | None = Field(
        None, description="Mean of each channel, in 0 to 1, instead of `scaling`; with `std`."
    )
    std: ChannelNumbers | None = Field(
        None, description="Standard deviation of each channel, in 0 to 1; with `mean`."
    )
    channels: Literal["rgb", "bgr"] | None = Field(
        None,
        description="Order of the channels that an ONNX file takes. Default: bgr for YOLOX and "
        "NanoDet, else rgb.",
    )
    box_unit: Literal["px", "fraction"] | None = Field(
        None,
        description="Unit of the boxes of an ONNX file with outputs for boxes, scores and classes: "
        "pixels, or fractions of the image. Default: recognised.",
    )


class ExportSettings(Settings):
    """Settings of ``export``."""

    section: ClassVar[str] = "Export"

    target: Annotated[Literal["deepness", "geodeep", "onnx", "mlm"], CommandLine(name="for")] = (
        Field(
            "onnx",
            description="Program that the file is for: deepness and geodeep, with the metadata "
            "that these read; onnx for any other, with outputs boxes, scores and labels; mlm: a "
            "description of the model as a STAC item with the MLM extension.",
        )
    )
    tile_size: Pixels | None = Field(
        None, description="Side of the exported detector's images in pixels. Default: the model's."
    )


class QuantizeSettings(RasterSettings):
    """Settings of ``quantize``."""

    section: ClassVar[str] = "Quantization"

    tiles: Annotated[int, Field(ge=2), CommandLine("N")] = Field(
        128, description="Tiles drawn from the rasters: half calibrate, the others check."
    )
    min_ap: Annotated[Fraction, CommandLine("AP"), FormerNames("least_ap")] = Field(
        0.97,
        description="Minimum average precision (IoU 0.5) of the int8-quantized network, with the "
        "detections of the full network as ground truth.",
    )
    aoi: Area | None = Field(
        None, description="Vector file, of any CRS, with the polygons that tiles are drawn in."
    )
    seed: CountOrZero = Field(0, description="Random seed.")
