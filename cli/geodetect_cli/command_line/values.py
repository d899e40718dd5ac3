"""Values on the command line: files that exist, and hints about values that cannot be used."""

from __future__ import annotations

import glob
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geodetect.errors import GeodetectError, suggestion
from geodetect_cli.command_line.file_kinds import file_kind
from geodetect_cli.command_line.usage_error import UsageError

if TYPE_CHECKING:
    from geodetect_cli.command_line.option import Option

UNITS = {
    "m": ("m", "metre", "metres", "meter", "meters"),
    "cm": ("cm", "centimetre", "centimetres", "centimeter", "centimeters"),
    "mm": ("mm", "millimetre", "millimetres", "millimeter", "millimeters"),
}
FEET, M_PER_FOOT = ("ft", "foot", "feet"), 0.3048
SIMILAR = 0.75  # least similarity of the names of two files (``difflib``)
MAX_FILES = 2000  # of a folder that are compared with a name
EXPECTED = {
    "raster": "imagery, such as .tif",
    "layer": "a vector layer, such as .gpkg or .geojson",
    "label": "labels, such as a vector layer or COCO",
    "model": "a model, .safetensors",
    "weight": "weights, such as .pth or .ckpt",
}
FOUND = {"raster": "a raster", "layer": "a vector layer", "model": "a model"}
ACCEPTED = {  # kinds of files by the kind that an option reads; others are left to the library
    "raster": ("raster",),
    "layer": ("layer",),
    "label": ("layer",),
    "model": ("model",),
    "weight": ("model",),
}
OTHER_VALUES = {"gpu": "cuda", "half": "fp16", "float16": "fp16", "bfloat16": "bf16",
                "float32": "fp32", "single": "fp32", "pytorch": "torch", "onnxruntime": "onnx",
                "pascal": "voc", "pascal-voc": "voc", "jpeg": "jpg", "tiff": "tif",
                "all": "inf"}  # fmt: skip
DECIMAL_COMMA = re.compile(r"-?\d+,\d+\s*[a-z%]*")
PERCENT = re.compile(r"(?!1(\.0*)?$)[1-9]\d?(\.\d+)?|100")  # above 1: no fraction
NUMBER = re.compile(r"\d+\.?\d*(e\d+)?")
FOUR_NUMBERS = re.compile(r"(-?\d+\.?\d*,){3}-?\d+\.?\d*")


