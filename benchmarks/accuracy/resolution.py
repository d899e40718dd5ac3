"""How the built-in model copes with imagery of other ground resolutions: F1 over pixel size.

    python -m benchmarks.accuracy.resolution
    python -m benchmarks.accuracy.resolution --gsd 0.25 --gsd 0.5 --ground cannes

The raster is resampled to each ground resolution (averaged when shrunk, cubic when enlarged),
written to a temporary file, and ``predict`` runs on it with no option but ``--conf``. F1 is at the
model's own threshold, boxes matched at an IoU of 0.3 and 0.5.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import rasterio
from affine import Affine
from rasterio.enums import Resampling

from benchmarks.accuracy.detection import measure
from benchmarks.harness.datasets import (
    CALIFORNIA,
    CANNES_HOLDOUT,
    ROOT,
    Dataset,
    dataset_named,
)
from benchmarks.harness.tables import machine, save_table
from geodetect.io.raster.reader import open_raster
from geodetect.model.file import load_card

GROUNDS = {"california": CALIFORNIA, "cannes": CANNES_HOLDOUT}
GSDS_M = (0.10, 0.15, 0.20, 0.25, 0.30, 0.35, 0.40, 0.50, 0.60)


def resampled(dataset: Dataset, gsd_m: float, folder: Path) -> Path:
    """The raster at another true ground resolution."""
    with open_raster(dataset.raster) as opened:
        scale = float(opened.grid.gsd_m or gsd_m) / gsd_m
    target = folder / f"{dataset.raster.stem}_{gsd_m:g}.tif"
    with rasterio.open(dataset.raster) as source:
        shape = round(source.height * scale), round(source.width * scale)
        kernel = Resampling.cubic if scale >= 1 else Resampling.average
        pixels = source.read(out_shape=(source.count, *shape), resampling=kernel)
        valid = source.dataset_mask(out_shape=shape)
        stretch = Affine.scale(source.width / shape[1], source.height / shape[0])
        place_of = {"crs": source.crs, "transform": source.transform @ stretch}
        size = {"count": source.count, "height": shape[0], "width": shape[1], "dtype": "uint8"}
        storage = {"tiled": True, "compress": "zstd", "zlevel": 1}
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            rasterio.open(target, "w", "GTiff", **size, **place_of, **storage) as coarser,
        ):
            coarser.write(pixels)
            coarser.write_mask(valid)
    return target


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="pools")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/pools")
    parser.add_argument("--gsd", type=float, action="append", help="metres; may be repeated")
    parser.add_argument("--ground", choices=GROUNDS, default="california")
    options = parser.parse_args()
    conf = load_card(options.model).conf
    dataset, rows = dataset_named(GROUNDS[options.ground], options.data), []
    for gsd_m in options.gsd or GSDS_M:
        with tempfile.TemporaryDirectory() as folder:
            raster = resampled(dataset, gsd_m, Path(folder))
            row = measure(
                Dataset(dataset.name, raster, dataset.truth, dataset.bbox), options.model, conf=conf
            )
        shown = ("objects", "AP@0.3", "F1@0.3", "P@0.3", "R@0.3", "AP@0.5", "F1@0.5", "seconds")
        rows.append({"GSD (m)": f"{gsd_m:g}", **{name: row[name] for name in shown}})
    title = f"{options.ground.title()} resampled, {Path(options.model).name} at conf {conf:g}"
    save_table(f"accuracy/resolution_{options.ground}", f"{title} on {machine()}", rows)


if __name__ == "__main__":
    main()
