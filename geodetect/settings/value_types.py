"""Types of settings: units, ranges, and the texts that are accepted for them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from geodetect.class_names import normalize_class_name
from geodetect.errors import short_repr
from geodetect.settings.base import Accepts, CommandLine

AREAS_M2 = {"m2": 1.0, "m²": 1.0, "ha": 1e4, "km2": 1e6, "km²": 1e6}
LENGTHS_M = {"m": 1.0, "cm": 0.01, "mm": 0.001}
PIXEL_UNITS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


def _length_parser(
    expected: str, *, allow_zero: bool = False, per: str = ""
) -> Callable[[Any], Any]:
    """Return a validator that converts ``"0.25"``, ``"0.25m"`` or ``"25cm"`` to metres.

    Args:
        expected: Description for error messages.
        allow_zero: Take 0, too.
        per: Unit that may follow, after a slash.
    """
    pattern = re.compile(rf"\s*(\d*\.?\d+)\s*(m|cm|mm)?\s*{f'(?:/ ?{per})?' if per else ''}\s*")

    def parse(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        match = pattern.fullmatch(value)
        if match is None or (float(match[1]) == 0 and not allow_zero):
            raise ValueError(f"expected {expected}")
        return round(float(match[1]) * LENGTHS_M[match[2] or "m"], 6)

    return parse


def parse_pixels(value: Any) -> Any:
    """Convert ``"512"`` or ``"512px"`` to pixels; other types pass."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(-?\d+)\s*(px)?\s*", value)
    if match is None:
        raise ValueError("expected a number of pixels, e.g. 512")
    return int(match[1])


def parse_area_m2(value: Any) -> Any:
    """Convert ``"10"``, ``"10m2"``, ``"10 m²"`` or ``"0.5ha"`` to square metres; others pass."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d*\.?\d+)\s*(m2|m²|ha|km2|km²)?\s*", value)
    if match is None or float(match[1]) == 0:
        raise ValueError("expected an area, e.g. 10m2 or 0.5ha")
    return float(match[1]) * AREAS_M2[match[2] or "m2"]


def parse_area_px(value: Any) -> Any:
    """Convert ``"2Gpx"``, ``"500 Mpx"`` or ``"4e6"`` to pixels; other types pass."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d*\.?\d+(?:e\d+)?)\s*([kMGT]?)(?:px)?\s*", value)
    if match is None:
        raise ValueError("expected a number of pixels, e.g. 2Gpx or 500Mpx")
    return float(match[1]) * PIXEL_UNITS[match[2]]


def parse_overlap(value: Any) -> Any:
    """Convert ``"64"`` or ``"64px"`` to pixels, ``"0.2"`` or ``"20%"`` to a fraction of a tile."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(?:(\d+)\s*px|(\d*\.?\d+)\s*(%?))\s*", value)
    if match is None or (match[3] and float(match[2]) >= 100):
        raise ValueError("expected pixels (64), a fraction (0.2) or a percentage (20%) of a tile")
    return float(match[1] or match[2]) / (100 if match[3] else 1)


def parse_fraction(value: Any) -> Any:
    """Convert ``"70%"`` to 0.7; other types and texts pass."""
    match = re.fullmatch(r"\s*(-?\d*\.?\d+)\s*%\s*", value) if isinstance(value, str) else None
    return value if match is None else round(float(match[1]) / 100, 12)


def split_names(value: Any) -> Any:
    """Split ``"car,plane"`` at its commas; arrays become lists, other types pass."""
    if isinstance(value, str):
        return [name.strip() for name in value.removesuffix(",").split(",")]
    return _as_list(value)


def parse_crs_name(value: Any) -> Any:
    """Convert the code of EPSG and CRS objects of pyproj and rasterio to text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"EPSG:{value}"
    return value.to_wkt() if hasattr(value, "to_wkt") else value


def parse_paths(value: Any) -> Any:
    """Convert a path or paths to a list of texts; other types pass."""
    if isinstance(value, str | os.PathLike):
        return [os.fspath(value)]
    if isinstance(value, list | tuple):
        return [os.fspath(v) if isinstance(v, os.PathLike) else v for v in value]
    return value


def parse_area(value: Any) -> Any:
    """Check that a value is a path, a table of polygons or a geometry; texts become paths."""
    if isinstance(value, str | os.PathLike):
        return value if "://" in os.fspath(value) else Path(value)
    if hasattr(value, "geometry") or hasattr(value, "geom_type"):  # of geopandas, of shapely
        return value
    raise ValueError("expected a file, a GeoDataFrame or a geometry of shapely")


def area_text(value: Any) -> str:
    """Return the path of an area, or the type of an object."""
    return os.fspath(value) if isinstance(value, str | os.PathLike) else short_repr(value)


def _as_list(value: Any) -> Any:
    """Convert arrays and columns of tables to lists; other types pass."""
    return value.tolist() if hasattr(value, "tolist") else value


def number_list(
    number: type[int] | type[float], expected: str, *, count: int | None = None
) -> Callable[[Any], Any]:
    """Return a validator that converts ``"1,2,3"`` to numbers; arrays become lists.

    Args:
        number: Type of each number.
        expected: Description of the list for error messages.
        count: Required length; None: any.
    """

    def parse(value: Any) -> Any:
        if not isinstance(value, str):
            return _as_list(value)
        try:
            numbers = [number(text) for text in value.split(",")]
        except ValueError:
            numbers = []
        if not numbers or len(numbers) != (count or len(numbers)):
            raise ValueError(f"expected {expected} with commas between")
        return numbers

    return parse


