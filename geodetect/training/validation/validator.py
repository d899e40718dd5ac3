"""Repeated validation of a network in the course of its training."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import product

import numpy as np

from geodetect.assessment.evaluate.precision_recall import precision_recall_curve
from geodetect.detection.detectors.detector import Detector
from geodetect.detection.detectors.retinanet_detector import RetinaNetDetector
from geodetect.errors import IncompleteWarning, RasterError
from geodetect.geo import boxes as box_ops
from geodetect.geo.tiles import Window
from geodetect.model.card import ModelCard
from geodetect.model.file import Weights
from geodetect.model.runtimes.torch import training_runtime
from geodetect.training.data.training_raster import TrainingRaster
from geodetect.training.validation.metrics import MIN_SCORE, ValidationResult, validate
from geodetect.training.validation.outlines import OutlineValidation, validate_outlines
from geodetect.training.validation.resolution_range import (
    FACTORS,
    MIN_F1_FRACTION,
    CoarseImageryDetector,
)

MAX_BOXES_PER_PX = 1 / 64  # one box per cell of 8 px: an untrained network predicts hundreds
BLOCK_PX = 2048  # side of the blocks in which a raster is read to find out if it is damaged


class Validator:
    """Validate the weights of a network on the holdout.

    Args:
        rasters: Labelled rasters; those without a holdout are skipped.
        card: Card of the network.
        device: Device to run the network on.
    """

    def __init__(self, rasters: Sequence[TrainingRaster], card: ModelCard, *, device: str) -> None:
        self.rasters = [raster for raster in rasters if len(raster.holdout)]
        self.unreadable: dict[str, str] = {}
        self._card = card
        self._device = device

    @property
    def objects(self) -> int:
        """Number of objects held out."""
        return sum(int(raster.is_held_out.sum()) for raster in self.rasters)

    @property
    def pixels(self) -> float:
        """Pixels of the holdout at the resolution of the network."""
        gsd_m = float(self._card.gsd_m or 1.0)
        return float(
            sum(box_ops.area(r.holdout).sum() * (r.gsd_m / gsd_m) ** 2 for r in self.rasters)
        )

    def validate(self, weights: Weights) -> ValidationResult | None:
        """Validate weights on the holdout.

        Rasters that cannot be read are left out from then on, with an ``IncompleteWarning``.

        Args:
            weights: Weights of the network, as they will be in the model file.

        Returns:
            None if no held-out object is left.
        """
        return self._validate_detector(self._detector(self._card, weights))

    def validate_outlines(self, weights: Weights, result: ValidationResult) -> OutlineValidation:
        """Validate the outline head at the score threshold of a validation.

        Args:
            weights: Weights of the network.
            result: Result of ``validate`` for these weights.
        """
        card = result.add_to_card(self._card)
        detector = self._detector(card, weights, conf=result.conf, outlines=True)
        return validate_outlines(detector, self.rasters, conf=result.conf)

    def gsd_range_m(self, weights: Weights, result: ValidationResult) -> tuple[float, float]:
        """Return the finest and the coarsest ground resolution that weights are good for.

        Args:
            weights: Weights of the network.
            result: Result of ``validate`` for these weights.

        Returns:
            In metres: the resolution of the network or of the finest raster, and the resolution at
            which F1 is still 95 % of its value on the holdout.
        """
        detector = self._detector(result.add_to_card(self._card), weights, conf=result.conf)
        sizes_m = [raster.gsd_m for raster in self.rasters]
        network_m = float(self._card.gsd_m or max(sizes_m))
        finest_m = min(network_m, *sizes_m)
        coarsest_m = coarsest_raster_m = max(network_m, *sizes_m)
        min_f1 = MIN_F1_FRACTION * precision_recall_curve(result.matches).at(result.conf).f1
        for factor in FACTORS:  # of the coarsest raster; finer ones are shrunk to the network's
            coarse = CoarseImageryDetector(detector, factor * (coarsest_raster_m / network_m))
            coarse_result = self._validate_detector(coarse)
            if coarse_result is None:
                break
            if precision_recall_curve(coarse_result.matches).at(result.conf).f1 < min_f1:
                break
            coarsest_m = coarsest_raster_m * factor
        return round(finest_m, 3), round(coarsest_m, 3)

    def _detector(
        self,
        card: ModelCard,
        weights: Weights,
        *,
        conf: float = MIN_SCORE,
        outlines: bool = False,
    ) -> RetinaNetDetector:
        runtime = training_runtime(card, weights, self._device, outlines=outlines)
        return RetinaNetDetector(runtime, conf=conf, max_boxes_per_px=MAX_BOXES_PER_PX)

    def _validate_detector(self, detector: Detector) -> ValidationResult | None:
        while self.objects:
            try:
                return validate(detector, self.rasters)
            except RasterError:
                unreadable = self._find_unreadable()
                if not unreadable:  # a transient error
                    raise
                for reason in unreadable.values():
                    text = f"left out of the validation: {reason}"
                    warnings.warn(text, IncompleteWarning, stacklevel=3)
                self.unreadable |= unreadable
                self.rasters = [r for r in self.rasters if r.raster.path not in unreadable]
        return None

    def _find_unreadable(self) -> dict[str, str]:
        """Read the holdout and its surroundings; return the errors of rasters by path."""
        # tiles extend beyond the holdout
        margin_m = self._card.tile_px * float(self._card.gsd_m or 1.0)
        unreadable: dict[str, str] = {}
        for labelled in self.rasters:
            margin_px = margin_m / labelled.gsd_m * np.array([-1, -1, 1, 1])
            boxes = box_ops.clip(labelled.holdout + margin_px, labelled.grid.box)
            try:
                for x1, y1, x2, y2 in boxes.astype(int).tolist():
                    for y, x in product(range(y1, y2, BLOCK_PX), range(x1, x2, BLOCK_PX)):
                        size = min(BLOCK_PX, x2 - x), min(BLOCK_PX, y2 - y)
                        labelled.raster.read(Window(x, y, *size))
            except RasterError as error:
                unreadable[labelled.raster.path] = str(error)
        return unreadable
