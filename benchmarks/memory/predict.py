"""Peak memory of ``geodetect predict`` as a whole process.

    python -m benchmarks.memory.predict  # the drawn sample, and Cannes if it exists
    python -m benchmarks.memory.predict scene.tif

Seconds are those that the program reports of itself, without its start.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from benchmarks.harness.options import new_parser
from benchmarks.harness.paths import DATA, SAMPLE
from benchmarks.harness.processes import run_program
from benchmarks.harness.tables import machine, save_table


def measure(raster: Path, folder: Path) -> dict[str, str]:
    """Run the program on a raster and return its row."""
    output = folder / f"{raster.stem}.gpkg"
    usage = run_program(["predict", raster, "-o", output, "--json"])
    summary = json.loads(usage.output)
    return {
        "raster": raster.name,
        "tiles": f"{summary['tiles']} ({summary['empty_tiles']} empty)",
        "objects": f"{summary['objects']}",
        "seconds": f"{summary['seconds']:.0f}",
        "peak memory": f"{usage.peak_bytes / 1e9:.2f} GB",
    }


def main() -> None:
    """Measure all rasters and print the table."""
    parser = new_parser(__doc__)
    parser.add_argument("rasters", type=Path, nargs="*")
    rasters = parser.parse_args().rasters
    rasters = rasters or [file for file in (SAMPLE, DATA / "cannes_north.tif") if file.exists()]
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(raster, Path(folder)) for raster in rasters]
    save_table("memory/predict", f"Memory of predict on {machine()}", rows)


if __name__ == "__main__":
    main()
