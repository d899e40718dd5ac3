"""Time and peak memory of ``geodetect evaluate`` on two large layers, as a whole process.

    python -m benchmarks.speed.evaluate  # 100,000 detections against 100,000 objects
    python -m benchmarks.speed.evaluate --objects 1000000

The layers are drawn: objects of 4 to 16 m anywhere on square ground with one on 4,000 m2, nine in
ten of which have a detection with errors, and as many other detections as to make the numbers
equal.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray

import geodetect
from benchmarks.harness.processes import run_program
from benchmarks.harness.tables import machine, save_table

CRS = "EPSG:2154"
ORIGIN_M = (650_000.0, 6_860_000.0)
GROUND_M2 = 4_000.0  # for each object
FOUND = 0.9

Float = NDArray[np.float64]


def layers(count: int, folder: Path, suffix: str) -> tuple[Path, Path]:
    """Files of detections and objects."""
    rng = np.random.default_rng(0)
    side_m = np.sqrt(count * GROUND_M2)
    centres = rng.uniform(0, side_m, (count, 2)) + ORIGIN_M
    sizes = rng.uniform(4, 16, (count, 2))
    found = rng.random(count) < FOUND
    others = rng.uniform(0, side_m, (count - found.sum(), 2)) + ORIGIN_M
    seen_centres = np.concatenate([centres[found] + rng.normal(0, 1, (found.sum(), 2)), others])
    seen_sizes = np.concatenate(
        [sizes[found] * rng.normal(1, 0.1, (found.sum(), 2)), sizes[~found]]
    )
    scores = np.concatenate([rng.beta(4, 2, found.sum()), rng.beta(2, 4, count - found.sum())])
    tables = {
        "detections": outlines(seen_centres, seen_sizes).assign(score=scores.round(4)),
        "truth": outlines(centres, sizes),
    }
    for name, table in tables.items():
        geodetect.write(table.assign(**{"class": "pool"}), folder / f"{name}{suffix}")
    return folder / f"detections{suffix}", folder / f"truth{suffix}"


def outlines(centres: Float, sizes: Float) -> gpd.GeoDataFrame:
    """Boxes as a layer."""
    boxes = shapely.box(*(centres - sizes / 2).T, *(centres + sizes / 2).T)
    return gpd.GeoDataFrame(geometry=boxes, crs=CRS)


def measure(what: str, arguments: list[str | Path]) -> dict[str, str]:
    """Run the program and ask the system what it took."""
    used = run_program(["evaluate", *arguments, "--json"])
    values = json.loads(used.output)
    return {
        "run": what,
        "detections": f"{values['n_predicted']:,}",
        "objects": f"{values['n_truth']:,}",
        "blocks": f"{values['intervals']['blocks']:,}",
        "seconds": f"{used.seconds:.1f}",
        "processor seconds": f"{used.processor_s:.1f}",
        "peak memory": f"{used.peak_bytes / 1e9:.2f} GB",
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=int, default=100_000)
    count = parser.parse_args().objects
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        gpkg, geojson = (list(layers(count, folder, s)) for s in (".gpkg", ".geojson"))
        written = ["-o", folder / "errors.gpkg", "--plots", folder / "plots"]
        rows = [
            measure("GeoPackage", [*gpkg]),
            measure("GeoPackage, layers and plots written", [*gpkg, *written]),
            measure("GeoJSON", [*geojson]),
            measure("GeoPackage, within 5 m", [*gpkg, "--distance", "5"]),
        ]
    save_table("speed/evaluate", f"Evaluation on {machine()}", rows)


if __name__ == "__main__":
    main()
