"""Images without georeference that show the same ground, as tiles of one scene that overlap.

An object and its two nearest neighbours have the same sizes and distances in all images of the same
ground. Where these agree to a pixel, the pixels around both objects are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from geodetect.errors import RasterError
from geodetect.geo import boxes as box_ops
from geodetect.geo.tiles import Window
from geodetect.io.raster.reader import Raster
from geodetect.training.data.training_raster import TrainingRaster
from geodetect.types import BoolArray, Float32Array, FloatArray

NEIGHBOURS = 2
TOLERANCE_PX = 0.75  # of sizes and distances, which some formats round to pixels
MOST_COMPARED = 20  # pairs of objects whose pixels are read
LEAST_CORRELATION = 0.9  # of their pixels; lossy formats change them a little
PATCH_PX = 48
LEAST_DEVIATION = 3.0  # grey levels; less shows nothing to compare


@dataclass(frozen=True)
class _Arrangement:
    """Objects of many images, each with its neighbours.

    Args:
        figures: ``float64[N, 2 + 4 * NEIGHBOURS]`` sizes and distances in pixels.
        centres: ``float64[N, 2]`` in pixels of the image.
        rasters: Image of each object.
    """

    figures: FloatArray
    centres: FloatArray
    rasters: Sequence[Raster]


def count_twins(train: Sequence[TrainingRaster], held_out: Sequence[TrainingRaster]) -> int:
    """Count the held-out objects that training images show, too.

    Args:
        train: Images with objects to train on.
        held_out: Images with held-out objects.

    Returns:
        Their number, estimated from ``MOST_COMPARED`` of them.
    """
    from scipy.spatial import KDTree

    trainable = _arrange([(raster, raster.is_trainable) for raster in train])
    checked = _arrange([(raster, raster.is_held_out) for raster in held_out])
    if not (len(trainable.figures) and len(checked.figures)):
        return 0
    distance, nearest = KDTree(trainable.figures).query(
        checked.figures, p=np.inf, distance_upper_bound=TOLERANCE_PX
    )
    rows = np.flatnonzero(np.isfinite(distance))
    step = max(1, len(rows) // MOST_COMPARED)
    compared = rows[::step]
    same = 0
    for row in compared.tolist():
        with suppress(RasterError):  # the training names damaged images
            first = _read_patch(checked.rasters[row], checked.centres[row])
            other = int(nearest[row])
            second = _read_patch(trainable.rasters[other], trainable.centres[other])
            same += _are_alike(first, second)
    return round(len(rows) * same / max(len(compared), 1))


def _arrange(images: Sequence[tuple[TrainingRaster, BoolArray]]) -> _Arrangement:
    """Return the objects of images whose neighbours and surroundings are known.

    Args:
        images: Images, and a mask of the objects that count.
    """
    from scipy.spatial import KDTree

    width = 2 + 4 * NEIGHBOURS
    figures, places, rasters = [np.empty((0, width))], [np.empty((0, 2))], list[Raster]()
    for labelled, mask in images:
        centres, sizes = (
            box_ops.centres(labelled.boxes),
            np.diff(labelled.boxes.reshape(-1, 2, 2), axis=1)[:, 0],
        )
        limits = labelled.grid.box[2:] - PATCH_PX / 2
        is_inside = ((centres >= PATCH_PX / 2) & (centres <= limits)).all(axis=1)
        rows = np.flatnonzero(mask & is_inside)
        if len(labelled.boxes) <= NEIGHBOURS or not len(rows):
            continue
        nearest = KDTree(centres).query(centres[rows], NEIGHBOURS + 1)[1][:, 1:]
        offsets = centres[nearest] - centres[rows][:, None]
        beside = np.concatenate([offsets, sizes[nearest]], axis=2).reshape(len(rows), -1)
        figures.append(np.concatenate([sizes[rows], beside], axis=1))
        places.append(centres[rows])
        rasters += [labelled.raster] * len(rows)
    return _Arrangement(np.concatenate(figures), np.concatenate(places), rasters)


def _read_patch(raster: Raster, centre: FloatArray) -> Float32Array:
    """Return the brightness around an object, ``float32[PATCH_PX, PATCH_PX]``."""
    x, y = np.floor(centre - PATCH_PX / 2).astype(int).tolist()
    return raster.read(Window(x, y, PATCH_PX, PATCH_PX)).values.mean(axis=0, dtype=np.float32)


def _are_alike(first: Float32Array, second: Float32Array) -> bool:
    if min(first.std(), second.std()) < LEAST_DEVIATION:
        return False
    return bool(np.corrcoef(first.ravel(), second.ravel())[0, 1] >= LEAST_CORRELATION)
