"""How well anchors suit the objects of a training, and anchors that suit them better.

An anchor answers for an object from an IoU of 0.5 on (Lin et al. 2017, section 4). Objects lie
anywhere between the cells of a level, so their best IoU is taken at positions spread evenly over
the coarsest cell: for small objects the distance to the nearest cell counts for more than the
size. The share of objects and positions that reach the IoU is the *best-possible recall*.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from geodetect.model.card import NetworkConfig
from geodetect.types import FloatArray

Sizes = tuple[tuple[float, ...], ...]

POSITIVE_IOU = 0.5
SIZE_BINS_PX = (0.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0, 96.0, 128.0, 256.0, np.inf)
POSITIONS = 16
MOST_OBJECTS = 512  # more make no difference to what is measured here
SIZE_OVER_STRIDE = (1.0, 6.0)  # of anchors; the paper's are 4 to 6.3, the field of view of a cell
RATIO_RANGE = (1.0, 4.0)
STEPS = (1.3, 1.12, 1.04)
RECALL_WEIGHT = 0.5


@dataclass(frozen=True)
class Anchors:
    """The anchors of a network.

    Args:
        strides: Strides of the levels, in pixels.
        sizes_px: For each level the square roots of the anchors' areas.
        ratios: Height over width.
    """

    strides: tuple[int, ...]
    sizes_px: Sizes
    ratios: tuple[float, ...]

    @classmethod
    def of(cls, network: NetworkConfig) -> Anchors:
        """The anchors of a network."""
        return cls(network.strides, network.anchor_sizes_px, network.anchor_ratios)


@dataclass(frozen=True)
class RecallBin:
    """Best-possible recall of objects of one size.

    Args:
        low_px: Least size in pixels: the square root of the box's area.
        high_px: Size that is no longer in the bin.
        objects: Objects in it.
        recall: Share that some anchor can answer for, 0..1.
        mean_iou: Mean IoU with the best anchor.
    """

    low_px: float
    high_px: float
    objects: int
    recall: float
    mean_iou: float


def recall_by_size(
    sizes_px: FloatArray, anchors: Anchors, *, iou: float = POSITIVE_IOU
) -> tuple[RecallBin, ...]:
    """Best-possible recall of objects, by their size.

    Args:
        sizes_px: ``float64[N, 2]`` widths and heights of boxes in pixels of the training.
        anchors: Those of the network.
        iou: From which IoU an anchor answers for an object.

    Returns:
        The bins of ``SIZE_BINS_PX`` that hold objects, and last one of all objects, if any.
    """
    mean_side = np.sqrt(sizes_px.prod(axis=1))
    bins = []
    for low, high in [*itertools.pairwise(SIZE_BINS_PX), (0.0, np.inf)]:
        inside = sizes_px[(mean_side >= low) & (mean_side < high)]
        if len(inside):
            best = best_ious(_spread(inside), anchors)
            recall, mean_iou = float((best >= iou).mean()), float(best.mean())
            bins.append(RecallBin(low, float(high), len(inside), recall, mean_iou))
    return tuple(bins)


def best_ious(sizes_px: FloatArray, anchors: Anchors) -> FloatArray:
    """The IoU of boxes with their best anchor, at positions spread over the coarsest cell.

    Args:
        sizes_px: ``float64[N, 2]`` widths and heights in pixels.
        anchors: Those of the network.

    Returns:
        ``float64[N, POSITIONS]`` in 0..1.
    """
    positions = _positions(max(anchors.strides))
    best = np.zeros((len(sizes_px), len(positions)))
    for stride, sizes in zip(anchors.strides, anchors.sizes_px, strict=True):
        offsets = _to_cell_centre(positions, stride)
        for size in sizes:
            np.maximum(
                best, _best_of_size(sizes_px, offsets, size, ratios=anchors.ratios), out=best
            )
    return best


def fit_anchors(
    sizes_px: FloatArray, start: Anchors, *, zoom_range: tuple[float, float] = (1.0, 1.0)
) -> Anchors:
    """Anchors of the same number that suit objects better.

    Sizes of each level, and one elongation for all, are moved in ever smaller steps as long as
    mean best IoU plus half the best-possible recall grows. The sizes of ``SIZE_BINS_PX`` count by
    the square root of their objects, so that rare small objects are not given up for common ones.
    A size stays within 1 to 6 strides of its level, so each level keeps the objects its cells can
    see. Objects are taken in both orientations, because training turns chips; the ratios stay
    reciprocal. Nothing is random.

    Args:
        sizes_px: ``float64[N, 2]`` widths and heights of boxes in pixels of the training.
        start: Where to begin, such as the default network's anchors.
        zoom_range: Scales that training draws chips at, smallest and largest.

    Returns:
        The anchors; those of ``start`` when there are no objects or nothing is better.
    """
    if not len(sizes_px):
        return start
    search = _Search(_turned(_zoomed(_spread(sizes_px), zoom_range)), start)
    for step in STEPS:
        while search.improve(step):
            pass
    return search.anchors


class _Search:
    """Coordinate ascent over the sizes of each level and the elongation.

    The best IoUs of each size are kept, so trying another size costs one size, not all.
    """

    def __init__(self, sizes_px: FloatArray, start: Anchors) -> None:
        self._objects = sizes_px
        self._strides = start.strides
        self._sizes = [list(sizes) for sizes in start.sizes_px]
        self._ratios = start.ratios
        positions = _positions(max(start.strides))
        self._offsets = [_to_cell_centre(positions, stride) for stride in start.strides]
        self._weights = _weights(sizes_px)
        self._best = self._all()
        self._score = self._rated(self._best.values())

    @property
    def anchors(self) -> Anchors:
        sizes = tuple(tuple(round(size, 2) for size in sorted(level)) for level in self._sizes)
        return Anchors(self._strides, sizes, tuple(round(ratio, 4) for ratio in self._ratios))

    def improve(self, step: float) -> bool:
        """Try each parameter a step up and down; whether any was moved."""
        moved = [self._try_size(key, factor) for key in list(self._best) for factor in _ways(step)]
        moved += [self._try_elongation(factor) for factor in _ways(step)]
        return any(moved)

    def _try_size(self, key: tuple[int, int], factor: float) -> bool:
        level, number = key
        low, high = (share * self._strides[level] for share in SIZE_OVER_STRIDE)
        size = min(max(self._sizes[level][number] * factor, low), high)
        trial = self._of_size(level, size)
        others = [best for other, best in self._best.items() if other != key]
        score = self._rated([trial, *others])
        if score <= self._score + 1e-9:
            return False
        self._sizes[level][number], self._best[key], self._score = size, trial, score
        return True

    def _try_elongation(self, factor: float) -> bool:
        before = self._ratios
        widest = min(max(max(before) * factor, RATIO_RANGE[0]), RATIO_RANGE[1])
        self._ratios = _reciprocal(widest, len(before))
        best = self._all()
        score = self._rated(best.values())
        if score <= self._score + 1e-9:
            self._ratios = before
            return False
        self._best, self._score = best, score
        return True

    def _rated(self, best: Iterable[FloatArray]) -> float:
        highest = np.maximum.reduce(list(best))
        value = highest.mean(axis=1) + RECALL_WEIGHT * (highest >= POSITIVE_IOU).mean(axis=1)
        return float(value @ self._weights)

    def _all(self) -> dict[tuple[int, int], FloatArray]:
        return {
            (level, number): self._of_size(level, size)
            for level, sizes in enumerate(self._sizes)
            for number, size in enumerate(sizes)
        }

    def _of_size(self, level: int, size: float) -> FloatArray:
        return _best_of_size(self._objects, self._offsets[level], size, ratios=self._ratios)


def _weights(sizes_px: FloatArray) -> FloatArray:
    """Weights of objects, ``float64[N]`` with a sum of 1: each size bin counts by the root."""
    bins = np.digitize(np.sqrt(sizes_px.prod(axis=1)), SIZE_BINS_PX)
    weights = 1 / np.sqrt(np.bincount(bins)[bins])
    return np.asarray(weights / weights.sum())


def _ways(step: float) -> Iterator[float]:
    yield from (step, 1 / step)


def _reciprocal(widest: float, count: int) -> tuple[float, ...]:
    """Ratios from 1 / widest to widest, evenly spaced by their logarithm."""
    return tuple(float(ratio) for ratio in np.geomspace(1 / widest, widest, count))


def _best_of_size(
    sizes_px: FloatArray, offsets: FloatArray, size: float, *, ratios: Sequence[float]
) -> FloatArray:
    """Highest IoU over anchors of one size and all ratios, ``float64[N, P]``."""
    best = np.zeros((len(sizes_px), len(offsets)))
    for ratio in ratios:
        anchor = np.array([size / np.sqrt(ratio), size * np.sqrt(ratio)])
        reach = (sizes_px + anchor)[:, None] / 2 - offsets[None]
        smaller = np.minimum(sizes_px, anchor)[:, None]
        shared = np.clip(reach, 0, smaller).prod(axis=2)
        union = (sizes_px.prod(axis=1) + anchor.prod())[:, None] - shared
        np.maximum(best, shared / union, out=best)
    return best


def _positions(side_px: int) -> FloatArray:
    """``float64[POSITIONS, 2]`` points spread evenly over a cell, the same every time.

    The R2 sequence (Roberts 2018): multiples of the powers of 1 / 1.3247, the plastic number.
    """
    steps = np.arange(1, POSITIONS + 1)[:, None] * np.array([0.7548776662, 0.5698402910])
    return np.asarray((0.5 + steps) % 1 * side_px)


def _to_cell_centre(positions: FloatArray, stride: int) -> FloatArray:
    """Distances in x and y to the centre of the cell that a point lies in, ``float64[P, 2]``."""
    return np.asarray(np.abs(positions % stride - stride / 2))


def _spread(sizes_px: FloatArray) -> FloatArray:
    """At most ``MOST_OBJECTS`` objects of all sizes, the same every time."""
    if len(sizes_px) <= MOST_OBJECTS:
        return sizes_px
    order = np.argsort(sizes_px.prod(axis=1), kind="stable")
    return sizes_px[order[np.linspace(0, len(order) - 1, MOST_OBJECTS).astype(int)]]


def _zoomed(sizes_px: FloatArray, zoom_range: tuple[float, float]) -> FloatArray:
    """Objects at the scales of training, each at one, spread evenly by their logarithm."""
    low, high = np.log(zoom_range)
    shares = np.arange(len(sizes_px)) * 0.6180339887 % 1  # golden ratio: even for any count
    return np.asarray(sizes_px * np.exp(low + (high - low) * shares)[:, None])


def _turned(sizes_px: FloatArray) -> FloatArray:
    """Objects as they are and turned by a quarter."""
    return np.concatenate([sizes_px, sizes_px[:, ::-1]])
