"""Recall of small above-ground pools drawn into real imagery, unchanged and soft.

    python -m benchmarks.accuracy.small_pools
    python -m benchmarks.accuracy.small_pools --model my.safetensors

No dataset has many of them. So they are drawn into the holdout of Cannes, onto even surfaces
(lawns, bare soil, some tree tops and roofs), beside trampolines, tarpaulins and parasols
(``sample_data/draw_into.py``), and the imagery is softened as in
``benchmarks.accuracy.soft_imagery``. Matches are at an IoU of 0.3. Recall is of drawn pools, at
the model's own threshold; AP, F1 and precision are of all.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from benchmarks.accuracy.soft_imagery import GRADES, UNCHANGED, soften
from benchmarks.harness.datasets import (
    CANNES_HOLDOUT,
    Dataset,
    draw_into,
    find_dataset,
    match_layers,
    model_title,
    predict_with_truth,
)
from benchmarks.harness.options import new_parser
from benchmarks.harness.tables import machine, save_table
from geodetect.assessment.evaluate.precision_recall import average_precision, precision_recall_curve
from geodetect.model.file import load_card

DRAWING_OPTIONS = ("--columns", "17000", "25000", "--seed", "7")
SMALL_M = 4.0  # side of the square with the area of the label


def measure(dataset: Dataset, model: str, imagery: str) -> dict[str, str]:
    """Return the row of one grade of softness."""
    conf = load_card(model).conf
    predictions, truth = predict_with_truth(dataset, model)
    matches = match_layers(predictions, truth, iou=0.3)
    point = precision_recall_curve(matches).at(conf)
    row = {
        "imagery": imagery,
        "AP@0.3": f"{average_precision(matches):.3f}",
        "F1@0.3": f"{point.f1:.3f}",
        "P@0.3": f"{point.precision:.3f}",
    }
    prediction_of = matches.prediction_of
    scores = predictions["score"].to_numpy(np.float32)
    is_found = (prediction_of >= 0) & (scores[prediction_of] >= conf)
    is_drawn = truth["drawn"].to_numpy(bool)
    is_small = np.sqrt(truth.area.to_numpy()) < SMALL_M
    for name, rows in (
        (f"< {SMALL_M:g} m", is_drawn & is_small),
        (f">= {SMALL_M:g} m", is_drawn & ~is_small),
    ):
        row[f"recall {name}"] = f"{is_found[rows].mean():.2f} of {rows.sum()}"
    return row


def main() -> None:
    """Draw pools, measure in every grade and print the table."""
    options = new_parser(__doc__, model=True, data=True).parse_args()
    cannes = find_dataset(CANNES_HOLDOUT, options.data)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        raster = folder / "drawn.tif"
        draw_into(cannes.raster, cannes.truth, raster, *DRAWING_OPTIONS)
        dataset = Dataset(f"{cannes.name}, pools drawn", raster, raster.with_suffix(".gpkg"))
        rows = [measure(dataset, options.model, UNCHANGED)]
        for grade, softness in GRADES.items():
            rows.append(measure(soften(dataset, softness, folder), options.model, grade))
    title = f"Small pools, {model_title(options.model)} on {machine()}"
    save_table("accuracy/small_pools", title, rows)


if __name__ == "__main__":
    main()
