"""Reader of LabelMe data sets: one JSON file for each image.

Points are pixel edges counted from 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geodetect.errors import LabelError
from geodetect.io.labels.class_column import as_class_name
from geodetect.io.labels.formats.annotations import (
    PARSE_ERRORS,
    AnnotatedImage,
    AnnotationCollection,
    Box,
    bounds_of_points,
    image_name,
    last_part,
    parse_error_text,
)
from geodetect.io.labels.label_set import NO_SURFACE, ImageLabels, LabelOptions

_FLAT = ("point", "points", "line", "linestrip", "lines")


def is_labelme(document: Any) -> bool:
    """Return True if the content of a JSON file is in the layout of LabelMe."""
    return isinstance(document, Mapping) and isinstance(document.get("shapes"), list)


def read_labelme(
    documents: Mapping[Path, Mapping[str, Any]], source: Path, options: LabelOptions, *, root: Path
) -> ImageLabels:
    """Read a LabelMe data set; points and lines are left out and counted.

    Args:
        documents: Content of the files.
        source: The file, or the folder they lie in, for errors.
        options: Class of objects that have none.
        root: Folder of the data set, from which the names of images start.

    Raises:
        LabelError: A file cannot be read as such.
    """
    collection = AnnotationCollection(source, "LabelMe")
    for file, document in documents.items():
        number = 0
        try:
            name = last_part(str(document.get("imagePath") or "")) or file.name
            size = int(document.get("imageWidth") or 0), int(document.get("imageHeight") or 0)
            image = AnnotatedImage(
                image_name(file.with_name(name), root), size if all(size) else None
            )
            for number, shape in enumerate(document["shapes"], 1):  # noqa: B007 (of the error)
                row = collection.next_row()
                if shape.get("shape_type") in _FLAT:
                    collection.leave_out(row, NO_SURFACE)
                else:
                    label = as_class_name(shape.get("label"))
                    image.add(_box(shape), label, row, _rings(shape))
        except PARSE_ERRORS as error:
            text = parse_error_text(error)
            raise LabelError(
                f"{file} cannot be used as a file of LabelMe: shape {number}: {text}; expected "
                f"shapes with label, points and shape_type"
            ) from error
        collection.images.append(image)
    return collection.to_labels(options)


def _rings(shape: Mapping[str, Any]) -> list[list[float]] | None:
    """Return the ring of a polygon; None for other shapes."""
    if shape.get("shape_type") not in (None, "polygon"):
        return None
    return [[float(value) for point in shape["points"] for value in point]]


def _box(shape: Mapping[str, Any]) -> Box:
    points = [(float(x), float(y)) for x, y in shape["points"]]
    if shape.get("shape_type") == "circle":
        (x, y), edge = points  # centre and a point of the edge
        radius = math.dist((x, y), edge)
        return [x - radius, y - radius, x + radius, y + radius]
    if len(points) < 2:
        raise ValueError(f"{len(points)} points")
    return bounds_of_points([value for point in points for value in point])
