"""Peak memory of predicting and writing as the number of objects grows.

    python -m benchmarks.memory.object_count  # 10^4 to 10^6, GeoPackage
    python -m benchmarks.memory.object_count --formats gpkg geojson fgb parquet shp csv

A toy detector reports boxes on a lattice in every tile, at several spacings, so that the same
raster holds any number of objects. Each run is a separate process: ``predict_layer``, then
``write``; for comparison ``predict``, which returns one GeoDataFrame.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from affine import Affine

import geodetect
from benchmarks.harness.options import new_parser
from benchmarks.harness.processes import run_python
from benchmarks.harness.rasters import write_raster
from benchmarks.harness.tables import machine, save_table

SIDE_PX, TILE_PX, GSD_M = 4096, 512, 0.2
GRID: dict[str, Any] = {"crs": "EPSG:2154", "transform": Affine(GSD_M, 0, 6.5e5, 0, -GSD_M, 6.86e6)}
SPACINGS_PX = (41.0, 13.0, 4.1)  # about 10^4, 10^5 and 10^6 objects
GEODATAFRAME = "GeoDataFrame"


def lattice_detector(spacing_px: float) -> geodetect.CallableDetector:
    """Return a detector that reports a lattice of boxes in every tile."""
    corners = np.arange(1, TILE_PX - spacing_px - 2, spacing_px)
    x, y = (axis.ravel() for axis in np.meshgrid(corners, corners))
    side = 0.6 * spacing_px
    boxes = np.stack([x, y, x + side, y + side], axis=1)
    result = boxes, np.full(len(boxes), 0.9), np.zeros(len(boxes))
    return geodetect.CallableDetector(lambda _: result, "object", GSD_M, tile_px=TILE_PX)


def predict_and_write(raster: Path, output: Path | None, spacing_px: float) -> int:
    """Predict, and write the layer unless there is no output; return the number of objects."""
    detector = lattice_detector(spacing_px)
    settings = geodetect.PredictSettings(tile_size=TILE_PX, overlap=0)
    if output is None:
        return len(geodetect.predict(raster, detector, settings=settings))
    layer = geodetect.predict_layer(raster, detector, settings=settings)
    geodetect.write(layer, output)
    return len(layer)


def measure(raster: Path, folder: Path, output_format: str, spacing_px: float) -> dict[str, float]:
    """Run ``predict_and_write`` in another process."""
    stem = f"{output_format}-{str(spacing_px).replace('.', '_')}"
    output = "" if output_format == GEODATAFRAME else str(folder / f"{stem}.{output_format}")
    job = json.dumps([str(raster), output, spacing_px])
    usage = run_python(["-m", __spec__.name, "--job", job])
    return {
        "objects": int(usage.output),
        "seconds": usage.seconds,
        "peak": usage.peak_bytes,
        "bytes": sum(file.stat().st_size for file in folder.glob(f"{stem}.*")),
    }


def main() -> None:
    """Measure all formats and numbers of objects and print the table."""
    parser = new_parser(__doc__)
    parser.add_argument("--formats", nargs="+", default=["gpkg", GEODATAFRAME])
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        raster, output, spacing_px = json.loads(options.job)
        print(predict_and_write(Path(raster), Path(output) if output else None, spacing_px))
        return
    rows = []
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        pixels = np.full((3, SIDE_PX, SIDE_PX), 90, np.uint8)
        raster = write_raster(folder / "blank.tif", pixels, **GRID, compress="deflate")
        for name in options.formats:
            results = [measure(raster, folder, name, spacing_px) for spacing_px in SPACINGS_PX]
            for result in results:
                added = result["objects"] - results[0]["objects"]
                added_bytes = result["peak"] - results[0]["peak"]
                rows.append({
                    "output": name if name == GEODATAFRAME else f".{name}",
                    "objects": f"{result['objects']:,}",
                    "file": f"{result['bytes'] / 1e6:.0f} MB" if result["bytes"] else "-",
                    "seconds": f"{result['seconds']:.0f}",
                    "peak memory": f"{result['peak'] / 1e6:,.0f} MB",
                    "bytes per added object": f"{added_bytes / added:,.0f}" if added else "-",
                })  # fmt: skip
                print(*rows[-1].values(), flush=True)
    save_table("memory/object_count", f"Memory of many objects on {machine()}", rows)


if __name__ == "__main__":
    main()
