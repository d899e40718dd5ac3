"""Reader of Pascal VOC data sets: one XML file for each image.

Pascal VOC's own files (whose ``database`` begins with "The VOC") count whole pixels from 1, so
that a box of one pixel has xmin = xmax: 1 is taken from xmin and ymin. All other files in this
layout are read as edges from 0, as labelling tools write them today.
"""

from __future__ import annotations

import math
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from geodetect.errors import GeodetectWarning, LabelError, error_text, list_names, translate_errors
from geodetect.io.labels.class_column import as_class_name
from geodetect.io.labels.formats.annotations import (
    PARSE_ERRORS,
    AnnotatedImage,
    AnnotationCollection,
    Box,
    bounds_of_points,
    bounds_of_rotated,
    image_name,
    last_part,
)
from geodetect.io.labels.label_set import ImageLabels, LabelOptions
from geodetect.io.vector.csv_table import CORNERS

_ROTATED = ("cx", "cy", "w", "h", "angle")  # of roLabelImg, the angle in radians
_VOC_DATABASE = "the voc"
_EXPECTED = "expected an annotation with objects that have a name and a bndbox"


def read_voc(
    files: Sequence[Path],
    source: Path,
    options: LabelOptions,
    *,
    root: Path,
    class_names: Mapping[str, str] | None = None,
) -> ImageLabels:
    """Read a Pascal VOC data set.

    The objects of several files for one image are joined, with a warning.

    Args:
        files: The XML files.
        source: The file, or the folder they lie in, for errors.
        options: Class of objects that have none.
        root: Folder of the data set, from which the names of images start.
        class_names: Names of classes that the files have by their numbers, as Esri's tools do.

    Raises:
        LabelError: A file cannot be read as such, or two files state different sizes of an image.
    """
    collection = AnnotationCollection(source, "Pascal VOC")
    images: dict[str, AnnotatedImage] = {}
    files_of: dict[str, list[str]] = defaultdict(list)
    for file in files:
        document = read_xml(file, "a Pascal VOC file")
        name = last_part((document.findtext("filename") or "").strip()) or file.name
        name = image_name(file.with_name(name), root)
        files_of[name].append(file.name)
        try:
            size = _size(document)
        except PARSE_ERRORS as error:
            raise _file_error(file, f"its size: {error_text(error)}") from error
        image = images.setdefault(name, AnnotatedImage(name, size))
        if size and image.size and size != image.size:
            raise _file_error(file, f"{name} has {size[0]} x {size[1]} px, elsewhere {image.size}")
        database = (document.findtext("source/database") or "").strip().lower()
        first_px = 1.0 if database.startswith(_VOC_DATABASE) else 0.0
        for number, item in enumerate(document.iterfind("object"), 1):
            label = as_class_name(item.findtext("name"))
            try:
                box = _box(item, first_px)
            except PARSE_ERRORS as error:
                text = f"object {number} ({label or 'without a name'}): {error_text(error)}"
                raise _file_error(file, text) from error
            image.add(box, (class_names or {}).get(label, label), collection.next_row())
    repeated = [name for name, files in files_of.items() if len(files) > 1]
    if repeated:
        text = (
            f"{source}: {list_names(repeated)} {'is' if len(repeated) == 1 else 'are'} described "
            f"by several files ({list_names(files_of[repeated[0]])}), whose objects are joined"
        )
        warnings.warn(text, GeodetectWarning, stacklevel=2)
    collection.images = list(images.values())
    return collection.to_labels(options)


def read_xml(file: Path, kind: str) -> ElementTree.Element:
    """Return the root of an XML file, with tags without namespaces.

    Raises:
        LabelError: It is damaged, or in an unknown encoding.
    """
    with translate_errors(f"{file} cannot be used as {kind}", LabelError):
        root = ElementTree.parse(file).getroot()
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def _file_error(file: Path, text: str) -> LabelError:
    return LabelError(f"{file} cannot be used as a Pascal VOC file: {text}; {_EXPECTED}")


def _size(root: ElementTree.Element) -> tuple[int, int] | None:
    """Return columns and rows of the image; None if they are not stated."""
    width, height = (int(float(root.findtext(f"size/{s}") or 0)) for s in ("width", "height"))
    return (width, height) if width > 0 and height > 0 else None


def _box(item: ElementTree.Element, first_px: float) -> Box:
    """Return the bounding box of an object: of its box, rotated box or outline."""
    if item.find("bndbox") is not None:
        x1, y1, x2, y2 = _numbers(item, "bndbox", CORNERS)
        return [x1 - first_px, y1 - first_px, x2, y2]
    if item.find("robndbox") is not None:
        x, y, width, height, angle = _numbers(item, "robndbox", _ROTATED)
        box = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
        return bounds_of_rotated(box, math.degrees(angle))
    polygon = item.find("polygon")
    if polygon is None:
        raise ValueError("bndbox is missing")
    values = [
        float(element.text or "")
        for element in polygon.iter()
        if not len(element) and element.tag.rstrip("0123456789") in ("x", "y")
    ]
    if len(values) < 6 or len(values) % 2:
        raise ValueError(f"its polygon has {len(values)} numbers")
    return bounds_of_points(values)


def _numbers(item: ElementTree.Element, parent: str, tags: Sequence[str]) -> list[float]:
    numbers = []
    for tag in tags:
        text = item.findtext(f"{parent}/{tag}")
        if text is None or not text.strip():
            raise ValueError(f"{tag} is missing")
        numbers.append(float(text))
    return numbers
