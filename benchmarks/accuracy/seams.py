"""Count the objects that prediction loses or doubles at seams, over painted scenes.

Usage::

    python -m benchmarks.accuracy.seams [--side 4096] [--seed 1] [--kinds mixed,dense,...] [--raw]

Every object of a scene has its own colour and a toy detector reads the colours back, so the truth
is known to the pixel. Pieces cut by a tile edge score higher than whole objects. With jitter every
side of every box moves by up to 4 % of the box. An object is lost if no output has an intersection
over union of 0.5 with it, one to one; outputs beyond that are doubled; without jitter, matched
boxes that differ from the truth are inexact.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin

from geodetect import CallableDetector, PredictSettings, predict
from geodetect.geo.tiles import TileScheme
from tests.helpers import painted

WEST_M, NORTH_M = 400_000, 5_200_000
TILES_PX = (256, 512, 1000)
OVERLAPS_PX = (0, 32, 64, 200)
LEAST_OVERLAP_WITH_JITTER_PX = 48
LEAST_OVERLAP_PX = {"diagonals": 20, "corners": 20}  # boxes overlap: not to be told apart without

Paint = Callable[[TileScheme, int], painted.Canvas]
KINDS: dict[str, Paint] = {
    "mixed": lambda scheme, seed: painted.mixed(scheme.width, seed=seed),
    "corners": lambda scheme, seed: painted.mixed(scheme.width, seed=seed, boxes_apart=False),
    "dense": lambda scheme, seed: painted.dense(scheme.width, seed=seed),
    "diagonals": lambda scheme, seed: painted.diagonals(
        scheme.width, seed=seed, largest=scheme.overlap_px
    ),
    "nested": lambda scheme, seed: painted.nested(scheme.width, seed=seed, largest=200),
    "seams": lambda scheme, seed: painted.at_the_seams(scheme, seed=seed),
}


def found(
    pixels: painted.Bytes, scheme: TileScheme, detector: painted.ReadColours
) -> NDArray[np.float64]:
    """The boxes in pixels that `geodetect.predict` finds on a raster, ``float64[N, 4]``."""
    settings = PredictSettings(tile_size=scheme.tile_px, overlap=scheme.overlap_px, conf=0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "scene.tif")
        write_raster(path, pixels)
        table = predict(path, CallableDetector(detector), settings=settings)
    x1, y1, x2, y2 = table.geometry.bounds.to_numpy().T
    return np.stack([x1 - WEST_M, NORTH_M - y2, x2 - WEST_M, NORTH_M - y1], axis=1)


def write_raster(path: Path, pixels: painted.Bytes) -> None:
    """A GeoTIFF with pixels of 1 m."""
    count, height, width = pixels.shape
    shape = {"count": count, "height": height, "width": width}
    where = {"crs": "EPSG:32633", "transform": from_origin(WEST_M, NORTH_M, 1, 1)}
    blocks = {"tiled": True, "compress": "lzw"}
    with rasterio.open(path, "w", "GTiff", dtype="uint8", **shape, **where, **blocks) as file:
        file.write(pixels)


def schemes(side: int, kind: str) -> Iterator[TileScheme]:
    """All tile schemes on which a kind of scene is defined."""
    for tile_px in TILES_PX:
        for overlap_px in OVERLAPS_PX:
            if LEAST_OVERLAP_PX.get(kind, 0) <= overlap_px < tile_px:
                yield TileScheme(side, side, tile_px, overlap_px)


def detectors(scheme: TileScheme, *, raw: bool) -> Iterator[tuple[str, painted.ReadColours]]:
    """The exact detector and, where the overlap allows it, jittered ones."""
    yield "none", painted.read_colours
    if scheme.overlap_px >= LEAST_OVERLAP_WITH_JITTER_PX:
        yield "4 %", painted.Jittered(0.04, clipped=not raw)
        yield "sigma 2 %", painted.Jittered(0.02, normal=True, clipped=not raw)


def main() -> None:
    """Run the matrix and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=4096, help="side of the raster in px")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--raw", action="store_true", help="let jittered boxes leave their tile")
    options = parser.parse_args()
    print("| scene | tile | overlap | jitter | objects | lost | doubled | inexact | seconds |")
    print("|---|---|---|---|---|---|---|---|---|")
    for kind in options.kinds.split(","):
        for scheme in schemes(options.side, kind):
            canvas = KINDS[kind](scheme, options.seed)
            pixels, truth = canvas.pixels, canvas.truth
            for name, detector in detectors(scheme, raw=options.raw):
                start = time.perf_counter()
                tally = painted.compare(truth, found(pixels, scheme, detector))
                seconds = time.perf_counter() - start
                inexact = tally.inexact if name == "none" else "-"
                print(
                    f"| {kind} | {scheme.tile_px} | {scheme.overlap_px} | {name} "
                    f"| {tally.objects} | {tally.lost} | {tally.doubled} | {inexact} "
                    f"| {seconds:.1f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
