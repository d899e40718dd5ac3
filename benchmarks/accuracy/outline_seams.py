"""Outlines that ``predict`` misses, duplicates or distorts at tile seams, over painted shapes.

    python -m benchmarks.accuracy.outline_seams
    python -m benchmarks.accuracy.outline_seams --side 2048 --seed 2

L shapes, rings, discs and diagonal bars of 5 to 1,000 px have a colour each, lie in the boxes of
others and 1 px apart. The detector traces the colours, so the truth is known to the pixel: as one
outline for each object of a tile, or as one for each part that a tile shows. An object is missed,
and an output is a duplicate, if it has no partner with an IoU of 0.5, one to one.
"""

from __future__ import annotations

import tempfile
import time
from itertools import product
from pathlib import Path

import numpy as np
import shapely
from rasterio.transform import from_origin

from benchmarks.harness.options import new_parser
from benchmarks.harness.rasters import write_raster
from geodetect import CallableDetector, PredictSettings, predict
from tests.helpers import painted_scenes

WEST_M, NORTH_M = 400_000, 5_200_000
TILES_PX = (256, 512, 1000)
OVERLAPS_PX = (0, 32, 64, 200)


def predict_outlines(
    pixels: painted_scenes.Bytes, detector: painted_scenes.TraceColours, tile: int, overlap: int
) -> painted_scenes.Outlines:
    """Return the outlines that ``geodetect.predict`` gives on a raster, in pixels."""
    settings = PredictSettings(tile_size=tile, overlap=overlap, conf=0, simplify=0)
    grid = {"crs": "EPSG:32633", "transform": from_origin(WEST_M, NORTH_M, 1, 1)}
    with tempfile.TemporaryDirectory() as folder:
        raster = write_raster(Path(folder, "scene.tif"), pixels, **grid, tiled=True, compress="lzw")
        table = predict(raster, CallableDetector(detector), settings=settings)
    return shapely.transform(
        np.asarray(table.geometry.array), lambda xy: (xy - (WEST_M, NORTH_M)) * (1, -1)
    )


def main() -> None:
    """Predict with all tile sizes and overlaps, and print a table."""
    parser = new_parser(__doc__)
    parser.add_argument("--side", type=int, default=4096, help="of the raster in pixels")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    largest = min(1000, options.side * 3 // 4)
    canvas = painted_scenes.outlined(options.side, seed=options.seed, largest=largest)
    *_, truth = painted_scenes.TraceColours()(canvas.pixels)
    print("| tile | overlap | outlines | objects | missed | duplicates | least IoU | seconds |")
    print("|---|---|---|---|---|---|---|---|")
    for tile, overlap, in_parts in product(TILES_PX, OVERLAPS_PX, (False, True)):
        start = time.perf_counter()
        detector = painted_scenes.TraceColours(in_parts)
        outlines = predict_outlines(canvas.pixels, detector, tile, overlap)
        seconds = f"{time.perf_counter() - start:.1f}"
        best, other_best = painted_scenes.best_outline_ious(truth, outlines)
        missed, duplicates = (best < 0.5).sum(), (other_best < 0.5).sum()
        cells = [tile, overlap, "by part" if in_parts else "by object", len(truth)]
        cells += [missed, duplicates, f"{best.min():.4f}", seconds]
        print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
