"""Imagery with ground truth that the benchmarks measure on."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import shapely

import geodetect
from geodetect.model.calibration import calibrated_score
from geodetect.model.file import load_card

ROOT = Path(__file__).parents[2]
MIN_CONF = 0.05  # before calibration
CANNES_HOLDOUT, CALIFORNIA = "Cannes, held out", "California"
DEFAULT_SETTINGS = geodetect.PredictSettings()
CANNES_HOLDOUT_BOUNDS = (1_023_400.0, 6_281_825.6, 1_025_000.0, 6_285_000.0)  # columns 17,000 on


@dataclass(frozen=True)
class Dataset:
    """A raster with ground truth.

    Args:
        name: Name in tables.
        raster: File.
        truth: File of labelled polygons.
        bbox: Limits in the raster's CRS; None: all of it.
    """

    name: str
    raster: Path
    truth: Path
    bbox: tuple[float, float, float, float] | None = None


def datasets(data: Path) -> list[Dataset]:
    """Return the datasets that exist: the drawn sample, and what the folder ``data`` holds."""
    sample = ROOT / "sample_data/neighbourhood.tif"
    all_datasets = [
        Dataset("drawn sample", sample, sample.with_suffix(".geojson")),
        Dataset(
            CANNES_HOLDOUT,
            data / "cannes_north.tif",
            data / "cannes_north.geojson",
            CANNES_HOLDOUT_BOUNDS,
        ),
        Dataset(CALIFORNIA, data / "california_west.tif", data / "california_west.geojson"),
    ]
    return [dataset for dataset in all_datasets if dataset.raster.exists()]


def dataset_named(name: str, data: Path) -> Dataset:
    """Return the dataset of this name; exit the program if its imagery is missing."""
    for dataset in datasets(data):
        if dataset.name == name:
            return dataset
    sys.exit(f"{name}: no imagery in {data}; this benchmark needs it")


def write_holdout_area(file: Path) -> Path:
    """Write the holdout area of Cannes, for ``TrainSettings.val_area``; return the file."""
    area = gpd.GeoDataFrame(geometry=[shapely.box(*CANNES_HOLDOUT_BOUNDS)], crs="EPSG:2154")
    area.to_file(file)
    return file


def predict_with_truth(
    dataset: Dataset,
    model: str | os.PathLike[str],
    settings: geodetect.PredictSettings = DEFAULT_SETTINGS,
) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]:
    """Return the predictions of a model, down to low scores, and the ground truth."""
    conf = calibrated_score(MIN_CONF, load_card(model).calibration)
    settings = settings.model_copy(update={"conf": conf, "bbox": dataset.bbox})
    predictions = geodetect.predict(dataset.raster, model, settings=settings)
    truth = gpd.read_file(dataset.truth).to_crs(predictions.crs)
    if dataset.bbox is not None:
        truth = truth[truth.centroid.within(shapely.box(*dataset.bbox))]
    return predictions, truth
