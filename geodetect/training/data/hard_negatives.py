"""Hard negative mining: false positives of the current model, to show again in chips.

Shrivastava, Gupta, Girshick (2016), "Training region-based object detectors with online hard
example mining", after Sung and Poggio (1998). Here whole chips are centred on the false positives
of the highest scores, since backgrounds that look like objects are rare.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from geodetect.detection.detectors.retinanet_detector import RetinaNetDetector
from geodetect.errors import RasterError
from geodetect.geo import boxes as box_ops
from geodetect.geo.tiles import Window
from geodetect.model.card import ModelCard
from geodetect.model.file import Weights
from geodetect.model.runtimes.torch import training_runtime
from geodetect.settings import TrainSettings
from geodetect.training.data.chip_sampler import HardNegative
from geodetect.training.data.training_raster import TrainingRaster, area_fractions

WINDOW_PX = 512
WINDOWS = 48  # searched each time
MAX_TRIES = 20  # to find a window outside the holdout with imagery
MIN_SCORE = 0.1
MIN_VALID_FRACTION = 0.3
RANDOM_STREAM = 7  # independent of the random numbers of chips


class HardNegativeMiner:
    """Search for false positives outside the holdout.

    Args:
        rasters: Labelled rasters, in the order of the sampler.
        card: Card of the network.
        settings: Settings of the training: number of hard negatives and random seed.
        device: Device to run the network on.
    """

    def __init__(
        self,
        rasters: Sequence[TrainingRaster],
        card: ModelCard,
        settings: TrainSettings,
        *,
        device: str,
    ) -> None:
        self._rasters = rasters
        self._card = card
        self._device = device
        self._settings = settings
        self._area_fractions = area_fractions(rasters)

    @property
    def pixels(self) -> float:
        """Pixels searched each time."""
        return float(WINDOWS * WINDOW_PX**2)

    def mine(
        self, weights: Weights, earlier: Sequence[HardNegative], *, call: int
    ) -> tuple[HardNegative, ...]:
        """Return the false positives of the highest scores in windows drawn at random.

        Predictions that touch a label are no false positives.

        Args:
            weights: Weights of the network.
            earlier: Hard negatives of the last call; the first of them complete the result if there
                are too few new ones.
            call: Number of the call; the windows depend on it.

        Returns:
            New ones first, by descending score.
        """
        runtime = training_runtime(self._card, weights, self._device)
        detector = RetinaNetDetector(runtime, conf=MIN_SCORE)
        rng = np.random.default_rng([self._settings.seed, RANDOM_STREAM, call])
        negatives = [n for _ in range(WINDOWS) for n in self._search_window(detector, rng)]
        negatives.sort(key=lambda n: (-n.score, n.raster_index, n.x, n.y))
        return (*negatives, *earlier)[: self._settings.mine_negatives]

    def _search_window(
        self, detector: RetinaNetDetector, rng: np.random.Generator
    ) -> list[HardNegative]:
        """Return the false positives in one random window."""
        for _ in range(MAX_TRIES):
            index = int(rng.choice(len(self._rasters), p=self._area_fractions))
            labelled = self._rasters[index]
            grid = labelled.grid_at(float(self._card.gsd_m or 1.0))
            width, height = min(WINDOW_PX, grid.width), min(WINDOW_PX, grid.height)
            x, y = (
                int(v) for v in rng.uniform(0, 1, 2) * (grid.width - width, grid.height - height)
            )
            window = Window(x, y, width, height)
            scale = np.tile(labelled.grid.scale_to(grid), 2)
            if len(box_ops.overlap_pairs(window.box[None] / scale, labelled.excluded)):
                continue
            try:
                pixels = labelled.raster.read(window, grid)
            except RasterError:  # the sampler warns of it
                continue
            if pixels.valid.mean() < MIN_VALID_FRACTION:
                continue
            (predictions,) = detector(pixels.values[None], pixels.valid[None])
            boxes = predictions.shifted(x, y).boxes / scale
            is_false = np.ones(len(boxes), bool)
            is_false[box_ops.overlap_pairs(boxes, labelled.boxes)[:, 0]] = False
            rows = np.column_stack([box_ops.centres(boxes), predictions.scores])[is_false]
            return [HardNegative(index, x, y, score) for x, y, score in rows.tolist()]
        return []
