"""Looseness of labels: boxes that are larger than the objects that they show, by how much.

Around each label of a sample, pixels are told apart by colour: those like its middle from those
like its surroundings, by linear discriminant analysis (Fisher 1936), repeated with the object that
this gives. The bounds of the object in the middle are compared with the label, side by side. The
medians of the four sides over all labels hardly feel objects of which only a half was recognised,
such as roofs with one side in the sun, since their other sides fit.

Labels are loose only if all four sides lie outside: one side alone is a shadow, and two that
differ are an offset, which ``geodetect.label_check.registration`` estimates. Where labels of the
same objects are both boxes and outlines, boxes are compared with the bounds of these outlines, and
the imagery is not needed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import shapely

from geodetect.assessment.matching.greedy_matching import match_boxes
from geodetect.assessment.matching.layer_offset import MAD_TO_DEVIATION, MEDIAN_ERROR
from geodetect.geo import boxes as box_ops
from geodetect.io.labels.labelled_raster import LabelledRaster
from geodetect.io.raster.reader import Pixels
from geodetect.label_check.label_windows import (
    SIZE_RANGE,
    colour_and_brightness,
    read_windows,
    sample_labels,
)
from geodetect.progress import phase
from geodetect.types import BoolArray, FloatArray

OBJECT_PX = 32  # short side of the median label in the windows
LEAST_OBJECT_PX = 8  # of the raster: below, an object has no inside
MARGIN = 0.35  # of the short side, around a label: holds its surroundings
MIDDLE = 0.15  # of the sides of a label, to both sides of its centre
ROUNDS = 3
LEAST_PIXELS = 4, 20  # of the object, and of its surroundings
LEAST_SEPARATION = 3.0  # standard deviations between the colours of both
NOISE = 1e-4  # variance of colours that are all alike
MOST_LABELS = 200
LEAST_LABELS = 20
LEAST_USABLE = 0.4  # fraction of the sample
PAIR_IOU = 0.1  # of a box and an outline of one object
LEAST_EXCESS_PX = 1.5  # of the raster
MOST_IOU = 0.8  # of a loose label and its object
LEAST_SIDE = 0.3  # of the mean of the sides
LEAST_SIGNIFICANCE = 4.0  # standard errors


@dataclass(frozen=True)
class LoosenessEstimate:
    """Estimated excess of labels over the objects that they show.

    Args:
        source: Labels were compared with the imagery, or with outlines of the same objects.
        labels: Number of labels that were compared.
        excess_m: Distance of the sides of labels from those of objects, outwards: mean of the
            medians of the four sides.
        sides_m: These medians: left, top, right and bottom.
        side_m: Short side of the median label.
        significance: The excess in standard errors.
        suspected: The labels are probably loose.
    """

    source: Literal["imagery", "outlines"]
    labels: int
    excess_m: float
    sides_m: tuple[float, float, float, float]
    side_m: float
    significance: float
    suspected: bool


@phase("Comparing labels with outlines")
def compare_with_outlines(rasters: Sequence[LabelledRaster]) -> LoosenessEstimate | None:
    """Compare boxes with outlines of the same objects, where labels are both.

    Args:
        rasters: Rasters with their labels.

    Returns:
        None with fewer than ``LEAST_LABELS`` pairs.
    """
    excess, sides, gsd_m = [np.empty((0, 4))], [np.empty(0)], []
    for labelled in rasters:
        is_box = box_mask(labelled)
        boxes, outlines = labelled.boxes[is_box], labelled.boxes[~is_box]
        matches = match_boxes(boxes, np.ones(len(boxes)), outlines, iou=PAIR_IOU)
        rows = np.flatnonzero(matches.is_tp)
        metres = np.tile(labelled.grid.gsd_xy_m or (np.nan, np.nan), 2)
        difference = outlines[matches.truth_of[rows]] - boxes[rows]
        excess.append(difference * metres * [1, 1, -1, -1])
        sides.append(labelled.sizes_m[is_box][rows].min(axis=1))
        gsd_m += [labelled.gsd_m] * len(rows)
    if len(gsd_m) < LEAST_LABELS:
        return None
    return _summarize(
        "outlines", np.concatenate(excess), np.concatenate(sides), float(np.median(gsd_m))
    )


@phase("Comparing sizes of labels with the imagery")
def compare_with_imagery(
    rasters: Sequence[LabelledRaster], *, seed: int = 0
) -> LoosenessEstimate | None:
    """Compare the sides of labels with those of the objects in the imagery.

    Rasters that cannot be read are passed over.

    Args:
        rasters: Rasters with their labels.
        seed: Random seed of the sample.

    Returns:
        None if too few labels can be compared: they are small, or their objects have no colour of
        their own.
    """
    group = [labelled for labelled in rasters if len(labelled.boxes)]
    if not group:
        return None
    side_m = float(np.median(np.concatenate([r.sizes_m.min(axis=1) for r in group])))
    raster_gsd_m = float(np.median([labelled.gsd_m for labelled in group]))
    if side_m < LEAST_OBJECT_PX * raster_gsd_m:
        return None
    gsd_m = max(raster_gsd_m, side_m / OBJECT_PX)
    margin_px = max(LEAST_PIXELS[0], round(MARGIN * side_m / gsd_m))
    window_px = math.ceil(SIZE_RANGE[1] * side_m / gsd_m) + 2 * margin_px + 4
    excess, sides, tried = [], [], 0
    rng = np.random.default_rng(seed)
    for labelled, rows in sample_labels(group, side_m, rng, most=MOST_LABELS):
        with labelled.raster:  # reads open it, this closes it
            for pixels, box in read_windows(labelled, rows, gsd_m=gsd_m, window_px=window_px):
                tried += 1
                bounds = _find_object(pixels, box, margin_px)
                if bounds is not None:
                    excess.append((bounds - box) * [gsd_m, gsd_m, -gsd_m, -gsd_m])
                    sides.append(float((box[2:] - box[:2]).min() * gsd_m))
    if len(excess) < max(LEAST_LABELS, LEAST_USABLE * tried):
        return None
    return _summarize("imagery", np.array(excess), np.array(sides), raster_gsd_m)


def box_mask(labelled: LabelledRaster) -> BoolArray:
    """Return True for labels of which only a box is known, ``bool[K]``."""
    if labelled.outlines is None:
        return np.ones(len(labelled.boxes), dtype=bool)
    return np.asarray(shapely.is_missing(labelled.outlines), dtype=bool)


def _summarize(
    source: Literal["imagery", "outlines"], excess_m: FloatArray, sides_m: FloatArray, gsd_m: float
) -> LoosenessEstimate:
    """Return the estimate from the excess of each side of each label, ``float64[K, 4]`` metres."""
    medians = np.median(excess_m, axis=0)
    mean, side_m = float(medians.mean()), float(np.median(sides_m))
    means = excess_m.mean(axis=1)
    deviation = MAD_TO_DEVIATION * float(np.median(np.abs(means - np.median(means))))
    error = max(MEDIAN_ERROR * deviation / math.sqrt(len(means)), 1e-3 * gsd_m)
    suspected = (
        mean >= LEAST_EXCESS_PX * gsd_m
        and (1 - 2 * mean / side_m) ** 2 < MOST_IOU
        and float(medians.min()) >= LEAST_SIDE * mean
        and mean >= LEAST_SIGNIFICANCE * error
    )
    left, top, right, bottom = (round(float(value), 2) for value in medians)
    return LoosenessEstimate(
        source,
        len(excess_m),
        round(mean, 2),
        (left, top, right, bottom),
        round(side_m, 2),
        round(mean / error, 1),
        suspected,
    )


def _find_object(pixels: Pixels, box: FloatArray, margin_px: int) -> FloatArray | None:
    """Return the bounds of the object in the middle of a box, ``float64[4]`` in window pixels.

    Args:
        pixels: Window around the label.
        box: ``float64[4]`` x1, y1, x2, y2 in pixels of the window.
        margin_px: Width of the surroundings.

    Returns:
        None if no object stands out, or it reaches beyond the surroundings.
    """
    from scipy import ndimage

    channels = colour_and_brightness(pixels).astype(np.float64)
    y, x = np.mgrid[: channels.shape[1], : channels.shape[2]] + 0.5
    centre, size = box_ops.centres(box), box[2:] - box[:2]

    def within(reach: FloatArray) -> BoolArray:
        return (np.abs(x - centre[0]) <= reach[0]) & (np.abs(y - centre[1]) <= reach[1])

    frame = within(size / 2 + margin_px) & pixels.valid
    inner = within(np.maximum(MIDDLE * size, 1))
    outer = frame & ~within(size / 2 + 1)
    for _ in range(ROUNDS):
        if inner.sum() < LEAST_PIXELS[0] or outer.sum() < LEAST_PIXELS[1]:
            return None
        score = _discriminate(channels, inner, outer)
        parts, count = ndimage.label((score > 0) & frame)
        in_middle = np.bincount(parts[inner], minlength=count + 1)
        in_middle[0] = 0
        if in_middle.max() < inner.sum() / 2:
            return None
        shape = ndimage.binary_fill_holes(parts == in_middle.argmax())
        shape = _largest_part(ndimage.binary_opening(shape), shape)
        inner = ndimage.binary_erosion(shape)
        outer = frame & ~ndimage.binary_dilation(shape, iterations=2)
    inside, outside = score[shape], score[frame & ~shape]
    spread = math.sqrt((inside.var() + outside.var()) / 2)
    if inside.mean() - outside.mean() < LEAST_SEPARATION * spread:
        return None
    rows, columns = np.flatnonzero(shape.any(axis=1)), np.flatnonzero(shape.any(axis=0))
    bounds = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=np.float64)
    limit = size / 2 + margin_px - 1.5
    is_cut = (bounds[:2] <= centre - limit).any() or (bounds[2:] >= centre + limit).any()
    return None if is_cut else bounds


def _discriminate(channels: FloatArray, inner: BoolArray, outer: BoolArray) -> FloatArray:
    """Return the linear discriminant of each pixel, ``float64[H, W]``: above 0 like the inner ones.

    Medians in place of means: surroundings hold other objects of the kind.
    """
    inside, outside = channels[:, inner], channels[:, outer]
    covariance = np.cov(inside) + np.cov(outside) + NOISE * np.eye(len(channels))
    middles = np.median(inside, axis=1), np.median(outside, axis=1)
    weights = np.linalg.solve(covariance, middles[0] - middles[1])
    return np.tensordot(weights, channels, axes=1) - weights @ (middles[0] + middles[1]) / 2


def _largest_part(opened: BoolArray, shape: BoolArray) -> BoolArray:
    """Return the largest part of an opened shape; the shape itself if nothing is left of it."""
    from scipy import ndimage

    parts, count = ndimage.label(opened)
    if count == 0:
        return shape
    return np.asarray(parts == np.bincount(parts[opened]).argmax())
