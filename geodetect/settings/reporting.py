"""What can be set of pages and pictures, with its defaults."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


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
