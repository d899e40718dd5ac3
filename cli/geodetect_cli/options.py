"""Options that several commands share, and how their texts are read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel

Settings = TypeVar("Settings", bound="BaseModel")

LENGTHS_M = {"m": 1.0, "cm": 0.01, "mm": 0.001}


def parse_gsd(text: str | float) -> float:
    """``0.25``, ``0.25m`` or ``25cm`` to metres."""
    match = re.fullmatch(r"\s*(\d*\.?\d+)\s*(m|cm|mm)?\s*", str(text))
    if match is None or float(match[1]) <= 0:
        raise typer.BadParameter(f"expected metres per pixel, e.g. 0.25 or 25cm; found {text!r}")
    return round(float(match[1]) * LENGTHS_M[match[2] or "m"], 6)


def parse_overlap(text: str | float) -> float:
    """``64`` pixels, ``0.2`` or ``20%`` of a tile."""
    match = re.fullmatch(r"\s*(?:(\d+)\s*px|(\d*\.?\d+)\s*(%?))\s*", str(text))
    if match is None or (match[3] and float(match[2]) >= 100):
        raise typer.BadParameter(
            f"expected pixels (64), a share (0.2) or a percentage (20%) of a tile; found {text!r}"
        )
    return float(match[1] or match[2]) / (100 if match[3] else 1)


def parse_numbers(text: str | None, option: str, count: int) -> tuple[float, ...] | None:
    """``1,2,3`` to numbers."""
    if text is None:
        return None
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != count:
        raise typer.BadParameter(
            f"{option} takes {count} numbers with commas between; found {text!r}"
        )
    return values


def parse_bands(text: str | None) -> tuple[int, ...] | None:
    """``1,2,3`` to band numbers."""
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"--bands takes band numbers with commas between, counted from 1; found {text!r}"
        ) from None


def parse_names(text: str | None) -> tuple[str, ...] | None:
    """``car,plane`` to names."""
    return None if text is None else tuple(part.strip() for part in text.split(","))


def parse_settings(kind: type[Settings], values: Mapping[str, Any]) -> Settings:
    """Settings from the values of options; the first that cannot be used is a usage error."""
    from pydantic import ValidationError

    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).replace("_", "-")
        problem = first["msg"].removeprefix("Value error, ")
        raise typer.BadParameter(
            f"{problem}; found {first['input']!r}", param_hint=f"--{name}"
        ) from None


Rasters = Annotated[
    list[str], typer.Argument(metavar="RASTER", help="Files, folders or URLs that GDAL opens.")
]
Bands = Annotated[
    str | None,
    typer.Option(metavar="N,N,N", help="Bands to use, counted from 1. Default: red,green,blue."),
]
ValueRange = Annotated[
    str | None,
    typer.Option(
        metavar="LOW,HIGH",
        help="Values that become 0 and 255 in rasters that are not 8-bit. Default: estimated.",
    ),
]
SrcCrs = Annotated[
    str | None, typer.Option(metavar="CRS", help="CRS of the rasters, instead of their own.")
]
Gsd = Annotated[
    float | None,
    typer.Option(
        metavar="METRES",
        parser=parse_gsd,
        help="Ground resolution to work at, e.g. 0.25 or 25cm. Default: the model's.",
    ),
]
ChipGsd = Annotated[
    float | None,
    typer.Option(
        metavar="METRES",
        parser=parse_gsd,
        help="Ground resolution of the chips, e.g. 0.25 or 25cm. Default: the rasters'.",
    ),
]
Overlap = Annotated[
    float | None,
    typer.Option(
        metavar="PX|SHARE",
        parser=parse_overlap,
        help="Least overlap of tiles in pixels, or as a share of them (0.2, 20%). Default: the "
        "largest object the model expects.",
    ),
]
Device = Annotated[
    str, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:N or mps.", show_default=True)
]
Runtime = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="What runs the network: auto, torch, openvino or onnx.",
        show_default=True,
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="What the network computes in: auto, fp32, bf16, fp16, or int8 if the model holds a "
        "network in 8 bit.",
        show_default=True,
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what exists.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print a summary as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only errors.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="More about what is done.")]
Coverage = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Ground that was looked at: what predict --coverage wrote, or any polygons.",
    ),
]
Labels = Annotated[
    list[Path],
    typer.Option(
        metavar="PATH",
        help="Labels: vector files of any format and CRS, or COCO, YOLO, VOC, DeepForest. "
        "Repeatable.",
    ),
]
ClassField = Annotated[
    str | None, typer.Option(metavar="NAME", help="Column of the labels that holds the class.")
]
PointSize = Annotated[
    float | None,
    typer.Option(
        metavar="METRES", help="Size on the ground of objects that are labelled as points."
    ),
]
LabelsCrs = Annotated[
    str | None, typer.Option(metavar="CRS", help="CRS of the labels, instead of their files'.")
]
