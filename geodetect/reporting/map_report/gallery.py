"""Chips on the report page: the worst errors, and objects the imagery shows too coarsely."""

from __future__ import annotations

from typing import Any

from geodetect.io.vector.qgis_style import FALSE_NEGATIVE, FALSE_POSITIVE, TRUE_POSITIVE
from geodetect.reporting.drawing import marks
from geodetect.reporting.drawing.canvas import RasterFrame
from geodetect.reporting.drawing.images import encoded
from geodetect.reporting.drawing.object_images import Outline, chip, outlines_near
from geodetect.reporting.map_report.imagery_store import data_uri
from geodetect.reporting.map_report.scene import Scene
from geodetect.types import FloatArray

CHIP_PX = 176
MOST_CHIPS = 1000


def error_gallery(scene: Scene, *, conf: float | None, count: int) -> dict[str, Any] | None:
    """The worst false alarms and misses at a score threshold.

    Returns:
        ``false`` and ``missed``: ``row`` and ``src`` of each, the worst first; None without truth
        or imagery.
    """
    frame, judgement = scene.frame, scene.judgement
    if judgement is None or not isinstance(frame, RasterFrame):
        return None
    sure = scene.found.sure(conf)
    kinds = {
        "false": (judgement.worst_false_alarms(sure, count), scene.found.boxes),
        "missed": (judgement.worst_misses(sure, count), judgement.truth.boxes),
    }
    return {
        kind: [
            {"row": row, "src": _source(frame, box, _neighbours(scene, box, sure))}
            for row, box in zip(rows.tolist(), boxes[rows], strict=True)
        ]
        for kind, (rows, boxes) in kinds.items()
    }


def object_chips(scene: Scene) -> list[str]:
    """Chips of the surest detections, in their order; none without imagery."""
    frame, found = scene.frame, scene.found
    if not isinstance(frame, RasterFrame):
        return []
    count = min(MOST_CHIPS, len(found))
    scores = [None] * count if found.scores is None else found.scores[:count].tolist()
    return [
        _source(frame, box, [(box, marks.score_colour(score))])
        for box, score in zip(found.boxes[:count], scores, strict=True)
    ]


def _source(frame: RasterFrame, box: FloatArray, outlines: list[Outline]) -> str:
    image = chip(frame, box, side_px=CHIP_PX, outlines=outlines)
    return data_uri(encoded(image.convert("RGBA")))


def _neighbours(scene: Scene, box: FloatArray, sure: int) -> list[Outline]:
    """All detections and missed objects on the chip of a box, with their colours."""
    judgement = scene.judgement
    if judgement is None:
        return []
    found = scene.found.boxes[:sure]
    right = judgement.truth_of[:sure] >= 0
    missed = (judgement.found_by < 0) | (judgement.found_by >= sure)
    layers = [
        (judgement.truth.boxes[missed], FALSE_NEGATIVE),
        (found[right], TRUE_POSITIVE),
        (found[~right], FALSE_POSITIVE),
    ]
    return outlines_near(scene.frame, box, layers)
