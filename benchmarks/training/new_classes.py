"""Accuracy on a new class from about 2,000 labels, with the former defaults and the present ones.

    python -m benchmarks.training.new_classes  # drawn trees, 30 minutes each, two seeds: two hours
    python -m benchmarks.training.new_classes --data trees pools --steps 300 --seeds 1

Trees are drawn: sheets of 512 px at 0.10 m with crowns of 1.5 to 12 m, many of which touch, under
other suns and on other ground in each sheet. Labels are those of a careful person: every twentieth
tree is missing, and the sides of boxes are off by a twentieth of their length and by 0.1 m. The
test has other sheets, with exact boxes. Trainings start from the built-in model.

Pools are real: sheets of 512 px at 0.20 m of Cannes, west of its holdout, which is the test. As the
built-in model knows pools, trainings start from an ImageNet backbone.

A row is kept in the folder when it is finished, and a training in progress has its checkpoint
there: the same command goes on where it was interrupted. Remove the folder if defaults change.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio
import shapely
from rasterio.windows import Window

import geodetect
from benchmarks.harness.datasets import (
    CANNES_HOLDOUT,
    CANNES_HOLDOUT_BOUNDS,
    MIN_SCORE,
    draw_scenes,
    find_dataset,
    label_files,
    match_layers,
    predict_with_truth,
)
from benchmarks.harness.options import new_parser
from benchmarks.harness.paths import BACKBONE_WEIGHTS, ROOT
from benchmarks.harness.rasters import write_window
from benchmarks.harness.tables import machine, save_table
from benchmarks.training.ablation import Change
from benchmarks.training.torchvision import box_sides, select_sizes
from geodetect.assessment.evaluate.precision_recall import average_precision
from geodetect.model.calibration import calibrated_score
from geodetect.model.file import load_card
from geodetect.progress import TqdmProgress

TREES, POOLS = "trees", "pools"
SHEET_PX, TREES_GSD_M = 512, 0.10
TRAIN_SHEETS, TEST_SHEETS = 54, 40  # drawn
MISSING, OFF, OFF_M = 0.05, 0.05, 0.1  # of labels by hand: standard deviations of the sides
LEAST_IMAGERY = 0.9  # of a sheet of Cannes, which has gaps
LEAST_VISIBLE = 0.3  # of a labelled object on a sheet

CHIPS_PER_STEP = 8  # before
FORMER, PRESENT = "before", "after"
TRAININGS = {
    FORMER: Change(
        {"batch_size": CHIPS_PER_STEP},
        constants={"training.train.VOTE_IOU": None},  # boxes are those of single anchors
    ),
    PRESENT: Change(),
}

Layers = tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]


@dataclass(frozen=True)
class NewClass:
    """Sheets with labels of a class to learn, and a test.

    Args:
        sheets: Folder of the sheets to train on.
        labels: Their labels.
        init: Initial weights, as of ``geodetect train``.
        predict: Returns the predictions of a model on the test and the ground truth there.
        limits_m: Limits between sizes of objects in the table, ascending.
    """

    sheets: Path
    labels: Path
    init: str
    predict: Callable[[Path], Layers]
    limits_m: tuple[float, ...]


def draw_trees(folder: Path) -> NewClass:
    """Draw sheets with trees, unless they are in the folder."""
    options = ("--size", f"{SHEET_PX}", "--gsd", f"{TREES_GSD_M}", "--classes", "tree")
    sheets, labels, test = folder / "sheets", folder / "labels.gpkg", folder / "test"
    if not labels.exists():
        draw_scenes(test, *options, "--count", f"{TEST_SHEETS}", "--seed", "9000")
        drawn = draw_scenes(sheets, *options, "--count", f"{TRAIN_SHEETS}", "--seed", "5000")
        crs = rasterio.open(drawn[0]).crs
        label_by_hand(read_boxes(label_files(drawn), crs)).to_file(labels)
    return NewClass(sheets, labels, "pools", partial(predict_sheets, test), (2.0, 4.0, 8.0))


def read_boxes(files: list[Path], crs: object) -> gpd.GeoDataFrame:
    """Return the bounds of all objects of some label files in a CRS."""
    layer = pd.concat([gpd.read_file(file).to_crs(crs) for file in files])
    return gpd.GeoDataFrame(geometry=layer.envelope.to_numpy(), crs=crs)


def label_by_hand(boxes: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Return the labels of a careful person instead of exact boxes, in a CRS in metres."""
    rng = np.random.default_rng(0)
    bounds = boxes.bounds.to_numpy()[rng.random(len(boxes)) >= MISSING]
    lengths = np.tile(bounds[:, 2:] - bounds[:, :2], 2)
    bounds = bounds + rng.normal(0, OFF * lengths + OFF_M)
    return gpd.GeoDataFrame(
        {"class": ["tree"] * len(bounds)}, geometry=shapely.box(*bounds.T), crs=boxes.crs
    )


def predict_sheets(folder: Path, model: Path) -> Layers:
    """Return the predictions of a model on drawn sheets, and the ground truth."""
    sheets = sorted(folder.glob("*.tif"))
    conf = calibrated_score(MIN_SCORE, load_card(model).calibration)
    predictions = geodetect.predict(sheets, model, settings={"conf": conf})
    return predictions, read_boxes(label_files(sheets), predictions.crs)


