"""Readers of image data sets: COCO, YOLO, Pascal VOC, DeepForest.

All boxes become pixel edges counted from 0 at the upper left corner of the image:

- COCO's x, y, width and height are that already.
- YOLO's are fractions of the image's width and height.
- Pascal VOC's own files (whose ``database`` begins with "The VOC") count whole pixels from 1, so
  that a box of one pixel has xmin = xmax: 1 is taken from xmin and ymin. All other files in this
  layout are read as edges from 0, as labelling tools write them today.
- DeepForest's are edges from 0; a row of zeros is an image without objects.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd

from geodetect.errors import LabelError, error_text
from geodetect.io.labels.class_column import as_class_name, fill_class_names
from geodetect.io.labels.label_set import (
    CROWD,
    NO_AREA,
    ImageLabels,
    LabelledImage,
    LabelOptions,
    ReadReport,
    RowDefect,
)

DEEPFOREST_COLUMNS = ("image_path", "xmin", "ymin", "xmax", "ymax", "label")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_VOC_DATABASE = "the voc"
_LARGEST_FRACTION = 1.5  # a YOLO box may stick out of its image a little; pixels are far above


@dataclass(frozen=True)
class _Annotations:
    """Annotations of one image as its file lists them."""

    image: str
    boxes: Sequence[Sequence[float]]  # x1, y1, x2, y2
    names: Sequence[str]
    size: tuple[int, int] | None = None  # columns and rows of the image, if the file states them
    is_crowd: Sequence[bool] = ()  # True for those of many objects; empty: there are none
    rows: Sequence[int] | None = None  # positions in the file; None: in the order of the images


def read_coco(path: Path, document: Mapping[str, Any], options: LabelOptions) -> ImageLabels:
    """Read a COCO detection file.

    Args:
        path: The file, for errors.
        document: Its content.
        options: Class of annotations that have none.

    Raises:
        LabelError: Parts are missing, or refer to others that are missing.
    """
    try:
        categories = {c["id"]: str(c["name"]) for c in document.get("categories", ())}
        images = {image["id"]: image for image in document["images"]}
        rows_by_image: dict[Any, list[int]] = {key: [] for key in images}
        for row, annotation in enumerate(document["annotations"]):
            rows_by_image[annotation["image_id"]].append(row)
        annotations = []
        for key, rows in rows_by_image.items():
            image, listed = images[key], [document["annotations"][row] for row in rows]
            annotations.append(
                _Annotations(
                    str(image["file_name"]),
                    [_coco_box(annotation) for annotation in listed],
                    [categories[annotation["category_id"]] for annotation in listed],
                    (int(image["width"]), int(image["height"])) if image.get("width") else None,
                    [bool(annotation.get("iscrowd")) for annotation in listed],
                    rows,
                )
            )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LabelError(
            f"{path} cannot be used as a COCO file: {_describe(error)}; expected images, "
            f"categories and annotations with image_id, category_id and bbox"
        ) from error
    return _collect(path, "COCO", annotations, options=options)


def _coco_box(annotation: Mapping[str, Any]) -> list[float]:
    if annotation.get("bbox"):
        x, y, width, height = map(float, annotation["bbox"])
        return [x, y, x + width, y + height]
    points = np.concatenate([np.reshape(ring, (-1, 2)) for ring in annotation["segmentation"]])
    return [*points.min(axis=0).tolist(), *points.max(axis=0).tolist()]


def read_deepforest(path: Path, options: LabelOptions) -> ImageLabels:
    """Read a CSV with the columns ``image_path, xmin, ymin, xmax, ymax, label``.

    Raises:
        LabelError: It cannot be read as such.
    """
    try:
        table = pd.read_csv(path)
        table.columns = table.columns.str.strip()
        corners = table[list(_CORNERS)].astype(float)
    except (OSError, ValueError, KeyError) as error:
        raise LabelError(
            f"{path} cannot be used as DeepForest's CSV: {_describe(error)}; expected numbers in "
            f"{', '.join(_CORNERS)}"
        ) from error
    is_empty_image = (corners.fillna(0) == 0).all(axis=1)
    names = table["label"].map(as_class_name)
    annotations = []
    for image, rows in table.groupby("image_path", sort=False):
        objects = rows.index[~is_empty_image[rows.index]]
        boxes, classes = corners.loc[objects].to_numpy().tolist(), names.loc[objects].tolist()
        annotations.append(_Annotations(str(image), boxes, classes, rows=objects.tolist()))
    return _collect(path, "DeepForest", annotations, options=options)


def read_voc(files: Sequence[Path], source: Path, options: LabelOptions) -> ImageLabels:
    """Read a Pascal VOC data set: one XML file for each image.

    Args:
        files: The XML files.
        source: The file, or the folder they lie in, for errors and names of images.
        options: Class of objects that have none.

    Raises:
        LabelError: A file cannot be read as such.
    """
    annotations = []
    for file in files:
        try:
            annotations.append(_read_voc_file(file, source))
        except (OSError, ElementTree.ParseError, ValueError, TypeError) as error:
            raise LabelError(
                f"{file} cannot be used as a Pascal VOC file: {_describe(error)}; expected an "
                f"annotation with objects that have a name and a bndbox"
            ) from error
    return _collect(source, "Pascal VOC", annotations, options=options)


def _read_voc_file(file: Path, source: Path) -> _Annotations:
    root = ElementTree.parse(file).getroot()
    database = (root.findtext("source/database") or "").strip().lower()
    first_px = 1.0 if database.startswith(_VOC_DATABASE) else 0.0
    boxes = []
    for item in root.iterfind("object"):
        corners = [float(item.findtext(f"bndbox/{corner}", "")) for corner in _CORNERS]
        boxes.append([corners[0] - first_px, corners[1] - first_px, *corners[2:]])
    width, height = (int(float(root.findtext(f"size/{s}") or 0)) for s in ("width", "height"))
    return _Annotations(
        _image_name(file.with_name((root.findtext("filename") or file.name).strip()), source),
        boxes,
        [as_class_name(item.findtext("name")) for item in root.iterfind("object")],
        (width, height) if width and height else None,
    )


def read_yolo(
    files: Sequence[Path], source: Path, options: LabelOptions, *, classes: Mapping[int, str]
) -> ImageLabels:
    """Read a YOLO data set: one text file for each image, a line for each object.

    A line is the number of a class, then centre, width and height as fractions of the image; a
    sixth number is a score and left out. More numbers are the corners of an outline, of which the
    bounding box is taken.

    Args:
        files: The text files.
        source: The file, or the folder they lie in, for errors and names of images.
        options: Class of objects that have none.
        classes: Class names by number; empty: numbers are the names.

    Raises:
        LabelError: A file cannot be read as such, or a class has no name.
    """
    annotations = []
    for file in files:
        try:
            lines = [line.split() for line in file.read_text(encoding="utf-8").splitlines()]
            lines = [line for line in lines if line]
            boxes = [_yolo_box([float(value) for value in line[1:]]) for line in lines]
            numbers = [int(float(line[0])) for line in lines]
        except (OSError, ValueError) as error:
            raise LabelError(
                f"{file} cannot be used as a YOLO file: {_describe(error)}; expected lines with "
                f"the number of a class and fractions of the image between 0 and 1"
            ) from error
        unknown = sorted(set(numbers) - set(classes)) if classes else []
        if unknown:
            raise LabelError(
                f"{file} has class {unknown[0]}, but the data set names only {sorted(classes)}; "
                f"add its name to data.yaml"
            )
        names = [classes.get(number, str(number)) for number in numbers]
        annotations.append(_Annotations(_image_name(file, source), boxes, names))
    labels = _collect(source, "YOLO", annotations, options=options)
    return replace(labels, images=tuple(replace(i, as_fractions=True) for i in labels.images))


def _yolo_box(values: Sequence[float]) -> list[float]:
    if values and max(map(abs, values)) > _LARGEST_FRACTION:
        raise ValueError(f"found {max(values, key=abs):g}")
    if len(values) in (4, 5):
        x, y, width, height = values[:4]
        return [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    if len(values) < 6 or len(values) % 2:
        raise ValueError(f"found a line of {len(values) + 1} numbers")
    points = np.reshape(values, (-1, 2))
    return [*points.min(axis=0).tolist(), *points.max(axis=0).tolist()]


def _collect(
    source: Path, kind: str, annotations: Sequence[_Annotations], *, options: LabelOptions
) -> ImageLabels:
    """Collect the usable objects, numbered as in the file or through the data set."""
    images, defects, count = [], [], 0
    for listed in annotations:
        boxes = np.array(listed.boxes, np.float64).reshape(-1, 4)
        if not np.isfinite(boxes).all():
            raise LabelError(f"{source}: the boxes of {listed.image} are not all numbers")
        is_crowd = np.array(listed.is_crowd or [False] * len(boxes), bool)
        is_flat = ~(boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        in_order = range(count, count + len(boxes))
        rows = np.array(in_order if listed.rows is None else listed.rows, np.int64)
        count += len(boxes)
        defects += [RowDefect(int(row), CROWD) for row in rows[is_crowd]]
        defects += [RowDefect(int(row), NO_AREA) for row in rows[is_flat & ~is_crowd]]
        is_usable = ~(is_flat | is_crowd)
        names = fill_class_names(
            np.array([*listed.names, ""], dtype=object)[:-1][is_usable],
            options.default_class,
            f"{source}: {{}} objects of {listed.image} have no class; name them",
        )
        images.append(
            LabelledImage(listed.image, boxes[is_usable], names, rows[is_usable], listed.size)
        )
    crowds = sum(defect.reason == CROWD for defect in defects)
    report = ReadReport(rows=count, dropped=len(defects) - crowds, crowds=crowds)
    return ImageLabels(os.fspath(source), kind, tuple(images), report, tuple(defects))


def _image_name(file: Path, source: Path) -> str:
    """Return the path of an image relative to the data set: several may have the same name."""
    root = source if source.is_dir() else source.parent
    return file.relative_to(root).as_posix()


def _describe(error: Exception) -> str:
    return f"{error_text(error)} is missing" if isinstance(error, KeyError) else error_text(error)
