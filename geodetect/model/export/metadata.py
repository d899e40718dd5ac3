"""Metadata of exported ONNX files, in the keys of the programs that read them."""

from __future__ import annotations

import json
import math

from geodetect.model.card import ModelCard

CENTIMETRES = 100
MAX_OVERLAP, DEFAULT_OVERLAP = 50, 13  # percent of a tile
OVERLAP_MARGIN_PX = 16
DEFAULT_RESOLUTION_CM = 10.0  # that Deepness and GeoDeep take where none is stated
LAYOUT = "YOLO_v5_or_v7_default"


def tile_metadata(card: ModelCard, *, tile_px: int) -> dict[str, str]:
    """Return the metadata that Deepness and GeoDeep read, values as JSON.

    Args:
        card: The model's card.
        tile_px: Side of the images of the exported detector.
    """
    overlap = DEFAULT_OVERLAP
    if card.object_size_m is not None and card.gsd_m is not None:
        largest_px = card.object_size_m[2] / card.gsd_m + OVERLAP_MARGIN_PX
        overlap = min(math.ceil(100 * largest_px / tile_px), MAX_OVERLAP)
    resolution = DEFAULT_RESOLUTION_CM if card.gsd_m is None else card.gsd_m * CENTIMETRES
    values = {
        "model_type": "Detector",
        "det_type": LAYOUT,
        "class_names": {str(number): name for number, name in enumerate(card.classes)},
        "resolution": round(resolution, 6),
        "tile_size": tile_px,
        "tiles_overlap": overlap,
        "det_conf": card.conf,
        "det_iou_thresh": card.iou,
        "det_remove_overlap": True,
        **_provenance(card),
    }
    return {key: json.dumps(value, ensure_ascii=False) for key, value in values.items()}


def plain_metadata(card: ModelCard, *, tile_px: int) -> dict[str, str]:
    """Return metadata that any program may read, names and size as Ultralytics writes them."""
    values = {
        "names": str(dict(enumerate(card.classes))),
        "imgsz": str([tile_px, tile_px]),
        "det_conf": str(card.conf),
        "det_iou_thresh": str(card.iou),
        **_provenance(card),
    }
    if card.gsd_m is not None:
        values["resolution"] = str(round(card.gsd_m * CENTIMETRES, 6))
    return values


def _provenance(card: ModelCard) -> dict[str, str]:
    values = {"name": card.name, "description": card.description, "author": "geodetect"}
    return values | ({"license": card.training.licence} if card.training.licence else {})
