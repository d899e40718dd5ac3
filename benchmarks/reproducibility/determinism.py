"""See whether ``geodetect predict`` writes the same bytes whatever number of threads and batches.

python -m benchmarks.reproducibility.determinism  # Californian imagery, if it is there
python -m benchmarks.reproducibility.determinism scene.tif --model m.safetensors

Predicts once for each number of reading threads and each batch size, each time in a process of its
own, and compares the files with the first one. Exit code 1 if any differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path

from benchmarks.harness.tables import machine, save_table

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "sample_data/neighbourhood.tif"
CALIFORNIA = ROOT.parent / "shared/data/pools/california_west.tif"
SIDE_PX = 3000
WORKERS = (1, 2, 4)
BATCHES = (1, 4, 16)


def middle(raster: Path) -> str:
    """The middle of a raster, at most ``SIDE_PX`` wide and high, as the option ``--bbox``."""
    import rasterio

    with rasterio.open(raster) as dataset:
        half = [min(SIDE_PX, size) / 2 for size in (dataset.width, dataset.height)]
        column, row = dataset.width / 2, dataset.height / 2
        corners = [dataset.transform @ (column + s * half[0], row + s * half[1]) for s in (-1, 1)]
    (x1, y1), (x2, y2) = corners
    return f"{min(x1, x2)},{min(y1, y2)},{max(x1, x2)},{max(y1, y2)}"


def predict(options: argparse.Namespace, output: Path, *, workers: int, batch: int) -> int:
    """Run the program and count what it finds."""
    command = [sys.executable, "-m", "geodetect_cli", "predict", str(options.raster), "--json"]
    how = ["--workers", str(workers), "--batch-size", str(batch), "--model", options.model]
    limits = ["--bbox", options.bbox, "--tile-size", str(options.tile_size), "--no-journal"]
    networks = ["--runtime", options.runtime, "--precision", options.precision]
    done = subprocess.run(
        [*command, *how, *limits, *networks, "-o", str(output)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return int(json.loads(done.stdout)["objects"])


def main() -> None:
    """Compare and print; fail when a byte differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = CALIFORNIA if CALIFORNIA.exists() else SAMPLE
    parser.add_argument("raster", type=Path, nargs="?", default=default)
    parser.add_argument("--bbox", help=f"default: {SIDE_PX} px in the middle")
    parser.add_argument("--model", default="pools")
    parser.add_argument("--tile-size", type=int, default=512, help="small: batches are filled")
    parser.add_argument("--runtime", default="auto")
    parser.add_argument("--precision", default="auto")
    options = parser.parse_args()
    options.bbox = options.bbox or middle(options.raster)
    rows, first = [], ""
    with tempfile.TemporaryDirectory() as folder:
        for workers, batch in product(WORKERS, BATCHES):
            output = Path(folder, f"{workers}-{batch}.geojson")
            objects = predict(options, output, workers=workers, batch=batch)
            digest = hashlib.sha256(output.read_bytes()).hexdigest()
            first = first or digest
            rows.append(
                {
                    "raster": options.raster.name,
                    "threads that read": f"{workers}",
                    "batch size": f"{batch}",
                    "objects": f"{objects:,}",
                    "SHA-256 of the file": digest[:16],
                    "same bytes": "yes" if digest == first else "NO",
                }
            )
    title = f"Bytes of predict with runtime {options.runtime}, precision {options.precision}"
    save_table("reproducibility/determinism", f"{title}, on {machine()}", rows)
    if any(row["same bytes"] == "NO" for row in rows):
        raise SystemExit("the results differ")


if __name__ == "__main__":
    main()
