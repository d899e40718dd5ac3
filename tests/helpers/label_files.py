"""Label files of image data sets, and their labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from geodetect.io.labels.label_set import ImageLabels, LabelOptions
from geodetect.io.labels.read import read_labels


def read_image_labels(path: Path, **options: Any) -> ImageLabels:
    """Read a path that is one image data set."""
    (source,) = read_labels(path, LabelOptions(**options)).sources
    assert isinstance(source, ImageLabels)
    return source


def all_boxes(labels: ImageLabels) -> list[list[float]]:
    """Return the boxes of all images, rounded to six decimals."""
    return [box for image in labels.images for box in image.boxes.round(6).tolist()]


def write_text(path: Path, text: str | bytes) -> Path:
    """Write a file, and the folders it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def write_coco(path: Path, *annotations: dict[str, Any], **changes: Any) -> Path:
    """Write a COCO file of the image a.png, 100 x 80 px, and the category pool."""
    document = {
        "images": [{"id": 1, "file_name": "a.png", "width": 100, "height": 80}],
        "categories": [{"id": 1, "name": "pool"}],
        "annotations": [{"image_id": 1, "category_id": 1} | row for row in annotations],
    }
    return write_text(path, json.dumps(document | changes))
