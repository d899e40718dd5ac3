"""Labelled chips as data sets: COCO, YOLO and Pascal VOC.

Boxes are written in pixel edges of the chip, counted from 0 at its upper left corner, with three
decimals. Pascal VOC's own files count from 1 in whole pixels; edges from 0 are what today's
labelling tools write and training libraries read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from xml.etree import ElementTree

import numpy as np

from geodetect.geo import boxes as box_ops
from geodetect.geo.grid import Grid
from geodetect.types import BoolArray, FloatArray, IntArray

DECIMALS = 3


@dataclass(frozen=True)
class LabelledChip:
    """An image cut from a raster, with the objects on it.

    Args:
        image: File name of the image.
        raster: File name of the raster.
        x0: Left edge in pixels of the (resampled) raster.
        y0: Upper edge in pixels of the (resampled) raster.
        grid: Its pixels on the map.
        bands: Bands of the image.
        boxes: ``float64[K, 4]`` x1, y1, x2, y2 in pixel edges of the chip, clipped to it.
        labels: ``int64[K]`` index into the classes.
        truncated: ``bool[K]`` the object is cut by the edge of the chip.
        rows: ``int64[K]`` row of the object in the table of labels.
    """

    image: str
    raster: str
    x0: int
    y0: int
    grid: Grid
    bands: int
    boxes: FloatArray
    labels: IntArray
    truncated: BoolArray
    rows: IntArray


def write_coco(folder: Path, chips: Sequence[LabelledChip], classes: Sequence[str]) -> None:
    """``annotations.json`` as in COCO: images, annotations and categories, each numbered from 1."""
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for image_id, chip in enumerate(chips, start=1):
        size = {"width": chip.grid.width, "height": chip.grid.height}
        images.append({"id": image_id, "file_name": chip.image, **size})
        for box, label in zip(chip.boxes.round(DECIMALS).tolist(), chip.labels, strict=True):
            x, y, right, lower = box
            width, height = round(right - x, DECIMALS), round(lower - y, DECIMALS)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": int(label) + 1,
                    "bbox": [x, y, width, height],
                    "area": round(width * height, DECIMALS),
                    "iscrowd": 0,
                }
            )
    categories = [
        {"id": number, "name": name, "supercategory": ""} for number, name in enumerate(classes, 1)
    ]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(document), encoding="utf-8")


def write_yolo(folder: Path, chips: Sequence[LabelledChip], classes: Sequence[str]) -> None:
    """``labels/*.txt`` (class, centre x and y, width, height as shares of the chip), ``data.yaml``.

    A chip without objects has an empty file. All chips are in one set: how to divide the ground
    into training and validation is not for the tiling to say.
    """
    labels = folder / "labels"
    labels.mkdir()
    for chip in chips:
        centres = box_ops.centres(chip.boxes)
        shares = np.hstack([centres, chip.boxes[:, 2:] - chip.boxes[:, :2]])
        shares /= [chip.grid.width, chip.grid.height] * 2
        lines = [
            f"{label} {x:.8f} {y:.8f} {width:.8f} {height:.8f}\n"
            for label, (x, y, width, height) in zip(chip.labels, shares, strict=True)
        ]
        (labels / chip.image).with_suffix(".txt").write_text("".join(lines), encoding="utf-8")
    names = "".join(  # a JSON string is a YAML string
        f"\n  {number}: {json.dumps(name, ensure_ascii=False)}"
        for number, name in enumerate(classes)
    )
    (folder / "data.yaml").write_text(
        f"# All chips are in one set; divide them by place before training.\n"
        f"train: images\nval: images\nnames:{names or ' {}'}\n",
        encoding="utf-8",
    )


def write_voc(folder: Path, chips: Sequence[LabelledChip], classes: Sequence[str]) -> None:
    """``Annotations/*.xml`` as in Pascal VOC, and the list of chips in ``ImageSets/Main``."""
    annotations = folder / "Annotations"
    annotations.mkdir()
    for chip in chips:
        tree = ElementTree.ElementTree(_voc_annotation(chip, classes))
        ElementTree.indent(tree)
        tree.write((annotations / chip.image).with_suffix(".xml"), encoding="utf-8")
    lists = folder / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    stems = "".join(f"{Path(chip.image).stem}\n" for chip in chips)
    (lists / "trainval.txt").write_text(stems, encoding="utf-8")


def _voc_annotation(chip: LabelledChip, classes: Sequence[str]) -> ElementTree.Element:
    root = ElementTree.Element("annotation")
    _add(root, {"folder": "JPEGImages", "filename": chip.image})
    size = {"width": chip.grid.width, "height": chip.grid.height, "depth": chip.bands}
    _add(ElementTree.SubElement(root, "size"), size)
    _add(root, {"segmented": 0})
    for box, label, cut in zip(chip.boxes, chip.labels, chip.truncated, strict=True):
        item = ElementTree.SubElement(root, "object")
        _add(item, {"name": classes[label], "pose": "Unspecified"})
        _add(item, {"truncated": int(cut), "difficult": 0})
        corners = dict(zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
        _add(ElementTree.SubElement(item, "bndbox"), {k: f"{v:.3f}" for k, v in corners.items()})
    return root


def _add(parent: ElementTree.Element, values: Mapping[str, object]) -> None:
    for tag, value in values.items():
        ElementTree.SubElement(parent, tag).text = str(value)


@dataclass(frozen=True)
class LabelFormat:
    """How a data set is laid out.

    Args:
        images: Folder of the images.
        write: Writes the labels of all chips into the folder of the data set.
    """

    images: str
    write: Callable[[Path, Sequence[LabelledChip], Sequence[str]], None]


LABEL_FORMATS: Mapping[str, LabelFormat] = MappingProxyType(
    {
        "coco": LabelFormat("images", write_coco),
        "yolo": LabelFormat("images", write_yolo),
        "voc": LabelFormat("JPEGImages", write_voc),
    }
)
