"""Fitting of anchor sizes and ratios to the objects of a training, by best-possible recall.

An anchor is assigned to an object from an IoU of 0.5 on (Lin et al. 2017, section 4). Objects lie
anywhere between the cells of a level, so their best IoU is taken at positions spread evenly over
the coarsest cell: for small objects the distance to the nearest cell matters more than the size.
The fraction of objects and positions that reach the IoU is the *best-possible recall*.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from geodetect.model.card import NetworkConfig
from geodetect.types import FloatArray

SizeKey = tuple[int, int]  # stride of the level, number of the size in it

POSITIVE_IOU = 0.5
SIZE_BINS_PX = (0.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0, 96.0, 128.0, 256.0, np.inf)
POSITIONS = 16
MAX_OBJECTS = 512  # larger samples give the same recall
SIZE_OVER_STRIDE = (1.0, 6.0)  # of anchors; the paper's are 4 to 6.3, the field of view of a cell
RATIO_RANGE = (1.0, 4.0)
STEPS = (1.3, 1.12, 1.04)
RECALL_WEIGHT = 0.5
MIN_GAIN = 1e-9


@dataclass(frozen=True)
class AnchorShapes:
    """Sizes and aspect ratios of a network's anchors.

    Args:
        strides: Strides of the levels, in pixels.
        sizes_px: Square roots of the anchors' areas, for each level.
        ratios: Height over width.
    """

    strides: tuple[int, ...]
    sizes_px: tuple[tuple[float, ...], ...]
    ratios: tuple[float, ...]

    @classmethod
    def from_config(cls, network: NetworkConfig) -> AnchorShapes:
        """Return the anchor shapes of an architecture."""
        return cls(network.strides, network.anchor_sizes_px, network.anchor_ratios)

    def sizes_by_level(self) -> dict[SizeKey, float]:
        """Return the sizes by the stride of their level and their number in it."""
        levels = zip(self.strides, self.sizes_px, strict=True)
        return {(stride, i): size for stride, level in levels for i, size in enumerate(level)}


@dataclass(frozen=True)
class RecallBin:
    """Best-possible recall of objects of one size bin.

    Args:
        low_px: Smallest size in pixels: the square root of the box's area.
        high_px: Upper limit, excluded.
        labels: Number of labelled objects.
        recall: Fraction that some anchor can be assigned to, 0..1.
        mean_iou: Mean IoU with the best anchor.
    """

    low_px: float
    high_px: float
    labels: int
    recall: float
    mean_iou: float


def recall_by_size(
    sizes_px: FloatArray, anchors: AnchorShapes, *, iou: float = POSITIVE_IOU
) -> tuple[RecallBin, ...]:
    """Return the best-possible recall of objects by their size.

    Args:
        sizes_px: ``float64[N, 2]`` widths and heights of boxes in training pixels.
        anchors: Anchor shapes of the network.
        iou: IoU from which an anchor is assigned to an object.

    Returns:
        The bins of ``SIZE_BINS_PX`` that hold objects, and last one of all objects, if any.
    """
    mean_side = np.sqrt(sizes_px.prod(axis=1))
    bins = []
    for low, high in [*itertools.pairwise(SIZE_BINS_PX), (0.0, np.inf)]:
        inside = sizes_px[(mean_side >= low) & (mean_side < high)]
        if len(inside):
            best = best_ious(_subsample(inside), anchors)
            recall, mean_iou = float((best >= iou).mean()), float(best.mean())
            bins.append(RecallBin(low, float(high), len(inside), recall, mean_iou))
    return tuple(bins)


def best_ious(sizes_px: FloatArray, anchors: AnchorShapes) -> FloatArray:
    """Return the IoU of boxes with their best anchor, at positions spread over the coarsest cell.

    Args:
        sizes_px: ``float64[N, 2]`` widths and heights in pixels.
        anchors: Anchor shapes of the network.

    Returns:
        ``float64[N, POSITIONS]`` in 0..1.
    """
    positions = cell_positions(max(anchors.strides))
    ious = _ious_by_size(sizes_px, positions, anchors.sizes_by_level(), anchors.ratios)
    return np.maximum.reduce(list(ious.values()))


def fit_anchors(
    sizes_px: FloatArray, start: AnchorShapes, *, zoom_range: tuple[float, float] = (1.0, 1.0)
) -> AnchorShapes:
    """Fit anchor shapes to objects, without changing their number.

    Coordinate ascent: sizes of each level, and one elongation for all, are moved in ever smaller
    steps as long as mean best IoU plus half the best-possible recall grows. The bins of
    ``SIZE_BINS_PX`` are weighted by the square root of their objects, so that rare small objects
    count. A size stays within 1 to 6 strides of its level, the field of view of its cells. Objects
    are taken in both orientations, because training turns chips; the ratios stay reciprocal.
    Nothing is random.

    Args:
        sizes_px: ``float64[N, 2]`` widths and heights of boxes in training pixels.
        start: Initial shapes, such as the default network's.
        zoom_range: Smallest and largest scale of training chips.

    Returns:
        The fitted shapes; ``start`` if there are no objects or nothing is better.
    """
    if not len(sizes_px):
        return start
    objects = _subsample(sizes_px)
    low, high = np.log(zoom_range)
    fractions = np.arange(len(objects)) * 0.6180339887 % 1  # golden ratio: even for any count
    objects = objects * np.exp(low + (high - low) * fractions)[:, None]
    objects = np.concatenate([objects, objects[:, ::-1]])
    weights, positions = object_weights(objects), cell_positions(max(start.strides))
    sizes, ratios = start.sizes_by_level(), start.ratios
    ious = _ious_by_size(objects, positions, sizes, ratios)
    score = _rate(ious, weights)
    for step in STEPS:
        is_improving = True
        while is_improving:
            is_improving = False
            for key, factor in itertools.product([*sizes, None], (step, 1 / step)):
                new_sizes, new_ratios = sizes, ratios
                if key is None:  # the elongation of all anchors
                    longest = min(max(max(ratios) * factor, RATIO_RANGE[0]), RATIO_RANGE[1])
                    new_ratios = tuple(map(float, np.geomspace(1 / longest, longest, len(ratios))))
                    new_ious = _ious_by_size(objects, positions, sizes, new_ratios)
                else:
                    smallest, largest = (multiple * key[0] for multiple in SIZE_OVER_STRIDE)
                    size = min(max(sizes[key] * factor, smallest), largest)
                    new_sizes = sizes | {key: size}
                    new_ious = ious | _ious_by_size(objects, positions, {key: size}, ratios)
                new_score = _rate(new_ious, weights)
                if new_score > score + MIN_GAIN:
                    sizes, ratios, ious, score = new_sizes, new_ratios, new_ious, new_score
                    is_improving = True
    fitted_px = tuple(
        tuple(sorted(round(size, 2) for key, size in sizes.items() if key[0] == stride))
        for stride in start.strides
    )
    return AnchorShapes(start.strides, fitted_px, tuple(round(ratio, 4) for ratio in ratios))


def _rate(ious: Mapping[SizeKey, FloatArray], weights: FloatArray) -> float:
    """Return the weighted mean of the best IoU plus half the best-possible recall."""
    best = np.maximum.reduce(list(ious.values()))
    value = best.mean(axis=1) + RECALL_WEIGHT * (best >= POSITIVE_IOU).mean(axis=1)
    return float(value @ weights)


def object_weights(sizes_px: FloatArray) -> FloatArray:
    """Return the weights of objects in a fit, ``float64[N]`` with a sum of 1."""
    bins = np.digitize(np.sqrt(sizes_px.prod(axis=1)), SIZE_BINS_PX)
    weights = 1 / np.sqrt(np.bincount(bins)[bins])
    return np.asarray(weights / weights.sum())


def cell_positions(side_px: int) -> FloatArray:
    """Return fixed positions spread evenly over a square cell, ``float64[POSITIONS, 2]``.

    The R2 sequence (Roberts 2018): multiples of the powers of 1 / 1.3247, the plastic number.
    """
    steps = np.arange(1, POSITIONS + 1)[:, None] * np.array([0.7548776662, 0.5698402910])
    return np.asarray((0.5 + steps) % 1 * side_px)


def _ious_by_size(
    sizes_px: FloatArray,
    positions: FloatArray,
    anchor_sizes: Mapping[SizeKey, float],
    ratios: Sequence[float],
) -> dict[SizeKey, FloatArray]:
    """Return the highest IoU over anchors of one size and all ratios, ``float64[N, P]`` each."""
    ious = {}
    for key, size in anchor_sizes.items():
        stride = key[0]
        centre_offsets = np.abs(positions % stride - stride / 2)[None]  # from the cell's centre
        ious[key] = np.zeros((len(sizes_px), len(positions)))
        for ratio in ratios:
            anchor = np.array([size / np.sqrt(ratio), size * np.sqrt(ratio)])
            reach = (sizes_px + anchor)[:, None] / 2 - centre_offsets
            smaller = np.minimum(sizes_px, anchor)[:, None]
            intersection = np.clip(reach, 0, smaller).prod(axis=2)
            union = (sizes_px.prod(axis=1) + anchor.prod())[:, None] - intersection
            np.maximum(ious[key], intersection / union, out=ious[key])
    return ious


def _subsample(sizes_px: FloatArray) -> FloatArray:
    """Return at most ``MAX_OBJECTS`` objects, evenly spaced by their area, always the same."""
    if len(sizes_px) <= MAX_OBJECTS:
        return sizes_px
    order = np.argsort(sizes_px.prod(axis=1), kind="stable")
    return sizes_px[order[np.linspace(0, len(order) - 1, MAX_OBJECTS).astype(int)]]
