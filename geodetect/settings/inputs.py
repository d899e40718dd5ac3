"""Settings that several commands share: reading of rasters, labels and vector layers."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from geodetect.settings.base import Settings
from geodetect.settings.value_types import Bands, Crs, Metres, Name, ValueRange

ExternalSources = Annotated[
    bool,
    Field(
        description="Open all formats of GDAL, and the sources of VRTs wherever they are: in other "
        "folders, on servers. Only for rasters that you trust."
    ),
]


class RasterSettings(Settings):
    """Reading of rasters."""

    section: ClassVar[str] = "Rasters"

    bands: Bands | None = Field(
        None, description="Bands to read, counted from 1. Default: red, green, blue."
    )
    src_crs: Crs | None = Field(None, description="CRS of the rasters, instead of their own.")
    external_sources: ExternalSources = False
    value_range: ValueRange | None = Field(
        None,
        description="Pixel values that are mapped to 0 and 255, for rasters that are not 8-bit. "
        "Default: estimated from the raster.",
    )


class LabelSettings(Settings):
    """Reading of labels."""

    section: ClassVar[str] = "Labels"

    class_field: Name | None = Field(
        None,
        description="Column of the labels that holds the class. Default: class, label or the like.",
    )
    point_size: Metres | None = Field(
        None, description="Diameter on the ground of objects that are labelled as points."
    )
    labels_crs: Crs | None = Field(None, description="CRS of the labels, instead of their files'.")


class LayerSettings(Settings):
    """Reading of a layer of predictions."""

    section: ClassVar[str] = "Layers"

    score_field: Name | None = Field(
        None,
        description="Column of the predictions that holds the score. Default: score or the like.",
    )
    pred_crs: Crs | None = Field(None, description="CRS of the predictions, instead of their own.")


class MatchedLayerSettings(LayerSettings):
    """Reading of predictions, and of the ground truth or register to match them with."""

    class_field: Name | None = Field(
        None,
        description="Column of the ground truth or register that holds the class. Default: class, "
        "label or the like.",
    )
    ignore_classes: bool = Field(False, description="Match objects of different classes, too.")


class TruthSettings(MatchedLayerSettings):
    """Reading of predictions and ground truth."""

    truth_crs: Crs | None = Field(None, description="CRS of the ground truth, instead of its own.")
