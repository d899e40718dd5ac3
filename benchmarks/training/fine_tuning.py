"""Accuracy of the built-in model before and after training on a few labels of a new area.

    python -m benchmarks.training.fine_tuning
    python -m benchmarks.training.fine_tuning --fraction 0.2 --minutes 40

Squares spread over California at random are cut out until they hold that fraction of the labels,
and trained on with the default settings. The rest of California is the test.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.windows import Window

import geodetect
from benchmarks.harness.datasets import CALIFORNIA, Dataset, find_dataset, predict_with_truth
from benchmarks.harness.options import new_parser
from benchmarks.harness.rasters import write_window
from benchmarks.harness.tables import machine, save_table
from geodetect.model.file import load_card
from geodetect.progress import TqdmProgress

SQUARE_SIDE = 300.0  # in units of the CRS


def split_area(
    dataset: Dataset, fraction: float, *, seed: int
) -> tuple[NDArray[np.object_], gpd.GeoDataFrame, int]:
    """Return squares to train on, the rest of the area, and the number of labels on the squares."""
    with rasterio.open(dataset.raster) as raster:
        left, bottom, right, top = raster.bounds
        crs = raster.crs
    columns, rows = np.arange(left, right, SQUARE_SIDE), np.arange(bottom, top, SQUARE_SIDE)
    corners = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    squares = shapely.box(*corners.T, *(corners + SQUARE_SIDE).T)
    centres = gpd.read_file(dataset.truth).to_crs(crs).centroid.to_numpy()
    square_of = shapely.STRtree(squares).query(centres, "intersects")[1]
    counts = np.bincount(square_of, minlength=len(squares))
    order = np.random.default_rng(seed).permutation(len(squares))
    needed = int(np.searchsorted(np.cumsum(counts[order]), fraction * len(centres))) + 1
    rest = gpd.GeoDataFrame(geometry=[shapely.union_all(squares[order[needed:]])], crs=crs)
    return squares[order[:needed]], rest, int(counts[order[:needed]].sum())


def cut_squares(dataset: Dataset, squares: NDArray[np.object_], folder: Path) -> Path:
    """Write the imagery of each square as a separate raster; return their folder."""
    folder.mkdir()
    with rasterio.open(dataset.raster) as raster:
        for number, square in enumerate(squares):
            window = raster.window(*square.bounds).round_offsets().round_lengths()
            window = window.intersection(Window(0, 0, raster.width, raster.height))
            write_window(raster, window, folder / f"square_{number:03d}.tif")
    return folder


def measure(dataset: Dataset, model: str, area: Path) -> dict[str, str]:
    """Return the accuracy of a model in the test area."""
    predictions, truth = predict_with_truth(dataset, model)
    settings = geodetect.EvaluateSettings(
        conf=load_card(model).conf, aoi=area, resamples=0, ignore_classes=True
    )
    at_30, at_50 = (
        geodetect.evaluate(
            predictions, truth, settings.model_copy(update={"iou": iou})
        ).metrics.overall
        for iou in (0.3, 0.5)
    )
    return {
        "objects": f"{at_50.n_truth}",
        "AP30": f"{at_30.ap:.3f}",
        "AP50": f"{at_50.ap:.3f}",
        "AP75": f"{at_50.ap75:.3f}",
        "F1@0.3": f"{at_30.at_threshold.f1:.3f}",
        "F1@0.5": f"{at_50.at_threshold.f1:.3f}",
    }


def main() -> None:
    """Train, measure both models and print the table."""
    parser = new_parser(__doc__, data=True)
    parser.add_argument("--fraction", type=float, default=0.1, help="of the labels to train on")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    dataset = find_dataset(CALIFORNIA, options.data)
    squares, rest, labels = split_area(dataset, options.fraction, seed=options.seed)
    with tempfile.TemporaryDirectory() as name, TqdmProgress("training", unit="s") as progress:
        area, model = Path(name, "test.gpkg"), Path(name, "tuned.safetensors")
        rest.to_file(area)
        rasters = cut_squares(dataset, squares, Path(name, "squares"))
        settings = geodetect.TrainSettings(minutes=options.minutes, seed=options.seed)
        geodetect.train(rasters, dataset.truth, model, settings=settings, progress=progress)
        rows = [
            {"model": title} | measure(dataset, file, area)
            for title, file in (("built-in", "pools"), ("fine-tuned", str(model)))
        ]
    title = f"{options.minutes:g} minutes on {labels} labels of California, {machine()}"
    save_table("training/fine_tuning", title, rows)


if __name__ == "__main__":
    main()
