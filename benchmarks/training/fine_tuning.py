"""What a few labels of one's own are worth: the built-in model before and after training on them.

    python -m benchmarks.training.fine_tuning
    python -m benchmarks.training.fine_tuning --share 0.2 --minutes 40

Sheets of ground, spread over California at random, are cut out until they hold that share of the
labels, and trained on with the settings that everybody gets. All other ground is the test.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.windows import Window

import geodetect
from benchmarks.harness.datasets import CALIFORNIA, ROOT, Dataset, dataset_named, predict_with_truth
from benchmarks.harness.tables import machine, save_table
from geodetect.model.file import load_card
from geodetect.progress import TqdmProgress

SHEET_M = 300.0  # in units of the map


def split(
    dataset: Dataset, share: float, *, seed: int
) -> tuple[NDArray[np.object_], gpd.GeoDataFrame, int]:
    """Sheets to train on, as rectangles of the map; the other ground; the labels on the sheets."""
    with rasterio.open(dataset.raster) as raster:
        left, bottom, right, top = raster.bounds
        crs = raster.crs
    columns, rows = (np.arange(a, b, SHEET_M) for a, b in ((left, right), (bottom, top)))
    corners = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    sheets = shapely.box(*corners.T, *(corners + SHEET_M).T)
    centres = gpd.read_file(dataset.truth).to_crs(crs).centroid.to_numpy()
    sheet_of = shapely.STRtree(sheets).query(centres, "intersects")[1]
    counts = np.bincount(sheet_of, minlength=len(sheets))
    order = np.random.default_rng(seed).permutation(len(sheets))
    taken = int(np.searchsorted(np.cumsum(counts[order]), share * len(centres))) + 1
    rest = gpd.GeoDataFrame(geometry=[shapely.union_all(sheets[order[taken:]])], crs=crs)
    return sheets[order[:taken]], rest, int(counts[order[:taken]].sum())


def cut(dataset: Dataset, sheets: NDArray[np.object_], folder: Path) -> Path:
    """Write each sheet as a raster of its own."""
    folder.mkdir()
    with rasterio.open(dataset.raster) as raster:
        for number, sheet in enumerate(sheets):
            window = raster.window(*sheet.bounds).round_offsets().round_lengths()
            window = window.intersection(Window(0, 0, raster.width, raster.height))
            pixels = raster.read(window=window)
            shape = {"count": raster.count, "width": pixels.shape[2], "height": pixels.shape[1]}
            grid = {"crs": raster.crs, "transform": raster.window_transform(window)}
            file = folder / f"sheet_{number:03d}.tif"
            with rasterio.open(file, "w", "GTiff", dtype=raster.dtypes[0], **shape, **grid) as part:
                part.write(pixels)
    return folder


def measure(dataset: Dataset, model: str, area: Path) -> dict[str, str]:
    """The figures of a model on the test ground."""
    detections, truth = predict_with_truth(dataset, model)
    common = {"conf": load_card(model).conf, "area": area, "resamples": 0, "ignore_classes": True}
    found = {
        iou: geodetect.evaluate(
            detections, truth, geodetect.EvaluateSettings(iou=iou, **common)
        ).metrics.overall
        for iou in (0.3, 0.5)
    }
    return {
        "objects": f"{found[0.5].n_truth}",
        "AP30": f"{found[0.3].ap:.3f}",
        "AP50": f"{found[0.5].ap:.3f}",
        "AP75": f"{found[0.5].ap75:.3f}",
        "F1@0.3": f"{found[0.3].at_threshold.f1:.3f}",
        "F1@0.5": f"{found[0.5].at_threshold.f1:.3f}",
    }


def main() -> None:
    """Measure, train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/pools")
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    dataset = dataset_named(CALIFORNIA, options.data)
    sheets, rest, labels = split(dataset, options.share, seed=options.seed)
    with tempfile.TemporaryDirectory() as name, TqdmProgress("training", unit="s") as progress:
        area, model = Path(name, "test.gpkg"), Path(name, "tuned.safetensors")
        rest.to_file(area)
        rasters = cut(dataset, sheets, Path(name, "sheets"))
        settings = geodetect.TrainSettings(minutes=options.minutes, seed=options.seed)
        geodetect.train(rasters, dataset.truth, model, settings=settings, progress=progress)
        rows = [
            {"model": title, **measure(dataset, path, area)}
            for title, path in (("built-in", "pools"), ("trained further", str(model)))
        ]
    title = f"{options.minutes:g} minutes on {labels} labels of California, {machine()}"
    save_table("training/fine_tuning", title, rows)


if __name__ == "__main__":
    main()
