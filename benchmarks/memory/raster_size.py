"""Time and peak memory of ``geodetect predict`` as the raster grows.

    python -m benchmarks.memory.raster_size  # 0.1 to 50 Gpx
    python -m benchmarks.memory.raster_size --gpx 0.5 50

Rasters are tiled GeoTIFFs at 0.20 m with patches of the drawn sample, spread evenly; their other
blocks are absent from the file (sparse) and count as nodata. So the area grows much faster than
the imagery, as it does along coasts and in mosaics of flights, but the number of tiles with
imagery and that of objects grow too. Peak memory is that of the whole process, as the system
reports it when the process ends.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import rasterio
from rasterio.windows import Window

from benchmarks.harness.options import new_parser
from benchmarks.harness.paths import SAMPLE
from benchmarks.harness.processes import ProcessUsage, load_average, run_program
from benchmarks.harness.rasters import BLOCK_PX, BLOCKS
from benchmarks.harness.tables import machine, save_table

PATCH_PX = 1024
PATCHES = {0.1: 20, 0.5: 40, 2.0: 60, 10.0: 100, 50.0: 200}  # by Gpx of the raster
REFERENCE_GPX, LARGEST_GPX = 0.5, 50.0
TARGET_RATIO, TARGET_BYTES = 1.10, 1.5e9


@dataclass(frozen=True)
class Result:
    """Measurement of one raster.

    Args:
        gpx: Size of the raster in 10^9 pixels.
        patches: Number of patches of imagery.
        usage: Time and memory of the process.
        summary: JSON that the program prints.
    """

    gpx: float
    patches: int
    usage: ProcessUsage
    summary: dict[str, float]

    def row(self, reference: Result | None) -> dict[str, str]:
        """Return the row of the table.

        Args:
            reference: Result at ``REFERENCE_GPX``; None: not measured.
        """
        peak = self.usage.peak_bytes
        return {
            "raster": f"{self.gpx:g} Gpx",
            "imagery": f"{self.patches * PATCH_PX**2 / 1e6:,.0f} Mpx",
            "tiles": f"{self.summary['tiles']:,} ({self.summary['empty_tiles']:,} empty)",
            "objects": f"{self.summary['objects']:,}",
            "seconds": f"{self.usage.seconds:,.0f}",
            "CPU seconds": f"{self.usage.cpu_s:,.0f}",
            "peak memory": f"{peak / 1e9:.3f} GB",
            f"relative to {REFERENCE_GPX:g} Gpx": (
                f"{peak / reference.usage.peak_bytes:.2f}" if reference else "-"
            ),
        }


def write_sparse_raster(file: Path, gpx: float, patches: int) -> None:
    """Write a square raster with patches of imagery and no other blocks.

    Args:
        file: To write.
        gpx: Its pixels, in 10^9.
        patches: Number of patches of ``PATCH_PX``, at random places in the cells of a grid.
    """
    side = math.ceil(math.sqrt(gpx * 1e9) / BLOCK_PX) * BLOCK_PX
    columns = math.ceil(math.sqrt(patches))
    cell_px, rng = side // columns, np.random.default_rng(patches)
    shape = {"count": 3, "height": side, "width": side, "dtype": "uint8", "nodata": 0}
    storage = {"compress": "deflate", "interleave": "pixel", "BIGTIFF": "YES", "SPARSE_OK": "TRUE"}
    with rasterio.open(SAMPLE) as sample:
        grid = {"crs": sample.crs, "transform": sample.transform}
        with rasterio.open(file, "w", "GTiff", **shape, **BLOCKS, **storage, **grid) as target:
            for number in range(patches):
                offset = rng.integers(0, sample.width - PATCH_PX, 2).tolist()
                pixels = sample.read(window=Window(*offset, PATCH_PX, PATCH_PX))
                corner = np.array([number % columns, number // columns]) * cell_px
                corner += rng.integers(0, cell_px - PATCH_PX, 2)
                window = Window(*corner.tolist(), PATCH_PX, PATCH_PX)
                target.write(np.maximum(pixels, 1), window=window)


def measure(gpx: float, patches: int, folder: Path, arguments: list[str]) -> Result:
    """Run the program on a raster of this size."""
    raster, output = folder / f"{gpx:g}.tif", folder / f"{gpx:g}.gpkg"
    write_sparse_raster(raster, gpx, patches)
    usage = run_program(["predict", raster, "-o", output, "--json", *arguments])
    raster.unlink()
    return Result(gpx=gpx, patches=patches, usage=usage, summary=json.loads(usage.output))


def main() -> None:
    """Measure all sizes and print the table."""
    parser = new_parser(__doc__)
    parser.add_argument("--gpx", type=float, nargs="+", default=tuple(PATCHES))
    parser.add_argument("--patches", type=int, help="of imagery; default: more in larger rasters")
    parser.add_argument("--predict", default="", help="further options of predict, in one string")
    options = parser.parse_args()
    results = []
    with TemporaryDirectory() as folder:
        for gpx in sorted(options.gpx):
            patches = options.patches or PATCHES.get(gpx, round(20 * (10 * gpx) ** 0.37))
            results.append(measure(gpx, patches, Path(folder), options.predict.split()))
            print(*results[-1].row(None).values(), flush=True)
    reference = next((result for result in results if result.gpx == REFERENCE_GPX), None)
    title = (
        f"Rasters of growing size (target: peak of {LARGEST_GPX:g} Gpx up to {TARGET_RATIO:g} x "
        f"that of {REFERENCE_GPX:g} Gpx and {TARGET_BYTES / 1e9:g} GB) on {machine()}, "
        f"{load_average()} at the end"
    )
    save_table("memory/raster_size", title, [result.row(reference) for result in results])


if __name__ == "__main__":
    main()