def cut_cannes(folder: Path) -> NewClass:
    """Cut Cannes, without its holdout, into sheets, unless they are in the folder."""
    cannes = find_dataset(CANNES_HOLDOUT)
    sheets, labels = folder / "sheets", folder / "labels.gpkg"
    if not labels.exists():
        sheets.mkdir(parents=True, exist_ok=True)
        pools = gpd.read_file(cannes.truth)
        parts = []
        with rasterio.open(cannes.raster) as raster:
            pools = pools.to_crs(raster.crs).geometry
            columns = int((CANNES_HOLDOUT_BOUNDS[0] - raster.bounds.left) / raster.res[0])
            for y in range(0, raster.height, SHEET_PX):
                for x in range(0, columns - SHEET_PX + 1, SHEET_PX):
                    window = Window(x, y, SHEET_PX, min(SHEET_PX, raster.height - y))
                    if (raster.dataset_mask(window=window) > 0).mean() < LEAST_IMAGERY:
                        continue
                    write_window(raster, window, sheets / f"{x}_{y}.tif", compress="deflate")
                    sheet = shapely.box(*raster.window_bounds(window))
                    touching = pools[pools.intersects(sheet)]
                    part = touching.intersection(sheet)
                    parts.append(part[part.area >= LEAST_VISIBLE * touching.area].envelope)
        layer = gpd.GeoDataFrame(geometry=pd.concat(parts)).assign(**{"class": "pool"})
        layer.to_file(labels)
    predict = partial(predict_with_truth, cannes)
    return NewClass(sheets, labels, str(BACKBONE_WEIGHTS), predict, (5.0, 10.0))


DATA = {TREES: draw_trees, POOLS: cut_cannes}


def train(data: NewClass, settings: geodetect.TrainSettings, model: Path) -> None:
    """Train a model, or go on with its training, unless its file exists."""
    if model.exists():
        return
    with TqdmProgress(model.stem, unit="steps" if settings.minutes is None else "s") as progress:
        is_begun = model.with_name(f"{model.stem}_run").exists()
        geodetect.train(
            data.sheets, data.labels, model, settings=settings, resume=is_begun, progress=progress
        )


def measure(data: NewClass, model: Path) -> dict[str, str]:
    """Return the accuracy of a model on the test, of all objects and by their size."""
    predictions, truth = data.predict(model)
    at_30, at_50, at_75 = (match_layers(predictions, truth, iou=iou) for iou in (0.3, 0.5, 0.75))
    row = {
        "AP30": f"{average_precision(at_30):.3f}",
        "AP50": f"{average_precision(at_50):.3f}",
        "AP75": f"{average_precision(at_75):.3f}",
    }
    prediction_m, truth_m = (box_sides(x.bounds.to_numpy()) for x in (predictions, truth))
    limits = (0.0, *data.limits_m, np.inf)
    for low, high in pairwise(limits):
        sized = select_sizes(at_50, prediction_m, truth_m, low, high)
        name = f"from {low:g} m" if np.isinf(high) else f"{low:g} to {high:g} m"
        row[f"AP50 {name} ({sized.n_truth})"] = f"{average_precision(sized):.3f}"
    smallest, conf = truth_m < limits[1], load_card(model).conf
    scores = at_50.scores_of_truth[smallest]
    row[f"found below {limits[1]:g} m"] = f"{int((scores >= conf).sum())} of {smallest.sum()}"
    return row | {"steps": f"{load_card(model).training.steps}"}


def run(options: argparse.Namespace, name: str, training: str, seed: int) -> dict[str, str]:
    """Train and measure, or return the row of an earlier run."""
    stem = options.folder / f"{name}-{training}-{seed}-{length_of(options)}".replace(" ", "-")
    row_file, model = stem.with_suffix(".json"), stem.with_suffix(".safetensors")
    if not row_file.exists():
        data, change = DATA[name](options.folder / name), TRAININGS[training]
        with change.applied():
            settings = geodetect.TrainSettings(init=data.init, seed=seed, **change.settings)
            length: dict[str, object] = {"minutes": options.minutes}
            if options.steps is not None:
                length = {"steps": options.steps * CHIPS_PER_STEP // settings.batch_size}
            train(data, settings.model_copy(update=length), model)
            row = {"training": training, "seed": f"{seed}"} | measure(data, model)
        row_file.write_text(json.dumps(row, indent=1), encoding="utf-8")
    return dict(json.loads(row_file.read_text(encoding="utf-8")))


def length_of(options: argparse.Namespace) -> str:
    """Return the length of the trainings as text."""
    if options.steps is None:
        return f"{options.minutes:g} minutes"
    return f"{options.steps * CHIPS_PER_STEP} chips"


def main() -> None:
    """Train and measure in turn, and print the table after each row."""
    parser = new_parser(__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument(
        "--steps", type=int, help=f"instead of minutes: as many chips as steps of {CHIPS_PER_STEP}"
    )
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--data", nargs="+", choices=DATA, default=[TREES])
    parser.add_argument("--rows", nargs="+", choices=TRAININGS, default=list(TRAININGS))
    parser.add_argument("--folder", type=Path, default=ROOT / "runs/new_classes", help="of results")
    options = parser.parse_args()
    for name in options.data:
        rows = []
        for seed in range(options.seeds):
            for training in options.rows:
                rows.append(run(options, name, training, seed))
                title = f"{name}, {length_of(options)} each, {machine()}"
                save_table(f"training/new_classes_{name}", title, rows)


if __name__ == "__main__":
    main()
