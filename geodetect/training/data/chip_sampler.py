"""Training chips, cut on the fly from rasters and labels."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch

from geodetect.errors import GeodetectWarning, LabelError, RasterError
from geodetect.geo import boxes as box_ops
from geodetect.geo.grid import Grid
from geodetect.geo.tiles import Window
from geodetect.io.raster.reader import Raster
from geodetect.training.anchors.assignment import Target
from geodetect.training.data.augmentation import recolour, recolour_objects, turn
from geodetect.types import BoolArray, FloatArray, IntArray, UInt8Array

SCALE_RANGE = (0.6, 1.6)
VISIBLE_SHARE = 0.3  # a cut object counts from here on; below, its place is ignored
VALID_SHARE = 0.3  # chips with less imagery are drawn again
TRIES = 200


@dataclass(frozen=True)
class Ground:
    """One raster with its objects.

    Args:
        raster: Open raster.
        boxes: ``float64[N, 4]`` objects in the raster's own pixels, with what lies beyond its edge.
        labels: ``int64[N]`` classes.
        held_out: ``float64[M, 4]`` rectangles in the raster's own pixels that no chip touches.
        gsd_m: Ground size of its pixels.
        excluded: ``float64[K, 4]`` likewise: ground that is held out of another raster.
    """

    raster: Raster
    boxes: FloatArray
    labels: IntArray
    held_out: FloatArray
    gsd_m: float
    excluded: FloatArray = field(default_factory=lambda: np.empty((0, 4)))

    @property
    def forbidden(self) -> FloatArray:
        """All rectangles that no chip touches, ``float64[M + K, 4]``."""
        return np.concatenate([self.held_out, self.excluded])

    @cached_property
    def shown(self) -> FloatArray:
        """What the raster shows of its objects, ``float64[N, 4]``."""
        return box_ops.clip(self.boxes, self.raster.grid.box)

    @cached_property
    def is_seen(self) -> BoolArray:
        """Objects of which the raster shows enough, ``bool[N]``."""
        return box_ops.fraction_inside(self.boxes, self.raster.grid.box) >= VISIBLE_SHARE

    @property
    def measured(self) -> BoolArray:
        """Objects whose centre is held out, ``bool[N]``: the centre of what is shown."""
        return self.is_seen & self._on(self.held_out)

    @property
    def trainable(self) -> BoolArray:
        """Objects whose centre chips may show, ``bool[N]``."""
        return self.is_seen & ~self._on(self.forbidden)

    @property
    def sides_m(self) -> FloatArray:
        """Width and height of whole objects on the ground, along the raster's axes: ``[N, 2]``."""
        return (self.boxes[:, 2:] - self.boxes[:, :2]) * self._pixel_m

    def grid_at(self, gsd_m: float) -> Grid:
        """The raster cut into pixels that are as wide and as high as this on the ground."""
        x, y = self._pixel_m / gsd_m
        return self.raster.grid.resampled(x, y)

    @property
    def _pixel_m(self) -> FloatArray:
        return np.array(self.raster.grid.gsd_xy_m or (self.gsd_m, self.gsd_m))

    def _on(self, rectangles: FloatArray) -> BoolArray:
        centres = box_ops.centres(self.shown)
        points = np.concatenate([centres, centres], axis=1)
        on = np.zeros(len(self.boxes), bool)
        on[box_ops.overlap_pairs(points, rectangles)[:, 0]] = True
        return on


@dataclass(frozen=True)
class Place:
    """A place that chips are centred on.

    Args:
        ground: Number of the raster in the sampler.
        x: Column in the raster's own pixels.
        y: Row likewise.
        score: How sure a model was to see an object there.
    """

    ground: int
    x: float
    y: float
    score: float


@dataclass(frozen=True)
class Chip:
    """One training example.

    Args:
        image: ``uint8[C, S, S]``.
        valid: ``bool[S, S]`` False outside the imagery.
        target: Its objects.
    """

    image: UInt8Array
    valid: BoolArray
    target: Target


