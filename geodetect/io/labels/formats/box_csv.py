"""Reader of CSV files with a box in pixels in each row: DeepForest, TensorFlow, Roboflow.

Corners are pixel edges counted from 0. A row of zeros, or without corners, is an image without
objects.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from geodetect.errors import LabelError, translate_errors
from geodetect.io.labels.class_column import as_class_name
from geodetect.io.labels.formats.annotations import AnnotatedImage, AnnotationCollection
from geodetect.io.labels.formats.text import read_text
from geodetect.io.labels.formats.voc import CORNERS
from geodetect.io.labels.label_set import UNLISTED_IMAGE, ImageLabels, LabelOptions

_IMAGE_COLUMNS = ("image_path", "filename", "image", "image_name")
_CLASS_COLUMNS = ("label", "class", "class_name")
_SEPARATORS = re.compile("[,;\t]")


def is_box_csv(head: str) -> bool:
    """Return True if the first line of a text names the columns of such a file."""
    columns = _SEPARATORS.split(head.lstrip().partition("\n")[0])
    return _columns_by_role(columns) is not None


def read_box_csv(path: Path, options: LabelOptions, *, root: Path) -> ImageLabels:
    """Read a CSV file with the columns xmin, ymin, xmax, ymax, of the image and of the class.

    Args:
        path: The file.
        options: Class of objects that have none.
        root: Folder of the data set, from which the names of images start.

    Raises:
        LabelError: It cannot be read as such.
    """
    expected = f"expected numbers in {', '.join(CORNERS)}"
    text = read_text(path)
    with translate_errors(f"{path} cannot be used as a CSV file of boxes: {expected}", LabelError):
        separator = _SEPARATORS.search(text.lstrip().partition("\n")[0])
        table = pd.read_csv(io.StringIO(text), sep=separator[0] if separator else ",")
        columns = _columns_by_role([str(column) for column in table.columns])
        if columns is None:
            raise LabelError(f"{path} has no columns for image, class and corners; {expected}")
        corners = table[[columns[corner] for corner in CORNERS]].astype(float)
    folder = path.parent.relative_to(root)
    collection = AnnotationCollection(path, "CSV", rows=len(table))
    is_empty_image = (corners.fillna(0) == 0).all(axis=1)
    names = table[columns["label"]].map(as_class_name)
    for row in table.index[table[columns["image"]].isna()]:
        collection.leave_out(int(row), UNLISTED_IMAGE)
    for name, rows in table.groupby(columns["image"], sort=False):
        objects = rows.index[~is_empty_image[rows.index]]
        collection.images.append(
            AnnotatedImage(
                (folder / str(name)).as_posix(),
                _size(rows.iloc[0]),
                corners.loc[objects].to_numpy().tolist(),
                names.loc[objects].tolist(),
                objects.tolist(),
            )
        )
    return collection.to_labels(options)


def _size(row: pd.Series[Any]) -> tuple[int, int] | None:
    """Return columns and rows of the image of a row; None if they are not stated."""
    width, height = (float(row.get(side) or 0) for side in ("width", "height"))
    return (int(width), int(height)) if width > 0 and height > 0 else None


def _columns_by_role(columns: Iterable[str]) -> Mapping[str, str] | None:
    """Return the columns of image, label and corners; None if one is absent."""
    names = {column.strip(' "\r').lower(): column for column in columns}
    image = next((names[name] for name in _IMAGE_COLUMNS if name in names), None)
    label = next((names[name] for name in _CLASS_COLUMNS if name in names), None)
    if image is None or label is None or not names.keys() >= set(CORNERS):
        return None
    return {"image": image, "label": label} | {corner: names[corner] for corner in CORNERS}
