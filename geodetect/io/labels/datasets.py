"""Data sets with boxes in pixels of named images: COCO, YOLO, Pascal VOC, DeepForest.

All boxes become pixel edges counted from 0 at the upper left corner of the image:

- COCO's x, y, width and height are that already.
- YOLO's are shares of the image.
- Pascal VOC's own files (whose ``database`` begins with "The VOC") count whole pixels from 1, so
  that a box of one pixel has xmin = xmax: 1 is taken from xmin and ymin. All other files in this
  layout are read as edges from 0, which is what labelling tools of today write.
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

from geodetect.errors import LabelError
from geodetect.io.labels.class_column import as_name, filled
from geodetect.io.labels.label_set import (
    AnnotationReport,
    Fault,
    ImageLabels,
    LabelledImage,
    LabelOptions,
)

DEEPFOREST_COLUMNS = ("image_path", "xmin", "ymin", "xmax", "ymax", "label")
_VOC_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_VOC_DATABASE = "the voc"
_LARGEST_SHARE = 1.5  # a YOLO box may stick out of its image a little; pixels are far above


@dataclass(frozen=True)
class _Rows:
    """The objects of one image as its file lists them.

    Args:
        name: Of the image.
        boxes: Their edges.
        names: Their classes.
        size: Columns and rows of the image, where the file tells.
        crowds: Whether each stands for many; empty: none does.
        numbers: Of each in the file, counted from 0; None: they come image by image.
    """

    name: str
    boxes: Sequence[Sequence[float]]
    names: Sequence[str]
    size: tuple[int, int] | None = None
    crowds: Sequence[bool] = ()
    numbers: Sequence[int] | None = None


def read_coco(path: Path, document: Mapping[str, Any], options: LabelOptions) -> ImageLabels:
    """A COCO detection file.

    Args:
        path: The file, for errors.
        document: Its content.
        options: What the user says of labels.

    Raises:
        LabelError: Parts are missing or refer to what is not there.
    """
    try:
        categories = {c["id"]: str(c["name"]) for c in document.get("categories", ())}
        images = {image["id"]: image for image in document["images"]}
        found: dict[Any, list[tuple[int, Any]]] = {key: [] for key in images}
        for number, annotation in enumerate(document["annotations"]):
            found[annotation["image_id"]].append((number, annotation))
        listed = [_coco_rows(images[key], found[key], categories) for key in images]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LabelError(
            f"{path} cannot be used as a COCO file: {_reason(error)}; expected images, categories "
            f"and annotations with image_id, category_id and bbox"
        ) from error
    return _collected(path, "COCO", listed, options=options)


def _coco_rows(
    image: Mapping[str, Any], numbered: Sequence[tuple[int, Any]], categories: Mapping[Any, str]
) -> _Rows:
    size = (image["width"], image["height"]) if image.get("width") else None
    annotations = [annotation for _, annotation in numbered]
    return _Rows(
        str(image["file_name"]),
        [_coco_box(annotation) for annotation in annotations],
        [categories[annotation["category_id"]] for annotation in annotations],
        size and (int(size[0]), int(size[1])),
        [bool(annotation.get("iscrowd")) for annotation in annotations],
        [number for number, _ in numbered],
    )


def _coco_box(annotation: Mapping[str, Any]) -> list[float]:
    if annotation.get("bbox"):
        x, y, width, height = map(float, annotation["bbox"])
        return [x, y, x + width, y + height]
    points = np.concatenate([np.reshape(ring, (-1, 2)) for ring in annotation["segmentation"]])
    return [*points.min(axis=0).tolist(), *points.max(axis=0).tolist()]


def read_deepforest(path: Path, options: LabelOptions) -> ImageLabels:
    """A CSV with the columns ``image_path, xmin, ymin, xmax, ymax, label``.

    Raises:
        LabelError: It cannot be read as such.
    """
    try:
        table = pd.read_csv(path)
        table.columns = table.columns.str.strip()
        corners = table[list(_VOC_CORNERS)].astype(float)
    except (OSError, ValueError, KeyError) as error:
        raise LabelError(
            f"{path} cannot be used as DeepForest's CSV: {_reason(error)}; expected numbers in "
            f"{', '.join(_VOC_CORNERS)}"
        ) from error
    bare = (corners.fillna(0) == 0).all(axis=1)
    names = table["label"].map(as_name)
    listed = []
    for image, rows in table.groupby("image_path", sort=False):
        objects = rows.index[~bare[rows.index]]
        boxes = corners.loc[objects].to_numpy().tolist()
        listed.append(
            _Rows(str(image), boxes, names.loc[objects].tolist(), numbers=objects.tolist())
        )
    return _collected(path, "DeepForest", listed, options=options)


def read_voc(files: Sequence[Path], source: Path, options: LabelOptions) -> ImageLabels:
    """Pascal VOC: one XML file for each image.

    Args:
        files: The XML files.
        source: What the user named: a file, or the folder they lie in.
        options: What the user says of labels.

    Raises:
        LabelError: A file cannot be read as such.
    """
    listed = []
    for file in files:
        try:
            listed.append(_voc_rows(file, source, ElementTree.parse(file).getroot()))
        except (OSError, ElementTree.ParseError, ValueError, TypeError) as error:
            raise LabelError(
                f"{file} cannot be used as a Pascal VOC file: {_reason(error)}; expected an "
                f"annotation with objects that have a name and a bndbox"
            ) from error
    return _collected(source, "Pascal VOC", listed, options=options)


def _voc_rows(file: Path, source: Path, root: ElementTree.Element) -> _Rows:
    database = (root.findtext("source/database") or "").strip().lower()
    first = 1.0 if database.startswith(_VOC_DATABASE) else 0.0
    boxes = []
    for item in root.iterfind("object"):
        corners = [float(item.findtext(f"bndbox/{corner}", "")) for corner in _VOC_CORNERS]
        boxes.append([corners[0] - first, corners[1] - first, *corners[2:]])
    width, height = (int(float(root.findtext(f"size/{s}") or 0)) for s in ("width", "height"))
    return _Rows(
        _name(file.with_name((root.findtext("filename") or file.name).strip()), source),
        boxes,
        [as_name(item.findtext("name")) for item in root.iterfind("object")],
        (width, height) if width and height else None,
    )


def read_yolo(
    files: Sequence[Path], source: Path, options: LabelOptions, *, classes: Mapping[int, str]
) -> ImageLabels:
    """YOLO: one text file for each image, a line for each object.

    A line is the number of a class and then centre, width and height as shares of the image; a
    sixth number is a score and left out. More numbers are the corners of an outline, of which the
    bounding box is taken.

    Args:
        files: The text files.
        source: What the user named: a file, or a folder.
        options: What the user says of labels.
        classes: Names of the classes by number; where there are none, numbers are the names.

    Raises:
        LabelError: A file cannot be read as such, or a class has no name.
    """
    listed = []
    for file in files:
        try:
            lines = [line.split() for line in file.read_text(encoding="utf-8").splitlines()]
            lines = [line for line in lines if line]
            boxes = [_yolo_box([float(value) for value in line[1:]]) for line in lines]
            numbers = [int(float(line[0])) for line in lines]
        except (OSError, ValueError) as error:
            raise LabelError(
                f"{file} cannot be used as a YOLO file: {_reason(error)}; expected lines with the "
                f"number of a class and shares of the image between 0 and 1"
            ) from error
        lost = sorted(set(numbers) - set(classes)) if classes else []
        if lost:
            raise LabelError(
                f"{file} has class {lost[0]}, but the data set names only {sorted(classes)}; add "
                f"its name to data.yaml"
            )
        names = [classes.get(number, str(number)) for number in numbers]
        listed.append(_Rows(_name(file, source), boxes, names))
    labels = _collected(source, "YOLO", listed, options=options)
    return replace(labels, images=tuple(replace(i, as_shares=True) for i in labels.images))


def _yolo_box(values: Sequence[float]) -> list[float]:
    if values and max(map(abs, values)) > _LARGEST_SHARE:
        raise ValueError(f"found {max(values, key=abs):g}")
    if len(values) in (4, 5):
        x, y, width, height = values[:4]
        return [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    if len(values) < 6 or len(values) % 2:
        raise ValueError(f"found a line of {len(values) + 1} numbers")
    points = np.reshape(values, (-1, 2))
    return [*points.min(axis=0).tolist(), *points.max(axis=0).tolist()]


def _collected(
    source: Path, kind: str, listed: Sequence[_Rows], *, options: LabelOptions
) -> ImageLabels:
    """The images with their usable objects, numbered as in the file or through the data set."""
    images, faults, start = [], [], 0
    for rows in listed:
        boxes = np.array(rows.boxes, np.float64).reshape(-1, 4)
        if not np.isfinite(boxes).all():
            raise LabelError(f"{source}: the boxes of {rows.name} are not all numbers")
        crowd = np.array(rows.crowds or [False] * len(boxes), bool)
        flat = ~(boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        in_order = range(start, start + len(boxes))
        numbers = np.array(in_order if rows.numbers is None else rows.numbers, np.int64)
        start += len(boxes)
        faults += [Fault(int(n), "stands for many objects") for n in numbers[crowd]]
        faults += [Fault(int(n), "no area") for n in numbers[flat & ~crowd]]
        kept = ~(flat | crowd)
        names = filled(
            np.array([*rows.names, ""], dtype=object)[:-1][kept],
            f"{source}: {{}} objects of {rows.name} have no class; name them",
            default=options.default_class,
        )
        images.append(LabelledImage(rows.name, boxes[kept], names, numbers[kept], rows.size))
    crowds = sum(fault.reason == "stands for many objects" for fault in faults)
    report = AnnotationReport(rows=start, dropped=len(faults) - crowds, crowds=crowds)
    return ImageLabels(os.fspath(source), kind, tuple(images), report, tuple(faults))


def _name(file: Path, source: Path) -> str:
    """The name of an image with the folders that may tell it apart from others."""
    root = source if source.is_dir() else source.parent
    return file.relative_to(root).as_posix()


def _reason(error: Exception) -> str:
    """One line of what went wrong."""
    text = " ".join(str(error).split()) or type(error).__name__
    return f"{text} is missing" if isinstance(error, KeyError) else text
