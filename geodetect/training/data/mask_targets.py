"""Masks that the outline head is trained on, drawn from the outlines of labels."""

from __future__ import annotations

import numpy as np
import shapely
import torch
from affine import Affine
from rasterio.features import rasterize

from geodetect.geo import boxes as box_ops
from geodetect.model.card import OutlineConfig
from geodetect.training.anchors.assignment import MaskTarget
from geodetect.types import Float32Array, FloatArray, ObjectArray

JITTER = 0.06  # standard deviation of the sides of boxes, in extents: the error of detections
MIN_SIDE_PX = 2.0  # of a box with a mask
SUBCELLS = 4  # rows and columns of points by which the covered fraction of a cell is measured


def mask_target(
    boxes: FloatArray,
    outlines: ObjectArray,
    frame: FloatArray,
    config: OutlineConfig,
    rng: np.random.Generator,
) -> MaskTarget:
    """Return masks of objects, in boxes that are off by about as much as detections.

    Args:
        boxes: ``float64[N, 4]`` in chip pixels, not clipped.
        outlines: ``object[N]`` polygons in chip pixels, or None.
        frame: ``float64[4]`` part of the chip that shows the raster.
        config: The outline head.
        rng: Random generator.
    """
    clipped = box_ops.clip(boxes, frame)
    has_mask = ~shapely.is_missing(outlines)
    has_mask &= (clipped[:, 2:] - clipped[:, :2] >= MIN_SIDE_PX).all(axis=1)
    if not has_mask.any():
        return MaskTarget.empty()
    clipped, outlines = clipped[has_mask], outlines[has_mask]
    error = np.clip(rng.normal(0, JITTER, (len(clipped), 4)), -3 * JITTER, 3 * JITTER)
    jittered = clipped + error * np.tile(clipped[:, 2:] - clipped[:, :2], (1, 2))
    widened = box_ops.widen(jittered, config.margin)
    masks = [
        draw_mask(outline, box, config.mask_cells, config.mask_cells)
        for outline, box in zip(outlines, widened, strict=True)
    ]
    return MaskTarget(
        torch.from_numpy(widened.astype(np.float32)), torch.from_numpy(np.stack(masks))
    )


def draw_mask(outline: shapely.Geometry, box: FloatArray, rows: int, columns: int) -> Float32Array:
    """Return the fraction of each cell of a box that a polygon covers, ``float32[rows, columns]``.

    Args:
        outline: Polygon in the frame of the box.
        box: ``float64[4]`` x1, y1, x2, y2.
        rows: Of the mask.
        columns: Of the mask.
    """
    width, height = (box[2:] - box[:2]) / (columns * SUBCELLS, rows * SUBCELLS)
    transform = Affine(width, 0, box[0], 0, height, box[1])
    shape = rows * SUBCELLS, columns * SUBCELLS
    points = rasterize([outline], shape, transform=transform, dtype=np.uint8)
    parts = points.reshape(rows, SUBCELLS, columns, SUBCELLS)
    return np.asarray(parts.mean(axis=(1, 3), dtype=np.float32))
