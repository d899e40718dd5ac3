"""Painted scenes: every object has its own colour, so a toy detector can read the truth back."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio import features
from shapely.geometry import shape

from geodetect.detection.detections import Detections
from geodetect.geo import boxes as box_ops
from geodetect.geo.tiles import Tile, TileScheme

Float = NDArray[np.float64]
Bytes = NDArray[np.uint8]
Shape = NDArray[np.bool_]
Outlines = NDArray[np.object_]
Arrays = tuple[Float, Float, NDArray[np.int64]]
ReadColours = Callable[[Bytes], Arrays | tuple[Float, Float, NDArray[np.int64], Outlines]]


class Canvas:
    """Black square image on which each shape is painted in a new colour."""

    def __init__(self, side: int) -> None:
        self.colour = np.zeros((side, side), np.uint32)
        self.taken = np.zeros((side, side), bool)
        self.count = 0

    @property
    def side(self) -> int:
        return len(self.colour)

    @property
    def pixels(self) -> Bytes:
        """``uint8[3, H, W]``."""
        return np.stack([(self.colour >> shift).astype(np.uint8) for shift in (0, 8, 16)])

    @property
    def truth(self) -> Float:
        """The boxes of all objects, ``float64[N, 4]``."""
        return read_colours(self.pixels)[0]

    def paint(self, shape: Shape, x: int, y: int) -> None:
        """Paint a shape with its upper left corner at (x, y); what sticks out is cut off."""
        shape = shape[max(-y, 0) : self.side - y, max(-x, 0) : self.side - x]
        if shape.any():
            self.count += 1
            y, x = max(y, 0), max(x, 0)
            place = slice(y, y + shape.shape[0]), slice(x, x + shape.shape[1])
            self.colour[place][shape] = self.count
            self.taken[place] = True

    def is_free(self, x: int, y: int, width: int, height: int, *, boxes: bool = False) -> bool:
        """Return True if a box is 1 px away from all shapes, or from the boxes around them."""
        place = slice(max(y - 1, 0), y + height + 1), slice(max(x - 1, 0), x + width + 1)
        return not (self.taken if boxes else self.colour)[place].any()


def rectangle(width: int, height: int) -> Shape:
    return np.ones((height, width), bool)


def ellipse(width: int, height: int) -> Shape:
    y, x = np.mgrid[:height, :width] + 0.5
    return (x / width * 2 - 1) ** 2 + (y / height * 2 - 1) ** 2 <= 1.0


def diagonal(side: int, thickness: int, *, rising: bool = False) -> Shape:
    y, x = np.mgrid[:side, :side]
    strip = np.abs(x - y) < thickness
    return strip[::-1] if rising else strip


def ring(width: int, height: int, thickness: int) -> Shape:
    shape = rectangle(width, height)
    shape[thickness:-thickness, thickness:-thickness] = False
    return shape


def horseshoe(width: int, height: int, thickness: int) -> Shape:
    shape = ring(width, height, thickness)
    shape[:thickness, thickness:-thickness] = False
    return shape


def l_shape(width: int, height: int, thickness: int) -> Shape:
    shape = rectangle(width, height)
    shape[:-thickness, thickness:] = False
    return shape


def disc_ring(side: int, thickness: int) -> Shape:
    shape = ellipse(side, side)
    inner = side - 2 * thickness
    if inner > 0:
        shape[thickness:-thickness, thickness:-thickness] &= ~ellipse(inner, inner)
    return shape


def outlined(side: int, *, seed: int, largest: int = 1000) -> Canvas:
    """L shapes, rings, discs and diagonal bars from 5 px to ``largest``, 1 px apart.

    Boxes overlap, and objects lie within rings and in the corners of others.
    """
    rng = np.random.default_rng(seed)
    canvas = Canvas(side)
    sizes = np.exp(rng.uniform(np.log(5), np.log(largest / 2), 40 * side // 100)).astype(int)
    sizes[:3] = largest, largest // 2, largest // 2
    for i, size in enumerate(np.sort(sizes)[::-1].tolist()):
        thickness = max(3, int(size * rng.uniform(0.08, 0.3)))
        shape = [
            disc_ring(size, thickness),
            diagonal(size, thickness),
            np.rot90(l_shape(size, size, thickness), i // 5 % 4),
            ellipse(size, size),
            diagonal(size, thickness, rising=True),
        ][i % 5]
        grown = np.pad(shape, 1)
        for axis in (0, 1):
            grown |= np.roll(grown, 1, axis) | np.roll(grown, -1, axis)
        x, y = rng.integers(1, side - size, 2).tolist()
        if not (canvas.colour[y - 1 : y + size + 1, x - 1 : x + size + 1][grown] > 0).any():
            canvas.paint(shape, x, y)
    return canvas


def random_shape(rng: np.random.Generator, width: int, height: int) -> Shape:
    return (rectangle if rng.random() < 0.5 else ellipse)(width, height)


def mixed(side: int, *, seed: int, largest: int = 1000, boxes_apart: bool = True) -> Canvas:
    """Rectangles and ellipses from 5 px to ``largest``, anywhere, at least 1 px apart.

    Without ``boxes_apart``, small objects may lie in the corners of the boxes of ellipses.
    """
    rng = np.random.default_rng(seed)
    canvas = Canvas(side)
    sizes = np.exp(rng.uniform(np.log(5), np.log(largest), (side * side // 2000, 2))).astype(int)
    sizes[0] = largest, largest * 2 // 3
    for width, height in sizes[np.argsort(-sizes.prod(1))].tolist():
        x, y = rng.integers(-width // 4, side - width // 2), rng.integers(0, side - height // 2)
        if canvas.is_free(int(x), int(y), width, height, boxes=boxes_apart):
            canvas.paint(random_shape(rng, width, height), int(x), int(y))
    return canvas


def dense(side: int, *, seed: int, largest: int = 40) -> Canvas:
    """Blocks of small rectangles and ellipses, 1 to 3 px apart."""
    rng = np.random.default_rng(seed)
    canvas = Canvas(side)
    y = 0
    while y < side:
        cell = int(np.exp(rng.uniform(np.log(5), np.log(largest))))
        x = int(rng.integers(0, cell))
        while x < side:
            width, height = rng.integers(max(cell * 2 // 3, 5), cell + 1, 2).tolist()
            canvas.paint(random_shape(rng, width, height), x, y)
            x += width + int(rng.integers(1, 4))
        y += cell + int(rng.integers(1, 4))
    return canvas


def diagonals(side: int, *, seed: int, largest: int) -> Canvas:
    """Rows of thin diagonal strips whose boxes overlap their neighbours' at IoU 0.4."""
    rng = np.random.default_rng(seed)
    canvas = Canvas(side)
    y = 0
    while y < side - largest:
        length = int(rng.integers(min(largest, max(8, largest // 2)), largest + 1))
        slanted, rising = bool(rng.integers(2)), bool(rng.integers(2))
        step = round(length * (0.244 if slanted else 3 / 7))  # (1 - s)^2 or 1 - s over the union
        shape = diagonal(length, max(1, step // 2 - 1), rising=rising)
        count = int(rng.integers(3, 8))
        run = step * (count - 1)
        rise = run if slanted else 0
        x = int(rng.integers(0, 20))
        while x + length + run <= side and y + length + rise <= side:
            for i in range(count):
                dy = i * step if rising else rise - i * step
                canvas.paint(shape, x + i * step, y + (dy if slanted else 0))
            x += length + run + int(rng.integers(1, 4))
        y += length + rise + int(rng.integers(1, 4))
    return canvas


def nested(side: int, *, seed: int, largest: int) -> Canvas:
    """Rings and horseshoes with small objects inside their boxes."""
    rng = np.random.default_rng(seed)
    canvas = Canvas(side)
    for size in np.sort(rng.integers(30, largest + 1, side * side // largest**2 * 20))[::-1]:
        width, height = int(size), int(rng.integers(max(20, size // 2), size + 1))
        x, y = rng.integers(0, side - width), rng.integers(0, side - height)
        if not canvas.is_free(int(x), int(y), width, height):
            continue
        outer = ring if rng.random() < 0.5 else horseshoe
        shape = np.rot90(outer(width, height, 3), rng.integers(4))
        if shape.shape != (height, width):
            shape = np.ascontiguousarray(ring(width, height, 3))
        canvas.paint(shape, int(x), int(y))
        for _ in range(12):
            w, h = rng.integers(5, max(6, min(width, height) // 2), 2).tolist()
            dx, dy = rng.integers(4, max(5, width - w - 3)), rng.integers(4, max(5, height - h - 3))
            inside = dx + w + 4 <= width and dy + h + 4 <= height
            if inside and canvas.is_free(int(x + dx), int(y + dy), w, h):
                canvas.paint(random_shape(rng, w, h), int(x + dx), int(y + dy))
    return canvas


def at_the_seams(scheme: TileScheme, *, seed: int, largest: int = 40) -> Canvas:
    """Objects that end exactly at tile edges, with neighbours that start 1 px beyond."""
    rng = np.random.default_rng(seed)
    canvas = Canvas(scheme.width)
    tile = min(scheme.tile_px, scheme.width)
    edges_x = sorted({e + d for s in scheme.columns for e in (s, s + tile) for d in (-1, 0, 1)})
    edges_y = sorted({e + d for s in scheme.rows for e in (s, s + tile) for d in (-1, 0, 1)})
    for y in rng.permutation(edges_y).tolist():
        for x in rng.permutation(edges_x).tolist():
            for right, below in ((0, 0), (0, 1), (1, 0), (1, 1)):
                width, height = rng.integers(5, largest + 1, 2).tolist()
                x1, y1 = x + right if right else x - width, y + below if below else y - height
                fits = 0 <= x1 <= canvas.side - width and 0 <= y1 <= canvas.side - height
                if fits and canvas.is_free(x1, y1, width, height):
                    canvas.paint(random_shape(rng, width, height), x1, y1)
    return canvas


def read_colours(pixels: Bytes) -> Arrays:
    """The box of every colour, ``float64[N, 4]``, with scores and labels.

    Boxes at the edge of the image score higher than others: the worst a detector can do.
    """
    red, green, blue = pixels.astype(np.uint32)
    colour = red | green << 8 | blue << 16
    height, width = colour.shape
    starts = np.ones((height, width), bool)
    starts[:, 1:] = colour[:, 1:] != colour[:, :-1]
    start = np.flatnonzero(starts)
    stop = np.r_[start[1:], colour.size]
    run_colour = colour.ravel()[start]
    painted = run_colour > 0
    start, stop, run_colour = start[painted], stop[painted], run_colour[painted]
    order = np.argsort(run_colour, kind="stable")
    start, stop, run_colour = start[order], stop[order], run_colour[order]
    first = np.flatnonzero(np.r_[True, run_colour[1:] != run_colour[:-1]][: len(order)])
    if not len(first):
        return np.empty((0, 4)), np.empty(0), np.empty(0, np.int64)
    x1 = np.minimum.reduceat(start % width, first)
    y1 = np.minimum.reduceat(start // width, first)
    x2 = np.maximum.reduceat((stop - 1) % width, first) + 1
    y2 = np.maximum.reduceat((stop - 1) // width, first) + 1
    at_edge = (x1 == 0) | (y1 == 0) | (x2 == width) | (y2 == height)
    boxes = np.stack([x1, y1, x2, y2], axis=1).astype(np.float64)
    return boxes, np.where(at_edge, 0.95, 0.6), np.zeros(len(boxes), np.int64)


@dataclass(frozen=True)
class TraceColours:
    """Reads colours with outlines.

    Args:
        in_parts: Parts of an object that an image shows apart are several detections, as those of
            a network; else one.
        jitter: Largest error of each side of an outline in shares of its box; the same image gives
            the same errors.
    """

    in_parts: bool = False
    jitter: float = 0.0

    def __call__(self, pixels: Bytes) -> tuple[Float, Float, NDArray[np.int64], Outlines]:
        """Return boxes, scores and labels as ``read_colours``, and outlines."""
        red, green, blue = pixels.astype(np.int32)
        colour = red | green << 8 | blue << 16
        polygons = [
            (int(value), shapely.make_valid(shape(geometry)))
            for geometry, value in features.shapes(colour, mask=colour > 0, connectivity=8)
        ]
        if not self.in_parts:
            by_colour: dict[int, list[shapely.Geometry]] = {}
            for value, polygon in polygons:
                by_colour.setdefault(value, []).append(polygon)
            polygons = [(value, shapely.union_all(parts)) for value, parts in by_colour.items()]
        outlines = np.fromiter((polygon for _, polygon in polygons), dtype=object)
        frame = np.array([0, 0, colour.shape[1], colour.shape[0]])
        if self.jitter:
            rng = np.random.default_rng(zlib.crc32(pixels.tobytes()))
            errors = rng.uniform(-self.jitter, self.jitter, (len(outlines), 4))
            outlines = shapely.intersection(_jittered(outlines, errors), shapely.box(*frame))
            outlines = outlines[shapely.area(outlines) > 0]
        boxes = shapely.bounds(outlines).reshape(-1, 4)
        scores = np.where((boxes == frame).any(axis=1), 0.95, 0.6)
        return boxes, scores, np.zeros(len(boxes), np.int64), outlines


def _jittered(outlines: Outlines, errors: Float) -> Outlines:
    """Stretch outlines so that the sides of their boxes move by fractions of them ``[N, 4]``."""
    points, rows = shapely.get_coordinates(outlines, return_index=True)
    low, high = np.split(shapely.bounds(outlines).reshape(-1, 4), 2, axis=1)
    shares = (points - low[rows]) / (high - low)[rows]
    moves = errors[rows, :2] * (1 - shares) + errors[rows, 2:] * shares
    return shapely.set_coordinates(outlines.copy(), points + moves * (high - low)[rows])


@dataclass(frozen=True)
class Jittered:
    """Reads colours with errors; the same image gives the same errors.

    Args:
        share: Error of each side in shares of the box: the largest one if uniform, else sigma.
        normal: Normal errors instead of uniform ones.
        clipped: Cut off what sticks out of the image.
        seed: Another one gives other errors.
    """

    share: float
    normal: bool = False
    clipped: bool = True
    seed: int = 0

    def __call__(self, pixels: Bytes) -> Arrays:
        boxes, scores, labels = read_colours(pixels)
        rng = np.random.default_rng((zlib.crc32(pixels.tobytes()), self.seed))
        draw = rng.standard_normal if self.normal else lambda size: rng.uniform(-1, 1, size)
        extents = np.tile(boxes[:, 2:] - boxes[:, :2], (1, 2))
        boxes = boxes + draw(boxes.shape) * self.share * extents
        if self.clipped:
            frame = np.array([0, 0, pixels.shape[2], pixels.shape[1]], np.float64)
            boxes = box_ops.clip(boxes, frame)
        return boxes, scores, labels


def detect_tiles(
    pixels: Bytes, scheme: TileScheme, detector: ReadColours = read_colours
) -> list[tuple[Tile, Detections]]:
    """Detections of every tile, boxes in pixels of the whole raster."""
    parts = []
    for tile in scheme:
        window = pixels[:, tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]
        boxes, scores, labels, *outlines = detector(window)
        detections = Detections.from_arrays(
            boxes, scores, labels, outlines=outlines[0] if outlines else None
        )
        parts.append((tile, detections.shifted(tile.x, tile.y)))
    return parts


@dataclass(frozen=True)
class ErrorCounts:
    """Numbers of objects, and of errors of each kind."""

    objects: int
    lost: int
    doubled: int
    inexact: int


def count_errors(truth: Float, predictions: Float) -> ErrorCounts:
    """Match one to one at IoU 0.5, best first, and count what is left."""
    pairs = box_ops.overlap_pairs(truth, predictions)
    overlap = box_ops.iou(truth[pairs[:, 0]], predictions[pairs[:, 1]])
    matched_truth, matched_predictions, exact = set(), set(), 0
    for row in np.argsort(-overlap, kind="stable").tolist():
        a, b = pairs[row].tolist()
        if overlap[row] < 0.5:
            break
        if a not in matched_truth and b not in matched_predictions:
            matched_truth.add(a)
            matched_predictions.add(b)
            exact += bool((truth[a] == predictions[b]).all())
    n = len(matched_truth)
    return ErrorCounts(len(truth), len(truth) - n, len(predictions) - n, n - exact)


def best_outline_ious(truth: Outlines, predictions: Outlines) -> tuple[Float, Float]:
    """Return the IoU of each true outline with its prediction, and of each prediction.

    They are matched one to one, best first; 0 for those without a partner.
    """
    a, b = shapely.STRtree(predictions).query(truth, predicate="intersects")
    shared = shapely.area(shapely.intersection(truth[a], predictions[b]))
    overlap = shared / (shapely.area(truth)[a] + shapely.area(predictions)[b] - shared)
    best, other_best = np.zeros(len(truth)), np.zeros(len(predictions))
    for row in np.argsort(-overlap, kind="stable").tolist():
        if best[a[row]] == 0 and other_best[b[row]] == 0:
            best[a[row]] = other_best[b[row]] = overlap[row]
    return best, other_best


def least_outline_iou(truth: Outlines, predictions: Outlines) -> float:
    """Return the lowest IoU of outlines, 0 if one is lost or doubled."""
    return float(min(ious.min() for ious in best_outline_ious(truth, predictions)))


def detect_nothing(pixels: Bytes) -> tuple[list[float], list[float], list[int]]:
    return [], [], []
