"""Coverage and width of the intervals of corrected counts in ``summarize``.

    python -m benchmarks.accuracy.summarize  # California, the built-in model
    python -m benchmarks.accuracy.summarize --predictions pools.parquet --splits 200

A random partition cuts the area into 20 rectangles. On ten of them, drawn at random, the
predictions are evaluated; on the other ten the count is corrected with the result and compared with
the true number of labels. All of that is repeated, once with the dispersion that the evaluation
estimates from its blocks, and once with a dispersion of 1 (independent objects).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely

import geodetect
from benchmarks.harness.datasets import load_predictions
from benchmarks.harness.options import new_parser
from benchmarks.harness.tables import machine, save_table
from geodetect.errors import GeodetectWarning

ZONES = 20
DISPERSIONS = ("from evaluation", "1 (independent)")


def cut_zones(bounds: np.ndarray, rng: np.random.Generator) -> list[shapely.Geometry]:
    """Return ``ZONES`` rectangles: the largest is cut at 35 to 65 % of its length, repeatedly."""
    parts = [bounds]
    while len(parts) < ZONES:
        areas = [np.prod(part[2:] - part[:2]) for part in parts]
        part = parts.pop(int(np.argmax(areas)))
        axis = int(np.argmax(part[2:] - part[:2]))
        cut = part[axis] + rng.uniform(0.35, 0.65) * (part[axis + 2] - part[axis])
        first, second = part.copy(), part.copy()
        first[axis + 2], second[axis] = cut, cut
        parts += [first, second]
    return [shapely.box(*part) for part in parts]


def split_zones(
    bounds: np.ndarray, crs: object, count: int
) -> Iterator[tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]]:
    """Yield zones to evaluate on and zones to test on, ``count`` times."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        zones = gpd.GeoDataFrame(geometry=cut_zones(bounds, rng), crs=crs)
        order = rng.permutation(ZONES)
        yield zones.iloc[order[: ZONES // 2]], zones.iloc[order[ZONES // 2 :]]


def select_inside(table: gpd.GeoDataFrame, zones: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Return the features whose centroid lies in a zone."""
    return table[table.geometry.centroid.within(zones.union_all())]


def measure(
    predictions: gpd.GeoDataFrame, labels: gpd.GeoDataFrame, iou: float, count: int
) -> list[dict[str, str]]:
    """Return a row for each dispersion.

    Args:
        predictions: Of the whole area.
        labels: Ground truth of the whole area.
        iou: Threshold of a match.
        count: Number of random splits.
    """
    results: dict[str, list[np.ndarray]] = {name: [] for name in DISPERSIONS}
    settings = geodetect.EvaluateSettings(iou=iou)
    for evaluated, tested in split_zones(labels.total_bounds, labels.crs, count):
        evaluation = geodetect.evaluate(
            select_inside(predictions, evaluated), select_inside(labels, evaluated), settings
        )
        estimated = geodetect.error_rates_from_evaluation(evaluation.as_dict())
        truth = geodetect.summarize(labels, tested).zones["count"].to_numpy(float)
        independent = replace(estimated, dispersion=1.0)
        for name, rates in zip(DISPERSIONS, (estimated, independent), strict=True):
            zones = geodetect.summarize(predictions, tested, rates=rates).zones
            columns = zones[["corrected_count", "corrected_low", "corrected_high"]].to_numpy(float)
            dispersion = np.full(len(columns), rates.dispersion)
            results[name].append(np.column_stack([truth, columns, dispersion]))
    return [
        {"IoU": f"{iou:g}", "dispersion": name} | describe_zones(np.concatenate(parts))
        for name, parts in results.items()
    ]


def describe_zones(zones: np.ndarray) -> dict[str, str]:
    """Return statistics of ``[N, 5]``: truth, estimate, low, high and dispersion of each zone."""
    truth, estimate, low, high, dispersion = zones.T
    is_covered = (low <= truth) & (truth <= high)
    return {
        "zones": f"{len(zones):,}",
        "objects per zone": f"{truth.mean():.0f}",
        "mean dispersion": f"{dispersion.mean():.2f}",
        "interval coverage": f"{is_covered.mean():.1%}",
        "mean width": f"{(high - low).mean():.1f}",
        "median relative width": f"{np.median((high - low) / np.maximum(truth, 1)):.0%}",
        "bias": f"{(estimate.sum() / truth.sum() - 1):+.1%}",
    }


def main() -> None:
    """Measure at two thresholds and print the table."""
    parser = new_parser(__doc__, data=True)
    parser.add_argument("--raster", default="california_west", help="name of a raster in --data")
    parser.add_argument("--predictions", type=Path, help="saved predictions of this raster")
    parser.add_argument("--conf", type=float, default=0.47, help="score threshold")
    parser.add_argument("--splits", type=int, default=100)
    options = parser.parse_args()
    raster = options.data / f"{options.raster}.tif"
    predictions = load_predictions(raster, options.predictions, options.conf)
    labels = gpd.read_file(raster.with_suffix(".geojson")).to_crs(predictions.crs)
    if options.predictions:  # which may cover a part of the raster
        area = shapely.box(*predictions.total_bounds)
        labels = labels[labels.geometry.centroid.within(area)]
    warnings.simplefilter("ignore", GeodetectWarning)
    with np.errstate(invalid="ignore"):
        rows = [
            row for iou in (0.3, 0.5) for row in measure(predictions, labels, iou, options.splits)
        ]
    title = f"summarize on {options.raster}, {options.splits} splits of {ZONES} zones"
    save_table("accuracy/summarize", f"{title}, {machine()}", rows)


if __name__ == "__main__":
    main()
