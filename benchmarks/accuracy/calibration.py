"""Expected calibration error of a model before and after calibration on the holdout.

    python -m benchmarks.accuracy.calibration  # the built-in model
    python -m benchmarks.accuracy.calibration --model my.safetensors

The calibration is fitted on the holdout of Cannes, which the built-in model was not trained on, and
measured there and on California. ``geodetect calibrate`` writes a calibrated model.
"""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np

from benchmarks.harness.datasets import CANNES_HOLDOUT, SAMPLE_NAME, Dataset, list_datasets
from benchmarks.harness.options import new_parser
from benchmarks.harness.tables import machine, save_table
from geodetect.assessment.evaluate.reliability import apply_calibration, reliability
from geodetect.detection.detectors.retinanet_detector import RetinaNetDetector
from geodetect.geo.bounds import bounds_px
from geodetect.io.raster.open_raster import open_raster
from geodetect.io.raster.reader import RasterOptions
from geodetect.model.card import Calibration
from geodetect.model.file import read_model_file
from geodetect.model.runtimes.open import open_runtime
from geodetect.training.data.training_raster import TrainingRaster
from geodetect.training.validation.metrics import MIN_SCORE, ValidationResult, validate

MIN_SCORES = (MIN_SCORE, 0.5)


def holdout_raster(dataset: Dataset) -> TrainingRaster:
    """Return a dataset with its area, or all of it, as the holdout."""
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


def format_row(
    name: str, validation: ValidationResult, calibration: Calibration | None
) -> dict[str, str]:
    """Return the expected calibration errors of a dataset."""
    raw = validation.prediction_table["raw_score"].to_numpy()
    is_tp = validation.prediction_table["tp"].to_numpy(bool)
    calibrated = apply_calibration(raw, np.zeros(len(raw), np.int64), calibration)
    row = {"dataset": name, "objects": f"{validation.metrics['objects']:,.0f}"}
    for minimum in MIN_SCORES:
        for title, scores in (("before", raw), ("after", calibrated)):
            error = reliability(scores, is_tp, least=minimum).expected_calibration_error
            row[f"ECE {title}, score >= {minimum:g}"] = f"{error:.3f}"
    in_bin = (calibrated >= 0.75) & (calibrated < 0.85)
    return row | {"precision at 0.75 to 0.85": f"{is_tp[in_bin].mean():.2f} of {in_bin.sum()}"}


def main() -> None:
    """Fit and print the table."""
    parser = new_parser(__doc__, model=True, data=True)
    options = parser.parse_args()
    card, weights = read_model_file(options.model)
    uncalibrated = card.model_copy(update={"calibration": None})
    detector = RetinaNetDetector(open_runtime(uncalibrated, weights), conf=MIN_SCORE)
    validations = {
        dataset.name: validate(detector, [holdout_raster(dataset)])
        for dataset in list_datasets(options.data)
        if dataset.name != SAMPLE_NAME
    }
    fitted = validations.get(CANNES_HOLDOUT)
    if fitted is None:
        parser.error(f"{options.data} does not hold the imagery that calibration is fitted on")
    rows = [
        format_row(name, validation, fitted.calibration)
        for name, validation in validations.items()
        if validation
    ]
    title = f"Calibration of {Path(options.model).name}, {fitted.calibration} on {machine()}"
    save_table("accuracy/calibration", title, rows)


if __name__ == "__main__":
    main()
