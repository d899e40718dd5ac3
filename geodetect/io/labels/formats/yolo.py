"""Reader of YOLO data sets: one text file for each image, a line for each object.

A line is the number of a class, then centre, width and height as fractions of the image. A sixth
number is a score and left out. More numbers are the corners of an outline or of a rotated
rectangle, of which the bounding box is taken; in a data set with ``kpt_shape`` they are key points,
which follow the box.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
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
from geodetect.io.labels.formats.text import read_text, split_fields
from geodetect.io.labels.formats.yolo_description import YoloDescription
from geodetect.io.labels.label_set import ImageLabels, LabelOptions

LARGEST_FRACTION = 1.5  # a YOLO box may stick out of its image a little; pixels are far above
MOST_BOX_VALUES = 8  # a box, with a score, or the corners of a rotated rectangle
_VISIBILITIES = {0.0, 1.0, 2.0}  # of key points


def read_yolo(
    files: Sequence[Path],
    source: Path,
    options: LabelOptions,
    *,
    root: Path,
    description: YoloDescription,
) -> ImageLabels:
    """Read a YOLO data set.

    Args:
        files: The text files.
        source: The file, or the folder they lie in, for errors.
        options: Class of objects that have none.
        root: Folder of the data set, from which the names of images start.
        description: Names of the classes, and shape of the key points.

    Raises:
        LabelError: A file cannot be read as such, or a class has no name.
    """
    collection = AnnotationCollection(source, "YOLO")
    for file in files:
        image = AnnotatedImage(image_name(file, root))
        collection.images.append(image)
        number = 0
        try:
            for number, line in enumerate(read_text(file).splitlines(), 1):  # noqa: B007 (of the error)
                if fields := split_fields(line):
                    values = [float(value) for value in fields[1:]]
                    box = _box(values, key_points=description.key_points)
                    name = description.class_name(_class_number(fields[0]))
                    is_outline = description.key_points is None and len(values) > MOST_BOX_VALUES
                    rings = [values] if is_outline else None
                    image.add(box, name, collection.next_row(), rings)
        except PARSE_ERRORS as error:
            raise LabelError(
                f"{file} cannot be used as a YOLO file: line {number}: {error_text(error)}; "
                f"expected lines with the number of a class and fractions of the image between 0 "
                f"and 1"
            ) from error
    return collection.to_labels(options, as_fractions=True)


def is_yolo(head: str) -> bool:
    """Return True if a text begins with a line of five numbers or more, or holds only blanks."""
    fields = next(filter(None, map(split_fields, head.splitlines())), None)
    if fields is None:
        return True
    try:
        return len([float(value) for value in fields]) >= 5
    except ValueError:
        return False


def _class_number(text: str) -> int:
    if text.isdecimal():
        return int(text)
    number = float(text)
    if not (math.isfinite(number) and number >= 0 and number.is_integer()):
        raise ValueError(f"{text} is no number of a class")
    return int(number)


def _box(values: Sequence[float], *, key_points: tuple[int, int] | None) -> Box:
    count = len(values)
    if key_points is not None and count == 4 + math.prod(key_points):
        values = values[:4]
    elif key_points is not None and count > 5:
        points, numbers = key_points
        raise ValueError(
            f"{count + 1} numbers, but `kpt_shape: [{points}, {numbers}]` of the data set makes "
            f"{5 + points * numbers}"
        )
    elif _are_key_points(values):
        raise ValueError(
            f"{count + 1} numbers look like a box and {(count - 4) // 3} key points; expected a "
            f"YAML file with `kpt_shape: [{(count - 4) // 3}, 3]` in the data set"
        )
    unusable = [value for value in values if not abs(value) <= LARGEST_FRACTION]  # also NaN
    if unusable:
        raise ValueError(f"{unusable[0]:g} is no fraction of the image")
    if len(values) in (4, 5):
        x, y, width, height = values[:4]
        if len(values) == 5 and not 0 <= values[4] <= 1:
            raise ValueError(f"the sixth number, {values[4]:g}, is no score between 0 and 1")
        return [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    if count < 6 or count % 2:
        raise ValueError(f"a line of {count + 1} numbers")
    return bounds_of_points(values)


def _are_key_points(values: Sequence[float]) -> bool:
    """Return True if numbers after a box are points in it, each with a visibility."""
    if len(values) <= 6 or (len(values) - 4) % 3:
        return False
    x, y, width, height = values[:4]
    points = list(zip(values[4::3], values[5::3], values[6::3], strict=True))
    return width > 0 < height and all(
        visibility in _VISIBILITIES
        and (not visibility or (abs(px - x) <= width and abs(py - y) <= height))
        for px, py, visibility in points
    )
