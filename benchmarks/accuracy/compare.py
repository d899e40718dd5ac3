"""Accuracy of ``compare``, and its time and memory on 100,000 against 100,000 features.

    python -m benchmarks.accuracy.compare  # synthetic features, and California if it exists
    python -m benchmarks.accuracy.compare --predictions pools.parquet
    python -m benchmarks.accuracy.compare --count 20000

The register is made from labels: 10 % are dropped, 10 % are shifted by 3 m, 50 are added at random
places. The labels themselves, and then predictions, are compared with it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

import geodetect
from benchmarks.harness.datasets import CALIFORNIA, list_datasets, load_predictions
from benchmarks.harness.options import new_parser
from benchmarks.harness.processes import run_program
from benchmarks.harness.tables import machine, save_table
from geodetect.assessment.matching.greedy_matching import match_boxes

SHIFT_M, ADDED = 3.0, 50
EXPECTED_STATUS = {
    "dropped": "new",
    "shifted": "moved",
    "unchanged": "confirmed",
    "added": "missing",
}


def alter_labels(
    labels: gpd.GeoDataFrame, seed: int, metres_per_unit: float = 1.0
) -> gpd.GeoDataFrame:
    """Return a register made from labels, with the columns ``label`` and ``kind``.

    Args:
        labels: In a projected CRS.
        seed: Random seed.
        metres_per_unit: Of the CRS.

    Returns:
        ``label`` is the row of the label, -1 for added features; ``kind`` a key of
        ``EXPECTED_STATUS``.
    """
    rng = np.random.default_rng(seed)
    count = len(labels)
    kind = np.full(count, "unchanged", dtype=object)
    tenth = count // 10
    order = rng.permutation(count)
    kind[order[:tenth]], kind[order[tenth : 2 * tenth]] = "dropped", "shifted"
    angle = rng.uniform(0, 2 * np.pi, count)
    step = np.stack([np.cos(angle), np.sin(angle)], axis=1) * SHIFT_M / metres_per_unit
    shifted = translate(labels, step * (kind == "shifted")[:, None])
    low, high = labels.total_bounds[:2], labels.total_bounds[2:]
    rows = rng.integers(0, count, ADDED)
    corner = labels.geometry.bounds.to_numpy()[rows, :2]
    added = translate(labels.iloc[rows], rng.uniform(low, high, (ADDED, 2)) - corner)
    register = gpd.GeoDataFrame(
        {
            "label": np.append(np.arange(count), np.full(ADDED, -1)),
            "kind": np.append(kind, np.full(ADDED, "added")),
        },
        geometry=np.append(shifted, added),
        crs=labels.crs,
    )
    return register[register["kind"] != "dropped"].sample(frac=1, random_state=seed)


def translate(table: gpd.GeoDataFrame, steps: np.ndarray) -> np.ndarray:
    """Return the geometries, each moved by its row of ``[N, 2]``."""
    geometry = np.asarray(table.geometry.array)
    points, rows = shapely.get_coordinates(geometry, return_index=True)
    return shapely.set_coordinates(geometry.copy(), points + steps[rows])


def compare_labels(
    labels: gpd.GeoDataFrame, register: gpd.GeoDataFrame
) -> tuple[float, pd.DataFrame]:
    """Compare labels, as predictions, with a register made from them.

    Returns:
        The fraction of features with the right status and partner, and the changes.
    """
    predictions = gpd.GeoDataFrame({"number": np.arange(len(labels))}, geometry=labels.geometry)
    changes = geodetect.compare(predictions, register).changes
    kind = np.full(len(labels), "dropped", dtype=object)
    from_labels = register[register["label"] >= 0]
    kind[from_labels["label"]] = from_labels["kind"]
    number = changes["number"].astype("Int64")
    expected = [EXPECTED_STATUS["added" if pd.isna(row) else str(kind[int(row)])] for row in number]
    is_right = changes["status"].to_numpy() == np.array(expected, dtype=object)
    is_paired = changes["distance_m"].notna().to_numpy()
    has_partner = (changes["label"].astype("Int64") == number).fillna(False).to_numpy(dtype=bool)
    return float((is_right & (~is_paired | has_partner)).mean()), changes


def compare_predictions(
    predictions: gpd.GeoDataFrame, labels: gpd.GeoDataFrame, register: gpd.GeoDataFrame
) -> list[dict[str, str]]:
    """Compare predictions with a register; return the number of each kind by status."""
    changes = geodetect.compare(predictions, register).changes
    kinds = changes["kind"].to_numpy(dtype=object).copy()
    matches = match_boxes(
        predictions.geometry.bounds.to_numpy(),
        np.ones(len(predictions)),
        labels.to_crs(predictions.crs).geometry.bounds.to_numpy(),
        iou=0.1,
    )
    is_dropped = ~np.isin(np.arange(len(labels)), register["label"])
    label_of = np.append(matches.truth_of, np.full(len(changes) - len(predictions), -1))
    is_prediction = np.arange(len(changes)) < len(predictions)
    is_unpaired = changes["distance_m"].isna().to_numpy() & is_prediction
    kinds[is_unpaired] = "no label"
    kinds[is_unpaired & (label_of >= 0)] = "label out of tolerance"
    kinds[is_unpaired & (label_of >= 0) & np.append(is_dropped, False)[label_of]] = "dropped"
    counts = pd.crosstab(kinds, changes["status"].to_numpy())
    return [
        {"register": str(kind)} | {str(status): f"{count}" for status, count in row.items()}
        for kind, row in counts.iterrows()
    ]


def measure_program(count: int) -> dict[str, str]:
    """Return time and peak memory of the program on many features, files read and written."""
    rng = np.random.default_rng(0)
    side = 300 * np.sqrt(count)  # 11 objects in a square kilometre
    low = rng.uniform(0, side, (count, 2)) + np.array([600_000, 6_500_000])
    sizes = rng.uniform(6, 12, (count, 2))
    predictions = gpd.GeoDataFrame(
        {"id": np.arange(1, count + 1), "class": "pool", "score": rng.uniform(0.5, 1, count)},
        geometry=shapely.box(*low.T, *(low + sizes).T),
        crs="EPSG:2154",
    )
    register = alter_labels(predictions, seed=1).to_crs("EPSG:4326")
    extra = predictions.sample(count - len(register), random_state=2)
    extra = extra.set_geometry(translate(extra, rng.normal(40, 0.4, (len(extra), 2))))
    register = pd.concat([register, extra.to_crs(4326)])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        predictions.to_file(folder / "predictions.gpkg")
        register.drop(columns=["id", "class", "score"]).to_file(folder / "register.gpkg")
        arguments = ["compare", folder / "predictions.gpkg", "--register", folder / "register.gpkg"]
        usage = run_program([*arguments, "-o", folder / "changes.gpkg", "--quiet"])
    return {"features": f"{len(predictions):,} x {len(register):,}"} | usage.columns()


def main() -> None:
    """Measure time and memory, then accuracy, and print three tables."""
    parser = new_parser(__doc__, data=True)
    parser.add_argument("--predictions", type=Path, help="saved predictions of California")
    parser.add_argument("--conf", type=float, default=0.47, help="score threshold")
    parser.add_argument("--count", type=int, default=100_000, help="synthetic features")
    options = parser.parse_args()
    save_table(
        "accuracy/compare_scale", f"compare on {machine()}", [measure_program(options.count)]
    )
    for dataset in list_datasets(options.data):
        if dataset.name != CALIFORNIA:
            continue
        labels = gpd.read_file(dataset.truth)
        latitude = labels.to_crs(4326).total_bounds[[1, 3]].mean()
        unit_m = float(np.cos(np.radians(latitude)))  # of Web Mercator, spherical, to 0.3 %
        accuracies = [
            compare_labels(labels, alter_labels(labels, seed, unit_m))[0] for seed in range(20)
        ]
        row = {
            "features": f"{len(labels)}",
            "mean accuracy": f"{np.mean(accuracies):.4f}",
            "worst": f"{min(accuracies):.4f}",
        }
        title = "compare, the labels themselves as predictions, 20 registers"
        save_table("accuracy/compare", title, [row])
        predictions = load_predictions(dataset.raster, options.predictions, options.conf)
        rows = compare_predictions(predictions, labels, alter_labels(labels, 0, unit_m))
        save_table("accuracy/compare_detections", f"compare, {len(predictions)} predictions", rows)


if __name__ == "__main__":
    main()
