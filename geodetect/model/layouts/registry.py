"""Layouts by name."""

from __future__ import annotations

from geodetect.errors import ModelFileError, list_names, suggest
from geodetect.model.layouts.base import Layout
from geodetect.model.layouts.cells import DecodedYoloX, NanoDet, NanoDetPlus, YoloX
from geodetect.model.layouts.corners import BoxesScores, BoxesScoresLabels, Torchvision
from geodetect.model.layouts.queries import Detr, RtDetr, SelectedRtDetr
from geodetect.model.layouts.yolo import (
    YoloV5,
    YoloV6,
    YoloV7Selected,
    YoloV8,
    YoloV8Oriented,
    YoloV10,
    YoloV10Oriented,
)

LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        YoloV5(),
        YoloV6(),
        YoloV7Selected(),
        YoloV8(),
        YoloV8Oriented(),
        YoloV10(),
        YoloV10Oriented(),
        YoloX(),
        DecodedYoloX(),
        NanoDet(),
        NanoDetPlus(),
        RtDetr(),
        SelectedRtDetr(),
        Detr(),
        BoxesScoresLabels(),
        Torchvision(),
        BoxesScores(),
    )
}


def layout_of(name: str) -> Layout:
    """Return the layout of a name.

    Raises:
        ModelFileError: There is none.
    """
    if name not in LAYOUTS:
        raise ModelFileError(
            f"unknown layout {name!r}; expected {list_names(LAYOUTS, limit=len(LAYOUTS))}"
            f"{suggest(name, LAYOUTS)}"
        )
    return LAYOUTS[name]
