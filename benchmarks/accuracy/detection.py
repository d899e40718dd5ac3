"""How good the built-in model is: F1 at its own default threshold, and average precision.

    python -m benchmarks.accuracy.detection  # the drawn sample, and the real grounds if there
    python -m benchmarks.accuracy.detection --data ../shared/data/pools --model my.safetensors
    python -m benchmarks.accuracy.detection --precision fp32 bf16 int8  # what fewer bits cost
    python -m benchmarks.accuracy.detection --iou 0.5  # boxes that overlap less are two objects
    python -m benchmarks.accuracy.detection --tile-size 512

Grounds: the drawn sample; the part of Cannes that the model was not trained on (columns from
17,000 on); California, which it never saw. Scores and boxes are matched one-to-one over a whole
ground, best score first.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

import geodetect
from benchmarks.harness.datasets import (
    DEFAULT_SETTINGS,
    ROOT,
    Dataset,
    datasets,
    predict_with_truth,
)
from benchmarks.harness.tables import machine, save_table
from geodetect.assessment.evaluate.precision_recall import average_precision, precision_recall_curve
from geodetect.assessment.matching.greedy_matching import match_boxes
from geodetect.model.file import load_card


def measure(
    dataset: Dataset,
    model: str,
    settings: geodetect.PredictSettings = DEFAULT_SETTINGS,
    *,
    conf: float,
) -> dict[str, str]:
    """One row of the table."""
    start = time.perf_counter()
    found, truth = predict_with_truth(dataset, model, settings)
    seconds = time.perf_counter() - start
    boxes, scores = found.bounds.to_numpy(), found["score"].to_numpy(np.float32)
    row = {"ground": dataset.name, "precision": settings.precision, "objects": f"{len(truth)}"}
    for overlap in (0.5, 0.3):
        matches = match_boxes(boxes, scores, truth.bounds.to_numpy(), iou=overlap)
        at_default = precision_recall_curve(matches).at(conf)
        best = precision_recall_curve(matches).best_f1()
        row |= {
            f"AP@{overlap}": f"{average_precision(matches):.3f}",
            f"F1@{overlap}": f"{at_default.f1:.3f}",
            f"P@{overlap}": f"{at_default.precision:.3f}",
            f"R@{overlap}": f"{at_default.recall:.3f}",
            f"best F1@{overlap}": f"{best.f1:.3f} (conf {best.score_threshold:.2f})",
        }
    return row | {"seconds": f"{seconds:.0f}"}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="pools")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/pools")
    parser.add_argument("--conf", type=float, help="default: the model's own")
    parser.add_argument("--iou", type=float, help="of duplicates; default: the model's own")
    parser.add_argument("--tile-size", type=int, help="in pixels; default: what fits the area")
    parser.add_argument("--precision", nargs="+", default=["auto"], help="of the network")
    options = parser.parse_args()
    conf = load_card(options.model).conf if options.conf is None else options.conf
    asked = geodetect.PredictSettings(iou=options.iou, tile_size=options.tile_size)
    rows = [
        measure(dataset, options.model, asked.model_copy(update={"precision": name}), conf=conf)
        for dataset in datasets(options.data)
        for name in options.precision
    ]
    title = f"Accuracy of {Path(options.model).name} at conf {conf:g} on {machine()}"
    save_table("accuracy/detection", title, rows)


if __name__ == "__main__":
    main()
