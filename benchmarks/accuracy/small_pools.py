"""How the built-in model copes with small above-ground pools, on imagery as it is and soft.

    python -m benchmarks.accuracy.small_pools
    python -m benchmarks.accuracy.small_pools --model mine.safetensors

No ground at hand has many of them. So they are drawn into the part of Cannes that no training saw,
where it looks even (lawns, bare soil, some tree tops and roofs), beside trampolines, tarpaulins and
parasols (``draw_into.py`` of the sample data), and the imagery is softened as in
``benchmarks.accuracy.soft_imagery``. Matches are at an IoU of 0.3. Recall is of drawn pools, at
the model's own threshold; AP, F1 and precision are of all.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.accuracy.soft_imagery import GRADES, softened
from benchmarks.harness.datasets import (
    CANNES_HOLDOUT,
    ROOT,
    Dataset,
    dataset_named,
    predict_with_truth,
)
from benchmarks.harness.tables import machine, save_table
from benchmarks.training.pools import draw_into
from geodetect.assessment.evaluate.precision_recall import average_precision, precision_recall_curve
from geodetect.assessment.matching.greedy_matching import match_boxes
from geodetect.model.file import load_card

DRAWN = ("--columns", "17000", "25000", "--seed", "7")
SMALL_M = 4.0  # side of the square with the area of the label


def with_drawn_pools(dataset: Dataset, folder: Path) -> Dataset:
    """The held-out ground with more pools."""
    raster = folder / "drawn.tif"
    draw_into(dataset.raster, dataset.truth, raster, DRAWN)
    return Dataset(f"{dataset.name}, pools drawn into it", raster, raster.with_suffix(".gpkg"))


def figures(dataset: Dataset, model: str, imagery: str) -> dict[str, str]:
    """One row of the table."""
    conf = load_card(model).conf
    found, truth = predict_with_truth(dataset, model)
    scores = found["score"].to_numpy(np.float32)
    matches = match_boxes(found.bounds.to_numpy(), scores, truth.bounds.to_numpy(), iou=0.3)
    point = precision_recall_curve(matches).at(conf)
    row = {
        "imagery": imagery,
        "AP@0.3": f"{average_precision(matches):.3f}",
        "F1@0.3": f"{point.f1:.3f}",
        "P@0.3": f"{point.precision:.3f}",
    }
    found_by = matches.prediction_of
    sure = (found_by >= 0) & (scores[found_by] >= conf)
    drawn = truth["drawn"].to_numpy(bool)
    small = np.sqrt(truth.area.to_numpy()) < SMALL_M
    for name, chosen in ((f"< {SMALL_M:g} m", drawn & small), ("larger", drawn & ~small)):
        row[f"recall {name}"] = f"{sure[chosen].mean():.2f} of {chosen.sum()}"
    return row


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="pools")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/pools")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        dataset = with_drawn_pools(dataset_named(CANNES_HOLDOUT, options.data), Path(folder))
        rows = [figures(dataset, options.model, "as it is")]
        for grade, softness in GRADES.items():
            rows.append(figures(softened(dataset, softness, Path(folder)), options.model, grade))
    title = f"Small pools, {Path(options.model).name} at conf {load_card(options.model).conf:g}"
    save_table("accuracy/small_pools", f"{title} on {machine()}", rows)


if __name__ == "__main__":
    main()
