"""Random training chips, read on the fly from labelled rasters."""

from __future__ import annotations

import threading
import warnings
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import shapely
import torch

from geodetect.errors import GeodetectWarning, LabelError, RasterError
from geodetect.geo import boxes as box_ops
from geodetect.geo.grid import Grid
from geodetect.geo.tiles import Window
from geodetect.io.raster.reader import Pixels
from geodetect.model.card import OutlineConfig
from geodetect.settings import TrainSettings
from geodetect.training.anchors.assignment import Target
from geodetect.training.data.augmentation import Orientation, recolour, recolour_objects
from geodetect.training.data.mask_targets import mask_target
from geodetect.training.data.training_raster import (
    MIN_VISIBLE_FRACTION,
    TrainingRaster,
    area_fractions,
)
from geodetect.types import BoolArray, FloatArray, IntArray, ObjectArray, UInt8Array

SCALE_RANGE = (0.6, 1.6)
MIN_VALID_FRACTION = 0.3  # chips with less imagery are drawn again
MAX_TRIES = 200


@dataclass(frozen=True)
class HardNegative:
    """False positive of the current model, to show again in chips.

    Args:
        raster_index: Position of the raster in the sampler.
        x: Column of its centre in pixels of the raster.
        y: Row of its centre.
        score: Score of the false positive.
    """

    raster_index: int
    x: float
    y: float
    score: float


@dataclass(frozen=True)
class Chip:
    """Training example.

    Args:
        image: ``uint8[C, S, S]``.
        valid: ``bool[S, S]`` False outside the imagery.
        target: Ground truth.
    """

    image: UInt8Array
    valid: BoolArray
    target: Target


@dataclass(frozen=True)
class _Objects:
    """Objects of a raster in pixels of a window.

    Args:
        boxes: ``float64[N, 4]``, not clipped.
        class_ids: ``int64[N]``.
        outlines: ``object[N]`` polygons, or None for objects without one or hardly visible; None:
            masks are not trained.
    """

    boxes: FloatArray
    class_ids: IntArray
    outlines: ObjectArray | None = None


