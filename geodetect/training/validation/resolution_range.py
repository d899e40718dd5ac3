"""Coarsest ground resolution that a model works on: validation on ever coarser imagery."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from geodetect.assessment.evaluate.precision_recall import precision_recall_curve
from geodetect.detection.detections import Detections
from geodetect.detection.detector import Detector
from geodetect.training.data.augmentation import coarsen
from geodetect.training.validation.metrics import ValidationResult
from geodetect.types import BoolArray, UInt8Array

FACTORS = (1.5, 2.0, 2.5, 3.0)  # of the pixel size; ``predict`` refuses much coarser rasters
MIN_F1_FRACTION = 0.95  # of the F1 on imagery as it is

ValidateAtFactor = Callable[[float], ValidationResult | None]


class CoarseImageryDetector:
    """Detector that sees imagery as if its pixels were larger: shrunk, and enlarged again.

    ``predict`` does the same to coarser rasters, which it reads at the model's resolution.

    Args:
        detector: Detector to run on the coarse imagery.
        factor: Pixel size to imitate over that of the imagery.
    """

    def __init__(self, detector: Detector, factor: float) -> None:
        self.card = detector.card
        self._detector = detector
        self._factor = factor

    def __call__(self, pixels: UInt8Array, valid: BoolArray) -> Sequence[Detections]:
        """Run the detector, see ``Detector``."""
        coarse = [coarsen(torch.from_numpy(image), self._factor).numpy() for image in pixels]
        return self._detector(np.stack(coarse) * valid[:, None], valid)


def coarsest_factor(result: ValidationResult, validate_at: ValidateAtFactor) -> float:
    """Return how many times coarser imagery may be before F1 falls by more than a twentieth.

    Args:
        result: Validation on imagery as it is.
        validate_at: Validates on imagery that is a factor coarser, at the same calibration.

    Returns:
        The last of ``FACTORS`` before F1 falls; 1.0 if it falls at the first.
    """
    min_f1 = MIN_F1_FRACTION * _f1(result, result.conf)
    coarsest = 1.0
    for factor in FACTORS:
        coarse = validate_at(factor)
        if coarse is None or _f1(coarse, result.conf) < min_f1:
            break
        coarsest = factor
    return coarsest


def _f1(result: ValidationResult, conf: float) -> float:
    return float(precision_recall_curve(result.matches).at(conf).f1)
