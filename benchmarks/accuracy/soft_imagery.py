"""How the built-in model copes with soft imagery: coarse, blurred, pale and compressed.

    python -m benchmarks.accuracy.soft_imagery
    python -m benchmarks.accuracy.soft_imagery --model mine.safetensors

Both real grounds are resampled, blurred, made paler and written as JPEG in YCbCr, as much coarse
imagery comes; ``predict`` runs on them with no option but ``--conf``. Recall by size (the side of
the square with the area of a label) is at the model's own threshold, at an IoU of 0.3.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import rasterio
from scipy import ndimage

import geodetect
from benchmarks.accuracy.resolution import resampled
from benchmarks.harness.datasets import (
    CALIFORNIA,
    CANNES_HOLDOUT,
    ROOT,
    Dataset,
    dataset_named,
    predict_with_truth,
)
from benchmarks.harness.tables import machine, save_table
from geodetect.model.file import load_card

SIZES_M = (5.0, 6.0, 8.0, 11.0)
BLACK = 20.0  # what black becomes


@dataclass(frozen=True)
class Softness:
    """What makes imagery soft.

    Args:
        gsd_m: Ground size of a pixel.
        blur_m: Standard deviation of the blur on the ground.
        saturation: Share of the colours that is left.
        quality: Of JPEG, 1..100.
    """

    gsd_m: float
    blur_m: float
    saturation: float
    quality: int


GRADES = {
    "0.3 m, blurred by 0.3 m": Softness(0.3, 0.3, 0.7, 60),
    "0.5 m, blurred by 0.35 m": Softness(0.5, 0.35, 0.8, 70),
}


def softened(dataset: Dataset, softness: Softness, folder: Path) -> Dataset:
    """The dataset with soft imagery."""
    sharp, soft = resampled(dataset, softness.gsd_m, folder), folder / "soft.tif"
    with rasterio.open(sharp) as source:
        pixels, valid = source.read().astype(np.float32), source.dataset_mask()
        sigma = softness.blur_m / softness.gsd_m
        pixels = np.stack([ndimage.gaussian_filter(band, sigma) for band in pixels])
        grey = pixels.mean(axis=0)
        pixels = grey + softness.saturation * (pixels - grey)
        pixels = np.rint(BLACK + pixels * (255 - BLACK) / 255)
        storage = {"compress": "jpeg", "photometric": "ycbcr", "jpeg_quality": softness.quality}
        profile = {"driver": "GTiff", "tiled": True, "blockxsize": 512, "blockysize": 512}
        kept = {name: source.profile[name] for name in ("crs", "transform", "width", "height")}
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            rasterio.open(soft, "w", count=3, dtype="uint8", **profile, **kept, **storage) as new,
        ):
            new.write(np.clip(pixels, 0, 255).astype(np.uint8))
            new.write_mask(valid)
    return replace(dataset, raster=soft)


def figures(dataset: Dataset, model: str, imagery: str) -> dict[str, str]:
    """One row of the table."""
    found, truth = predict_with_truth(dataset, model)
    settings = geodetect.EvaluateSettings(
        conf=load_card(model).conf,
        iou=0.3,
        sizes=SIZES_M,
        resamples=0,
        ignore_classes=True,
    )
    overall = geodetect.evaluate(found, truth, settings).metrics.overall
    row = {
        "ground": dataset.name,
        "imagery": imagery,
        "AP@0.3": f"{overall.ap:.3f}",
        "AP@0.5": f"{overall.ap50:.3f}",
        "F1@0.3": f"{overall.at_threshold.f1:.3f}",
        "P@0.3": f"{overall.at_threshold.precision:.3f}",
        "best F1@0.3": f"{overall.best_f1.f1:.3f}",
    }
    names = (f"< {SIZES_M[0]:g} m", *(f"{size:g} m up" for size in SIZES_M))
    recalls = {
        f"recall {name}": f"{size.recall:.2f} of {size.n_truth}"
        for name, size in zip(names, overall.sizes, strict=True)
    }
    return row | recalls


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="pools")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/pools")
    options = parser.parse_args()
    rows = []
    for name in (CANNES_HOLDOUT, CALIFORNIA):
        dataset = dataset_named(name, options.data)
        rows.append(figures(dataset, options.model, "as it is"))
        for grade, softness in GRADES.items():
            with tempfile.TemporaryDirectory() as folder:
                soft = softened(dataset, softness, Path(folder))
                rows.append(figures(soft, options.model, grade))
    title = f"Soft imagery, {Path(options.model).name} at conf {load_card(options.model).conf:g}"
    save_table("accuracy/soft_imagery", f"{title} on {machine()}", rows)


if __name__ == "__main__":
    main()
