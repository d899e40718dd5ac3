"""Reader of CVAT's own XML for images.

Boxes are pixel edges counted from 0; ``rotation`` turns them around their centre.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from geodetect.errors import LabelError
from geodetect.io.labels.class_column import as_class_name
from geodetect.io.labels.formats.annotations import (
    PARSE_ERRORS,
    AnnotatedImage,
    AnnotationCollection,
    Box,
    bounds_of_ellipse,
    bounds_of_points,
    bounds_of_rotated,
    parse_error_text,
)
from geodetect.io.labels.formats.voc import read_xml
from geodetect.io.labels.label_set import NO_SURFACE, ImageLabels, LabelOptions

_FLAT = ("points", "polyline", "skeleton", "cuboid")
_EXPECTED = "expected images with box, polygon, ellipse or mask"


def read_cvat(file: Path, options: LabelOptions, *, root: Path) -> ImageLabels:
    """Read an XML file of CVAT; points, lines, skeletons and cuboids are left out and counted.

    Args:
        file: The file, in the layout "CVAT for images".
        options: Class of objects that have none.
        root: Folder of the data set, from which the names of images start.

    Raises:
        LabelError: It cannot be read as such, or is a video.
    """
    document = read_xml(file, "a file of CVAT")
    if document.find("track") is not None:
        raise LabelError(
            f"{file} is CVAT's layout for video, which is not read; export the task as COCO, or as "
            f"CVAT for images"
        )
    if document.find("image") is None:
        raise LabelError(f"{file} cannot be used as a file of CVAT: no image; {_EXPECTED}")
    folder = file.parent.relative_to(root)
    collection = AnnotationCollection(file, "CVAT")
    for element in document.iterfind("image"):
        name = element.get("name", "")
        try:
            size = int(element.get("width", 0)), int(element.get("height", 0))
            image = AnnotatedImage((folder / name).as_posix(), size if all(size) else None)
            for shape in element:
                if shape.tag in _FLAT:
                    collection.leave_out(collection.next_row(), NO_SURFACE)
                elif "label" in shape.attrib and shape.tag != "tag":  # a tag is of all the image
                    box, label = _box(shape.tag, shape.attrib), as_class_name(shape.get("label"))
                    rings = [_points(shape.attrib)] if shape.tag == "polygon" else None
                    image.add(box, label, collection.next_row(), rings)
        except PARSE_ERRORS as error:
            raise LabelError(
                f"{file} cannot be used as a file of CVAT: object {collection.rows + 1}, on "
                f"{name or 'an image without a name'}: {parse_error_text(error)}; {_EXPECTED}"
            ) from error
        collection.images.append(image)
    return collection.to_labels(options)


def _box(kind: str, values: Mapping[str, str]) -> Box:
    degrees = float(values.get("rotation", 0))
    if kind == "box":
        box = _numbers(values, ("xtl", "ytl", "xbr", "ybr"))
        return bounds_of_rotated(box, degrees) if degrees else box
    if kind == "polygon":
        return bounds_of_points(_points(values))
    if kind == "ellipse":
        x, y, radius_x, radius_y = _numbers(values, ("cx", "cy", "rx", "ry"))
        return bounds_of_ellipse(x, y, radius_x, radius_y, degrees)
    if kind == "mask":
        left, top, width, height = _numbers(values, ("left", "top", "width", "height"))
        return [left, top, left + width, top + height]
    raise ValueError(f"a {kind}")


def _points(values: Mapping[str, str]) -> list[float]:
    return [float(text) for text in re.split("[,;]", values["points"])]


def _numbers(values: Mapping[str, str], names: Sequence[str]) -> list[float]:
    return [float(values[name]) for name in names]
