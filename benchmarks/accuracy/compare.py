"""How well ``compare`` tells what changed, and what 100,000 against 100,000 features take.

    python -m benchmarks.accuracy.compare  # made-up ground, and California if there
    python -m benchmarks.accuracy.compare --predictions pools.parquet
    python -m benchmarks.accuracy.compare --count 20000

The register is made from labels: 10 % are dropped, 10 % are shifted by 3 m, 50 are added where
nothing is. The labels themselves, and then real detections, are compared with it.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

import geodetect
from benchmarks.harness.processes import run_program
from benchmarks.harness.tables import machine, save_table
from geodetect.assessment.matching.greedy_matching import match_boxes

ROOT = Path(__file__).parents[2]
SHIFT_M, GHOSTS = 3.0, 50
KINDS = {"dropped": "new", "shifted": "moved", "kept": "confirmed", "ghost": "missing"}


def altered(labels: gpd.GeoDataFrame, seed: int, metres_per_unit: float = 1.0) -> gpd.GeoDataFrame:
    """A register from labels; ``label`` is the row of the label, ``kind`` what was done to it."""
    rng = np.random.default_rng(seed)
    count = len(labels)
    kind = np.full(count, "kept", dtype=object)
    tenth = count // 10
    order = rng.permutation(count)
    kind[order[:tenth]], kind[order[tenth : 2 * tenth]] = "dropped", "shifted"
    angle = rng.uniform(0, 2 * np.pi, count)
    step = np.stack([np.cos(angle), np.sin(angle)], axis=1) * SHIFT_M / metres_per_unit
    moved = _shifted(labels, step * (kind == "shifted")[:, None])
    low, high = labels.total_bounds[:2], labels.total_bounds[2:]
    rows = rng.integers(0, count, GHOSTS)
    corner = labels.geometry.bounds.to_numpy()[rows, :2]
    ghosts = _shifted(labels.iloc[rows], rng.uniform(low, high, (GHOSTS, 2)) - corner)
    table = gpd.GeoDataFrame(
        {
            "label": np.append(np.arange(count), np.full(GHOSTS, -1)),
            "kind": np.append(kind, np.full(GHOSTS, "ghost")),
        },
        geometry=np.append(moved, ghosts),
        crs=labels.crs,
    )
    return table[table["kind"] != "dropped"].sample(frac=1, random_state=seed)


def accuracy(labels: gpd.GeoDataFrame, register: gpd.GeoDataFrame) -> tuple[float, pd.DataFrame]:
    """Share of features with the right status and partner when the labels are the detections."""
    found = gpd.GeoDataFrame({"number": np.arange(len(labels))}, geometry=labels.geometry)
    changes = geodetect.compare(found, register).changes
    kind = np.full(len(labels), "dropped", dtype=object)
    of_labels = register[register["label"] >= 0]
    kind[of_labels["label"]] = of_labels["kind"]
    number = changes["number"].astype("Int64")
    expected = [KINDS["ghost"] if pd.isna(row) else KINDS[str(kind[int(row)])] for row in number]
    right = changes["status"].to_numpy() == np.array(expected, dtype=object)
    partner = changes["label"].astype("Int64")
    paired = changes["distance_m"].notna()
    right &= ~paired.to_numpy() | (partner == number).fillna(False).to_numpy(dtype=bool)
    return float(right.mean()), changes


def with_detections(
    found: gpd.GeoDataFrame, labels: gpd.GeoDataFrame, register: gpd.GeoDataFrame
) -> list[dict[str, str]]:
    """What became of each kind of feature when real detections are compared."""
    changes = geodetect.compare(found, register).changes
    kinds = changes["kind"].to_numpy(dtype=object).copy()
    matches = match_boxes(
        found.geometry.bounds.to_numpy(),
        np.ones(len(found)),
        labels.to_crs(found.crs).geometry.bounds.to_numpy(),
        iou=0.1,
    )
    dropped = ~np.isin(np.arange(len(labels)), register["label"])
    label_of = np.append(matches.truth_of, np.full(len(changes) - len(found), -1))
    alone = changes["distance_m"].isna().to_numpy() & (np.arange(len(changes)) < len(found))
    kinds[alone] = "no label there"
    kinds[alone & (label_of >= 0)] = "label out of tolerance"
    kinds[alone & (label_of >= 0) & np.append(dropped, False)[label_of]] = "dropped"
    counts = pd.crosstab(kinds, changes["status"].to_numpy())
    return [
        {"register": str(kind)} | {status: f"{n}" for status, n in row.items()}
        for kind, row in counts.iterrows()
    ]


def scale(count: int) -> dict[str, str]:
    """Time and peak memory of the program on many features, files read and written."""
    rng = np.random.default_rng(0)
    side = 300 * np.sqrt(count)  # 11 objects in a square kilometre
    low = rng.uniform(0, side, (count, 2)) + np.array([600_000, 6_500_000])
    sizes = rng.uniform(6, 12, (count, 2))
    found = gpd.GeoDataFrame(
        {"id": np.arange(1, count + 1), "class": "pool", "score": rng.uniform(0.5, 1, count)},
        geometry=shapely.box(*low.T, *(low + sizes).T),
        crs="EPSG:2154",
    )
    register = altered(found, seed=1).to_crs("EPSG:4326")
    extra = found.sample(count - len(register), random_state=2)
    jitter = rng.normal(40, 0.4, (len(extra), 2))
    register = pd.concat([register, extra.set_geometry(_shifted(extra, jitter)).to_crs(4326)])
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("found.gpkg", "register.gpkg", "changes.gpkg")]
        found.to_file(files[0])
        register.drop(columns=["id", "class", "score"]).to_file(files[1])
        compared = ["compare", files[0], "--register", files[1], "-o", files[2], "--quiet"]
        used = run_program(compared)
    return {
        "features": f"{len(found):,} x {len(register):,}",
        "seconds": f"{used.seconds:.1f}",
        "processor seconds": f"{used.processor_s:.1f}",
        "peak memory": f"{used.peak_bytes / 1e9:.2f} GB",
    }


def _shifted(table: gpd.GeoDataFrame, steps: np.ndarray) -> np.ndarray:
    """Geometries moved by ``[N, 2]``."""
    geometry = np.asarray(table.geometry.array)
    points, rows = shapely.get_coordinates(geometry, return_index=True)
    return shapely.set_coordinates(geometry.copy(), points + steps[rows])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/pools")
    parser.add_argument("--predictions", type=Path, help="saved detections of California")
    parser.add_argument("--conf", type=float, default=0.47)
    parser.add_argument("--count", type=int, default=100_000)
    options = parser.parse_args()
    save_table("accuracy/compare_scale", f"compare on {machine()}", [scale(options.count)])
    raster = options.data / "california_west.tif"
    if not raster.exists():
        return
    labels = gpd.read_file(raster.with_suffix(".geojson"))
    latitude = labels.to_crs(4326).total_bounds[[1, 3]].mean()
    unit_m = float(np.cos(np.radians(latitude)))  # of Web Mercator, spherical, to 0.3 %
    shares = [accuracy(labels, altered(labels, seed, unit_m))[0] for seed in range(20)]
    title = "compare, the labels themselves as detections, 20 registers"
    row = {"mean accuracy": f"{np.mean(shares):.4f}", "worst": f"{min(shares):.4f}"}
    save_table("accuracy/compare", title, [{"features": f"{len(labels)}"} | row])
    if options.predictions:
        found = gpd.read_parquet(options.predictions)
    else:
        found = geodetect.predict(raster)
    found = found[found["score"] >= options.conf].reset_index(drop=True)
    rows = with_detections(found, labels, altered(labels, 0, unit_m))
    save_table("accuracy/compare_detections", f"compare, {len(found)} real detections", rows)


if __name__ == "__main__":
    main()
