"""Time and memory of the seam merge as the number of boxes grows.

    python -m benchmarks.speed.seam_merge
    python -m benchmarks.speed.seam_merge --max-boxes 1000000 --peers-python peers/bin/python

A grid of small objects, one to every 30 px, is covered by tiles of 512 px with 64 px overlap. Each
tile detects its objects with boxes whose sides have random errors of up to 2 %, cut at the tile's
edge.

``row by row`` is what ``predict`` does: detections arrive and final objects leave, row by row of
tiles. ``at once`` holds the detections of all tiles. Making them is not counted. torchvision's and
SAHI's non-maximum suppression get the same detections; both keep parts of objects at seams, so they
return more objects than there are. Every measurement is a separate process; memory is the
increase over Python, libraries and, at once, the detections. The exponent is that of the CPU
seconds, from the row of the table before, with a tenth of the boxes.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import scipy.sparse.csgraph  # noqa: F401  the merge imports it on first use: not measured
from numpy.typing import NDArray

from benchmarks.harness.options import new_parser
from benchmarks.harness.processes import Stopwatch, load_average, run_python
from benchmarks.harness.tables import machine, save_table
from benchmarks.peers.programs import add_peers_option, find_peers, run_sahi_nms
from benchmarks.peers.worker import peak_bytes
from geodetect.detection.detections import Detections
from geodetect.detection.seam_merge.merger import SeamMerger
from geodetect.geo.tiles import Tile, TileScheme

TILE_PX, OVERLAP_PX, SPACING_PX = 512, 64, 30
MIN_SIDE_PX, MAX_SIDE_PX, MAX_OFFSET_PX = 6.0, 24.0, 2.5
SIDE_ERROR = 0.02  # largest error, as a fraction of the side
MIN_VISIBLE_PX = 2.0
IOU = 0.5
BOXES_PER_TILE = 315
SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
REPEATED_BELOW = 1_000_000
TARGET_SECONDS, TARGET_BYTES, TARGET_EXPONENT = 10.0, 1e9, 1.1


@dataclass(frozen=True)
class Field:
    """Objects, one in each cell of a grid, and the detections of tiles.

    Args:
        scheme: The tiles.
    """

    scheme: TileScheme

    @classmethod
    def with_boxes(cls, count: int) -> Field:
        """Return a square field with about this number of detections in all tiles."""
        tiles = max(1, round(math.sqrt(count / BOXES_PER_TILE)))
        side = tiles * (TILE_PX - OVERLAP_PX) + OVERLAP_PX
        return cls(TileScheme(side, side, TILE_PX, OVERLAP_PX))

    @property
    def objects(self) -> int:
        """Number of objects."""
        return (self.scheme.width // SPACING_PX) * (self.scheme.height // SPACING_PX)

    def rows(self) -> Iterator[list[tuple[Tile, Detections]]]:
        """Yield the detections of each row of tiles."""
        for row in range(len(self.scheme.rows)):
            yield [(tile, self.detect(tile)) for tile in self.scheme.tiles_in_row(row)]

    def detections(self) -> Detections:
        """Return the detections of all tiles."""
        return Detections.concatenate([boxes for row in self.rows() for _, boxes in row])

    def detect(self, tile: Tile) -> Detections:
        """Return the detections of a tile."""
        first, last = (edge // SPACING_PX for edge in (tile.y, tile.y + tile.height))
        left, right = (edge // SPACING_PX for edge in (tile.x, tile.x + tile.width))
        cell_rows = range(max(0, first - 1), min(last + 1, self.scheme.height // SPACING_PX))
        count = self.scheme.width // SPACING_PX
        columns = slice(max(0, left - 1), min(right + 1, count))
        objects = np.concatenate([_object_row(row, count)[columns] for row in cell_rows])
        rng = np.random.default_rng([2, tile.index])
        sides = np.tile(objects[:, 2:] - objects[:, :2], 2)
        boxes = objects + sides * rng.uniform(-SIDE_ERROR, SIDE_ERROR, objects.shape)
        boxes = np.clip(boxes, np.tile(tile.box[:2], 2), np.tile(tile.box[2:], 2))
        boxes = boxes[(boxes[:, 2:] - boxes[:, :2] >= MIN_VISIBLE_PX).all(axis=1)]
        return Detections.from_arrays(boxes, rng.uniform(0.3, 1, len(boxes)).astype(np.float32))


@cache
def _object_row(row: int, count: int) -> NDArray[np.float64]:
    """Return the boxes of the objects in one row of cells, ``float64[count, 4]``."""
    rng = np.random.default_rng([1, row])
    x = (np.arange(count) + 0.5) * SPACING_PX + rng.uniform(-MAX_OFFSET_PX, MAX_OFFSET_PX, count)
    y = (row + 0.5) * SPACING_PX + rng.uniform(-MAX_OFFSET_PX, MAX_OFFSET_PX, count)
    half = rng.uniform(MIN_SIDE_PX, MAX_SIDE_PX, (2, count)) / 2
    return np.stack([x - half[0], y - half[1], x + half[0], y + half[1]], axis=1)


def merge_row_by_row(field: Field) -> dict[str, float]:
    """Run the seam merge as ``predict`` does."""
    merger, merged, boxes = SeamMerger(field.scheme, iou=IOU), list[Detections](), 0
    stopwatch, base = Stopwatch(), peak_bytes()
    for number, row in enumerate(field.rows()):
        _object_row.cache_clear()
        boxes += sum(len(detections) for _, detections in row)
        with stopwatch:
            merged.append(merger.take_final(number))
            for tile, detections in row:
                merger.add(tile, detections)
    with stopwatch:
        objects = Detections.concatenate([*merged, merger.finish()])
    return _collect_result(boxes, stopwatch, base, len(objects))


def merge_at_once(field: Field) -> dict[str, float]:
    """Run the seam merge on the detections of all tiles."""
    rows = list(field.rows())
    _object_row.cache_clear()
    boxes = sum(len(detections) for row in rows for _, detections in row)
    stopwatch, base = Stopwatch(), peak_bytes()
    with stopwatch:
        merger = SeamMerger(field.scheme, iou=IOU)
        for row in rows:
            for tile, detections in row:
                merger.add(tile, detections)
        objects = merger.finish()
    return _collect_result(boxes, stopwatch, base, len(objects))


def nms_torchvision(field: Field) -> dict[str, float]:
    """Run torchvision's non-maximum suppression on the detections of all tiles."""
    import torch
    from torchvision.ops import nms

    detections = field.detections()
    boxes, scores = torch.from_numpy(detections.boxes).float(), torch.from_numpy(detections.scores)
    nms(boxes[:2], scores[:2], IOU)
    stopwatch, base = Stopwatch(), peak_bytes()
    with stopwatch:
        objects = nms(boxes, scores, IOU)
    return _collect_result(len(detections), stopwatch, base, len(objects))


