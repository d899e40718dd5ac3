"""Names of label formats that are not read, for messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from geodetect.io.vector.csv_table import read_csv_columns

READ_FORMATS = (
    "vector files, COCO, YOLO, Pascal VOC, CVAT for images, LabelMe, DOTA, KITTI, or a CSV of "
    "DeepForest or TensorFlow"
)


def name_json_format(document: Any) -> str:
    """Return the name of the format of a JSON file that is not read as labels; "" if unknown.

    Args:
        document: Content of the file.
    """
    if isinstance(document, Mapping):
        return name_coco_kind(document) or _name_mapping(document)
    rows = [row for row in document[:5] if isinstance(row, Mapping)] if document else []
    if not isinstance(document, list) or not rows:
        return ""
    row = rows[0]
    if {"image_id", "category_id"} <= row.keys():
        return "results of COCO, which state no images"
    if "annotations" in row and ("data" in row or "result" in _first(row["annotations"])):
        return "Label Studio"
    if "annotation" in row or "completions" in row:
        return "Label Studio"
    if "image" in row and "annotations" in row:
        return "CreateML"
    if row.keys() & {"data_row", "Labeled Data", "Label"}:
        return "Labelbox"
    return ""


def name_csv_format(head: str) -> str:
    """Return the name of the format of a CSV file that is not read as labels; "" if unknown."""
    columns = set(read_csv_columns(head))
    if "regionshapeattributes" in columns:
        return "VGG Image Annotator (VIA)"
    if {"imageid", "labelname", "xmin"} <= columns:
        return "Open Images, whose boxes are fractions"
    return ""


def name_coco_kind(document: Mapping[str, Any]) -> str:
    """Return the name of a COCO file that holds no objects with boxes; "" if it holds them."""
    annotations = document.get("annotations")
    row = _first(annotations) if isinstance(annotations, list) else {}
    if "segments_info" in row:
        return "panoptic segments of COCO"
    if "caption" in row:
        return "captions of COCO"
    return ""


def _name_mapping(document: Mapping[str, Any]) -> str:
    if "_via_img_metadata" in document or "_via_settings" in document:
        return "VGG Image Annotator (VIA)"
    if document and all(isinstance(v, Mapping) and "regions" in v for v in document.values()):
        return "VGG Image Annotator (VIA)"
    if "data_row" in document or "Labeled Data" in document:
        return "Labelbox"
    if "annotations" in document and "data" in document:
        return "Label Studio"
    if isinstance(document.get("objects"), list):
        return "Supervisely"
    if {"asset", "regions"} <= document.keys():
        return "VoTT"
    return ""


def _first(rows: Any) -> Mapping[str, Any]:
    first = rows[0] if isinstance(rows, list) and rows else {}
    return first if isinstance(first, Mapping) else {}
