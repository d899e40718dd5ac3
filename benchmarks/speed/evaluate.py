"""Time and peak memory of ``geodetect evaluate`` on two large layers, as a whole process.

    python -m benchmarks.speed.evaluate  # 100,000 predictions against 100,000 objects
    python -m benchmarks.speed.evaluate --objects 1000000

The layers are synthetic: objects of 4 to 16 m at random places, one on 4,000 m2. Nine in ten have a
prediction with errors; false positives make the numbers equal.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray

import geodetect
from benchmarks.harness.options import new_parser
from benchmarks.harness.processes import run_program
from benchmarks.harness.tables import machine, save_table

CRS = "EPSG:2154"
ORIGIN_M = (650_000.0, 6_860_000.0)
AREA_PER_OBJECT_M2 = 4_000.0
RECALL = 0.9


def write_layers(count: int, folder: Path, suffix: str) -> list[Path]:
    """Write predictions and truth; return the files."""
    rng = np.random.default_rng(0)
    side_m = np.sqrt(count * AREA_PER_OBJECT_M2)
    centres = rng.uniform(0, side_m, (count, 2)) + ORIGIN_M
    sizes = rng.uniform(4, 16, (count, 2))
    is_found = rng.random(count) < RECALL
    tp = int(is_found.sum())
    fp_centres = rng.uniform(0, side_m, (count - tp, 2)) + ORIGIN_M
    predicted_centres = np.concatenate([centres[is_found] + rng.normal(0, 1, (tp, 2)), fp_centres])
    predicted_sizes = np.concatenate(
        [sizes[is_found] * rng.normal(1, 0.1, (tp, 2)), sizes[~is_found]]
    )
    scores = np.concatenate([rng.beta(4, 2, tp), rng.beta(2, 4, count - tp)]).round(4)
    predictions = box_layer(predicted_centres, predicted_sizes).assign(score=scores)
    files = [folder / f"predictions{suffix}", folder / f"truth{suffix}"]
    for table, file in zip((predictions, box_layer(centres, sizes)), files, strict=True):
        geodetect.write(table.assign(**{"class": "pool"}), file)
    return files


def box_layer(centres: NDArray[np.float64], sizes: NDArray[np.float64]) -> gpd.GeoDataFrame:
    """Return boxes as a layer of polygons."""
    boxes = shapely.box(*(centres - sizes / 2).T, *(centres + sizes / 2).T)
    return gpd.GeoDataFrame(geometry=boxes, crs=CRS)


def measure(name: str, arguments: Sequence[object]) -> dict[str, str]:
    """Run the program and return its row."""
    usage = run_program(["evaluate", *arguments, "--json"])
    summary = json.loads(usage.output)
    return {
        "run": name,
        "predictions": f"{summary['n_predicted']:,}",
        "objects": f"{summary['n_truth']:,}",
        "blocks": f"{summary['intervals']['blocks']:,}",
    } | usage.columns()


def main() -> None:
    """Measure several formats and options and print the table."""
    parser = new_parser(__doc__)
    parser.add_argument("--objects", type=int, default=100_000)
    count = parser.parse_args().objects
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        gpkg, geojson = (write_layers(count, folder, suffix) for suffix in (".gpkg", ".geojson"))
        outputs = ["-o", folder / "errors.gpkg", "--plots", folder / "plots"]
        rows = [
            measure("GeoPackage", gpkg),
            measure("GeoPackage, layers and plots written", [*gpkg, *outputs]),
            measure("GeoJSON", geojson),
            measure("GeoPackage, within 5 m", [*gpkg, "--distance", "5"]),
        ]
    save_table("speed/evaluate", f"Evaluation on {machine()}", rows)


if __name__ == "__main__":
    main()
