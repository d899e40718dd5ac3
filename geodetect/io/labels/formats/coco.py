"""Reader of COCO detection files.

Boxes are x, y, width and height in pixel edges counted from 0 at the upper left corner of the
image. With an ``attributes.rotation``, as CVAT writes it, a box is a rectangle before its rotation
around its centre.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from geodetect.errors import LabelError, list_names
from geodetect.io.labels.class_column import as_class_name
from geodetect.io.labels.formats.annotations import (
    PARSE_ERRORS,
    AnnotatedImage,
    AnnotationCollection,
    Box,
    bounds_of_points,
    bounds_of_rotated,
    parse_error_text,
)
from geodetect.io.labels.label_set import CROWD, NO_BOX, UNLISTED_IMAGE, ImageLabels, LabelOptions

_EXPECTED = "expected images, categories and annotations with image_id, category_id and bbox"


def read_coco(
    path: Path, document: Mapping[str, Any], options: LabelOptions, *, root: Path
) -> ImageLabels:
    """Read a COCO detection file.

    Crowds, annotations without a box and outline, and those of images that are not listed are left
    out and counted. An id may be a number in one list and a text in another.

    Args:
        path: The file.
        document: Its content.
        options: Class of annotations that have none.
        root: Folder of the data set, from which the names of images start.

    Raises:
        LabelError: A list is missing or of another kind, or an entry of it cannot be used.
    """
    folder = path.parent.relative_to(root)
    collection = AnnotationCollection(path, "COCO")
    categories: dict[int | str, str] = {}
    images: dict[int | str, AnnotatedImage] = {}
    name, row = "categories", 0
    try:
        for row, category in enumerate(_entries(document, name)):  # noqa: B007 (of the error)
            categories[_as_id(category["id"])] = as_class_name(category["name"])
        name = "images"
        for row, image in enumerate(_entries(document, name)):  # noqa: B007 (of the error)
            key = _as_id(image["id"])
            if key in images:
                raise ValueError(f"id {key} occurs twice")
            images[key] = AnnotatedImage((folder / image["file_name"]).as_posix(), _size(image))
        name = "annotations"
        for row, annotation in enumerate(_entries(document, name)):
            collection.next_row()
            labelled = images.get(_as_id(annotation["image_id"]))
            if labelled is None:
                collection.leave_out(row, UNLISTED_IMAGE)
            elif _is_crowd(annotation):
                collection.leave_out(row, CROWD)
            elif (box := _box(annotation)) is None:
                collection.leave_out(row, NO_BOX)
            else:
                name_of_class = _class_name(annotation, categories)
                labelled.add(box, name_of_class, row, _rings(annotation))
    except PARSE_ERRORS as error:
        text = parse_error_text(error)
        raise LabelError(
            f"{path} cannot be used as a COCO file: {name}[{row}]: {text}; {_EXPECTED}"
        ) from error
    if collection.rows and not images:
        raise LabelError(f"{path} cannot be used as a COCO file: images is empty; {_EXPECTED}")
    collection.images = list(images.values())
    return collection.to_labels(options)


def _entries(document: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    entries = document.get(name) or []
    if not isinstance(entries, list):
        raise ValueError(f"{name} is a {type(entries).__name__}, no list")
    return entries


def _as_id(value: object) -> int | str:
    """Return an id in one form: "1", 1 and 1.0 are the same."""
    if type(value) is int:
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no id")
    text = value.strip()
    return int(text) if text.isdecimal() and text == str(int(text)) else text


def _size(image: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return columns and rows of an image; None if they are not stated."""
    sides = [float(image.get(side) or 0) for side in ("width", "height")]
    if not all(math.isfinite(side) and side > 0 for side in sides):
        return None
    return int(sides[0]), int(sides[1])


def _is_crowd(annotation: Mapping[str, Any]) -> bool:
    return float(annotation.get("iscrowd") or 0) != 0


def _class_name(annotation: Mapping[str, Any], categories: Mapping[int | str, str]) -> str:
    if annotation.get("category_id") is None:
        return ""
    key = _as_id(annotation["category_id"])
    if key not in categories:
        raise ValueError(f"category_id {key} is not in categories ({list_names(categories)})")
    return categories[key]


def _box(annotation: Mapping[str, Any]) -> Box | None:
    """Return the bounding box of an annotation; None if it has neither a box nor an outline."""
    values, outline = annotation.get("bbox"), annotation.get("segmentation")
    if values:
        if len(values) != 4:
            raise ValueError(f"bbox has {len(values)} numbers, not x, y, width and height")
        x, y, width, height = map(float, values)
        box = [x, y, x + width, y + height]
        attributes = annotation.get("attributes")
        degrees = float(
            (isinstance(attributes, Mapping) and attributes.get("rotation"))
            or annotation.get("rotation")
            or 0
        )
        if (width > 0 and height > 0) or not outline:
            return bounds_of_rotated(box, degrees) if degrees else box
    if isinstance(outline, Mapping):
        return _bounds_of_runs(outline)
    rings = _rings(annotation)
    points = [value for ring in rings or () for value in ring]
    return bounds_of_points(points) if points else None


def _rings(annotation: Mapping[str, Any]) -> list[list[float]] | None:
    """Return the rings of an outline; None without one, or if it is a mask."""
    outline = annotation.get("segmentation")
    if not outline or isinstance(outline, Mapping):
        return None
    rings = outline if isinstance(outline[0], list) else [outline]
    if any(len(ring) % 2 for ring in rings):
        raise ValueError("segmentation has an odd count of numbers")
    return [[float(value) for value in ring] for ring in rings]


def _bounds_of_runs(mask: Mapping[str, Any]) -> Box | None:
    """Return the bounding box of a mask in run-length encoding; None if it is empty.

    Runs of background and object alternate, down the columns from left to right. See
    ``maskApi.c`` of COCO, of which this reads the extent without the pixels; ``pycocotools`` is
    needed for nothing else.
    """
    height, _ = (int(side) for side in mask["size"])
    counts = mask["counts"]
    runs = _decode_runs(counts) if isinstance(counts, str) else [int(count) for count in counts]
    if height <= 0 or any(run < 0 for run in runs):
        raise ValueError("segmentation is no mask in run-length encoding")
    x1 = y1 = math.inf
    x2 = y2 = 0
    start = 0
    for number, run in enumerate(runs):
        if number % 2 and run:
            last = start + run - 1
            x1, x2 = min(x1, start // height), max(x2, last // height + 1)
            if start // height == last // height:
                y1, y2 = min(y1, start % height), max(y2, last % height + 1)
            else:  # it reaches the foot of a column and goes on at the head of the next
                y1, y2 = 0, height
        start += run
    return [x1, y1, x2, y2] if x2 else None


def _decode_runs(text: str) -> list[int]:
    """Decode the runs of a compressed mask: groups of 5 bits, from the third run on differences."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        group = ord(character) - 48
        if not 0 <= group < 64:
            raise ValueError(f"segmentation has the unexpected character {character!r}")
        value |= (group & 0x1F) << shift
        shift += 5
        if not group & 0x20:
            if group & 0x10:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return runs
