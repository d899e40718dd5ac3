"""Accuracy of the built-in model on soft imagery: coarse, blurred, pale and compressed.

    python -m benchmarks.accuracy.soft_imagery
    python -m benchmarks.accuracy.soft_imagery --model my.safetensors

The imagery of Cannes and California is resampled, blurred, made paler and written as JPEG in YCbCr,
as much coarse imagery is; ``predict`` runs on it with no option but ``--conf``. Recall by size (the
side of the square with the area of a label) is at the model's own threshold, at an IoU of 0.3.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import rasterio
from scipy import ndimage

import geodetect
from benchmarks.accuracy.resolution import resample
from benchmarks.harness.datasets import (
    CALIFORNIA,
    CANNES_HOLDOUT,
    Dataset,
    find_dataset,
    model_title,
    predict_with_truth,
)
from benchmarks.harness.options import new_parser
from benchmarks.harness.rasters import BLOCKS, write_raster
from benchmarks.harness.tables import machine, save_table
from geodetect.model.file import load_card

SIZES_M = (5.0, 6.0, 8.0, 11.0)
BLACK = 20.0  # pixel value that black is raised to
UNCHANGED = "unchanged"


@dataclass(frozen=True)
class Softness:
    """Degradation of imagery.

    Args:
        gsd_m: Ground size of a pixel.
        blur_m: Standard deviation of the Gaussian blur on the ground.
        saturation: Fraction of the colours that is left.
        jpeg_quality: 1..100.
    """

    gsd_m: float
    blur_m: float
    saturation: float
    jpeg_quality: int


GRADES = {
    "0.3 m, blurred by 0.3 m": Softness(0.3, 0.3, 0.7, 60),
    "0.5 m, blurred by 0.35 m": Softness(0.5, 0.35, 0.8, 70),
}


def soften(dataset: Dataset, softness: Softness, folder: Path) -> Dataset:
    """Write the imagery of a dataset degraded; return the dataset with it."""
    with rasterio.open(resample(dataset, softness.gsd_m, folder)) as source:
        pixels, mask = source.read().astype(np.float32), source.dataset_mask()
        crs, transform = source.crs, source.transform
    sigma = softness.blur_m / softness.gsd_m
    pixels = np.stack([ndimage.gaussian_filter(band, sigma) for band in pixels])
    grey = pixels.mean(axis=0)
    pixels = grey + softness.saturation * (pixels - grey)
    pixels = np.rint(BLACK + pixels * (255 - BLACK) / 255)
    soft = write_raster(
        folder / "soft.tif",
        np.clip(pixels, 0, 255).astype(np.uint8),
        crs=crs,
        transform=transform,
        mask=mask,
        **BLOCKS,
        compress="jpeg",
        photometric="ycbcr",
        jpeg_quality=softness.jpeg_quality,
    )
    return replace(dataset, raster=soft)


def measure(dataset: Dataset, model: str, imagery: str) -> dict[str, str]:
    """Return the row of one dataset and grade of softness."""
    predictions, truth = predict_with_truth(dataset, model)
    settings = geodetect.EvaluateSettings(
        conf=load_card(model).conf, iou=0.3, size_bins=SIZES_M, resamples=0, ignore_classes=True
    )
    overall = geodetect.evaluate(predictions, truth, settings).metrics.overall
    row = {
        "dataset": dataset.name,
        "imagery": imagery,
        "AP@0.3": f"{overall.ap:.3f}",
        "AP@0.5": f"{overall.ap50:.3f}",
        "F1@0.3": f"{overall.at_threshold.f1:.3f}",
        "P@0.3": f"{overall.at_threshold.precision:.3f}",
        "best F1@0.3": f"{overall.best_f1.f1:.3f}",
    }
    between = (f"{low:g} to {high:g} m" for low, high in pairwise(SIZES_M))
    bins = (f"< {SIZES_M[0]:g} m", *between, f">= {SIZES_M[-1]:g} m")
    return row | {
        f"recall {name}": f"{size.recall:.2f} of {size.n_truth}"
        for name, size in zip(bins, overall.sizes, strict=True)
    }


def main() -> None:
    """Measure both datasets in every grade and print the table."""
    options = new_parser(__doc__, model=True, data=True).parse_args()
    rows = []
    for name in (CANNES_HOLDOUT, CALIFORNIA):
        dataset = find_dataset(name, options.data)
        rows.append(measure(dataset, options.model, UNCHANGED))
        for grade, softness in GRADES.items():
            with tempfile.TemporaryDirectory() as folder:
                soft = soften(dataset, softness, Path(folder))
                rows.append(measure(soft, options.model, grade))
    title = f"Soft imagery, {model_title(options.model)} on {machine()}"
    save_table("accuracy/soft_imagery", title, rows)


if __name__ == "__main__":
    main()
