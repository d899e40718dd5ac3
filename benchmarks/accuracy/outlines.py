"""Boxes, outlines and areas of the built-in model against outlines of the water.

    python -m benchmarks.accuracy.outlines
    python -m benchmarks.accuracy.outlines --models pools my.safetensors
    python -m benchmarks.accuracy.outlines --precision fp32 bf16 int8

Datasets: the holdout of Cannes, as labelled and with its outlines corrected by the box labels of
the same pools; and sheets of Sao Paulo in natural colours that no training has used. Boxes are
compared with the bounds of the outlines. Each model gives three rows: the areas of its boxes; those
of its outlines, if it has an outline head; and, as areas were measured before, the pixels in its
boxes whose colour is nearer to that of water (Otsu 1979, on the difference of blue and red), as one
polygon. The last row is that of a model without errors, which the labels as they are limit.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio
import shapely
from rasterio.features import rasterize, shapes

import geodetect
from benchmarks.harness.datasets import (
    CANNES_HOLDOUT,
    CANNES_HOLDOUT_BOUNDS,
    MIN_SCORE,
    SAO_PAULO_HOLDOUT,
    corrected_holdout,
    find_dataset,
    holdout_truth,
)
from benchmarks.harness.options import new_parser
from benchmarks.harness.paths import DATA
from benchmarks.harness.tables import machine, save_table
from benchmarks.training.pools import write_natural_colours
from geodetect.model.calibration import calibrated_score
from geodetect.model.file import load_card
from geodetect.types import FloatArray

SAO_PAULO = "Sao Paulo holdout"
BINS = 64  # of Otsu's histogram
WIDENED = 0.15  # fraction of its extent by which a box is widened for the colours around the water
COLOUR = "colour in boxes"
OUTLINE_FIGURES = {  # fields of OutlineErrors by title
    "median IoU": "iou",
    "area ratio": "area_ratio",
    "area error": "relative_area_error",
    "in interval": "interval_coverage",
}


@dataclass(frozen=True)
class OutlinedDataset:
    """Rasters with outlines of the water.

    Args:
        name: Name in tables.
        rasters: Files, in one CRS.
        truth: Outlines.
        bbox: Limits in the rasters' CRS; None: all of them.
        area: Detections whose centre is outside do not count; None: all count.
    """

    name: str
    rasters: tuple[Path, ...]
    truth: gpd.GeoDataFrame
    bbox: tuple[float, float, float, float] | None = None
    area: shapely.Geometry | None = None


def cannes() -> OutlinedDataset:
    """Return the holdout of Cannes with its outlines as they are."""
    dataset = find_dataset(CANNES_HOLDOUT)
    truth = holdout_truth(dataset.truth)
    return OutlinedDataset(dataset.name, (dataset.raster,), truth, dataset.bbox)


def corrected_cannes() -> OutlinedDataset:
    """Return the holdout of Cannes, its outlines corrected by box labels."""
    truth, area = corrected_holdout()
    return replace(cannes(), name=f"{CANNES_HOLDOUT}, corrected", truth=truth, area=area)


def perfect_predictions() -> gpd.GeoDataFrame:
    """Return what a model without errors would predict in the holdout of Cannes.

    The outlines that lie in boxes, and the boxes of the pools that have no outline.
    """
    truth, area = corrected_holdout()
    unlabelled = shapely.get_parts(shapely.box(*CANNES_HOLDOUT_BOUNDS) - area)
    shapes = [*truth.geometry, *unlabelled]
    columns = {"class": ["pool"] * len(shapes), "score": np.ones(len(shapes))}
    return gpd.GeoDataFrame(columns, geometry=shapes, crs=truth.crs)


def sao_paulo(folder: Path) -> OutlinedDataset:
    """Return sheets of Sao Paulo in natural colours, which are written into a folder."""
    tables = []
    for sheet in SAO_PAULO_HOLDOUT:
        write_natural_colours(DATA / "saopaulo" / f"{sheet}.tif", folder)
        tables.append(gpd.read_file(DATA / "saopaulo" / f"{sheet}.geojson"))
    outlines = pd.concat([table for table in tables if len(table)], ignore_index=True)
    return OutlinedDataset(SAO_PAULO, tuple(sorted(folder.glob("*.tif"))), outlines)


def measure(dataset: OutlinedDataset, model: str, precision: str) -> list[dict[str, str]]:
    """Return a row for each kind of polygons that a model gives."""
    card = load_card(model)
    has_head = card.network is not None and card.network.outline is not None
    layers = {}
    for geometry in ("box", "outline") if has_head else ("box",):
        predictions = predict(dataset.rasters, dataset.bbox, model, geometry, precision)
        layer = predictions.to_crs(dataset.truth.crs)
        if dataset.area is not None:
            layer = layer[layer.centroid.within(dataset.area)].reset_index(drop=True)
        layers[geometry] = layer
    layers[COLOUR] = colour_polygons(dataset.rasters, layers["box"])
    names = {"dataset": dataset.name, "model": Path(model).stem, "precision": precision}
    return [
        {**names, "polygons": kind, **compare(layer, dataset.truth, card.conf)}
        for kind, layer in layers.items()
    ]


@cache
def predict(
    rasters: tuple[Path, ...],
    bbox: tuple[float, float, float, float] | None,
    model: str,
    geometry: str,
    precision: str,
) -> gpd.GeoDataFrame:
    """Return the predictions of a model; two datasets may share them."""
    settings = {
        "conf": calibrated_score(MIN_SCORE, load_card(model).calibration),
        "bbox": bbox,
        "geometry": geometry,
        "precision": precision,
    }
    return geodetect.predict(list(rasters), model, settings=settings)


def compare(predictions: gpd.GeoDataFrame, truth: gpd.GeoDataFrame, conf: float) -> dict[str, str]:
    """Return the figures of a layer of polygons against outlines."""
    settings = geodetect.EvaluateSettings(conf=conf, ignore_classes=True, resamples=0)
    boxes = geodetect.evaluate(predictions, truth, settings).metrics.overall
    by_outline = settings.model_copy(update={"match": "outline"})
    outlines = geodetect.evaluate(predictions, truth, by_outline).metrics.overall
    values = {
        "box AP50": boxes.ap50,
        "box AP75": boxes.ap75,
        "box F1@0.5": boxes.at_threshold.f1,
        "outline F1@0.5": outlines.at_threshold.f1,
    }
    errors = None if outlines.outlines is None else outlines.outlines.errors
    values |= {
        title: np.nan if errors is None else getattr(errors, name)
        for title, name in OUTLINE_FIGURES.items()
    }
    return {name: "" if np.isnan(value) else f"{value:.3f}" for name, value in values.items()}


def colour_polygons(rasters: tuple[Path, ...], boxes: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Return the boxes with the largest part of each that is coloured like water as polygon."""
    polygons = boxes.geometry.copy()
    for raster in rasters:
        with rasterio.open(raster) as source:
            area = shapely.box(*source.bounds)
            for row in np.flatnonzero(boxes.centroid.within(area)):
                polygons.iloc[row] = _water_in_box(source, boxes.geometry.iloc[row])
    return boxes.set_geometry(polygons)


