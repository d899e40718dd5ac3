"""Offset between labels and imagery: labels that all lie beside their objects by the same vector.

Around each label of a sample, its box is moved over the imagery. Where it fits an object, pixels
just inside its border differ from those just outside, all around; a single edge that crosses it
gives little. The mean of this contrast over many labels has a sharp peak at the offset between
labels and imagery: at zero, if the labels are good.

An offset is suspected only if it is the same in two halves of the sample, if labels of each half
fit clearly better at the offset found in the other half (Student's t of the paired differences),
if they hardly fit where they are, and if it is large enough to matter for objects of this size.

Phase correlation (``skimage.registration``) needs two images; labels are outlines without pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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
from geodetect.types import Float32Array, FloatArray

REACH_M = 8.0  # offsets that are tried
MOST_REACH_PX = 40
OBJECT_PX = 16  # short side of the median object in the windows: fine enough, and quick
SCALES = (0.65, 0.85, 1.0, 1.2)  # labels may be looser or tighter than the object
RING_PX = 1.5  # width of the rings inside and outside the border
JITTER_PX = 2.0  # offsets of single labels drawn by hand vary by this much
LEAST_LABELS = 20
MOST_LABELS = 200  # of one raster
MOST_LABELS_IN_ALL = 600
FAR_PENALTY = 0.1  # standard deviations at the reach: in regular rows, the nearest object wins
LEAST_T = 4.0
MOST_FIT_AT_ZERO = 0.7  # of the fit at the offset
LEAST_SHIFT_PX = 2.0  # of the raster
LEAST_SHIFT_FRACTION = 0.1  # of the objects' short side: an IoU of about 0.8
AGREEMENT_FRACTION = 0.2  # of the short side, between the two halves


@dataclass(frozen=True)
class ShiftEstimate:
    """Estimated offset from labels to the objects they outline.

    Args:
        raster: File name, or how many rasters with few labels were taken together.
        labels: Number of labels in the sample.
        right_m: Offset to the right on the raster, in metres.
        down_m: Offset down.
        significance: Student's t of the gain in fit at the offset over the fit without one.
        suspected: The labels are probably shifted.
    """

    raster: str
    labels: int
    right_m: float
    down_m: float
    significance: float
    suspected: bool

    @property
    def shift_m(self) -> float:
        """Length of the offset in metres."""
        return math.hypot(self.right_m, self.down_m)


@phase("Comparing labels with the imagery")
def estimate_shifts(rasters: Sequence[LabelledRaster], *, seed: int = 0) -> list[ShiftEstimate]:
    """Estimate a constant offset between labels and imagery.

    Rasters with the most labels are estimated one by one, all others together, from a sample of
    the labels of each. Rasters that cannot be read are passed over.

    Args:
        rasters: Rasters with their labels.
        seed: Random seed of the sample.

    Returns:
        An estimate for each group with at least ``LEAST_LABELS`` usable labels.
    """
    groups: list[tuple[str, list[LabelledRaster]]] = []
    budget, rest = MOST_LABELS_IN_ALL - MOST_LABELS, []  # labels; the rest gets MOST_LABELS
    for labelled in sorted(rasters, key=lambda labelled: -len(labelled.boxes)):
        count = len(labelled.boxes)
        if count >= 2 * LEAST_LABELS and budget > 0:
            budget -= min(count, MOST_LABELS)
            groups.append((labelled.raster.name, [labelled]))
        elif count:
            rest.append(labelled)
    if rest:
        name = rest[0].raster.name if len(rest) == 1 else f"{len(rest)} rasters together"
        groups.append((name, rest))
    rng = np.random.default_rng(seed)
    estimates = [_estimate_shift(name, group, rng) for name, group in groups]
    return [estimate for estimate in estimates if estimate is not None]


def _estimate_shift(
    name: str, group: Sequence[LabelledRaster], rng: np.random.Generator
) -> ShiftEstimate | None:
    sizes_m = np.concatenate([labelled.sizes_m for labelled in group])
    side_m = float(np.median(sizes_m.min(axis=1)))
    raster_gsd_m = float(np.median([labelled.gsd_m for labelled in group]))
    gsd_m = max(raster_gsd_m, side_m / OBJECT_PX)
    reach_px = min(MOST_REACH_PX, math.ceil(REACH_M / gsd_m))
    window_px = 2 * reach_px + math.ceil(SIZE_RANGE[1] * side_m / gsd_m * max(SCALES)) + 4
    fits: list[Float32Array] = []
    for labelled, rows in sample_labels(group, side_m, rng, most=MOST_LABELS):
        with labelled.raster:  # reads open it, this closes it
            windows = read_windows(labelled, rows, gsd_m=gsd_m, window_px=window_px)
            fits += [_fit_at_offsets(pixels, box, reach_px) for pixels, box in windows]
    if len(fits) < LEAST_LABELS:
        return None
    steps = np.arange(-reach_px, reach_px + 1) / reach_px
    penalty = FAR_PENALTY * (steps[:, None] ** 2 + steps**2)
    all_fits = np.stack(fits)
    mean_fit = all_fits.mean(axis=0)
    row, column = _argmax(mean_fit - penalty)
    x_px = column + _sub_pixel_offset(mean_fit[row], column) - reach_px
    y_px = row + _sub_pixel_offset(mean_fit[:, column], row) - reach_px
    fit_at_zero = float(mean_fit[reach_px, reach_px] / max(mean_fit[row, column], 1e-6))
    halves = all_fits[0::2], all_fits[1::2]
    peaks = [_argmax(half.mean(axis=0) - penalty) for half in halves]
    gains = np.concatenate(  # of the labels of each half, at the peak of the other
        [
            half[:, peak[0], peak[1]] - half[:, reach_px, reach_px]
            for half, peak in zip(halves, reversed(peaks), strict=True)
        ]
    ).astype(np.float64)
    t = float(gains.mean() / (gains.std(ddof=1) / math.sqrt(len(gains)) + 1e-9))
    least_m = max(LEAST_SHIFT_PX * raster_gsd_m, LEAST_SHIFT_FRACTION * side_m)
    suspected = (
        t >= LEAST_T
        and math.hypot(x_px, y_px) * gsd_m > least_m
        and math.dist(*peaks) * gsd_m <= max(2 * gsd_m, AGREEMENT_FRACTION * side_m)
        and fit_at_zero < MOST_FIT_AT_ZERO
    )
    right_m, down_m = round(x_px * gsd_m, 2), round(y_px * gsd_m, 2)
    return ShiftEstimate(name, len(fits), right_m, down_m, round(t, 1), suspected)


def _fit_at_offsets(pixels: Pixels, box: FloatArray, reach_px: int) -> Float32Array:
    """Return how well a box fits at each offset, ``float32[D, D]`` with mean 0 and deviation 1.

    D is 2 * reach + 1. The fit is the root of the squared contrasts of all channels, at the best
    scale of the box.
    """
    from scipy import fft, ndimage

    channels = colour_and_brightness(pixels)
    spectra = fft.rfft2(channels)
    offsets = np.arange(-reach_px, reach_px + 1)
    fits = []
    for scale in SCALES:
        # mean of the pixels just inside the border minus mean of those just outside
        outer, middle, inner = (
            _rasterize_box(box, scale, grow_px, side_px=channels.shape[1])
            for grow_px in (RING_PX, 0, -RING_PX)
        )
        inside, outside = middle - inner, outer - middle
        weights = inside / max(float(inside.sum()), 1e-6)
        weights -= outside / max(float(outside.sum()), 1e-6)
        template = np.conj(fft.rfft2(weights))
        contrast = fft.irfft2(spectra * template, s=channels.shape[1:])
        contrast = contrast[:, offsets[:, None], offsets]
        contrast[-1] = np.maximum(contrast[-1], 0)  # darker inside may be a shadow
        energy = np.sqrt((contrast**2).sum(axis=0))
        mean = float(energy.mean())  # beyond the edge; mirrored, a peak there would count twice
        smooth = ndimage.gaussian_filter(energy, JITTER_PX, mode="constant", cval=mean)
        fits.append(_standardize(smooth))
    return _standardize(np.max(fits, axis=0))


def _standardize(values: Float32Array) -> Float32Array:
    return (values - values.mean()) / (values.std() + np.float32(1e-6))


def _rasterize_box(box: FloatArray, scale: float, grow_px: float, *, side_px: int) -> Float32Array:
    """Return the fraction of each pixel under a box that is scaled and grown, ``float32[S, S]``.

    ``rasterio.features.rasterize`` knows pixels that are covered and pixels that are not.
    """
    centre, half = box_ops.centres(box), (box[2:] - box[:2]) / 2 * scale + grow_px
    low, high = centre - np.maximum(half, 0), centre + np.maximum(half, 0)
    edges = np.arange(side_px)
    along_x, along_y = (
        np.clip(np.minimum(edges + 1, right) - np.maximum(edges, left), 0, 1)
        for left, right in zip(low, high, strict=True)
    )
    return np.outer(along_y, along_x).astype(np.float32)


def _argmax(values: Float32Array) -> tuple[int, int]:
    row, column = np.unravel_index(int(values.argmax()), values.shape)
    return int(row), int(column)


def _sub_pixel_offset(values: Float32Array, peak: int) -> float:
    """Return the offset of the top of the parabola through a peak and its neighbours."""
    if not 0 < peak < len(values) - 1:
        return 0.0
    before, top, after = (float(value) for value in values[peak - 1 : peak + 2])
    curvature = before - 2 * top + after
    return 0.0 if curvature == 0 else 0.5 * (before - after) / curvature
