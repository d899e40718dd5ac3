"""Reader of CSV files with a box in pixels in each row: DeepForest, TensorFlow, Roboflow.

Corners are pixel edges counted from 0. A row of zeros, or without corners, is an image without
objects.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from geodetect.errors import InputError, LabelError
from geodetect.io.labels.class_column import as_class_name
from geodetect.io.labels.formats.annotations import AnnotatedImage, AnnotationCollection
from geodetect.io.labels.label_set import UNLISTED_IMAGE, ImageLabels, LabelOptions
from geodetect.io.vector.csv_table import CORNERS, read_csv_columns, read_csv_table

_IMAGE_COLUMNS = ("image_path", "filename", "image", "image_name")
_CLASS_COLUMNS = ("label", "class", "class_name")


def is_box_csv(head: str) -> bool:
    """Return True if the first line of a text names the columns of such a file."""
    columns = set(read_csv_columns(head))
    return columns >= set(CORNERS) and all(
        columns.intersection(name.replace("_", "") for name in names)
        for names in (_IMAGE_COLUMNS, _CLASS_COLUMNS)
    )


def read_box_csv(path: Path, options: LabelOptions, *, root: Path) -> ImageLabels:
    """Read a CSV file with the columns xmin, ymin, xmax, ymax, of the image and of the class.

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
        corner_columns = [table.find_column(corner) for corner in CORNERS]
        boxes = np.stack([table.numbers(column or "") for column in corner_columns], axis=1)
        size_columns = [table.find_column(side) for side in ("width", "height")]
        sizes = np.stack(
            [table.numbers(c) if c else np.zeros(len(boxes)) for c in size_columns], axis=1
        )
    except InputError as error:
        raise LabelError(f"{path} cannot be used as a CSV file of boxes: {error}") from error
    folder = path.parent.relative_to(root)
    collection = AnnotationCollection(path, "CSV")
    images: dict[str, AnnotatedImage] = {}
    is_empty_image = (np.nan_to_num(boxes) == 0).all(axis=1)
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
