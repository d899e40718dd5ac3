"""Imagery with ground truth, and predictions on it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely

import geodetect
from benchmarks.harness.paths import DATA, ROOT, SAMPLE
from geodetect.assessment.matching.greedy_matching import Matches, match_boxes
from geodetect.model.calibration import calibrated_score
from geodetect.model.file import load_card

MIN_SCORE = 0.05  # before calibration
SAMPLE_NAME, CANNES_HOLDOUT, CALIFORNIA = "drawn sample", "Cannes holdout", "California"
SAO_PAULO_HOLDOUT = (
    "3313-313",
    "3331-231",
    "3333-343",
    "3334-241",
)  # sheets, the last without pools
CANNES_HOLDOUT_BOUNDS = (1_023_400.0, 6_281_825.6, 1_025_000.0, 6_285_000.0)  # columns 17,000 on
DEFAULT_SETTINGS = geodetect.PredictSettings()


@dataclass(frozen=True)
class Dataset:
    """A raster with ground truth.

    Args:
        name: Name in tables.
        raster: File.
        truth: File of labelled polygons: outlines of the water, or loose boxes in California.
        bbox: Limits in the raster's CRS; None: all of it.
    """

    name: str
    raster: Path
    truth: Path
    bbox: tuple[float, float, float, float] | None = None


def list_datasets(data: Path = DATA) -> list[Dataset]:
    """Return the drawn sample, and the datasets whose imagery is in the folder ``data``."""
    cannes, california = data / "cannes_north.tif", data / "california_west.tif"
    datasets = [
        Dataset(SAMPLE_NAME, SAMPLE, SAMPLE.with_suffix(".geojson")),
        Dataset(
            CANNES_HOLDOUT,
            cannes,
            data / "cannes_north_outlines.geojson",
            bbox=CANNES_HOLDOUT_BOUNDS,
        ),
        Dataset(CALIFORNIA, california, california.with_suffix(".geojson")),
    ]
    return [dataset for dataset in datasets if dataset.raster.exists()]


def find_dataset(name: str, data: Path = DATA) -> Dataset:
    """Return the dataset of this name; exit the program if its imagery is missing."""
    for dataset in list_datasets(data):
        if dataset.name == name:
            return dataset
    sys.exit(f"{name}: no imagery in {data}; this benchmark needs it")


def write_holdout_area(file: Path) -> Path:
    """Write the holdout area of Cannes, for ``TrainSettings.val_aoi``; return the file."""
    area = gpd.GeoDataFrame(geometry=[shapely.box(*CANNES_HOLDOUT_BOUNDS)], crs="EPSG:2154")
    area.to_file(file)
    return file


def holdout_truth(file: Path) -> gpd.GeoDataFrame:
    """Return the labels of Cannes whose centre is in the holdout."""
    labels = gpd.read_file(file)
    return labels[labels.centroid.within(shapely.box(*CANNES_HOLDOUT_BOUNDS))]


def corrected_holdout(data: Path = DATA) -> tuple[gpd.GeoDataFrame, shapely.Geometry]:
    """Return the outlines of the holdout of Cannes, corrected by the boxes of the same pools.

    Returns:
        Outlines whose centre lies in a box: the others are displaced from their pools. And the area
        of the holdout, without the boxes of pools that have no outline.
    """
    outlines = holdout_truth(data / "cannes_north_outlines.geojson")
    boxes = gpd.read_file(data / "cannes_north.geojson").geometry
    truth, labelled = boxes.sindex.query(outlines.centroid, predicate="within")
    unlabelled = boxes.drop(boxes.index[np.unique(labelled)]).union_all()
    area = shapely.box(*CANNES_HOLDOUT_BOUNDS)
    return outlines.iloc[np.unique(truth)], area - unlabelled


def draw_scenes(folder: Path, *options: str) -> list[Path]:
    """Draw imaginary scenes with labels by ``sample_data/generate.py``; return the rasters."""
    _run_script("generate.py", "-o", folder, *options)
    return sorted(folder.glob("*.tif"))


def draw_into(raster: Path, labels: Path, output: Path, *options: str) -> None:
    """Copy a raster with small pools drawn into it, and the labels of all pools beside it."""
    _run_script("draw_into.py", raster, labels, "-o", output, *options)


def _run_script(name: str, *arguments: str | Path) -> None:
    command = [sys.executable, ROOT / "sample_data" / name, *arguments]
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)


def label_files(rasters: list[Path]) -> list[Path]:
    """Return the label file beside each raster."""
    return [raster.with_suffix(".geojson") for raster in rasters]


def predict_with_truth(
    dataset: Dataset,
    model: str | os.PathLike[str],
    settings: geodetect.PredictSettings = DEFAULT_SETTINGS,
    *,
    conf: float | None = None,
) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]:
    """Return the predictions of a model and the ground truth.

    Args:
        dataset: Imagery and labels.
        model: Name or file.
        settings: Their ``conf`` and ``bbox`` are replaced.
        conf: Score threshold; None: ``MIN_SCORE`` after calibration.
    """
    if conf is None:
        conf = calibrated_score(MIN_SCORE, load_card(model).calibration)
    settings = settings.model_copy(update={"conf": conf, "bbox": dataset.bbox})
    predictions = geodetect.predict(dataset.raster, model, settings=settings)
    truth = gpd.read_file(dataset.truth).to_crs(predictions.crs)
    if dataset.bbox is not None:
        truth = truth[truth.centroid.within(shapely.box(*dataset.bbox))]
    return predictions, truth


def load_predictions(raster: Path, file: Path | None, conf: float) -> gpd.GeoDataFrame:
    """Return saved predictions, or those of the built-in model, from a score threshold up."""
    predictions = geodetect.predict(raster) if file is None else gpd.read_parquet(file)
    return predictions[predictions["score"] >= conf].reset_index(drop=True)


def match_layers(predictions: gpd.GeoDataFrame, truth: gpd.GeoDataFrame, *, iou: float) -> Matches:
    """Match the boxes of two layers in one CRS, the highest score first."""
    scores = predictions["score"].to_numpy(np.float32)
    return match_boxes(predictions.bounds.to_numpy(), scores, truth.bounds.to_numpy(), iou=iou)


def model_title(model: str | os.PathLike[str], conf: float | None = None) -> str:
    """Return name and score threshold of a model, for the title of a table.

    Args:
        model: Name or file.
        conf: Threshold; None: that of the model card.
    """
    return f"{Path(model).name} at conf {load_card(model).conf if conf is None else conf:g}"
