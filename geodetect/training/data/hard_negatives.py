"""Hard negatives: places where the current model sees objects that are not there.

Shrivastava, Gupta, Girshick (2016), "Training region-based object detectors with online hard
example mining", after Sung and Poggio (1998): what the model gets wrong is shown to it more often.
Here whole chips are centred on its surest false alarms, as those of other ground are rare.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from geodetect.detection.detections import Detections
from geodetect.detection.retinanet_detector import RetinaNetDetector
from geodetect.errors import RasterError
from geodetect.geo import boxes as box_ops
from geodetect.geo.grid import Grid
from geodetect.geo.tiles import Window
from geodetect.model.card import ModelCard
from geodetect.model.file import Weights
from geodetect.model.runtimes.torch import training_runtime
from geodetect.training.data.chip_sampler import Ground, Place, area_shares
from geodetect.types import FloatArray

BLOCK_PX = 512
BLOCKS = 48  # looked at each time
TRIES = 20  # to find a block, each
LEAST_SCORE = 0.1
LEAST_VALID = 0.3
STREAM = 7  # its own random numbers, apart from those of the chips


class NegativeMiner:
    """Looks for false alarms on the ground that is trained on.

    Args:
        grounds: Rasters with objects, as the sampler numbers them.
        card: Card of the network.
        device: Where the network runs.
        count: How many places are kept.
        seed: Start of all randomness.
    """

    def __init__(
        self, grounds: Sequence[Ground], card: ModelCard, *, device: str, count: int, seed: int
    ) -> None:
        self._grounds = grounds
        self._card = card
        self._device = device
        self._count = count
        self._seed = seed
        self._area_share = area_shares(grounds)

    @property
    def pixels(self) -> float:
        """Pixels that are looked at each time."""
        return float(BLOCKS * BLOCK_PX**2)

    def mine(self, weights: Weights, known: Sequence[Place], *, turn: int) -> tuple[Place, ...]:
        """The surest false alarms in blocks of ground drawn at random.

        Args:
            weights: Of the network.
            known: Places found before; where too few new ones are found, the surest stay.
            turn: How often was mined before: each time other blocks are looked at.

        Returns:
            The surest first. Detections that touch a label are none.
        """
        detector = RetinaNetDetector(
            training_runtime(self._card, weights, self._device), conf=LEAST_SCORE
        )
        rng = np.random.default_rng([self._seed, STREAM, turn])
        found = [place for _ in range(BLOCKS) for place in self._look(detector, rng)]
        found.sort(key=lambda place: (-place.score, place.ground, place.x, place.y))
        missing = max(self._count - len(found), 0)
        return (*found[: self._count], *known[:missing])

    def _look(self, detector: RetinaNetDetector, rng: np.random.Generator) -> list[Place]:
        """False alarms in one block."""
        for _ in range(TRIES):
            number = int(rng.choice(len(self._grounds), p=self._area_share))
            ground = self._grounds[number]
            grid = ground.grid_at(float(self._card.gsd_m or 1.0))
            window = _block(grid, rng)
            ratio = np.tile(ground.raster.grid.scale_to(grid), 2)
            if len(box_ops.overlap_pairs(window.box[None] / ratio, ground.forbidden)):
                continue
            try:
                pixels = ground.raster.read(window, grid)
            except RasterError:  # the sampler tells of it
                continue
            if pixels.valid.mean() < LEAST_VALID:
                continue
            (seen,) = detector(pixels.values[None], pixels.valid[None])
            return _false_alarms(seen.shifted(window.x, window.y), ground, number, ratio=ratio)
        return []


def _block(grid: Grid, rng: np.random.Generator) -> Window:
    width, height = min(BLOCK_PX, grid.width), min(BLOCK_PX, grid.height)
    x, y = (int(v) for v in rng.uniform(0, 1, 2) * (grid.width - width, grid.height - height))
    return Window(x, y, width, height)


def _false_alarms(
    seen: Detections, ground: Ground, number: int, *, ratio: FloatArray
) -> list[Place]:
    boxes = seen.boxes / ratio
    false = np.ones(len(boxes), bool)
    false[box_ops.overlap_pairs(boxes, ground.boxes)[:, 0]] = False
    centres = box_ops.centres(boxes)
    return [
        Place(number, float(x), float(y), float(score))
        for (x, y), score in zip(centres[false], seen.scores[false], strict=True)
    ]
