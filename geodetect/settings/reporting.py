"""Settings of reports, overview images and contact sheets."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from geodetect.settings.base import CommandLine, FormerNames
from geodetect.settings.inputs import LayerSettings, RasterSettings, TruthSettings
from geodetect.settings.value_types import (
    CountOrZero,
    Crs,
    ImagePixels,
    Iou,
    Metres,
    Name,
    Resolution,
    Text,
    UnboundedScore,
)


class DrawingSettings(LayerSettings, RasterSettings):
    """Reading of a raster and of predictions to draw on it."""

    conf: UnboundedScore | None = Field(
        None, description="Score threshold of the predictions. Default: all."
    )
    zones_crs: Crs | None = Field(None, description="CRS of the zones, instead of their own.")
    pixel_coords: bool = Field(
        False, description="All layers are in pixel columns and rows of the raster."
    )


class ReportSettings(TruthSettings, DrawingSettings):
    """Settings of ``report``."""

    section: ClassVar[str] = "Report"

    conf: UnboundedScore | None = Field(
        None, description="Score threshold that the page starts with. Default: all."
    )
    iou: Iou = Field(
        0.5,
        description="Minimum IoU of a true positive with its ground truth object; below it the box "
        "is off.",
    )
    distance: Metres | None = Field(
        None,
        description="Maximum distance of their centres on the ground, instead of `iou`; for points "
        "and loose truth.",
    )
    address_field: Name | None = Field(
        None,
        description="Column of the predictions that holds addresses or parcels. Default: address, "
        "parcel or the like.",
    )
    permit_field: Name | None = Field(
        None,
        description="Column of the predictions that holds permits; blank, no and 0 are none. "
        "Default: of changes permit, licence or the like.",
    )
    title: Text | None = Field(None, description="Heading. Default: the name of the raster.")
    note: Text | None = Field(
        None, description="Line below the heading, e.g. date and source of the imagery."
    )
    imagery: Literal["auto", "inside", "beside"] = Field(
        "auto",
        description="Place of the image tiles: inside the page, beside it in a folder, or auto: "
        "inside up to 16 megapixels, beside it up to 400; beyond that coarser.",
    )
    gsd: Resolution | None = Field(
        None,
        description="Finest ground resolution of the imagery shown, in metres per pixel, e.g. 0.5 "
        "or 50cm. Default: the raster's.",
    )
    thumbnails: Annotated[CountOrZero, FormerNames("chips")] = Field(
        24, description="Number of errors of each kind that are shown."
    )


class PreviewSettings(DrawingSettings):
    """Settings of ``preview``."""

    section: ClassVar[str] = "Image"

    image_size: Annotated[ImagePixels, FormerNames("size")] = Field(
        1600, description="Longest side of the overview."
    )
    sheet: Literal["best", "worst", "uncertain"] | None = Field(
        None,
        description="Contact sheet to draw instead of the overview: thumbnails of the best or "
        "worst scores, or of the most uncertain ones, nearest to `conf` or 0.5.",
    )
    thumbnails: Annotated[int, Field(ge=1, le=1000), CommandLine("N"), FormerNames("count")] = (
        Field(24, description="Thumbnails on the contact sheet.")
    )
