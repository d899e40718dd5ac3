"""How true the scores of a model are, before and after calibration on the ground held out.

    python -m benchmarks.accuracy.calibration  # the built-in model
    python -m benchmarks.accuracy.calibration --model my.safetensors -o calibrated.safetensors

The calibration is fitted on the part of Cannes that the built-in model was not trained on, and
measured there and on California. ``-o`` writes the model with it and with its new threshold.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import geopandas as gpd
import numpy as np

from benchmarks.harness.datasets import ROOT, Dataset, datasets
from benchmarks.harness.tables import machine, save_table
from geodetect.assessment.evaluate.reliability import apply_calibration, reliability
from geodetect.detection.retinanet_detector import RetinaNetDetector
from geodetect.geo.bounds import bounds_px
from geodetect.io.raster.reader import RasterOptions, open_raster
from geodetect.model.card import Calibration
from geodetect.model.file import read_model_file, write_model_file
from geodetect.model.runtimes.open import open_runtime
from geodetect.training.data.training_raster import TrainingRaster
from geodetect.training.validation.metrics import MIN_SCORE, ValidationResult, validate

FITTED_ON = "Cannes, held out"
SURE = 0.5


def ground_of(dataset: Dataset) -> TrainingRaster:
    """A dataset with all its objects, held out where it is looked at."""
    raster = open_raster(str(dataset.raster), RasterOptions(), needed_bands=3)
    truth = gpd.read_file(dataset.truth)
    boxes = bounds_px(np.asarray(truth.geometry), truth.crs, raster.grid)
    holdout = np.array([[0.0, 0, raster.grid.width, raster.grid.height]])
    if dataset.bbox is not None:
        x1, y1, x2, y2 = dataset.bbox
        corners = raster.grid.to_px(np.array([[x1, y2], [x2, y1]]))
        holdout = np.clip(corners.reshape(1, 4), 0, holdout[:, [2, 3, 2, 3]])
    class_ids, ids = np.zeros(len(boxes), np.int64), np.arange(len(boxes))
    return TrainingRaster(raster, boxes, class_ids, ids, ("pool",), holdout=holdout)


def row(name: str, measured: ValidationResult, calibration: Calibration | None) -> dict[str, str]:
    """Expected calibration errors of a dataset."""
    raw = measured.prediction_table["raw_score"].to_numpy()
    correct = measured.prediction_table["tp"].to_numpy(bool)
    better = apply_calibration(raw, np.zeros(len(raw), np.int64), calibration)
    figures = {"ground": name, "objects": f"{measured.metrics['objects']:,.0f}"}
    for least in (MIN_SCORE, SURE):
        for title, scores in (("before", raw), ("after", better)):
            error = reliability(scores, correct, least=least).expected_calibration_error
            figures[f"ECE {title}, score >= {least:g}"] = f"{error:.3f}"
    near = (better >= 0.75) & (better < 0.85)
    return figures | {"right at 0.75 to 0.85": f"{correct[near].mean():.2f} of {near.sum()}"}


def main() -> None:
    """Fit, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="pools")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/pools")
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    card, weights = read_model_file(options.model)
    bare = card.model_copy(update={"calibration": None})
    detector = RetinaNetDetector(open_runtime(bare, weights), conf=MIN_SCORE)
    known = [dataset for dataset in datasets(options.data) if dataset.truth.parent == options.data]
    measured = {dataset.name: validate(detector, [ground_of(dataset)]) for dataset in known}
    fitted = measured.get(FITTED_ON)
    if fitted is None:
        parser.error(f"{options.data} does not hold the ground that calibration is fitted on")
    rows = [row(name, one, fitted.calibration) for name, one in measured.items() if one]
    title = f"Calibration of {Path(options.model).name}, {fitted.calibration} on {machine()}"
    save_table("accuracy/calibration", title, rows)
    if options.output is not None:
        metrics = card.metrics | fitted.metrics
        new = fitted.add_to_card(bare).model_copy(update={"metrics": metrics})
        write_model_file(options.output, new, weights)


if __name__ == "__main__":
    main()
