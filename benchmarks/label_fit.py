"""How the boxes of a model fit the labels of a ground, from west to east.

    python benchmarks/label_fit.py
    python benchmarks/label_fit.py --model my.safetensors --strips 4

Labels are drawn by different people, tight to the water or around the terrace. If one part of a
ground gains from larger boxes and another from smaller ones, no model can suit both, and the
average precision at an IoU of 0.5 says less of the model than of the labels. So each strip of a
ground, with about as many objects, is measured with boxes as they are, and with all sides moved
outwards. The part of Cannes that the built-in model learned from is measured too: what is missed
even there is more than a model can learn from such labels.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from accuracy import (
    CANNES_LEARNED_FROM,
    HELD_OUT,
    ROOT,
    Place,
    detect,
    place_called,
    places,
)
from numpy.typing import NDArray
from report import machine, save_table

from geodetect.assessment.evaluate.metrics import average_precision
from geodetect.assessment.matching.greedy_matching import match_boxes
from geodetect.geo import boxes as box_ops
from geodetect.io.raster.reader import open_raster

OUTWARDS_M = (-0.5, -0.25, 0.0, 0.25, 0.5, 1.0)
OUTWARDS = np.array([-1.0, -1.0, 1.0, 1.0])
Boxes = NDArray[np.float64]


def strips_of(place: Place, model: str, strips: int) -> list[dict[str, str]]:
    """One row for each strip, and one for all of the ground."""
    found, truth = detect(place, model)
    boxes, scores = found.bounds.to_numpy(), found["score"].to_numpy(np.float32)
    objects = truth.bounds.to_numpy()
    with open_raster(str(place.raster)) as raster:
        unit = np.sqrt(abs(raster.grid.transform.determinant))
        along_m = float(raster.grid.gsd_m or np.nan) / unit
    edges = np.quantile(_centres_x(objects), np.linspace(0, 1, strips + 1))
    edges[[0, -1]] = -np.inf, np.inf
    rows = []
    for number, (west, east) in enumerate(pairwise(edges), 1):
        seen, there = (
            (west <= _centres_x(one)) & (_centres_x(one) < east) for one in (boxes, objects)
        )
        row = fit(boxes[seen], scores[seen], objects[there], metres_per_unit=along_m)
        rows.append({"ground": place.name, "strip": f"{number} from the west", **row})
    whole = fit(boxes, scores, objects, metres_per_unit=along_m)
    return [*rows, {"ground": place.name, "strip": "all", **whole}]


def fit(
    boxes: Boxes, scores: NDArray[np.float32], objects: Boxes, *, metres_per_unit: float
) -> dict[str, str]:
    """Average precision of boxes that are moved outwards by some metres."""
    side_m = np.sqrt(box_ops.area(objects)) * metres_per_unit
    row = {"objects": f"{len(objects)}", "median side": f"{np.median(side_m):.1f} m"}
    row["AP30"] = f"{average_precision(match_boxes(boxes, scores, objects, iou=0.3)):.3f}"
    for metres in OUTWARDS_M:
        by = np.maximum(metres / metres_per_unit, -0.49 * _shorter_sides(boxes))
        moved = boxes + OUTWARDS * by[:, None]
        ap50 = average_precision(match_boxes(moved, scores, objects, iou=0.5))
        row["AP50" if metres == 0 else f"{metres:+g} m"] = f"{ap50:.3f}"
    return row


def _shorter_sides(boxes: Boxes) -> NDArray[np.float64]:
    return np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])


def _centres_x(boxes: Boxes) -> NDArray[np.float64]:
    return (boxes[:, 0] + boxes[:, 2]) / 2


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="pools")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/pools")
    parser.add_argument("--strips", type=int, default=4)
    options = parser.parse_args()
    grounds = [place for place in places(options.data) if place.raster.parent == options.data]
    cannes = place_called(HELD_OUT, options.data)
    grounds.append(replace(cannes, name="Cannes, learned from", bbox=CANNES_LEARNED_FROM))
    rows = [row for place in grounds for row in strips_of(place, options.model, options.strips)]
    name = Path(options.model).name
    save_table("label_fit", f"AP50 of {name} with all sides moved outwards, {machine()}", rows)


if __name__ == "__main__":
    main()