def _water_in_box(source: rasterio.DatasetReader, box: shapely.Polygon) -> shapely.Polygon:
    """Return the largest part of a box that is coloured like water; the box if none is."""
    x1, y1, x2, y2 = box.bounds
    pad_x, pad_y = WIDENED * (x2 - x1), WIDENED * (y2 - y1)
    window = source.window(x1 - pad_x, y1 - pad_y, x2 + pad_x, y2 + pad_y)
    window = window.round_offsets().round_lengths()
    red, _, blue = source.read((1, 2, 3), window=window, boundless=True).astype(np.float64)
    difference = (blue - red) / (blue + red + 1)
    transform = source.window_transform(window)
    inside = rasterize([box], red.shape, transform=transform, dtype=np.uint8)
    is_water = (difference > _otsu_threshold(difference)) * inside
    parts = [
        shapely.geometry.shape(geometry)
        for geometry, value in shapes(is_water.astype(np.uint8), transform=transform)
        if value
    ]
    return max(parts, key=lambda part: part.area, default=box)


def _otsu_threshold(values: FloatArray) -> float:
    """Return the threshold that separates two classes best (Otsu 1979)."""
    counts, edges = np.histogram(values, BINS)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    total = np.cumsum(counts * centres)
    difference = total / np.maximum(below, 1) - (total[-1] - total) / np.maximum(above, 1)
    return float(edges[1 + np.argmax(below * above * difference**2)])


def main() -> None:
    """Measure all models on all datasets and print the tables."""
    parser = new_parser(__doc__)
    parser.add_argument("--models", nargs="+", default=["pools"], help="names or files")
    parser.add_argument("--precision", nargs="+", default=["auto"], help="of the network")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        datasets = [cannes(), corrected_cannes(), sao_paulo(Path(folder))]
        runs = product(datasets, options.models, options.precision)
        rows = [row for run in runs for row in measure(*run)]
    first = {"dataset": CANNES_HOLDOUT, "model": "perfect", "precision": "", "polygons": "labels"}
    rows.append(first | compare(perfect_predictions(), cannes().truth, conf=0.5))
    save_table("accuracy/outlines", f"Outlines and areas on {machine()}", rows)


if __name__ == "__main__":
    main()
