"""Settings of converting and quantizing models."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field

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


class ConvertSettings(Settings):
    """Settings of ``convert``."""

    section: ClassVar[str] = "Model"

    classes: ClassNames | None = Field(
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
