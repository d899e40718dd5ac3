"""Peak memory of finding and writing as the number of objects grows.

    python -m benchmarks.memory.object_count  # 10^4 to 10^6, GeoPackage
    python -m benchmarks.memory.object_count --formats gpkg geojson fgb parquet shp csv

A toy detector reports boxes on a lattice of every tile, close together, so that the same raster
holds any number of objects: what grows is what becomes of them. Each run is a process of its own:
``predict_layer``, then ``write``; for comparison ``predict``, which makes a table of all of them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import rasterio
from affine import Affine

import geodetect
from benchmarks.harness.processes import run_python
from benchmarks.harness.tables import machine, save_table

SIDE_PX, TILE_PX, GSD_M = 4096, 512, 0.2
SPACINGS_PX = (41.0, 13.0, 4.1)  # about 10^4, 10^5 and 10^6 objects


def blank_raster(file: Path) -> None:
    """Write a raster that is all imagery and shows nothing."""
    place = {"crs": "EPSG:2154", "transform": Affine(GSD_M, 0, 6.5e5, 0, -GSD_M, 6.86e6)}
    shape = {"count": 3, "height": SIDE_PX, "width": SIDE_PX, "dtype": "uint8"}
    with rasterio.open(file, "w", "GTiff", **shape, **place, compress="deflate") as target:
        target.write(np.full((3, SIDE_PX, SIDE_PX), 90, np.uint8))


def lattice(spacing_px: float) -> geodetect.CallableDetector:
    """A detector that sees boxes side by side in every tile."""
    corners = np.arange(1, TILE_PX - spacing_px - 2, spacing_px)
    x, y = (axis.ravel() for axis in np.meshgrid(corners, corners))
    side = 0.6 * spacing_px
    found = np.stack([x, y, x + side, y + side], axis=1), np.full(len(x), 0.9), np.zeros(len(x))
    return geodetect.CallableDetector(lambda _: found, "object", GSD_M, tile_px=TILE_PX)


def work(raster: Path, output: Path | None, spacing_px: float) -> int:
    """Find objects, and write them unless there is no output; return how many there are."""
    detector = lattice(spacing_px)
    settings = geodetect.PredictSettings(tile_size=TILE_PX, overlap=0)
    if output is None:
        return len(geodetect.predict(raster, detector, settings=settings))
    found = geodetect.predict_layer(raster, detector, settings=settings)
    geodetect.write(found, output)
    return len(found)


def measure(raster: Path, folder: Path, kind: str, spacing_px: float) -> dict[str, float]:
    """Do it in another process."""
    stem = f"{kind}-{str(spacing_px).replace('.', '_')}"
    output = "" if kind == "table" else str(folder / f"{stem}.{kind}")
    job = json.dumps([str(raster), output, spacing_px])
    used = run_python(["-m", __spec__.name, "--job", job])
    return {
        "objects": int(used.output),
        "seconds": used.seconds,
        "peak": used.peak_bytes,
        "bytes": sum(file.stat().st_size for file in folder.glob(f"{stem}.*")),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--formats", nargs="+", default=["gpkg", "table"])
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        raster, output, spacing_px = json.loads(options.job)
        print(work(Path(raster), Path(output) if output else None, spacing_px))
        return
    rows = []
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        blank_raster(folder / "blank.tif")
        for kind in options.formats:
            results = [measure(folder / "blank.tif", folder, kind, s) for s in SPACINGS_PX]
            for one in results:
                more = one["objects"] - results[0]["objects"]
                share = (one["peak"] - results[0]["peak"]) / more if more else np.nan
                rows.append({
                    "to": "one table" if kind == "table" else f".{kind}",
                    "objects": f"{one['objects']:,}",
                    "file": f"{one['bytes'] / 1e6:.0f} MB" if one["bytes"] else "-",
                    "seconds": f"{one['seconds']:.0f}",
                    "peak memory": f"{one['peak'] / 1e6:,.0f} MB",
                    "bytes an object, over the first row": f"{share:,.0f}" if more else "-",
                })  # fmt: skip
                print(*rows[-1].values(), flush=True)
    save_table("memory/object_count", f"Memory of many objects on {machine()}", rows)


if __name__ == "__main__":
    main()
