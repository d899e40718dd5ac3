"""Rasters cut into map sheets, and scenes of bright rectangles."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from scipy import ndimage

from tests.conftest import METRES, Save

Pixels = NDArray[Any]
BRIGHT, DARK = 230, 20


def cut_into_sheets(
    save: Save,
    pixels: Pixels,
    *,
    columns: int = 5,
    overlap_px: int = 0,
    finer: dict[tuple[int, int], int] | None = None,
    transform: Affine = METRES,
    **options: Any,
) -> list[Path]:
    """Write parts of ``[C, H, W]`` as files ``ROW_COLUMN.tif``.

    Args:
        save: Fixture that writes a raster.
        pixels: The whole raster.
        columns: Number of sheets along each side.
        overlap_px: Overlap of neighbours; negative for gaps.
        finer: Factor by which the pixels of some sheets, by row and column, are divided.
        transform: Transform of the whole raster.
        options: More of ``save``.
    """
    mask = options.pop("mask", None)
    height, width = (side // columns for side in pixels.shape[1:])
    before, after = overlap_px // 2, overlap_px - overlap_px // 2
    paths = []
    for row, column in product(range(columns), repeat=2):
        y1 = max(0, row * height - before) if row else 0
        x1 = max(0, column * width - before) if column else 0
        y2, x2 = (row + 1) * height + after, (column + 1) * width + after
        y2 = pixels.shape[1] if row == columns - 1 else y2
        x2 = pixels.shape[2] if column == columns - 1 else x2
        part, place = pixels[:, y1:y2, x1:x2], transform @ Affine.translation(x1, y1)
        factor = (finer or {}).get((row, column), 1)
        if factor > 1:
            part = part.repeat(factor, axis=1).repeat(factor, axis=2)
            place = place @ Affine.scale(1 / factor)
        own = {} if mask is None else {"mask": mask[y1:y2, x1:x2]}
        paths.append(save(part, f"{row}_{column}.tif", transform=place, **own, **options))
    return paths


def bright_rectangles(
    side: int, *, seed: int, largest: int = 1000, apart: int = 8, most_elongated: float = 200
) -> tuple[Pixels, NDArray[np.float64]]:
    """Rectangles of 5 px to ``largest`` on dark ground, anywhere, and their boxes.

    They lie so far apart that interpolation does not join them.
    """
    rng = np.random.default_rng(seed)
    image, boxes = np.full((side, side), DARK, np.uint8), []
    sizes = np.exp(rng.uniform(np.log(5), np.log(largest), (side * side // 4000, 2))).astype(int)
    sizes[0] = largest, largest * 2 // 3
    sizes = np.maximum(sizes, np.ceil(sizes.max(axis=1, keepdims=True) / most_elongated)).astype(
        int
    )
    for width, height in sizes[np.argsort(-sizes.prod(1))].tolist():
        x, y = int(rng.integers(0, side - width)), int(rng.integers(0, side - height))
        around = image[
            max(0, y - apart) : y + height + apart, max(0, x - apart) : x + width + apart
        ]
        if (around == DARK).all():
            image[y : y + height, x : x + width] = BRIGHT
            boxes.append((x, y, x + width, y + height))
    return np.stack([image] * 3), np.array(boxes, np.float64)


def find_bright(image: Pixels) -> Any:
    """Boxes of the connected bright areas of an image, with scores and labels."""
    labels, _ = ndimage.label(image[0] > (BRIGHT + DARK) / 2)
    boxes = [(x.start, y.start, x.stop, y.stop) for y, x in ndimage.find_objects(labels)]
    return np.reshape(boxes, (-1, 4)), np.full(len(boxes), 0.9), np.zeros(len(boxes), int)
