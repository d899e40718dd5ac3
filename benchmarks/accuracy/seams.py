"""Objects that ``predict`` misses or duplicates at tile seams, over painted scenes.

    python -m benchmarks.accuracy.seams
    python -m benchmarks.accuracy.seams --side 1024 --kinds mixed,dense --seed 2
    python -m benchmarks.accuracy.seams --unclipped

Every object of a scene has its own colour and a toy detector reads the colours back, so the truth
is known to the pixel. Objects that a tile edge cuts score higher than whole ones, the worst case.
With jitter every side of every box moves by up to 4 % of the box. An object is missed if no output
has an IoU of 0.5 with it, one to one; outputs beyond that are duplicates; without jitter, matched
boxes that differ from the truth are inexact.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.transform import from_origin

from benchmarks.harness.options import new_parser
from benchmarks.harness.rasters import write_raster
from geodetect import CallableDetector, PredictSettings, predict
from geodetect.geo.tiles import TileScheme
from tests.helpers import painted_scenes

WEST_M, NORTH_M = 400_000, 5_200_000
TILES_PX = (256, 512, 1000)
OVERLAPS_PX = (0, 32, 64, 200)
MIN_JITTER_OVERLAP_PX = 48
MIN_OVERLAP_PX = {"diagonals": 20, "corners": 20}  # boxes overlap: ambiguous without

Paint = Callable[[TileScheme, int], painted_scenes.Canvas]
KINDS: dict[str, Paint] = {
    "mixed": lambda scheme, seed: painted_scenes.mixed(scheme.width, seed=seed),
    "corners": lambda scheme, seed: painted_scenes.mixed(
        scheme.width, seed=seed, boxes_apart=False
    ),
    "dense": lambda scheme, seed: painted_scenes.dense(scheme.width, seed=seed),
    "diagonals": lambda scheme, seed: painted_scenes.diagonals(
        scheme.width, seed=seed, largest=scheme.overlap_px
    ),
    "nested": lambda scheme, seed: painted_scenes.nested(scheme.width, seed=seed, largest=200),
    "seams": lambda scheme, seed: painted_scenes.at_the_seams(scheme, seed=seed),
}


def predict_boxes(
    pixels: painted_scenes.Bytes, scheme: TileScheme, detector: painted_scenes.ReadColours
) -> NDArray[np.float64]:
    """Return the boxes that ``geodetect.predict`` finds on a raster, ``float64[N, 4]`` pixels."""
    settings = PredictSettings(tile_size=scheme.tile_px, overlap=scheme.overlap_px, conf=0)
    grid = {"crs": "EPSG:32633", "transform": from_origin(WEST_M, NORTH_M, 1, 1)}
    with tempfile.TemporaryDirectory() as folder:
        raster = write_raster(Path(folder, "scene.tif"), pixels, **grid, tiled=True, compress="lzw")
        table = predict(raster, CallableDetector(detector), settings=settings)
    x1, y1, x2, y2 = table.geometry.bounds.to_numpy().T
    return np.stack([x1 - WEST_M, NORTH_M - y2, x2 - WEST_M, NORTH_M - y1], axis=1)


def tile_schemes(side: int, kind: str) -> Iterator[TileScheme]:
    """Yield all tile schemes on which a kind of scene is defined."""
    for tile_px in TILES_PX:
        for overlap_px in OVERLAPS_PX:
            if MIN_OVERLAP_PX.get(kind, 0) <= overlap_px < tile_px:
                yield TileScheme(side, side, tile_px, overlap_px)


def detectors(
    scheme: TileScheme, *, clipped: bool
) -> Iterator[tuple[str, painted_scenes.ReadColours]]:
    """Yield the exact detector and, where the overlap allows it, jittered ones."""
    yield "none", painted_scenes.read_colours
    if scheme.overlap_px >= MIN_JITTER_OVERLAP_PX:
        yield "4 %", painted_scenes.Jittered(0.04, clipped=clipped)
        yield "sigma 2 %", painted_scenes.Jittered(0.02, normal=True, clipped=clipped)


def main() -> None:
    """Predict on all scenes, tile schemes and detectors, and print a table."""
    parser = new_parser(__doc__)
    parser.add_argument("--side", type=int, default=4096, help="of the raster in pixels")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument(
        "--unclipped", action="store_true", help="let jittered boxes reach beyond their tile"
    )
    options = parser.parse_args()
    print("| scene | tile | overlap | jitter | objects | missed | duplicates | inexact | seconds |")
    print("|---|---|---|---|---|---|---|---|---|")
    for kind in options.kinds.split(","):
        for scheme in tile_schemes(options.side, kind):
            canvas = KINDS[kind](scheme, options.seed)
            pixels, truth = canvas.pixels, canvas.truth
            for jitter, detector in detectors(scheme, clipped=not options.unclipped):
                start = time.perf_counter()
                result = painted_scenes.count_errors(truth, predict_boxes(pixels, scheme, detector))
                seconds = f"{time.perf_counter() - start:.1f}"
                cells = [kind, scheme.tile_px, scheme.overlap_px, jitter, result.objects]
                cells += [result.lost, result.doubled]
                cells += [result.inexact if jitter == "none" else "-", seconds]
                print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