def _collect_result(boxes: int, stopwatch: Stopwatch, base: int, objects: int) -> dict[str, float]:
    peak = peak_bytes()
    return {
        "boxes": boxes,
        "seconds": stopwatch.seconds,
        "cpu_s": stopwatch.cpu_s,
        "memory": peak - base,
        "peak": peak,
        "objects": objects,
    }


def nms_sahi(field: Field, python: str) -> dict[str, float]:
    """Run SAHI's non-maximum suppression on the detections of all tiles."""
    detections = field.detections()
    with TemporaryDirectory() as folder:
        file = Path(folder, "detections.npz")
        np.savez(file, boxes=detections.boxes, scores=detections.scores)
        result = run_sahi_nms({"detections": str(file), "iou": IOU}, python=python)
    return {"boxes": len(detections), **result, "memory": result["peak"] - result["before"]}


METHODS: dict[str, Callable[[Field], dict[str, float]]] = {
    "row by row": merge_row_by_row,
    "at once": merge_at_once,
    "torchvision": nms_torchvision,
}


def measure(method: str, boxes: int, python: str) -> dict[str, float]:
    """Run one method in separate processes, three times if small; return the fastest run."""
    runs = []
    for _ in range(3 if boxes < REPEATED_BELOW else 1):
        if method == "SAHI":
            runs.append(nms_sahi(Field.with_boxes(boxes), python))
        else:
            job = ["-m", __spec__.name, "--method", method, "--max-boxes", str(boxes)]
            runs.append(json.loads(run_python(job).output))
    return min(runs, key=lambda run: run["seconds"])


def format_row(
    method: str, boxes: int, result: dict[str, float], smaller: dict[str, float] | None
) -> dict[str, str]:
    """Return one row of the table.

    Args:
        method: Its name.
        boxes: Nominal number of boxes.
        result: Measurement.
        smaller: Measurement with a tenth of the boxes; None: this is the first.
    """
    exponent = "-"
    if smaller is not None:
        growth = math.log(result["boxes"] / smaller["boxes"])
        exponent = f"{math.log(result['cpu_s'] / smaller['cpu_s']) / growth:.2f}"
    return {
        "method": method,
        "boxes": f"{int(result['boxes']):,}",
        "seconds": f"{result['seconds']:.3g}",
        "CPU seconds": f"{result['cpu_s']:.3g}",
        "exponent": exponent,
        "memory": f"{result['memory'] / 1e6:,.0f} MB",
        "whole process": f"{result['peak'] / 1e6:,.0f} MB",
        "objects": f"{int(result['objects']):,} of {Field.with_boxes(boxes).objects:,}",
    }


def main() -> None:
    """Measure all methods and sizes and print the table."""
    parser = new_parser(__doc__)
    parser.add_argument("--max-boxes", type=int, default=SIZES[-1])
    parser.add_argument("--max-boxes-at-once", type=int, default=SIZES[-1])
    parser.add_argument("--max-boxes-peers", type=int, default=100_000)
    parser.add_argument("--method", choices=METHODS, help=argparse.SUPPRESS)
    add_peers_option(parser)
    options = parser.parse_args()
    if options.method:
        print(json.dumps(METHODS[options.method](Field.with_boxes(options.max_boxes))))
        return
    pythons = find_peers(options.peers_python, ["sahi"])
    limits = {
        "row by row": options.max_boxes,
        "at once": min(options.max_boxes, options.max_boxes_at_once),
    }
    rows = []
    for method in (*METHODS, *(["SAHI"] if "sahi" in pythons else [])):
        smaller = None
        for boxes in SIZES:
            if boxes > limits.get(method, options.max_boxes_peers):
                break
            result = measure(method, boxes, pythons.get("sahi", ""))
            rows.append(format_row(method, boxes, result, smaller))
            smaller = result
            print(*rows[-1].values(), flush=True)
    title = (
        f"Merging (target: 1,000,000 in {TARGET_SECONDS:g} s and {TARGET_BYTES / 1e9:g} GB, "
        f"exponent up to {TARGET_EXPONENT:g}) on {machine()}, {load_average()}"
    )
    save_table("speed/seam_merge", title, rows)


if __name__ == "__main__":
    main()
