"""Reader of CSV files with a box in pixels in each row: DeepForest, TensorFlow, Roboflow.

Corners are pixel edges counted from 0. A row of zeros, or without corners, is an image without
objects. DeepForest 2 writes outlines in WKT, of which the bounding box is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import shapely

from geodetect.class_names import DEFAULT_CLASS
from geodetect.errors import InputError, LabelError
from geodetect.io.labels.class_column import as_class_name
from geodetect.io.labels.formats.annotations import AnnotatedImage, AnnotationCollection
from geodetect.io.labels.label_set import (
    UNLISTED_IMAGE,
    ImageLabels,
    LabelOptions,
)
from geodetect.io.vector.csv_table import (
    CORNERS,
    CsvTable,
    parse_outlines,
    read_csv_columns,
    read_csv_table,
)
from geodetect.types import FloatArray

_DEEPFOREST_IMAGE = "image_path"
_IMAGE_COLUMNS = (_DEEPFOREST_IMAGE, "filename", "image", "image_name")
_CLASS_COLUMNS = ("label", "class", "class_name")
_OUTLINES = "geometry"


def is_box_csv(head: str) -> bool:
    """Return True if the first line of a text names the columns of such a file."""
    columns = set(read_csv_columns(head))
    images, classes = (
        columns.intersection(name.replace("_", "") for name in names)
        for names in (_IMAGE_COLUMNS, _CLASS_COLUMNS)
    )
    has_corners = columns >= set(CORNERS)
    if _DEEPFOREST_IMAGE.replace("_", "") in columns:
        return has_corners or _OUTLINES in columns
    return has_corners and bool(images) and bool(classes)


def read_box_csv(path: Path, options: LabelOptions, *, root: Path) -> ImageLabels:
    """Read a CSV file with columns of the image, of the class, and of corners or outlines.

    Without a column of classes, all objects are of the default class.

    Args:
        path: The file.
        options: Class of objects that have none.
        root: Folder of the data set, from which the names of images start.

    Raises:
        LabelError: It cannot be read as such.
    """
    try:
        table = read_csv_table(path)
        image_column = table.find_column(*_IMAGE_COLUMNS)
        class_column = table.find_column(*_CLASS_COLUMNS)
        boxes = _read_boxes(table)
        sizes = _read_columns(table, ["width", "height"])
    except InputError as error:
        raise LabelError(f"{path} cannot be used as a CSV file of boxes: {error}") from error
    folder = path.parent.relative_to(root)
    collection = AnnotationCollection(path, "CSV")
    images: dict[str, AnnotatedImage] = {}
    is_empty_image = (np.nan_to_num(boxes) == 0).all(axis=1)
    labels = [options.default_class or DEFAULT_CLASS] * len(boxes)
    if class_column is not None:
        labels = table.rows[class_column].map(as_class_name).tolist()
    for name, label, box, size, is_empty in zip(
        table.rows[image_column], labels, boxes.tolist(), sizes, is_empty_image, strict=True
    ):
        row = collection.next_row()
        if not name:
            collection.leave_out(row, UNLISTED_IMAGE)
            continue
        if name not in images:
            stated = (int(size[0]), int(size[1])) if (size > 0).all() else None
            images[name] = AnnotatedImage((folder / name).as_posix(), stated)
        if not is_empty:
            images[name].add(box, label, row)
    collection.images = list(images.values())
    return collection.to_labels(options)


def _read_boxes(table: CsvTable) -> FloatArray:
    """Return the box of each row, ``float64[N, 4]``; NaN for rows without corners."""
    column = table.find_column(_OUTLINES)
    if column is None or table.find_column(CORNERS[0]) is not None:
        return _read_columns(table, CORNERS)
    outlines, _ = parse_outlines(table, column)
    return np.asarray(shapely.bounds(outlines), np.float64).reshape(-1, 4)


def _read_columns(table: CsvTable, names: Sequence[str]) -> FloatArray:
    """Return columns of numbers, ``float64[N, len(names)]``; zeros where there is no column."""
    columns = [table.find_column(name) for name in names]
    return np.stack(
        [np.zeros(len(table.rows)) if c is None else table.numbers(c) for c in columns], axis=1
    )
