"""Image data sets of bright squares, without georeference."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from tests.helpers.label_files import write_text
from tests.helpers.square_scenes import SQUARE_PX, squares_image

Corners = Sequence[tuple[int, int]]
KINDS = ("coco", "yolo", "voc", "csv")


def write_images(folder: Path, images: Mapping[str, Corners], *, side: int) -> list[Path]:
    """Write an image with a square at each corner; the suffix chooses the format."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, corners in images.items():
        pixels = np.moveaxis(squares_image(side, corners), 0, -1)
        Image.fromarray(pixels).save(folder / name, **({"quality": 95} if ".jp" in name else {}))
    return [folder / name for name in images]


def write_image_set(folder: Path, images: Mapping[str, Corners], kind: str, *, side: int) -> Path:
    """Write the labels of such images as COCO, YOLO, Pascal VOC or the CSV of DeepForest."""
    if kind == "coco":
        names = list(images)
        document = {
            "images": [
                {"id": i, "file_name": name, "width": side, "height": side}
                for i, name in enumerate(names)
            ],
            "categories": [{"id": 1, "name": "square"}],
            "annotations": [
                {"image_id": i, "category_id": 1, "bbox": [x, y, SQUARE_PX, SQUARE_PX]}
                for i, name in enumerate(names)
                for x, y in images[name]
            ],
        }
        return write_text(folder / "coco.json", json.dumps(document))
    if kind == "yolo":
        size = SQUARE_PX / side
        for name, corners in images.items():
            lines = [
                f"0 {(x + SQUARE_PX / 2) / side} {(y + SQUARE_PX / 2) / side} {size} {size}\n"
                for x, y in corners
            ]
            write_text(folder / "labels" / f"{Path(name).stem}.txt", "".join(lines))
        return write_text(folder / "squares.yaml", "train: images\nnames: [square]\n")
    if kind == "voc":
        for name, corners in images.items():
            objects = "".join(
                f"<object><name>square</name><bndbox><xmin>{x}</xmin><ymin>{y}</ymin>"
                f"<xmax>{x + SQUARE_PX}</xmax><ymax>{y + SQUARE_PX}</ymax></bndbox></object>"
                for x, y in corners
            )
            text = f"<annotation><filename>images/{name}</filename>{objects}</annotation>"
            write_text(folder / "Annotations" / f"{Path(name).stem}.xml", text)
        return folder / "Annotations"
    rows = [
        f"images/{name},{x},{y},{x + SQUARE_PX},{y + SQUARE_PX},square\n"
        for name, corners in images.items()
        for x, y in corners or [(-SQUARE_PX, -SQUARE_PX)]
    ]
    empty = f",{-SQUARE_PX},{-SQUARE_PX},0,0,"
    text = "".join(rows).replace(empty, ",0,0,0,0,")
    return write_text(folder / "boxes.csv", f"image_path,xmin,ymin,xmax,ymax,label\n{text}")
