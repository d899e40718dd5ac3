"""Time and peak memory of ``geodetect predict`` as the raster grows.

    python -m benchmarks.memory.raster_size  # 0.1 to 50 Gpx
    python -m benchmarks.memory.raster_size --gpx 0.5 50

Rasters are tiled GeoTIFFs at 0.20 m with patches of the drawn sample, spread evenly; their other
blocks are absent from the file (sparse) and count as nodata. So the ground grows much faster than
the imagery, as it does along coasts and in mosaics of flights, but the number of tiles with
imagery and that of objects grow too. Peak memory is that of the whole process, as the system
reports it when the process ends.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import rasterio
from rasterio.windows import Window

from benchmarks.harness.processes import Used, run_program
from benchmarks.harness.tables import machine, save_table

SAMPLE = Path(__file__).parents[2] / "sample_data/neighbourhood.tif"
BLOCK_PX, PATCH_PX = 512, 1024
GPX = (0.1, 0.5, 2.0, 10.0, 50.0)
PATCHES = {0.1: 20, 0.5: 40, 2.0: 60, 10.0: 100, 50.0: 200}
REFERENCE_GPX, LARGEST_GPX = 0.5, 50.0
WANTED_SHARE, WANTED_BYTES = 1.10, 1.5e9


@dataclass(frozen=True)
class Result:
    """What one run took.

    Args:
        gpx: Size of the raster in 10^9 pixels.
        patches: Patches of imagery in it.
        used: By the whole process.
        summary: What the program says of itself.
    """

    gpx: float
    patches: int
    used: Used
    summary: dict[str, float]


def sparse_raster(file: Path, gpx: float, patches: int) -> None:
    """Write a square raster with patches of imagery and nothing else.

    Args:
        file: To write.
        gpx: Its pixels, in 10^9.
        patches: How many patches of ``PATCH_PX``, on a grid with some chance in it.
    """
    side = math.ceil(math.sqrt(gpx * 1e9) / BLOCK_PX) * BLOCK_PX
    across = math.ceil(math.sqrt(patches))
    cell, chance = side // across, np.random.default_rng(patches)
    shape = {"count": 3, "height": side, "width": side, "dtype": "uint8", "nodata": 0}
    blocks = {"tiled": True, "blockxsize": BLOCK_PX, "blockysize": BLOCK_PX}
    storage = {"compress": "deflate", "interleave": "pixel", "BIGTIFF": "YES", "SPARSE_OK": "TRUE"}
    with rasterio.open(SAMPLE) as scene:
        place = {"crs": scene.crs, "transform": scene.transform}
        with rasterio.open(file, "w", "GTiff", **shape, **blocks, **storage, **place) as target:
            for number in range(patches):
                cut = chance.integers(0, scene.width - PATCH_PX, 2).tolist()
                pixels = scene.read(window=Window(*cut, PATCH_PX, PATCH_PX))
                corner = np.array([number % across, number // across]) * cell
                corner += chance.integers(0, cell - PATCH_PX, 2)
                target.write(
                    np.maximum(pixels, 1), window=Window(*corner.tolist(), PATCH_PX, PATCH_PX)
                )


def measure(gpx: float, patches: int, folder: Path, arguments: list[str]) -> Result:
    """Run the program on a raster of this size."""
    raster, output = folder / f"{gpx:g}.tif", folder / f"{gpx:g}.gpkg"
    sparse_raster(raster, gpx, patches)
    used = run_program(["predict", raster, "-o", output, "--json", *arguments])
    raster.unlink()
    return Result(gpx=gpx, patches=patches, used=used, summary=json.loads(used.output))


def row_of(result: Result, reference: Result | None) -> dict[str, str]:
    """One row of the table."""
    used = result.used
    share = "-" if reference is None else f"{used.peak_bytes / reference.used.peak_bytes:.2f}"
    return {
        "raster": f"{result.gpx:g} Gpx",
        "imagery": f"{result.patches * PATCH_PX**2 / 1e6:,.0f} Mpx",
        "tiles": f"{result.summary['tiles']:,} ({result.summary['empty_tiles']:,} empty)",
        "objects": f"{result.summary['objects']:,}",
        "seconds": f"{used.seconds:,.0f}",
        "processor seconds": f"{used.processor_s:,.0f}",
        "peak memory": f"{used.peak_bytes / 1e9:.3f} GB",
        f"over that of {REFERENCE_GPX:g} Gpx": share,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpx", type=float, nargs="+", default=GPX)
    parser.add_argument("--patches", type=int, help="of imagery; default: more in larger rasters")
    parser.add_argument("--predict", default="", help="further options of predict, in one string")
    options = parser.parse_args()
    results = []
    with TemporaryDirectory() as folder:
        for gpx in sorted(options.gpx):
            patches = options.patches or PATCHES.get(gpx, round(20 * (10 * gpx) ** 0.37))
            results.append(measure(gpx, patches, Path(folder), options.predict.split()))
            print(*row_of(results[-1], None).values(), flush=True)
    reference = next((one for one in results if one.gpx == REFERENCE_GPX), None)
    load = f", load {os.getloadavg()[0]:.1f} at the end" if hasattr(os, "getloadavg") else ""
    title = (
        f"Rasters of growing size (wanted: peak of {LARGEST_GPX:g} Gpx up to {WANTED_SHARE:g} x "
        f"that of {REFERENCE_GPX:g} Gpx and {WANTED_BYTES / 1e9:g} GB) on {machine()}{load}"
    )
    save_table("memory/raster_size", title, [row_of(one, reference) for one in results])


if __name__ == "__main__":
    main()
