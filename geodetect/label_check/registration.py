"""Whether labels lie beside what they outline, all in the same direction.

Around each label of a sample, its box is moved over the imagery. Where it fits an object, pixels
just inside its border differ from those just outside, all around; a single edge that crosses it
gives little. The mean over many labels of this contrast has a sharp peak at the offset between
labels and imagery: at zero, if the labels are good.

An offset is suspected only if it is the same in two halves of the sample, if labels of each half
fit clearly better at the offset found in the other half (Student's t of the paired differences),
if they hardly fit where they are, and if it is large enough to matter for objects of this size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from geodetect.errors import RasterError
from geodetect.geo.grid import Grid
from geodetect.geo.tiles import Tile
from geodetect.io.labels.labelled_raster import LabelledRaster
from geodetect.io.raster.reader import Pixels
from geodetect.types import Float32Array, FloatArray, IntArray

REACH_M = 8.0
MOST_REACH_PX = 40
SIDE_PX = 16  # of the median object where it is looked at: fine enough, and quick
SCALES = (0.65, 0.85, 1.0, 1.2)  # labels may be looser or tighter than the object
RING_PX = 1.5
DARK = 24.0  # of 255; below, colours are mostly noise
LIGHT_WEIGHT = 0.5
JITTER_PX = 2.0  # labels drawn by hand lie this far apart from each other's offset
SIZE_RANGE = (1 / 3, 2.0)  # of the median side
LEAST_VALID = 0.9
LEAST_LABELS = 20
MOST_LABELS = 200  # of one raster
MOST_LABELS_IN_ALL = 600
FAR_PENALTY = 0.1  # of the spread, at the reach: of objects in a regular grid, the nearest
LEAST_T = 4.0
MOST_FIT_AT_ZERO = 0.7  # of the fit at the offset
LEAST_SHIFT_PX = 2.0  # of the raster
LEAST_SHIFT_SHARE = 0.1  # of the objects' short side: an IoU of about 0.8
AGREEMENT_SHARE = 0.2  # of the short side, between the two halves


@dataclass(frozen=True)
class ShiftEstimate:
    """The offset from labels to what they outline.

    Args:
        raster: File name, or how many rasters with few labels were taken together.
        labels: Labels looked at.
        right_m: How far the labels would have to move to the right on the raster, in metres.
        down_m: How far down.
        significance: Student's t of how much better they fit there than where they are.
        suspected: Whether the labels should be looked at.
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


def estimate_shifts(sheets: Sequence[LabelledRaster], *, seed: int = 0) -> list[ShiftEstimate]:
    """Estimate a constant offset between labels and imagery.

    Rasters with the most labels are looked at one by one, all others together, a sample of their
    labels each. Rasters that cannot be read are passed over.

    Args:
        sheets: Rasters with their labels.
        seed: Start of the randomness of the sample.

    Returns:
        An estimate for each group with at least ``LEAST_LABELS`` usable labels.
    """
    rng = np.random.default_rng(seed)
    estimates = []
    for name, group in _groups(sheets):
        found = _estimate(name, group, rng)
        if found is not None:
            estimates.append(found)
    return estimates


def _groups(sheets: Sequence[LabelledRaster]) -> Iterator[tuple[str, list[LabelledRaster]]]:
    """Rasters with many labels on their own, as far as the budget goes, and the others as one."""
    order = sorted(sheets, key=lambda sheet: -len(sheet.boxes))
    budget, others = MOST_LABELS_IN_ALL - MOST_LABELS, []
    for sheet in order:
        if len(sheet.boxes) >= 2 * LEAST_LABELS and budget > 0:
            budget -= min(len(sheet.boxes), MOST_LABELS)
            yield sheet.raster.name, [sheet]
        elif len(sheet.boxes):
            others.append(sheet)
    if others:
        name = others[0].raster.name if len(others) == 1 else f"{len(others)} rasters together"
        yield name, others


