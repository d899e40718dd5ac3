"""Labelled rasters for tests of trainings."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geodetect.io.raster.reader import Raster
from geodetect.training.data.training_raster import TrainingRaster


def training_raster(
    raster: Raster,
    boxes: ArrayLike,
    *,
    class_ids: NDArray[np.int64] | None = None,
    holdout: ArrayLike = (),
    overlapping_holdout: ArrayLike = (),
    classes: tuple[str, ...] = ("square",),
) -> TrainingRaster:
    """A raster with objects of one class, unless others are given, and rectangles held out."""
    boxes = np.array(boxes, np.float64).reshape(-1, 4)
    return TrainingRaster(
        raster,
        boxes,
        np.zeros(len(boxes), np.int64) if class_ids is None else class_ids,
        np.arange(len(boxes)),
        classes,
        holdout=np.array(holdout, np.float64).reshape(-1, 4),
        overlapping_holdout=np.array(overlapping_holdout, np.float64).reshape(-1, 4),
    )
