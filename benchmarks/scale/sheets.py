"""Time of ``predict`` on sheets, against one raster of the same pixels and the network alone.

    python -m benchmarks.scale.sheets  # 400 sheets: a quarter to one and a half hours, 4 GB
    python -m benchmarks.scale.sheets --columns 4

The drawn sample, mirrored repeatedly, is written as one raster and as touching sheets of 2,048 px.
Both are searched in turn, the written layer included. The network alone runs the same tiles, read
before, in parts that fit into memory.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import rasterio
from affine import Affine
from rasterio.windows import Window

import geodetect
from benchmarks.harness.options import new_parser
from benchmarks.harness.paths import SAMPLE
from benchmarks.harness.processes import Stopwatch, load_average
from benchmarks.harness.rasters import BLOCKS, write_raster
from benchmarks.harness.tables import machine, save_table
from benchmarks.speed.predict import FORWARD_BATCH, run_forward
from geodetect.detection.detectors.retinanet_detector import RetinaNetDetector
from geodetect.io.vector.write import write
from geodetect.model.file import read_model_file
from geodetect.model.runtimes.base import Runtime
from geodetect.model.runtimes.open import open_runtime

SHEET_PX = 2048
RASTER, SHEETS = "one raster", "sheets"
TARGETS = {"one raster": 1.05, "the network": 1.15}  # largest ratios of the time of sheets
PARTS_OF_BATCHES = 4  # whose pixels are in memory at once


def draw_sheets(columns: int) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield column, row and pixels ``uint8[C, H, W]`` of square sheets of the mirrored sample."""
    with rasterio.open(SAMPLE) as sample:
        pixels = sample.read()

    def mirrored(start: int, length: int) -> np.ndarray:
        position = np.arange(start, start + SHEET_PX) % (2 * length)
        return np.minimum(position, 2 * length - 1 - position)

    height, width = pixels.shape[1:]
    for row in range(columns):
        rows = mirrored(row * SHEET_PX, height)
        for column in range(columns):
            places = np.ix_(np.arange(len(pixels)), rows, mirrored(column * SHEET_PX, width))
            yield column, row, pixels[places]


def write_rasters(folder: Path, columns: int) -> dict[str, Path]:
    """Write the mirrored sample as one raster, and as sheets in a folder of their own."""
    rasters = {RASTER: folder / "whole.tif", SHEETS: folder / "sheets"}
    rasters[SHEETS].mkdir()
    options = {**BLOCKS, "compress": "deflate"}
    with rasterio.open(SAMPLE) as sample:
        crs, transform, profile = sample.crs, sample.transform, sample.profile
    side = columns * SHEET_PX
    grid = {"crs": crs, "transform": transform, "height": side, "width": side}
    kind = {name: profile[name] for name in ("driver", "count", "dtype")}
    with rasterio.open(rasters[RASTER], "w", **kind, **grid, **options, BIGTIFF="YES") as whole:
        for column, row, pixels in draw_sheets(columns):
            x, y = column * SHEET_PX, row * SHEET_PX
            whole.write(pixels, window=Window(x, y, SHEET_PX, SHEET_PX))
            corner = transform @ Affine.translation(x, y)
            file = rasters[SHEETS] / f"{row:03}_{column:03}.tif"
            write_raster(file, pixels, crs=crs, transform=corner, **options)
    return rasters


def time_network(source: Path, runtime: Runtime) -> Stopwatch:
    """Return the time of the forward passes of all tiles alone."""
    stopwatch, detector = Stopwatch(), RetinaNetDetector(runtime)
    for plan in geodetect.plan(source, detector):
        with plan.ground:
            tiles = (tile for run in plan.runs() for tile in run.tiles)
            while part := list(islice(tiles, PARTS_OF_BATCHES * FORWARD_BATCH)):
                pixels = [plan.ground.read(tile, plan.grid) for tile in part]
                with stopwatch:
                    run_forward(runtime, pixels)
    return stopwatch


def main() -> None:
    """Measure and print a table."""
    parser = new_parser(__doc__)
    parser.add_argument("--columns", type=int, default=20, help="of sheets, and rows")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    load = f"{load_average()} before"
    runtime = open_runtime(*read_model_file("pools"), device="cpu")
    detector = RetinaNetDetector(runtime)
    times: dict[str, list[Stopwatch]] = {RASTER: [], SHEETS: [], "the network": []}
    objects: dict[str, int] = {}
    with TemporaryDirectory() as name:
        rasters = write_rasters(Path(name), options.columns)
        for _ in range(options.repeats):
            for kind, source in rasters.items():
                output = Path(name) / "objects.gpkg"
                with Stopwatch() as stopwatch:
                    layer = geodetect.predict_layer(source, detector)
                    write(layer, output)
                output.unlink()
                times[kind].append(stopwatch)
                objects[kind] = len(layer)
            times["the network"].append(time_network(rasters[SHEETS], runtime))
    rows = []
    for kind, stopwatches in times.items():
        pairs = zip(times[SHEETS], stopwatches, strict=True)
        ratio = statistics.median(sheets.seconds / other.seconds for sheets, other in pairs)
        rows.append({
            "": kind,
            "seconds": f"{statistics.median(s.seconds for s in stopwatches):.1f}",
            "CPU seconds": f"{statistics.median(s.cpu_s for s in stopwatches):.1f}",
            "sheets / this": f"{ratio:.3f}" if kind in TARGETS else "-",
            "target": f"<= {TARGETS[kind]}" if kind in TARGETS else "-",
            "objects": f"{objects[kind]:,}" if kind in objects else "-",
        })  # fmt: skip
    count = options.columns**2
    save_table("scale/sheets", f"{count} sheets of {SHEET_PX} px, {machine()}, {load}", rows)


if __name__ == "__main__":
    main()
