"""Time and memory of the seam merge as the number of boxes grows.

    python -m benchmarks.speed.seam_merge
    python -m benchmarks.speed.seam_merge --most 1000000 --peers-python peers/bin/python

A field of small objects, one to every 30 px, is seen by tiles of 512 px with 64 px overlap. Each
tile has its own view of an object, with sides that are off by up to 2 %, cut at the tile's edge.
``row by row`` is what ``predict`` does: views arrive and final objects leave, row by row of tiles.
``at once`` holds all views. Making the views is not counted. torchvision's and SAHI's non-maximum
suppression get the same views; both leave pieces at seams standing, so they find more objects than
there are. Every measurement is a process of its own; memory is what it takes beyond holding
Python, libraries and, at once, the views. The exponent is that of the processor seconds, from the
row of the table before, with a tenth of the boxes.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.tables import machine, save_table
from benchmarks.peers.programs import HELP, find_peers, run_sahi_merge
from benchmarks.peers.worker import peak_bytes
from geodetect.detection.detections import Detections
from geodetect.detection.seam_merge.merger import SeamMerger
from geodetect.geo.tiles import Tile, TileScheme

TILE_PX, OVERLAP_PX, SPACING_PX = 512, 64, 30
SMALLEST_PX, LARGEST_PX, AWAY_PX = 6.0, 24.0, 2.5
OFF = 0.02  # of a side of a view, at most
LEAST_VISIBLE_PX = 2.0
IOU = 0.5
VIEWS_PER_TILE = 315
SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
REPEATS_BELOW = 1_000_000
WANTED_SECONDS, WANTED_BYTES, WANTED_EXPONENT = 10.0, 1e9, 1.1

Views = list[tuple[Tile, Detections]]


@dataclass
class Clock:
    """Adds up the time spent inside it.

    Args:
        seconds: By the clock.
        processor_s: Of all processors, which other work on the machine hardly changes.
    """

    seconds: float = 0.0
    processor_s: float = 0.0

    def __enter__(self) -> None:
        self.seconds -= time.perf_counter()
        self.processor_s -= time.process_time()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter()
        self.processor_s += time.process_time()


@dataclass(frozen=True)
class Field:
    """Objects, one in each cell of a grid, as tiles see them.

    Args:
        scheme: The tiles.
    """

    scheme: TileScheme

    @classmethod
    def of(cls, views: int) -> Field:
        """A square field of about so many views."""
        tiles = max(1, round(math.sqrt(views / VIEWS_PER_TILE)))
        side = tiles * (TILE_PX - OVERLAP_PX) + OVERLAP_PX
        return cls(TileScheme(side, side, TILE_PX, OVERLAP_PX))

    @property
    def objects(self) -> int:
        """How many there are."""
        return (self.scheme.width // SPACING_PX) * (self.scheme.height // SPACING_PX)

    def rows(self) -> Iterator[Views]:
        """Views of each row of tiles."""
        for row in range(len(self.scheme.rows)):
            yield [(tile, self._seen(tile)) for tile in self.scheme.row(row)]

    def _seen(self, tile: Tile) -> Detections:
        first, last = (n // SPACING_PX for n in (tile.y, tile.y + tile.height))
        left, right = (n // SPACING_PX for n in (tile.x, tile.x + tile.width))
        cells = range(max(0, first - 1), min(last + 1, self.scheme.height // SPACING_PX))
        count = self.scheme.width // SPACING_PX
        columns = slice(max(0, left - 1), min(right + 1, count))
        boxes = np.concatenate([_objects(cell, count)[columns] for cell in cells])
        return _view(boxes, tile)


@cache
def _objects(cell: int, count: int) -> NDArray[np.float64]:
    """Boxes of the objects in one row of cells, ``float64[count, 4]``."""
    chance = np.random.default_rng([1, cell])
    centre = (np.arange(count) + 0.5) * SPACING_PX + chance.uniform(-AWAY_PX, AWAY_PX, count)
    middle = (cell + 0.5) * SPACING_PX + chance.uniform(-AWAY_PX, AWAY_PX, count)
    half = chance.uniform(SMALLEST_PX, LARGEST_PX, (2, count)) / 2
    return np.stack([centre - half[0], middle - half[1], centre + half[0], middle + half[1]], 1)


def _view(boxes: NDArray[np.float64], tile: Tile) -> Detections:
    """What a tile sees of objects."""
    chance = np.random.default_rng([2, tile.index])
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    seen = boxes + sides * chance.uniform(-OFF, OFF, boxes.shape)
    seen = np.clip(seen, np.tile(tile.box[:2], 2), np.tile(tile.box[2:], 2))
    seen = seen[(seen[:, 2:] - seen[:, :2] >= LEAST_VISIBLE_PX).all(axis=1)]
    return Detections.from_arrays(seen, chance.uniform(0.3, 1, len(seen)).astype(np.float32))


def row_by_row(field: Field) -> dict[str, float]:
    """The seam merge as ``predict`` uses it."""
    merger, finished, views = SeamMerger(field.scheme, iou=IOU), list[Detections](), 0
    clock, base = Clock(), peak_bytes()
    for number, row in enumerate(field.rows()):
        _objects.cache_clear()
        views += sum(len(found) for _, found in row)
        with clock:
            finished.append(merger.take_final(number))
            for tile, found in row:
                merger.add(tile, found)
    with clock:
        merged = Detections.concatenate([*finished, merger.finish()])
    return _result(views, clock, base, len(merged))


def at_once(field: Field) -> dict[str, float]:
    """The seam merge of all views together."""
    rows = list(field.rows())
    _objects.cache_clear()
    views = sum(len(found) for row in rows for _, found in row)
    clock, base = Clock(), peak_bytes()
    with clock:
        merger = SeamMerger(field.scheme, iou=IOU)
        for row in rows:
            for tile, found in row:
                merger.add(tile, found)
        merged = merger.finish()
    return _result(views, clock, base, len(merged))


def torchvision(field: Field) -> dict[str, float]:
    """Non-maximum suppression of all views by torchvision."""
    import torch
    from torchvision.ops import nms

    found = Detections.concatenate([found for row in field.rows() for _, found in row])
    boxes, scores = torch.from_numpy(found.boxes).float(), torch.from_numpy(found.scores)
    nms(boxes[:2], scores[:2], IOU)
    clock, base = Clock(), peak_bytes()
    with clock:
        kept = nms(boxes, scores, IOU)
    return _result(len(found), clock, base, len(kept))


def sahi(field: Field, python: str) -> dict[str, float]:
    """Non-maximum suppression of all views by SAHI."""
    found = Detections.concatenate([found for row in field.rows() for _, found in row])
    with TemporaryDirectory() as folder:
        views = Path(folder, "views.npz")
        np.savez(views, boxes=found.boxes, scores=found.scores)
        result = run_sahi_merge({"views": str(views), "iou": IOU}, python=python)
    return {"views": len(found), **result, "memory": result["peak"] - result["before"]}


WAYS: dict[str, Callable[[Field], dict[str, float]]] = {
    "row by row": row_by_row,
    "at once": at_once,
    "torchvision": torchvision,
}


def _result(views: int, clock: Clock, base: int, objects: int) -> dict[str, float]:
    peak = peak_bytes()
    return {
        "views": views,
        "seconds": clock.seconds,
        "processor_s": clock.processor_s,
        "memory": peak - base,
        "peak": peak,
        "objects": objects,
    }


def measure(way: str, views: int, python: str) -> dict[str, float]:
    """One way with so many views, each run in a process of its own; the fastest of three small."""
    runs = []
    for _ in range(3 if views < REPEATS_BELOW else 1):
        if way == "SAHI":
            runs.append(sahi(Field.of(views), python))
        else:
            command = [sys.executable, "-m", __spec__.name, "--one", way, "--most", str(views)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
            runs.append(json.loads(done.stdout))
    return min(runs, key=lambda run: run["seconds"])


def row_of(way: str, views: int, result: dict[str, float], before: dict[str, float] | None) -> dict:
    """One row of the table."""
    exponent = "-"
    if before is not None:
        more = math.log(result["views"] / before["views"])
        exponent = f"{math.log(result['processor_s'] / before['processor_s']) / more:.2f}"
    return {
        "way": way,
        "boxes": f"{int(result['views']):,}",
        "seconds": f"{result['seconds']:.3g}",
        "processor seconds": f"{result['processor_s']:.3g}",
        "exponent": exponent,
        "memory": f"{result['memory'] / 1e6:,.0f} MB",
        "whole process": f"{result['peak'] / 1e6:,.0f} MB",
        "objects": f"{int(result['objects']):,} of {Field.of(views).objects:,}",
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--most", type=int, default=SIZES[-1], help="boxes")
    parser.add_argument("--at-once-most", type=int, default=SIZES[-1], help="boxes at once")
    parser.add_argument("--peers-most", type=int, default=100_000, help="boxes for the others")
    parser.add_argument("--peers-python", action="append", default=[], metavar="PATH", help=HELP)
    parser.add_argument("--one", choices=WAYS, help="measure one way in this process, as JSON")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(WAYS[options.one](Field.of(options.most))))
        return
    pythons = find_peers(options.peers_python)
    table = []
    for way in (*WAYS, *(["SAHI"] if "sahi" in pythons else [])):
        limits = {"row by row": options.most, "at once": min(options.most, options.at_once_most)}
        most = limits.get(way, options.peers_most)
        before = None
        for views in (size for size in SIZES if size <= most):
            result = measure(way, views, pythons.get("sahi", ""))
            table.append(row_of(way, views, result, before))
            before = result
            print(*table[-1].values(), flush=True)
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    title = (
        f"Merging (wanted: 1,000,000 in {WANTED_SECONDS:g} s and {WANTED_BYTES / 1e9:g} GB, "
        f"exponent up to {WANTED_EXPONENT:g}) on {machine()}{load}"
    )
    save_table("speed/seam_merge", title, table)


if __name__ == "__main__":
    main()
