"""Readers of text files with a line for each object in pixels: DOTA and KITTI.

Coordinates are pixel edges counted from 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from geodetect.errors import LabelError, error_text
from geodetect.io.labels.formats.annotations import (
    PARSE_ERRORS,
    AnnotatedImage,
    AnnotationCollection,
    Box,
    bounds_of_points,
    image_name,
)
from geodetect.io.labels.formats.text import read_text
from geodetect.io.labels.formats.yolo import LARGEST_FRACTION
from geodetect.io.labels.label_set import NO_BOX, ImageLabels, LabelOptions

DOTA, KITTI = "DOTA", "KITTI"
_HEADERS = ("imagesource:", "gsd:", "acquisition dates:")  # of DOTA's files
_KITTI_FIELDS = 15
_KITTI_BOX = slice(4, 8)
_IGNORED = "dontcare"  # class of KITTI's regions without labels
_EXPECTED = {
    DOTA: "lines of the corners x1 y1 x2 y2 x3 y3 x4 y4 in pixels, class and difficulty",
    KITTI: "lines of 15 fields, the first the class and the fifth to eighth the box in pixels",
}


def find_text_kind(head: str) -> str:
    """Return ``DOTA`` or ``KITTI`` for the beginning of such a file, else ""."""
    is_dota = head.lstrip().lower().startswith(_HEADERS)
    fields = next(filter(None, map(_dota_fields, head.splitlines())), [])
    if len(fields) >= 9 and _are_numbers(fields[:8]) and not _are_numbers(fields[8:9]):
        return DOTA
    if len(fields) >= _KITTI_FIELDS and _are_numbers(fields[1:8]):
        is_yolo = _are_numbers(fields[:1]) and _is_yolo([float(text) for text in fields[1:8]])
        return "" if is_yolo else KITTI
    return DOTA if is_dota else ""


def read_text_boxes(
    files: Sequence[Path],
    source: Path,
    options: LabelOptions,
    *,
    root: Path,
    kind: str,
    class_names: Mapping[str, str] | None = None,
) -> ImageLabels:
    """Read a data set of DOTA or KITTI: one text file for each image.

    Of DOTA's rotated rectangles it is the bounding box. KITTI's regions of the class DontCare are
    left out and counted.

    Args:
        files: The text files.
        source: The file, or the folder they lie in, for errors.
        options: Class of objects that have none.
        root: Folder of the data set, from which the names of images start.
        kind: ``DOTA`` or ``KITTI``.
        class_names: Names of classes that the files have by their numbers, as Esri's tools do.

    Raises:
        LabelError: A file cannot be read as such.
    """
    collection = AnnotationCollection(source, kind)
    for file in files:
        image = AnnotatedImage(image_name(file, root))
        collection.images.append(image)
        number = 0
        try:
            for number, line in enumerate(read_text(file).splitlines(), 1):  # noqa: B007 (of the error)
                fields = _dota_fields(line) if kind == DOTA else line.split()
                if not fields:
                    continue
                row = collection.next_row()
                box, label = _box(fields, kind)
                if label.lower() == _IGNORED:
                    collection.leave_out(row, NO_BOX)
                else:
                    image.add(box, (class_names or {}).get(label, label), row)
        except PARSE_ERRORS as error:
            raise LabelError(
                f"{file} cannot be used as a file of {kind}: line {number}: {error_text(error)}; "
                f"expected {_EXPECTED[kind]}"
            ) from error
    return collection.to_labels(options)


def _dota_fields(line: str) -> list[str]:
    return [] if line.strip().lower().startswith(_HEADERS) else line.split()


def _box(fields: Sequence[str], kind: str) -> tuple[Box, str]:
    if kind == KITTI:
        if len(fields) < _KITTI_FIELDS:
            raise ValueError(f"{len(fields)} fields")
        return [float(text) for text in fields[_KITTI_BOX]], fields[0]
    if len(fields) < 9:
        raise ValueError(f"{len(fields)} fields")
    return bounds_of_points([float(text) for text in fields[:8]]), fields[8]


def _is_yolo(values: Sequence[float]) -> bool:
    """Return True for fractions of an image: an outline, or a box before key points.

    Args:
        values: The seven numbers behind the number of a class. Behind a box of YOLO, which has a
            size, the visibility of key points may be 2; the third of KITTI is an angle, mostly 0.
    """
    *box, _, _, _ = values
    has_size = min(box[2:]) > 0
    return max(map(abs, box if has_size else values)) <= LARGEST_FRACTION


def _are_numbers(fields: Sequence[str]) -> bool:
    try:
        return bool([float(text) for text in fields])
    except ValueError:
        return False
