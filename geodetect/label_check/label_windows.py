"""Windows of imagery around a sample of labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from geodetect.errors import RasterError
from geodetect.geo import boxes as box_ops
from geodetect.geo.tiles import Window
from geodetect.io.labels.labelled_raster import LabelledRaster
from geodetect.io.raster.reader import Pixels
from geodetect.types import Float32Array, FloatArray, IntArray

SIZE_RANGE = (1 / 3, 2.0)  # of the median short side
LEAST_VALID = 0.9  # fraction of a window
DARK = 24.0  # of 255; below, colours are mostly noise
BRIGHTNESS_WEIGHT = 0.5


def sample_labels(
    group: Sequence[LabelledRaster], side_m: float, rng: np.random.Generator, *, most: int
) -> Iterator[tuple[LabelledRaster, IntArray]]:
    """Yield rows of labels of about the usual size, from top to bottom, which reads fastest.

    Args:
        group: Rasters with their labels.
        side_m: Short side of the median label.
        rng: Random numbers of the sample.
        most: Most labels of all rasters together.
    """
    usable = []
    for number, labelled in enumerate(group):
        shortest, longest = labelled.sizes_m.min(axis=1), labelled.sizes_m.max(axis=1)
        fits = (shortest >= SIZE_RANGE[0] * side_m) & (longest <= SIZE_RANGE[1] * side_m)
        usable += [(number, int(row)) for row in np.flatnonzero(fits)]
    sample = rng.permutation(np.array(usable, np.int64).reshape(-1, 2))[:most]
    for number, labelled in enumerate(group):
        rows = np.sort(sample[sample[:, 0] == number, 1])
        if len(rows):
            yield labelled, rows[np.argsort(labelled.boxes[rows, 1], kind="stable")]


def read_windows(
    labelled: LabelledRaster, rows: IntArray, *, gsd_m: float, window_px: int
) -> Iterator[tuple[Pixels, FloatArray]]:
    """Yield square windows around labels, with the label's box in their pixels.

    Args:
        labelled: Raster with its labels.
        rows: ``int64[K]`` rows of the labels.
        gsd_m: Ground resolution of the windows.
        window_px: Side of the windows.
    """
    grid = labelled.grid.resampled(*np.array(labelled.grid.gsd_xy_m) / gsd_m)
    boxes = labelled.boxes[rows] * np.tile(labelled.grid.scale_to(grid), 2)
    corners = np.round(box_ops.centres(boxes) - window_px / 2).astype(int)
    is_inside = ((corners >= 0) & (corners + window_px <= [grid.width, grid.height])).all(axis=1)
    for box, (x0, y0) in zip(boxes[is_inside], corners[is_inside].tolist(), strict=True):
        try:
            pixels = labelled.raster.read(Window(x0, y0, window_px, window_px), grid)
        except RasterError:  # the check of the coverage reports which raster is damaged
            return
        if pixels.valid.mean() >= LEAST_VALID:
            yield pixels, box - np.array([x0, y0, x0, y0])


def colour_and_brightness(pixels: Pixels) -> Float32Array:
    """Return each band relative to the brightness, and the brightness, ``float32[C + 1, H, W]``.

    Shadows lie beside their objects all in one direction, have sharp borders and the objects'
    shape. They change the brightness much more than the colour.
    """
    values = pixels.values.astype(np.float32)
    brightness = values.mean(axis=0) + np.float32(DARK)
    channels = np.concatenate(
        [(values + DARK) / brightness - 1, BRIGHTNESS_WEIGHT * np.log(brightness)[None]]
    )
    channels -= channels[:, pixels.valid].mean(axis=1)[:, None, None]
    return np.asarray(channels * pixels.valid, np.float32)