class ChipSampler:
    """Draws chips; the n-th chip depends on nothing but the seed, n and ``negatives``.

    ``negatives`` are places without objects to look at more often: half of the chips that are not
    placed on an object are placed on one of them.

    Args:
        grounds: Rasters with objects.
        gsd_m: Ground resolution of the chips; each is drawn at a random scale around it.
        chip_px: Side of a chip.
        object_share: Share of chips placed on an object.
        augment: How often chips are recoloured, 0..1.
        turns: Show chips in all eight orientations.
        seed: Start of all randomness.

    Raises:
        LabelError: No object is left to learn from.
    """

    def __init__(
        self,
        grounds: list[Ground],
        *,
        gsd_m: float,
        chip_px: int,
        object_share: float,
        seed: int,
        augment: float = 1.0,
        turns: bool = True,
    ) -> None:
        self.grounds = grounds
        self.gsd_m = gsd_m
        self.chip_px = chip_px
        self.object_share = object_share
        self.seed = seed
        self.augment = augment
        self.turns = turns
        self._objects = [
            (number, int(row))
            for number, g in enumerate(grounds)
            for row in np.flatnonzero(g.trainable)
        ]
        if not self._objects:
            raise LabelError(
                "no labelled object lies on the training ground; check that labels and rasters "
                "overlap, or hold out less with --val-share or --val-area"
            )
        self._area_share = area_shares(grounds)
        self._lock = threading.Lock()
        self.damaged: dict[str, str] = {}
        self.negatives: tuple[Place, ...] = ()

    @property
    def objects(self) -> int:
        """Objects that chips may be placed on."""
        return len(self._objects)

    def __getitem__(self, number: int) -> Chip:
        """The chip of this number.

        Places that cannot be read are passed over; ``damaged`` then holds the reason by path.

        Raises:
            LabelError: There is no room for a chip.
            RasterError: Nothing can be read.
        """
        rng = np.random.default_rng([self.seed, number])
        failure: RasterError | None = None
        for _ in range(TRIES):
            ground, window, grid = self._place(rng)
            if window is None:
                continue
            try:
                pixels = ground.raster.read(window, grid)
            except RasterError as error:
                failure = error
                self._note_damage(ground.raster, error)
                continue
            if pixels.valid.mean() >= VALID_SHARE:
                size = np.tile(ground.raster.grid.scale_to(grid), 2)
                return self._finish(ground, window, size, pixels.values, pixels.valid, rng)
        if failure is not None:
            raise failure
        raise LabelError(
            f"no place for a chip of {self.chip_px} px found in {TRIES} tries; choose a smaller "
            f"--chip-px or hold out less ground with --val-share"
        )

    def _note_damage(self, raster: Raster, error: RasterError) -> None:
        """Warn of a raster once; chips are drawn by several threads."""
        with self._lock:
            is_new = raster.path not in self.damaged
            self.damaged[raster.path] = str(error)
        if is_new:
            warnings.warn(f"chips are drawn elsewhere: {error}", GeodetectWarning, stacklevel=2)

    def _place(self, rng: np.random.Generator) -> tuple[Ground, Window | None, Grid]:
        """A random place: its ground, the chip's window (None: held out) and that window's grid."""
        low, high = np.log(SCALE_RANGE)
        zoom = float(np.exp(rng.uniform(low, high)))
        number, centre = self._target(rng)
        ground = self.grounds[number]
        grid = ground.grid_at(self.gsd_m / zoom)
        size = np.tile(ground.raster.grid.scale_to(grid), 2)
        shape = np.array([grid.width, grid.height])
        room = np.maximum(shape - self.chip_px, 0)
        if centre is not None:
            corner = np.clip(centre * size[:2] - rng.uniform(0, self.chip_px, 2), 0, room)
        else:
            corner = rng.uniform(0, 1, 2) * room
        x, y = (int(c) for c in corner)
        width, height = (int(min(s, self.chip_px)) for s in shape)
        window = Window(x, y, width, height)
        touched = box_ops.overlap_pairs(window.box[None] / size, ground.forbidden)
        return ground, None if len(touched) else window, grid

    def _target(self, rng: np.random.Generator) -> tuple[int, FloatArray | None]:
        """A random raster, and the point in its own pixels that is to be seen; None: any."""
        drawn = rng.random()
        if drawn < self.object_share:
            number, row = self._objects[int(rng.integers(len(self._objects)))]
            box = self.grounds[number].shown[row]
            return number, box_ops.centres(box)
        if self.negatives and drawn < self.object_share + (1 - self.object_share) / 2:
            place = self.negatives[int(rng.integers(len(self.negatives)))]
            return place.ground, np.array([place.x, place.y])
        return int(rng.choice(len(self.grounds), p=self._area_share)), None

    def _finish(
        self,
        ground: Ground,
        window: Window,
        size: FloatArray,
        values: UInt8Array,
        valid: BoolArray,
        rng: np.random.Generator,
    ) -> Chip:
        whole = ground.boxes * size - np.array([window.x, window.y] * 2)
        pad = [(0, self.chip_px - window.height), (0, self.chip_px - window.width)]
        if values.shape[0] == 3:
            values = recolour_objects(values, whole, rng, strength=self.augment)
            values = recolour(values, rng, strength=self.augment)
        layers = np.concatenate([values, valid[None].astype(np.uint8)])
        layers = np.pad(layers, [(0, 0), *pad])
        shown = np.array([0.0, 0.0, window.width, window.height])
        if self.turns:
            layers, turned = turn(layers, np.concatenate([whole, shown[None]]), rng)
            whole, shown = turned[:-1], turned[-1]
        valid = layers[-1].astype(bool)
        return Chip(layers[:-1] * valid, valid, visible_objects(whole, ground.labels, shown))


def area_shares(grounds: Sequence[Ground]) -> FloatArray:
    """Each raster's share of the ground that all cover, ``float64[N]``."""
    areas = np.array([g.raster.grid.width * g.raster.grid.height * g.gsd_m**2 for g in grounds])
    return areas / areas.sum()


def visible_objects(boxes: FloatArray, labels: IntArray, shown: FloatArray) -> Target:
    """The objects of a chip: clipped to it, and ignored where too little is left to see.

    Args:
        boxes: ``float64[N, 4]`` in chip pixels, not clipped.
        labels: ``int64[N]``.
        shown: ``float64[4]`` the part of the chip that shows the raster; all of it but where the
            raster is smaller.
    """
    inside = box_ops.clip(boxes, shown)
    share = box_ops.fraction_inside(boxes, shown)
    kept, ignored = share >= VISIBLE_SHARE, (share > 0) & (share < VISIBLE_SHARE)
    return Target(
        torch.from_numpy(inside[kept].astype(np.float32)),
        torch.from_numpy(labels[kept]),
        torch.from_numpy(inside[ignored].astype(np.float32)),
    )