class ChipSampler:
    """Source of random chips; chip n depends on nothing but the seed, n and ``hard_negatives``.

    The setting ``object_share`` is the fraction of chips that are placed on an object. Half of the
    others are placed on one of the ``hard_negatives``, if there are any.

    Args:
        rasters: Labelled rasters.
        settings: Settings of the training, for the chips, their augmentation and the random seed.
        gsd_m: Ground sample distance of chips; each is drawn at a random scale around it.
        outline: Outline head to draw masks for; None: no masks.

    Raises:
        LabelError: No object is left to train on.
    """

    def __init__(
        self,
        rasters: list[TrainingRaster],
        settings: TrainSettings,
        *,
        gsd_m: float,
        outline: OutlineConfig | None = None,
    ) -> None:
        self._outline = outline
        self.rasters = rasters
        self.gsd_m = gsd_m
        self.objects = [
            (index, int(row))
            for index, raster in enumerate(rasters)
            for row in np.flatnonzero(raster.is_trainable)
        ]
        if not self.objects:
            raise LabelError(
                "no labelled object is left to train on; check that labels and rasters overlap, or "
                "hold out less with `val_share` or `val_aoi`"
            )
        self.hard_negatives: tuple[HardNegative, ...] = ()
        self.unreadable: dict[str, str] = {}
        self._settings = settings
        self._area_fractions = area_fractions(rasters)
        self._lock = threading.Lock()

    def __getitem__(self, number: int) -> Chip:
        """Return a chip by its number.

        If a raster cannot be read, the chip is drawn elsewhere, and ``unreadable`` holds the reason
        by path.

        Raises:
            LabelError: No place outside the holdout has enough imagery for a chip.
            RasterError: No raster can be read.
        """
        rng = np.random.default_rng([self._settings.seed, number])
        failure: RasterError | None = None
        for _ in range(MAX_TRIES):
            labelled, grid, window = self._draw_window(rng)
            scale = np.tile(labelled.grid.scale_to(grid), 2)
            if len(box_ops.overlap_pairs(window.box[None] / scale, labelled.excluded)):
                continue
            try:
                pixels = labelled.raster.read(window, grid)
            except RasterError as error:
                failure = error
                with self._lock:  # chips are drawn by several threads
                    is_new = labelled.raster.path not in self.unreadable
                    self.unreadable[labelled.raster.path] = str(error)
                if is_new:
                    text = f"chips are drawn elsewhere: {error}"
                    warnings.warn(text, GeodetectWarning, stacklevel=2)
                continue
            if pixels.valid.mean() >= MIN_VALID_FRACTION:
                offset = np.array([window.x, window.y])
                boxes = labelled.boxes * scale - np.tile(offset, 2)
                objects = _Objects(boxes, labelled.class_ids)
                if self._outline is not None and labelled.outlines is not None:
                    frame = np.array([0.0, 0.0, window.width, window.height])
                    rows = box_ops.fraction_inside(boxes, frame) >= MIN_VISIBLE_FRACTION
                    outlines = np.full(len(boxes), None, dtype=object)
                    outlines[rows] = shapely.transform(
                        labelled.outlines[rows],
                        partial(_scale_and_shift, scale=scale[:2], offset=offset),
                    )
                    objects = replace(objects, outlines=outlines)
                return self._augment(pixels, objects, rng)
        if failure is not None:
            raise failure
        raise LabelError(
            f"found no place for a chip of {self._settings.tile_size} px in {MAX_TRIES} tries; set "
            f"a smaller `tile_size`, or hold out less with `val_share`"
        )

    def _draw_window(self, rng: np.random.Generator) -> tuple[TrainingRaster, Grid, Window]:
        """Draw a raster, its grid at the scale of the chip, and the window of the chip in it."""
        zoom = float(np.exp(rng.uniform(*np.log(SCALE_RANGE))))
        index, centre = self._draw_centre(rng)
        labelled = self.rasters[index]
        grid = labelled.grid_at(self.gsd_m / zoom)
        tile_size = self._settings.tile_size
        width, height = min(grid.width, tile_size), min(grid.height, tile_size)
        max_corner = np.array([grid.width - width, grid.height - height])
        if centre is None:
            corner = rng.uniform(0, 1, 2) * max_corner
        else:
            scale = labelled.grid.scale_to(grid)
            corner = np.clip(centre * scale - rng.uniform(0, tile_size, 2), 0, max_corner)
        x, y = (int(c) for c in corner)
        return labelled, grid, Window(x, y, width, height)

    def _draw_centre(self, rng: np.random.Generator) -> tuple[int, FloatArray | None]:
        """Draw a raster, and a point in its pixels for the chip to show; None: any point."""
        number, object_fraction = rng.random(), self._settings.object_share
        if number < object_fraction:
            index, row = self.objects[int(rng.integers(len(self.objects)))]
            return index, box_ops.centres(self.rasters[index].clipped_boxes[row])
        negatives = self.hard_negatives
        if negatives and number < object_fraction + (1 - object_fraction) / 2:
            negative = negatives[int(rng.integers(len(negatives)))]
            return negative.raster_index, np.array([negative.x, negative.y])
        return int(rng.choice(len(self.rasters), p=self._area_fractions)), None

    def _augment(self, pixels: Pixels, objects: _Objects, rng: np.random.Generator) -> Chip:
        """Recolour, pad and reorient a window; its objects are in its pixels."""
        boxes, outlines = objects.boxes, objects.outlines
        strength = self._settings.augment
        values = recolour_objects(pixels.values, boxes, outlines, rng, strength=strength)
        values = recolour(values, rng, strength=strength)
        layers = np.concatenate([values, pixels.valid[None].astype(np.uint8)])
        height, width = pixels.valid.shape
        tile_size = self._settings.tile_size
        layers = np.pad(layers, [(0, 0), (0, tile_size - height), (0, tile_size - width)])
        frame = np.array([0.0, 0.0, width, height])
        if self._settings.turn:
            orientation = Orientation.draw(rng)
            layers = orientation.image(layers)
            boxes = orientation.boxes(boxes, tile_size)
            frame = orientation.boxes(frame[None], tile_size)[0]
            if outlines is not None:
                outlines = shapely.transform(outlines, partial(orientation.points, size=tile_size))
        valid = layers[-1].astype(bool)
        target = crop_target(boxes, objects.class_ids, frame)
        if outlines is not None and self._outline is not None:
            masks = mask_target(boxes, outlines, frame, self._outline, rng)
            target = replace(target, masks=masks)
        return Chip(layers[:-1] * valid, valid, target)


def crop_target(boxes: FloatArray, class_ids: IntArray, frame: FloatArray) -> Target:
    """Return the ground truth of a chip: objects clipped to it, or ignored if hardly visible.

    Args:
        boxes: ``float64[N, 4]`` in chip pixels, not clipped.
        class_ids: ``int64[N]``.
        frame: ``float64[4]`` part of the chip that shows the raster: all of it, unless the raster
            is smaller.
    """
    clipped = box_ops.clip(boxes, frame)
    fraction = box_ops.fraction_inside(boxes, frame)
    is_visible = fraction >= MIN_VISIBLE_FRACTION
    is_ignored = (fraction > 0) & ~is_visible
    return Target(
        torch.from_numpy(clipped[is_visible].astype(np.float32)),
        torch.from_numpy(class_ids[is_visible]),
        torch.from_numpy(clipped[is_ignored].astype(np.float32)),
    )


def _scale_and_shift(points: FloatArray, *, scale: FloatArray, offset: FloatArray) -> FloatArray:
    """Return points of a raster, ``float64[N, 2]``, in pixels of a window."""
    return points * scale - offset