def check_files(options: Mapping[str, Option], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values with file name patterns expanded, which shells do where a file matches.

    Args:
        options: Options by field name.
        values: Texts, and lists of them, by field name.

    Raises:
        UsageError: A value is empty, a pattern matches nothing, or a file is of another kind than
            the option reads.
    """
    checked = dict(values)
    for name, value in values.items():
        option = options[name]
        if option.metavar != "TEXT" and (value == "" or (isinstance(value, list) and "" in value)):
            raise UsageError(
                f"{option.flag} is empty, as a variable of the shell that is not set; expected "
                f"{option.metavar}"
            )
        if not option.form.reads:
            continue
        if isinstance(value, list):
            checked[name] = [file for text in value for file in _expanded(option, text)]
        else:
            _expanded(option, value)
        if _kind(option) in ACCEPTED:
            for text in checked[name] if isinstance(value, list) else [value]:
                _check_kind(option, text, options, values)
    return checked


@contextmanager
def similar_files(options: Mapping[str, Option], values: Mapping[str, Any]) -> Iterator[None]:
    """Name the file that was meant in errors about a missing one.

    Args:
        options: Options by field name.
        values: Texts, and lists of them, by field name.
    """
    try:
        yield
    except GeodetectError as error:
        for name, value in values.items():
            for text in value if isinstance(value, list) else [value]:
                if options[name].form.reads and isinstance(text, str) and text in str(error):
                    meant = _similar_file(text, ACCEPTED.get(_kind(options[name])))
                    if meant is not None:
                        error.args = (f"{error}; did you mean {meant}?",)
                        raise
        raise


def value_hint(option: Option, value: object) -> str:
    """Return what a value that cannot be used was meant to be, as the end of an error."""
    if not isinstance(value, str):
        return ""
    text = value.strip().lower()
    meant = OTHER_VALUES.get(text)
    if option.choices and meant not in option.choices:
        meant = suggestion(text, option.choices)
    if not option.choices or meant is None:
        meant = _list_meant(option, text) if "," in option.metavar else _number_meant(option, text)
    return "" if meant in (None, value.strip()) else f"; did you mean {meant}?"


def _list_meant(option: Option, text: str) -> str | None:
    """Return a list of numbers as it is written, with commas and nothing else between them."""
    if option.key == "bands" and re.fullmatch(r"r\w*[, ]*g\w*[, ]*b\w*", text):
        return "1,2,3"
    ends = re.fullmatch(r"(\d+)\s*[-:]\s*(\d+)", text)
    if ends is not None and option.key == "bands":
        return ",".join(map(str, range(int(ends[1]), int(ends[2]) + 1))) or None
    if ends is not None:
        return f"{ends[1]},{ends[2]}"
    if option.key == "bbox" and Path(text).is_file():
        return f"--aoi {text}"
    numbers = ",".join(re.findall(r"-?\d+\.?\d*", text))
    is_list = re.fullmatch(r"[\[({]?\s*(-?[\d.]+[,;\s]*)+[\])}]?", text) is not None
    if is_list and numbers != text and "," in numbers:
        return numbers
    return _ordered_box(text) if option.key == "bbox" else None


def _number_meant(option: Option, text: str) -> str | None:
    """Return a number as it is written: with a decimal point, its unit, and within its range."""
    kind = option.metavar
    if DECIMAL_COMMA.fullmatch(text):
        return text.replace(",", ".")
    number = re.sub(r"\s*(pct|per ?cent)", "", text)
    if kind in ("SCORE", "IOU", "FRACTION", "AP") and PERCENT.fullmatch(number):
        return f"{number}%"
    if kind == "PX" and (side := re.fullmatch(r"(\d+)\s*[x*]\s*\1(px)?", text)):
        return side[1]
    if kind in ("PX", "N") and NUMBER.fullmatch(text) and float(text).is_integer():
        return str(int(float(text)))
    time = re.fullmatch(r"(\d+\.?\d*)\s*(h|m)\w*", text)
    if kind == "MINUTES" and time is not None:
        return f"{float(time[1]) * (60 if time[2] == 'h' else 1):g}"
    return length_meant(text) if kind == "METRES" else None


def length_meant(text: str) -> str | None:
    """Return a length with a unit in the form that is read; feet become metres."""
    length = re.fullmatch(r"(\d*\.?\d+)\s*([a-z]+)", text.lower())
    for unit, words in UNITS.items():
        if length is not None and length[2] in words:
            return f"{length[1]}{unit}"
    if length is not None and length[2] in FEET:
        return f"{float(length[1]) * M_PER_FOOT:g}m"
    return None


def _expanded(option: Option, text: str) -> list[str]:
    is_pattern = glob.has_magic(text) and "://" not in text and not text.startswith("/vsi")
    if not is_pattern or Path(text).exists():
        return [text]
    files = sorted(glob.glob(text, recursive=True))  # noqa: PTH207 (absolute patterns, too)
    if not files:
        raise UsageError(f"{option.flag}: {text} matches no file")
    return files


def _similar_file(text: str, kinds: Collection[str] | None) -> Path | None:
    path = Path(text)
    if "://" in text or path.exists() or not path.parent.is_dir():
        return None
    names = (file.name for file in islice(path.parent.iterdir(), MAX_FILES))
    names_of_kind = [name for name in names if kinds is None or file_kind(name) in kinds]
    same_stem = [name for name in names_of_kind if Path(name).stem == path.name]
    nearest = same_stem or get_close_matches(path.name, names_of_kind, n=1, cutoff=SIMILAR)
    return path.with_name(nearest[0]) if nearest else None


def _check_kind(
    option: Option, text: str, options: Mapping[str, Option], values: Mapping[str, Any]
) -> None:
    positional = [other for other in options.values() if other.form.positional]
    if option.form.repeatable and option in positional[:-1]:
        return  # its words may be those of the next argument
    kind, actual = _kind(option), file_kind(text)
    if FOUR_NUMBERS.fullmatch(text) and "bbox" in options and not Path(text).exists():
        raise UsageError(f"{option.flag}: {text} is no file; did you mean --bbox {text}?")
    if (kind, actual) == ("raster", "layer") and "output" in options and not Path(text).exists():
        raise UsageError(f"{option.flag}: no file {text}; did you mean --output {text}?")
    if not actual or actual in ACCEPTED[kind] or not Path(text).is_file():
        return
    swapped = [
        other
        for name, value in values.items()
        for other in (value if isinstance(value, list) else [value])
        if actual in ACCEPTED.get(_kind(options[name]), ()) and file_kind(other) in ACCEPTED[kind]
    ]
    hint = f"; were {text} and {swapped[0]} swapped?" if swapped else ""
    raise UsageError(f"{option.flag}: {text} is {FOUND[actual]}, expected {EXPECTED[kind]}{hint}")


def _kind(option: Option) -> str:
    return option.form.reads.rstrip("s")


def _ordered_box(text: str) -> str | None:
    try:
        x, y, other_x, other_y = map(float, text.split(","))
    except ValueError:
        return None
    if x == other_x or y == other_y:
        return None
    box = min(x, other_x), min(y, other_y), max(x, other_x), max(y, other_y)
    return ",".join(f"{side:.10g}" for side in box)
