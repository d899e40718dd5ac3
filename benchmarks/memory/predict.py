"""Peak memory of ``geodetect predict`` as a whole process.

python -m benchmarks.memory.predict  # the drawn sample, and the real grounds if there
python -m benchmarks.memory.predict scene.tif
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from benchmarks.harness.processes import run_program
from benchmarks.harness.tables import machine, save_table

ROOT = Path(__file__).parents[2]


def measure(raster: Path, folder: Path) -> dict[str, str]:
    """Run the program on one raster and ask the system what it took."""
    output = folder / f"{raster.stem}.gpkg"
    used = run_program(["predict", raster, "-o", output, "--json"])
    summary = json.loads(used.output)
    return {
        "raster": raster.name,
        "tiles": f"{summary['tiles']} ({summary['empty_tiles']} empty)",
        "objects": f"{summary['objects']}",
        "seconds": f"{summary['seconds']:.0f}",
        "peak memory": f"{used.peak_bytes / 1e9:.2f} GB",
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rasters", type=Path, nargs="*")
    data = ROOT.parent / "shared/data/pools"
    known = [ROOT / "sample_data/neighbourhood.tif", data / "cannes_north.tif"]
    rasters = parser.parse_args().rasters or [path for path in known if path.exists()]
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(path, Path(folder)) for path in rasters]
    save_table("memory/predict", f"Memory of predict on {machine()}", rows)


if __name__ == "__main__":
    main()