def _estimate(
    name: str, group: Sequence[LabelledRaster], rng: np.random.Generator
) -> ShiftEstimate | None:
    sides = np.concatenate([sheet.sizes_m for sheet in group])
    side_m = float(np.median(sides.min(axis=1)))
    raster_gsd_m = float(np.median([sheet.gsd_m for sheet in group]))
    gsd_m = max(raster_gsd_m, side_m / SIDE_PX)
    reach_px = min(MOST_REACH_PX, math.ceil(REACH_M / gsd_m))
    patch_px = 2 * reach_px + math.ceil(SIZE_RANGE[1] * side_m / gsd_m * max(SCALES)) + 4
    maps: list[Float32Array] = []
    for sheet, rows in _sample(group, side_m, rng):
        with sheet.raster:  # reads open it, this closes it
            patches = _patches(sheet, rows, gsd_m=gsd_m, patch_px=patch_px)
            maps += [_fit(pixels, box, reach_px) for pixels, box in patches]
    if len(maps) < LEAST_LABELS:
        return None
    found = _judge(np.stack(maps), reach_px)
    least_m = max(LEAST_SHIFT_PX * raster_gsd_m, LEAST_SHIFT_SHARE * side_m)
    apart_m = max(2 * gsd_m, AGREEMENT_SHARE * side_m)
    suspected = (
        found.t >= LEAST_T
        and math.hypot(found.x, found.y) * gsd_m > least_m
        and found.halves_apart * gsd_m <= apart_m
        and found.fit_at_zero < MOST_FIT_AT_ZERO
    )
    right_m, down_m = round(found.x * gsd_m, 2), round(found.y * gsd_m, 2)
    return ShiftEstimate(name, len(maps), right_m, down_m, round(found.t, 1), suspected)


def _sample(
    group: Sequence[LabelledRaster], side_m: float, rng: np.random.Generator
) -> Iterator[tuple[LabelledRaster, IntArray]]:
    """Rows of labels of about the usual size, in the order of the raster, which reads fastest."""
    usable = []
    for number, sheet in enumerate(group):
        shortest, longest = sheet.sizes_m.min(axis=1), sheet.sizes_m.max(axis=1)
        fits = (shortest >= SIZE_RANGE[0] * side_m) & (longest <= SIZE_RANGE[1] * side_m)
        usable += [(number, int(row)) for row in np.flatnonzero(fits)]
    chosen = sorted(
        rng.permutation(np.array(usable, np.int64).reshape(-1, 2))[:MOST_LABELS].tolist()
    )
    for number, sheet in enumerate(group):
        rows = np.array([row for n, row in chosen if n == number], np.int64)
        if len(rows):
            yield sheet, rows[np.argsort(sheet.boxes[rows, 1], kind="stable")]


def _patches(
    sheet: LabelledRaster, rows: IntArray, *, gsd_m: float, patch_px: int
) -> Iterator[tuple[Pixels, FloatArray]]:
    """Square pieces of imagery around labels, with the label's box in their pixels."""
    along_row, along_column = sheet.grid.gsd_xy_m or (gsd_m, gsd_m)
    grid = sheet.grid.resampled(along_row / gsd_m, along_column / gsd_m)
    boxes = sheet.boxes[rows] * _ratio(grid, sheet.grid)
    corners = np.round((boxes[:, :2] + boxes[:, 2:]) / 2 - patch_px / 2).astype(int)
    inside = (corners >= 0) & (corners + patch_px <= [grid.width, grid.height])
    for box, (x0, y0) in zip(boxes[inside.all(axis=1)], corners[inside.all(axis=1)], strict=True):
        try:
            pixels = sheet.raster.read(Tile(0, 0, 0, int(x0), int(y0), patch_px, patch_px), grid)
        except RasterError:  # the check of the ground says which raster is damaged
            return
        if pixels.valid.mean() >= LEAST_VALID:
            yield pixels, box - np.array([x0, y0, x0, y0])


def _ratio(grid: Grid, own: Grid) -> FloatArray:
    """Pixels of a resampled grid per pixel of the raster's own: x, y, x, y."""
    return np.array([grid.width / own.width, grid.height / own.height] * 2)


def _fit(pixels: Pixels, box: FloatArray, reach_px: int) -> Float32Array:
    """How well a box fits at each offset, ``float32[D, D]`` with mean 0 and spread 1.

    D is 2 * reach + 1. The square root of the squared contrasts of all bands, at the best scale.
    """
    from scipy import fft, ndimage

    layers = _colour_and_light(pixels)
    spectra = fft.rfft2(layers)
    offsets = np.arange(-reach_px, reach_px + 1)
    at_scales = []
    for scale in SCALES:
        template = np.conj(fft.rfft2(_border(box, scale, layers.shape[1])))
        contrast = fft.irfft2(spectra * template, s=layers.shape[1:])
        contrast = contrast[:, offsets[:, None], offsets]
        contrast[-1] = np.maximum(contrast[-1], 0)  # what is darker may be a shadow
        energy = np.sqrt((contrast**2).sum(axis=0))
        beyond = float(energy.mean())  # mirrored at the edge, a peak there would count twice
        smooth = ndimage.gaussian_filter(energy, JITTER_PX, mode="constant", cval=beyond)
        at_scales.append(_standardised(smooth))
    return _standardised(np.max(at_scales, axis=0))