Metres = Annotated[
    float,
    BeforeValidator(_length_parser("metres, e.g. 2.5 or 250cm")),
    Field(gt=0, allow_inf_nan=False),
    CommandLine("METRES"),
    Accepts("str"),
]
MetresOrZero = Annotated[
    float,
    BeforeValidator(_length_parser("metres, e.g. 2.5 or 250cm", allow_zero=True)),
    Field(ge=0, allow_inf_nan=False),
    CommandLine("METRES"),
    Accepts("str"),
]
SquareMetres = Annotated[
    float,
    BeforeValidator(parse_area_m2),
    Field(gt=0, allow_inf_nan=False),
    CommandLine("AREA"),
    Accepts("str"),
]
Resolution = Annotated[
    float,
    BeforeValidator(_length_parser("metres per pixel, e.g. 0.25 or 25cm", per="(?:px|pixel)")),
    Field(gt=0, allow_inf_nan=False),
    CommandLine("METRES"),
    Accepts("str"),
]
Overlap = Annotated[
    float, BeforeValidator(parse_overlap), Field(ge=0), CommandLine("PX|FRACTION"), Accepts("str")
]
Score = Annotated[
    float,
    BeforeValidator(parse_fraction),
    Accepts("str"),
    Field(ge=0, le=1),
    CommandLine("SCORE", short="c"),
]
UnboundedScore = Annotated[
    float,
    BeforeValidator(parse_fraction),
    Accepts("str"),
    Field(allow_inf_nan=False),
    CommandLine("SCORE", short="c"),
]
Iou = Annotated[
    float, BeforeValidator(parse_fraction), Accepts("str"), Field(gt=0, le=1), CommandLine("IOU")
]
Fraction = Annotated[
    float,
    BeforeValidator(parse_fraction),
    Accepts("str"),
    Field(ge=0, le=1),
    CommandLine("FRACTION"),
]
Pixels = Annotated[
    int, BeforeValidator(parse_pixels), Field(ge=1), CommandLine("PX"), Accepts("str")
]
AreaPixels = Annotated[
    float,
    BeforeValidator(parse_area_px),
    Field(ge=1, allow_inf_nan=False),
    CommandLine("PIXELS"),
    Accepts("str"),
]
ImagePixels = Annotated[
    int, BeforeValidator(parse_pixels), Field(ge=64, le=20_000), CommandLine("PX"), Accepts("str")
]
ChipPixels = Annotated[
    int, BeforeValidator(parse_pixels), Field(ge=64), CommandLine("PX"), Accepts("str")
]
Count = Annotated[int, Field(ge=1), CommandLine("N")]
CountOrZero = Annotated[int, Field(ge=0), CommandLine("N")]
Bands = Annotated[
    tuple[int, ...],
    BeforeValidator(number_list(int, "band numbers, counted from 1,")),
    CommandLine("N,N,N"),
    Accepts("str"),
]
ValueRange = Annotated[
    tuple[float, float],
    BeforeValidator(number_list(float, "2 numbers", count=2)),
    CommandLine("LOW,HIGH"),
    Accepts("str"),
]
Rectangle = Annotated[
    tuple[float, float, float, float],
    BeforeValidator(number_list(float, "4 numbers", count=4)),
    CommandLine("X,Y,X,Y"),
    Accepts("str"),
]
Length = Annotated[float, BeforeValidator(_length_parser("metres, e.g. 2.5 or 250cm"))]
Lengths = Annotated[
    tuple[Length, ...], BeforeValidator(split_names), CommandLine("M,M,..."), Accepts("str")
]
ClassNames = Annotated[
    tuple[Annotated[str, AfterValidator(normalize_class_name)], ...],
    BeforeValidator(split_names),
    CommandLine("NAME,NAME"),
    Accepts("str"),
]
Name = Annotated[str, CommandLine("NAME")]
Text = Annotated[str, CommandLine("TEXT")]
Crs = Annotated[str, BeforeValidator(parse_crs_name), CommandLine("CRS"), Accepts("int | CRS")]
Device = Annotated[str, CommandLine("NAME", choices=("auto", "cpu", "cuda", "mps"))]
File = Annotated[str, CommandLine("FILE", reads="file")]
FilePath = Annotated[Path, CommandLine("FILE", reads="file")]
Layer = Annotated[str, CommandLine("FILE", reads="layer")]
FolderPath = Annotated[Path, CommandLine("FOLDER")]
Area = Annotated[
    Any,
    BeforeValidator(parse_area),
    PlainSerializer(area_text, when_used="json"),
    CommandLine("FILE", reads="layer"),
    Accepts("AreaSource"),
]
Rasters = Annotated[
    tuple[str, ...],
    BeforeValidator(parse_paths),
    CommandLine("PATH", repeatable=True, reads="rasters"),
    Accepts("PathLike | Sequence[PathLike]"),
]
Labels = Annotated[
    tuple[str, ...],
    BeforeValidator(parse_paths),
    CommandLine("PATH", repeatable=True, reads="labels"),
    Accepts("PathLike | Sequence[PathLike]"),
]
