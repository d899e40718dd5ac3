"""F1 and average precision of the built-in model over the ground resolution of the imagery.

    python -m benchmarks.accuracy.resolution
    python -m benchmarks.accuracy.resolution --gsd 0.25 --gsd 0.5 --dataset cannes

The raster is resampled to each ground resolution (averaged when shrunk, cubic when enlarged),
written to a temporary file, and ``predict`` runs on it with no option but ``--conf``. F1 is at the
model's own threshold, boxes matched at an IoU of 0.3 and 0.5.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import rasterio
from affine import Affine
from rasterio.enums import Resampling

from benchmarks.accuracy.detection import measure
from benchmarks.harness.datasets import (
    CALIFORNIA,
    CANNES_HOLDOUT,
    Dataset,
    find_dataset,
    model_title,
)
from benchmarks.harness.options import new_parser
from benchmarks.harness.rasters import write_raster
from benchmarks.harness.tables import machine, save_table
from geodetect.io.raster.open_raster import open_raster
from geodetect.model.file import load_card

DATASETS = {"california": CALIFORNIA, "cannes": CANNES_HOLDOUT}
GSDS_M = (0.10, 0.15, 0.20, 0.25, 0.30, 0.35, 0.40, 0.50, 0.60)
COLUMNS = ("objects", "AP@0.3", "F1@0.3", "P@0.3", "R@0.3", "AP@0.5", "F1@0.5", "seconds")


def resample(dataset: Dataset, gsd_m: float, folder: Path) -> Path:
    """Write the raster at another ground resolution; return the file."""
    with open_raster(dataset.raster) as raster:
        scale = float(raster.grid.gsd_m or gsd_m) / gsd_m
    with rasterio.open(dataset.raster) as source:
        height, width = round(source.height * scale), round(source.width * scale)
        kernel = Resampling.cubic if scale >= 1 else Resampling.average
        stretch = Affine.scale(source.width / width, source.height / height)
        return write_raster(
            folder / f"{dataset.raster.stem}_{gsd_m:g}.tif",
            source.read(out_shape=(source.count, height, width), resampling=kernel),
            crs=source.crs,
            transform=source.transform @ stretch,
            mask=source.dataset_mask(out_shape=(height, width)),
            tiled=True,
            compress="zstd",
            zlevel=1,
        )


def main() -> None:
    """Measure every resolution and print the table."""
    parser = new_parser(__doc__, model=True, data=True)
    parser.add_argument("--gsd", type=float, action="append", help="metres; may be repeated")
    parser.add_argument("--dataset", choices=DATASETS, default="california")
    options = parser.parse_args()
    conf = load_card(options.model).conf
    dataset, rows = find_dataset(DATASETS[options.dataset], options.data), []
    for gsd_m in options.gsd or GSDS_M:
        with tempfile.TemporaryDirectory() as folder:
            resampled = replace(dataset, raster=resample(dataset, gsd_m, Path(folder)))
            row = measure(resampled, options.model, conf=conf)
        rows.append({"GSD (m)": f"{gsd_m:g}"} | {column: row[column] for column in COLUMNS})
    title = f"{options.dataset.title()} resampled, {model_title(options.model)}"
    save_table(f"accuracy/resolution_{options.dataset}", f"{title} on {machine()}", rows)


if __name__ == "__main__":
    main()
