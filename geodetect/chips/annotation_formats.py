"""Annotations of chips as data sets: COCO, YOLO and Pascal VOC.

Boxes are written in pixel edges of the chip, counted from 0 at its upper left corner, with three
decimals. Pascal VOC's own files count from 1 in whole pixels; edges from 0 are what labelling tools
write and training libraries read today.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from xml.etree import ElementTree

import numpy as np
import shapely

from geodetect.geo import boxes as box_ops
from geodetect.geo.grid import Grid
from geodetect.geo.tiles import Window
from geodetect.types import BoolArray, FloatArray, IntArray, ObjectArray

DECIMALS = 3


@dataclass(frozen=True)
class LabelledChip:
    """Image cut from a raster, with the objects on it.

    Args:
        image: File name of the image.
        raster: File name of the raster.
        window: Window of the (resampled) raster.
        grid: Grid of the chip.
        bands: Number of bands of the image.
        boxes: ``float64[K, 4]`` x1, y1, x2, y2 in pixel edges of the chip, clipped to it.
        class_ids: ``int64[K]`` positions in the class names.
        truncated: ``bool[K]`` True for objects cut by the edge of the chip.
        label_ids: ``int64[K]`` positions of the objects in the ``LabelSet``.
        outlines: ``object[K]`` polygons in pixel edges of the chip, clipped to it; None for objects
            that are boxes. None: all are.
    """

    image: str
    raster: str
    window: Window
    grid: Grid
    bands: int
    boxes: FloatArray
    class_ids: IntArray
    truncated: BoolArray
    label_ids: IntArray
    outlines: ObjectArray | None = None

    @property
    def outline_of_each(self) -> list[shapely.Geometry | None]:
        """Outline of each object; None where it is a box."""
        return [None] * len(self.boxes) if self.outlines is None else self.outlines.tolist()


def write_coco(folder: Path, chips: Sequence[LabelledChip], classes: Sequence[str]) -> None:
    """Write ``annotations.json`` as in COCO: images, annotations, categories, numbered from 1.

    Outlines are the ``segmentation``, without holes, which polygons of COCO do not have.
    """
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for image_id, chip in enumerate(chips, start=1):
        size = {"width": chip.grid.width, "height": chip.grid.height}
        images.append({"id": image_id, "file_name": chip.image, **size})
        rounded = chip.boxes.round(DECIMALS).tolist()
        objects = zip(rounded, chip.class_ids.tolist(), chip.outline_of_each, strict=True)
        for (x1, y1, x2, y2), class_id, outline in objects:
            width, height = round(x2 - x1, DECIMALS), round(y2 - y1, DECIMALS)
            annotation = {
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": class_id + 1,
                "bbox": [x1, y1, width, height],
                "area": round(width * height, DECIMALS),
                "iscrowd": 0,
            }
            if outline is not None:
                rings = shapely.get_exterior_ring(shapely.get_parts(outline))
                area = float(shapely.area(shapely.polygons(rings)).sum())
                points = [shapely.get_coordinates(ring)[:-1].round(DECIMALS) for ring in rings]
                annotation["segmentation"] = [ring.ravel().tolist() for ring in points]
                annotation["area"] = round(area, DECIMALS)
            annotations.append(annotation)
    categories = [
        {"id": number, "name": name, "supercategory": ""} for number, name in enumerate(classes, 1)
    ]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(document), encoding="utf-8")


def write_yolo(folder: Path, chips: Sequence[LabelledChip], classes: Sequence[str]) -> None:
    """Write ``data.yaml`` and ``labels/*.txt``: class, centre x and y, width, height.

    They are fractions of the chip's size. A chip without objects has an empty file. All chips are
    in one set; the user divides them into training and validation.
    """
    labels = folder / "labels"
    labels.mkdir()
    for chip in chips:
        sizes = chip.boxes[:, 2:] - chip.boxes[:, :2]
        fractions = np.hstack([box_ops.centres(chip.boxes), sizes])
        fractions /= [chip.grid.width, chip.grid.height] * 2
        lines = [
            f"{class_id} {x:.8f} {y:.8f} {width:.8f} {height:.8f}\n"
            for class_id, (x, y, width, height) in zip(chip.class_ids, fractions, strict=True)
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
    """Write ``Annotations/*.xml`` as in Pascal VOC, and their list in ``ImageSets/Main``."""
    annotations = folder / "Annotations"
    annotations.mkdir()
    for chip in chips:
        root = ElementTree.Element("annotation")
        _add(root, {"folder": "JPEGImages", "filename": chip.image})
        size = {"width": chip.grid.width, "height": chip.grid.height, "depth": chip.bands}
        _add(ElementTree.SubElement(root, "size"), size)
        _add(root, {"segmented": 0})
        for box, class_id, is_cut in zip(chip.boxes, chip.class_ids, chip.truncated, strict=True):
            item = ElementTree.SubElement(root, "object")
            _add(item, {"name": classes[class_id], "pose": "Unspecified"})
            _add(item, {"truncated": int(is_cut), "difficult": 0})
            edges = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
            _add(ElementTree.SubElement(item, "bndbox"), {k: f"{v:.3f}" for k, v in edges})
        ElementTree.indent(root)
        tree = ElementTree.ElementTree(root)
        tree.write((annotations / chip.image).with_suffix(".xml"), encoding="utf-8")
    lists = folder / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    stems = "".join(f"{Path(chip.image).stem}\n" for chip in chips)
    (lists / "trainval.txt").write_text(stems, encoding="utf-8")


def _add(parent: ElementTree.Element, values: Mapping[str, object]) -> None:
    """Add an element with text for each value."""
    for tag, value in values.items():
        ElementTree.SubElement(parent, tag).text = str(value)


@dataclass(frozen=True)
class AnnotationFormat:
    """Layout of a data set.

    Args:
        images: Folder of the images.
        labels: File or folder of the annotations, as a training takes them.
        write: Function that writes the annotations of all chips into the folder of the data set.
        holds_outlines: It holds outlines; else boxes only.
    """

    images: str
    labels: str
    write: Callable[[Path, Sequence[LabelledChip], Sequence[str]], None]
    holds_outlines: bool = False


ANNOTATION_FORMATS: Mapping[str, AnnotationFormat] = MappingProxyType(
    {
        "coco": AnnotationFormat("images", "annotations.json", write_coco, True),
        "yolo": AnnotationFormat("images", "data.yaml", write_yolo),
        "voc": AnnotationFormat("JPEGImages", "Annotations", write_voc),
    }
)
