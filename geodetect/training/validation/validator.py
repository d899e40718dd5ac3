"""The ground that is held out, measured again and again while a training goes on."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import numpy as np

from geodetect.detection.detector import Detector
from geodetect.detection.retinanet_detector import RetinaNetDetector
from geodetect.errors import GeodetectWarning, RasterError
from geodetect.geo import boxes as box_ops
from geodetect.geo.tiles import Window
from geodetect.model.card import ModelCard
from geodetect.model.file import Weights
from geodetect.model.runtimes.torch import training_runtime
from geodetect.training.data.chip_sampler import Ground
from geodetect.training.validation.metrics import LEAST_CONF, Validation, calibrated, validate
from geodetect.training.validation.resolution_range import CoarserImagery, coarsest_factor
from geodetect.types import FloatArray

MOST_PER_PX = 1 / 64  # one box for each cell of 8 px: a network that knows nothing sees hundreds
PIECE_PX = 2048  # side of the pieces in which a raster is read to see whether it is whole


class HeldOut:
    """Ground with objects that no chip shows.

    Args:
        grounds: Rasters with what is held out of each.
        card: Card of the network.
        device: Where the network runs.
    """

    def __init__(self, grounds: Sequence[Ground], card: ModelCard, *, device: str) -> None:
        self.grounds = [ground for ground in grounds if len(ground.held_out)]
        self.damaged: dict[str, str] = {}
        self._card = card
        self._device = device

    @property
    def objects(self) -> int:
        """Objects that are held out."""
        return sum(int(ground.measured.sum()) for ground in self.grounds)

    @property
    def pixels(self) -> float:
        """Pixels of the network's resolution that are looked at each time."""
        gsd_m = float(self._card.gsd_m or 1.0)
        return float(sum(_area_px(ground) * (ground.gsd_m / gsd_m) ** 2 for ground in self.grounds))

    def measure(self, weights: Weights) -> Validation | None:
        """How good weights are.

        Rasters that cannot be read are left out from then on, with a ``GeodetectWarning``.

        Args:
            weights: Of the network, as they will be in the model file.

        Returns:
            None when no object is left that could be found.
        """
        return self._validated(self._detector(self._card, weights))

    def gsd_range_m(self, weights: Weights, measured: Validation) -> tuple[float, float]:
        """The ground resolutions of rasters that weights are good for.

        Args:
            weights: Of the network.
            measured: What ``measure`` said of them.

        Returns:
            Finest and coarsest pixel size in metres: the finest raster's or the network's own, and
            that at which F1 is still 95 % of what it is on the held-out rasters.
        """
        card = calibrated(self._card, measured)
        detector = self._detector(card, weights, conf=measured.conf)  # as in ``predict``, and fast
        sizes_m = [ground.gsd_m for ground in self.grounds]
        own_m = float(self._card.gsd_m or max(sizes_m))
        seen_m = max(own_m, *sizes_m)  # finer ones are shrunk to the network's

        def measure(factor: float) -> Validation | None:
            return self._validated(CoarserImagery(detector, factor * seen_m / own_m))

        coarsest_m = seen_m * coarsest_factor(measured, measure)
        return round(min(own_m, *sizes_m), 3), round(coarsest_m, 3)

    def _detector(
        self, card: ModelCard, weights: Weights, *, conf: float = LEAST_CONF
    ) -> RetinaNetDetector:
        runtime = training_runtime(card, weights, self._device)
        return RetinaNetDetector(runtime, conf=conf, most_per_px=MOST_PER_PX)

    def _validated(self, detector: Detector) -> Validation | None:
        while self.objects:
            try:
                return validate(detector, self.grounds)
            except RasterError as error:
                self._leave_out_damaged(error)
        return None

    def _leave_out_damaged(self, error: RasterError) -> None:
        reach_m = self._card.tile_px * float(self._card.gsd_m or 1.0)  # tiles stick out
        reasons = {ground.raster.path: _fault(ground, reach_m) for ground in self.grounds}
        found = {path: reason for path, reason in reasons.items() if reason is not None}
        if not found:  # it was, but is no more: nothing that leaving out would help
            raise error
        for reason in found.values():
            warnings.warn(f"left out of the validation: {reason}", GeodetectWarning, stacklevel=4)
        self.damaged |= found
        self.grounds = [one for one in self.grounds if one.raster.path not in found]


def _area_px(ground: Ground) -> float:
    x1, y1, x2, y2 = ground.held_out.T
    return float(((x2 - x1) * (y2 - y1)).sum())


def _fault(ground: Ground, reach_m: float) -> str | None:
    """Why the held-out ground of a raster, and what is near it, cannot be read; None: it can."""
    reach_px = reach_m / ground.gsd_m * np.array([-1, -1, 1, 1])
    grid = ground.raster.grid
    try:
        for window in _pieces(box_ops.clip(ground.held_out + reach_px, grid.box)):
            ground.raster.read(window)
    except RasterError as error:
        return str(error)
    return None


def _pieces(boxes: FloatArray) -> Iterator[Window]:
    for x1, y1, x2, y2 in boxes.astype(int).tolist():
        for y in range(y1, y2, PIECE_PX):
            for x in range(x1, x2, PIECE_PX):
                yield Window(x, y, min(PIECE_PX, x2 - x), min(PIECE_PX, y2 - y))
