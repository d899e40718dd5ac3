"""Description of a model as a STAC item with the Machine Learning Model extension (MLM).

Source: https://github.com/stac-extensions/mlm, version 1.5.2
"""

from __future__ import annotations

import json
import re
from typing import Any

from geodetect.model.card import ModelCard
from geodetect.model.file import Weights
from geodetect.model.runtimes.stored_networks import network_parameters

STAC_VERSION = "1.1.0"
EXTENSIONS = (
    "https://stac-extensions.github.io/mlm/v1.5.2/schema.json",
    "https://stac-extensions.github.io/classification/v2.0.0/schema.json",
)
BYTE = 255  # value of the brightest pixel
ANY_TIME = ("1900-01-01T00:00:00Z", "9999-12-31T23:59:59Z")  # a model has no date of acquisition


def mlm_item(card: ModelCard, weights: Weights, *, file_name: str) -> str:
    """Return the STAC item of a model as JSON.

    Args:
        card: The model's card.
        weights: All arrays of the model file.
        file_name: Name of the model file, beside the item.
    """
    name = _as_name(card.name)
    geometry, bbox = _ground(card)
    item: dict[str, Any] = {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": list(EXTENSIONS),
        "id": name,
        "geometry": geometry,
        **({} if bbox is None else {"bbox": bbox}),
        "properties": _properties(card, weights, name),
        "links": [],
        "assets": {
            "model": {
                "href": file_name,
                "title": "Model file of geodetect",
                "type": "application/octet-stream",
                "roles": ["mlm:model", "mlm:weights"],
                "mlm:artifact_type": "safetensors",
                "bands": _bands(
                    card
                ),  # STAC 1.1 allows them in properties beside those of an asset
            }
        },
    }
    return json.dumps(item, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _properties(card: ModelCard, weights: Weights, name: str) -> dict[str, Any]:
    start, end = ANY_TIME
    training = card.training
    is_imported = card.imported is not None
    parameters = sum(array.size for array in network_parameters(weights).values())
    optional = {
        "license": training.licence or None,
        "gsd": card.gsd_m,
        "mlm:total_parameters": parameters or None,
    }
    return {
        "datetime": None,
        "start_datetime": start,
        "end_datetime": end,
        "description": card.description or f"Detector of {', '.join(card.classes)}",
        **{key: value for key, value in optional.items() if value is not None},
        "bands": _bands(card),
        "mlm:name": name,
        "mlm:architecture": "RetinaNet" if card.imported is None else card.imported.layout,
        "mlm:tasks": ["object-detection"],
        "mlm:framework": "ONNX" if is_imported else "PyTorch",
        "mlm:pretrained": bool(training.initial_weights),
        "mlm:pretrained_source": training.initial_weights or None,
        "mlm:batch_size_suggestion": 1,
        "mlm:hyperparameters": {
            "tile_px": card.tile_px,
            "score_threshold": card.conf,
            "nms_iou": card.iou,
        },
        "mlm:input": [_input(card)],
        "mlm:output": [_output(card)],
    }


def _input(card: ModelCard) -> dict[str, Any]:
    """Return the input: bytes of each band, which the network normalises."""
    height = width = card.tile_px
    if card.imported is not None:
        height, width = card.imported.input_px
    return {
        "name": "tile",
        "bands": [band["name"] for band in _bands(card)],
        "input": {
            "shape": [-1, len(card.mean), height, width],
            "dim_order": ["batch", "channel", "height", "width"],
            "data_type": "uint8",
        },
        "value_scaling": [
            {"type": "z-score", "mean": mean * BYTE, "stddev": std * BYTE}
            for mean, std in zip(card.mean, card.std, strict=True)
        ],
        "resize_type": None,
    }


def _output(card: ModelCard) -> dict[str, Any]:
    """Return the output: x1, y1, x2, y2, score and class of each object."""
    return {
        "name": "objects",
        "tasks": ["object-detection"],
        "result": {
            "shape": [-1, 6],
            "dim_order": ["object", "value"],
            "data_type": "float32",
        },
        "classification:classes": [
            {"value": number, "name": _as_name(text, start="class_"), "description": text}
            for number, text in enumerate(card.classes)
        ],
    }


def _bands(card: ModelCard) -> list[dict[str, str]]:
    names = card.bands or tuple(f"band_{n + 1}" for n in range(len(card.mean)))
    return [{"name": name} for name in names]


def _ground(card: ModelCard) -> tuple[dict[str, Any] | None, list[float] | None]:
    """Return the ground that a model was trained on as GeoJSON, and its bounds."""
    if not card.training.ground:
        return None, None
    import shapely  # not for cards without ground: its import takes 0.1 s

    ground = shapely.from_wkt(card.training.ground)
    return json.loads(shapely.to_geojson(ground)), list(ground.bounds)


def _as_name(text: str, *, start: str = "model-") -> str:
    """Return a text as a name of letters, digits, hyphens and underscores."""
    name = re.sub(r"[^0-9A-Za-z_-]+", "-", text).strip("-_")
    is_name = len(name) > 2 and name[0].isascii() and name[0].isalpha()
    return name if is_name else f"{start}{name or 'x'}"