def _colour_and_light(pixels: Pixels) -> Float32Array:
    """Colour of each band, whatever the light, and the light itself, ``float32[C + 1, H, W]``.

    Shadows lie beside their objects all in one direction, have sharp borders and the objects'
    shape. They change the light much more than the colour.
    """
    values = pixels.values.astype(np.float32)
    light = values.mean(axis=0) + np.float32(DARK)
    layers = np.concatenate([(values + DARK) / light - 1, LIGHT_WEIGHT * np.log(light)[None]])
    layers -= layers[:, pixels.valid].mean(axis=1)[:, None, None]
    return np.asarray(layers * pixels.valid, np.float32)


def _standardised(values: Float32Array) -> Float32Array:
    return (values - values.mean()) / (values.std() + np.float32(1e-6))


def _border(box: FloatArray, scale: float, side_px: int) -> Float32Array:
    """Mean just inside the border of a box minus mean just outside, as weights of pixels."""
    outer, middle, inner = (
        _mask(box, scale, grow, side_px=side_px) for grow in (RING_PX, 0, -RING_PX)
    )
    inside, outside = middle - inner, outer - middle
    return inside / max(float(inside.sum()), 1e-6) - outside / max(float(outside.sum()), 1e-6)


def _mask(box: FloatArray, scale: float, grow: float, *, side_px: int) -> Float32Array:
    """Share of each pixel under a box that is scaled and grown, ``float32[S, S]``."""
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * scale + grow
    low, high = centre - np.maximum(half, 0), centre + np.maximum(half, 0)
    edges = np.arange(side_px)
    along_x, along_y = (
        np.clip(np.minimum(edges + 1, right) - np.maximum(edges, left), 0, 1)
        for left, right in zip(low, high, strict=True)
    )
    return np.outer(along_y, along_x).astype(np.float32)


@dataclass(frozen=True)
class _Peak:
    """Where labels fit best.

    Args:
        x: Pixels to the right of where they are.
        y: Pixels down.
        t: Student's t of how much better the labels of one half fit at the peak of the other.
        halves_apart: Distance of the peaks of the two halves, in pixels.
        fit_at_zero: How well they fit where they are, over how well at the peak.
    """

    x: float
    y: float
    t: float
    halves_apart: float
    fit_at_zero: float


def _judge(maps: Float32Array, reach_px: int) -> _Peak:
    """The peak of the mean of ``float32[N, D, D]`` maps."""
    steps = np.arange(-reach_px, reach_px + 1) / reach_px
    penalty = FAR_PENALTY * (steps[:, None] ** 2 + steps**2)
    halves = maps[0::2], maps[1::2]
    peaks = [_argmax(half.mean(axis=0) - penalty) for half in halves]
    gains = np.concatenate(
        [
            half[:, peak[0], peak[1]] - half[:, reach_px, reach_px]
            for half, peak in zip(halves, reversed(peaks), strict=True)
        ]
    ).astype(np.float64)
    mean = maps.mean(axis=0)
    row, column = _argmax(mean - penalty)
    return _Peak(
        x=column + _sub_pixel(mean[row], column) - reach_px,
        y=row + _sub_pixel(mean[:, column], row) - reach_px,
        t=float(gains.mean() / (gains.std(ddof=1) / math.sqrt(len(gains)) + 1e-9)),
        halves_apart=math.dist(*peaks),
        fit_at_zero=float(mean[reach_px, reach_px] / max(mean[row, column], 1e-6)),
    )


def _argmax(values: Float32Array) -> tuple[int, int]:
    row, column = np.unravel_index(int(values.argmax()), values.shape)
    return int(row), int(column)


def _sub_pixel(line: Float32Array, peak: int) -> float:
    """How far the top of the parabola through a peak and its neighbours lies beside it."""
    if not 0 < peak < len(line) - 1:
        return 0.0
    before, top, after = (float(value) for value in line[peak - 1 : peak + 2])
    bend = before - 2 * top + after
    return 0.0 if bend == 0 else 0.5 * (before - after) / bend
