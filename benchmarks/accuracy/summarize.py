"""How often the interval of a corrected count covers the truth, and how wide it is.

    python -m benchmarks.accuracy.summarize  # California, the built-in model
    python -m benchmarks.accuracy.summarize --predictions pools.parquet --splits 200

The ground is cut into 20 rectangles at random places. On ten of them, drawn at random, the
detections are evaluated; for each of the others the count is corrected with the result, and the
true number of labels is looked up. All of that is repeated. The evaluation is used whole (with the
dispersion from its blocks), and its precision and recall alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely

import geodetect
from benchmarks.harness.tables import machine, save_table
from geodetect.errors import GeodetectWarning

ROOT = Path(__file__).parents[2]
ZONES = 20


def cut(bounds: np.ndarray, rng: np.random.Generator) -> list[shapely.Geometry]:
    """Twenty rectangles: the largest one is cut across, at 35 to 65 % of its length, until then."""
    parts = [bounds]
    while len(parts) < ZONES:
        areas = [np.prod(part[2:] - part[:2]) for part in parts]
        part = parts.pop(int(np.argmax(areas)))
        axis = int(np.argmax(part[2:] - part[:2]))
        at = part[axis] + rng.uniform(0.35, 0.65) * (part[axis + 2] - part[axis])
        first, second = part.copy(), part.copy()
        first[axis + 2], second[axis] = at, at
        parts += [first, second]
    return [shapely.box(*part) for part in parts]


def splits(
    bounds: np.ndarray, crs: object, count: int
) -> Iterator[tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]]:
    """Zones to evaluate on, and zones to test."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        zones = gpd.GeoDataFrame(geometry=cut(bounds, rng), crs=crs)
        order = rng.permutation(ZONES)
        yield zones.iloc[order[: ZONES // 2]], zones.iloc[order[ZONES // 2 :]]


def inside(table: gpd.GeoDataFrame, zones: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """The features whose centre lies in a zone."""
    centres = table.geometry.centroid
    return table[centres.within(zones.union_all())]


def trial(
    found: gpd.GeoDataFrame, labels: gpd.GeoDataFrame, iou: float, count: int
) -> list[dict[str, str]]:
    """Coverage and width with and without the dispersion."""
    results: dict[str, list[np.ndarray]] = {"from evaluation": [], "1 (independent)": []}
    settings = geodetect.EvaluateSettings(iou=iou)
    for known, tested in splits(labels.total_bounds, labels.crs, count):
        done = geodetect.evaluate(inside(found, known), inside(labels, known), settings)
        rates = geodetect.error_rates_from_evaluation(done.as_dict())
        truth = geodetect.summarize(labels, tested).zones["count"].to_numpy(float)
        for name, used in zip(results, (rates, replace(rates, dispersion=1.0)), strict=True):
            zones = geodetect.summarize(found, tested, rates=used).zones
            columns = ["corrected_count", "corrected_low", "corrected_high"]
            numbers = np.column_stack([truth, zones[columns].to_numpy(float)])
            spread = np.full((len(numbers), 1), used.dispersion)
            results[name].append(np.hstack([numbers, spread]))
    return [
        {"IoU": f"{iou:g}", "dispersion": name} | figures(np.concatenate(parts))
        for name, parts in results.items()
    ]


def figures(rows: np.ndarray) -> dict[str, str]:
    """What is shown of zones with truth, estimate, low, high and dispersion."""
    truth, estimate, low, high, dispersion = rows.T
    covered = (low <= truth) & (truth <= high)
    return {
        "zones": f"{len(rows):,}",
        "objects a zone": f"{truth.mean():.0f}",
        "mean dispersion": f"{dispersion.mean():.2f}",
        "covered": f"{covered.mean():.1%}",
        "mean width": f"{(high - low).mean():.1f}",
        "width of median zone": f"{np.median((high - low) / np.maximum(truth, 1)):.0%}",
        "bias": f"{(estimate.sum() / truth.sum() - 1):+.1%}",
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/pools")
    parser.add_argument("--raster", default="california_west")
    parser.add_argument("--predictions", type=Path, help="saved detections of this raster")
    parser.add_argument("--conf", type=float, default=0.47)
    parser.add_argument("--splits", type=int, default=100)
    options = parser.parse_args()
    raster = options.data / f"{options.raster}.tif"
    if options.predictions:
        found = gpd.read_parquet(options.predictions)
    else:
        found = geodetect.predict(raster)
    found = found[found["score"] >= options.conf]
    labels = gpd.read_file(raster.with_suffix(".geojson")).to_crs(found.crs)
    if options.predictions:  # the detections may be of a part of the raster
        labels = labels[labels.geometry.centroid.within(shapely.box(*found.total_bounds))]
    with np.errstate(invalid="ignore"):
        rows = [row for iou in (0.3, 0.5) for row in trial(found, labels, iou, options.splits)]
    title = f"summarize on {options.raster}, {options.splits} splits of {ZONES} zones"
    save_table("accuracy/summarize", f"{title}, {machine()}", rows)


if __name__ == "__main__":
    import warnings

    warnings.simplefilter("ignore", GeodetectWarning)
    main()
