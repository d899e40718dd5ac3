"""Bytes of ``geodetect predict`` with several numbers of reader threads and batch sizes.

    python -m benchmarks.reproducibility.determinism  # California if it exists, else the sample
    python -m benchmarks.reproducibility.determinism scene.tif --model m.safetensors

Predicts once for each number of threads and each batch size, in a separate process, and compares
the files with the first one. Exit code 1 if any differs.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from itertools import product
from pathlib import Path

import rasterio

from benchmarks.harness.options import new_parser
from benchmarks.harness.paths import DATA, SAMPLE
from benchmarks.harness.processes import run_program
from benchmarks.harness.tables import machine, save_table

CALIFORNIA = DATA / "california_west.tif"
SIDE_PX = 3000
WORKERS = (1, 2, 4)
BATCH_SIZES = (1, 4, 16)


def middle_bbox(raster: Path) -> str:
    """Return the middle of a raster, at most ``SIDE_PX`` wide and high, for ``--bbox``."""
    with rasterio.open(raster) as source:
        width, height = min(SIDE_PX, source.width), min(SIDE_PX, source.height)
        column, row = (source.width - width) / 2, (source.height - height) / 2
        x1, y1 = source.transform @ (column, row)
        x2, y2 = source.transform @ (column + width, row + height)
    return f"{min(x1, x2)},{min(y1, y2)},{max(x1, x2)},{max(y1, y2)}"


def main() -> None:
    """Predict, compare and print the table; fail if a byte differs."""
    parser = new_parser(__doc__, model=True)
    default = CALIFORNIA if CALIFORNIA.exists() else SAMPLE
    parser.add_argument("raster", type=Path, nargs="?", default=default)
    parser.add_argument("--bbox", help=f"default: {SIDE_PX} px in the middle")
    parser.add_argument("--tile-size", default="512", help="small, so that batches are filled")
    parser.add_argument("--runtime", default="auto")
    parser.add_argument("--precision", default="auto")
    options = parser.parse_args()
    arguments = ["predict", options.raster, "--json", "--no-journal", "--model", options.model]
    arguments += ["--bbox", options.bbox or middle_bbox(options.raster)]
    arguments += ["--tile-size", options.tile_size]
    arguments += ["--runtime", options.runtime, "--precision", options.precision]
    rows, digests = [], list[str]()
    with tempfile.TemporaryDirectory() as folder:
        for workers, batch_size in product(map(str, WORKERS), map(str, BATCH_SIZES)):
            output = Path(folder, f"{workers}-{batch_size}.geojson")
            variant = ["--workers", workers, "--batch-size", batch_size, "-o", output]
            summary = json.loads(run_program([*arguments, *variant]).output)
            digests.append(hashlib.sha256(output.read_bytes()).hexdigest())
            rows.append({
                "raster": options.raster.name,
                "reader threads": workers,
                "batch size": batch_size,
                "objects": f"{summary['objects']:,}",
                "SHA-256 of the file": digests[-1][:16],
                "same bytes": "yes" if digests[-1] == digests[0] else "NO",
            })  # fmt: skip
    title = f"Bytes of predict with runtime {options.runtime}, precision {options.precision}"
    save_table("reproducibility/determinism", f"{title}, on {machine()}", rows)
    if len(set(digests)) > 1:
        raise SystemExit("the results differ")


if __name__ == "__main__":
    main()
